"""Arrivals of access logs in a file, for a log may have millions of lines, which several processes can read."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from loadkit.plan.data import Row
from loadkit.plan.errors import UsageError, reason_of
from loadkit.plan.part import Part
from loadkit.plan.placeholders import Encoded
from loadkit.plan.units import SECOND

_SORTED: Final = """
CREATE TABLE arrivals AS
SELECT at - (SELECT min(at) FROM lines) + :gap * (row_number() OVER of_instant - 1) / count(*) OVER (PARTITION BY at)
    AS due, position, target
FROM lines WINDOW of_instant AS (PARTITION BY at ORDER BY lines.rowid) ORDER BY at, lines.rowid
"""
_DUE: Final = "SELECT due, position FROM arrivals WHERE due < ? AND (rowid - 1) % ? = ? ORDER BY rowid"


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What is replayed of the arrivals in a file, and how."""

    digest: str
    """The same for the same lines of logs."""
    requests: list[tuple[str, str]]
    """The method and the path of what each arrival is for, by its position."""
    speed: tuple[int, int]
    """How many times as fast, as numerator and denominator."""
    before: int
    """Nanoseconds of the log's time before which what is replayed is due."""
    duration: int
    """Nanoseconds that it takes."""
    count: int
    most: int
    """How many come in one second."""


class ArrivalStore:
    """Arrivals in the order of their instants.

    Those of one instant keep their order, and where the log knows whole seconds alone they are spread over theirs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # whoever draws the next arrival reads it, one thread at a time
        self._database = sqlite3.connect(
            f"file:{quote(str(path))}", uri=True, check_same_thread=False, isolation_level=None
        )
        weakref.finalize(self, self._database.close)

    @classmethod
    def of(cls, lines: Iterable[tuple[int, int, str]]) -> ArrivalStore:
        """Those of lines, in a file that is gone with it; `UsageError` where the disk is full."""
        try:
            handle, name = tempfile.mkstemp(prefix="loadkit-replay-", suffix=".sqlite")
            os.close(handle)
            store = cls(Path(name))
            weakref.finalize(store, store.path.unlink, missing_ok=True)
            store._fill(lines)
        except (OSError, sqlite3.OperationalError) as error:
            why = reason_of(error) if isinstance(error, OSError) else str(error)
            raise UsageError(f"cannot keep the requests of a log in a temporary file: {why}") from None
        return store

    def _fill(self, lines: Iterable[tuple[int, int, str]]) -> None:
        run = self._database.execute
        for setting in ("journal_mode = OFF", "synchronous = OFF", "temp_store = FILE"):
            run(f"PRAGMA {setting}")
        run("CREATE TABLE lines (at INTEGER, position INTEGER, target TEXT)")
        run("BEGIN")
        self._database.executemany("INSERT INTO lines VALUES (?, ?, ?)", lines)
        (parts,) = self._one("SELECT max(at % ?) FROM lines", SECOND)
        run(_SORTED, {"gap": 0 if parts else SECOND})
        run("CREATE TABLE about AS SELECT min(at) AS start, '' AS summary FROM lines")
        run("DROP TABLE lines")
        run("COMMIT")

    def _one(self, query: str, *values: int) -> tuple[int, ...]:
        found: tuple[int, ...] = self._database.execute(query, values).fetchone()
        return found

    @property
    def start(self) -> int:
        """When the first arrival came, nanoseconds since the epoch; 0 where there is none."""
        return self._one("SELECT start FROM about")[0] or 0

    def extent(self, before: int) -> tuple[int, int, int]:
        """How many arrivals are due before an instant, how many of them in one second at most, and when the last is."""
        (most,) = self._one(
            "SELECT max(n) FROM (SELECT count(*) AS n FROM arrivals WHERE due < ? GROUP BY due / 1000000000)", before
        )
        count, last = self._one("SELECT count(*), max(due) FROM arrivals WHERE due < ?", before)
        return count, most or 0, last or 0

    @property
    def summary(self) -> Summary:
        """What is replayed of them."""
        (text,) = self._database.execute("SELECT summary FROM about").fetchone()
        return msgspec.json.decode(text, type=Summary)

    def keep(self, summary: Summary) -> None:
        """Write down what is replayed of them."""
        self._database.execute("UPDATE about SET summary = ?", (msgspec.json.encode(summary),))

    def dues(self, before: int, part: Part) -> Iterator[tuple[int, int]]:
        """The instant of each of a part, nanoseconds from the first of all, and the position of its endpoint."""
        yield from self._database.execute(_DUE, (before, part.step, part.first))

    def __iter__(self) -> Iterator[Row]:
        """What fills the endpoint of each."""
        for (target,) in self._database.execute("SELECT target FROM arrivals ORDER BY rowid"):
            yield {"target": Encoded(target)}
