"""Access logs as recorded arrivals: each of their requests again, at its instant."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Final

from loadkit.importer.access_log import Parse
from loadkit.importer.log_summary import SAFE, LogSummary
from loadkit.plan.data import Row, Rows
from loadkit.plan.endpoint import METHODS, Endpoint
from loadkit.plan.errors import NothingToRun
from loadkit.plan.labels import MAX_LABELS, OTHER, fold_path
from loadkit.plan.placeholders import Encoded
from loadkit.plan.recorded import RecordedArrivals
from loadkit.plan.units import SECOND

_SORTED: Final = """
CREATE TABLE arrivals AS
SELECT at - (SELECT min(at) FROM lines) + :gap * (row_number() OVER of_instant - 1) / count(*) OVER (PARTITION BY at)
    AS due, position, target
FROM lines WINDOW of_instant AS (PARTITION BY at ORDER BY lines.rowid) ORDER BY at, lines.rowid
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What is sent and when, and what is to be said of the logs."""

    endpoints: Sequence[Endpoint]
    arrivals: RecordedArrivals
    notes: Sequence[str]


class ArrivalStore:
    """Arrivals in a file without a name, which is gone with its connection: a log may have millions of lines.

    They are in the order of their instants. Those of one instant keep their order, and where the log knows whole
    seconds alone they are spread over theirs.
    """

    def __init__(self, lines: Iterable[tuple[int, int, str]]) -> None:
        # whoever draws the next arrival reads it, one thread at a time
        self._database = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        for setting in ("journal_mode = OFF", "synchronous = OFF", "temp_store = FILE"):
            self._database.execute(f"PRAGMA {setting}")
        self._database.execute("CREATE TABLE lines (at INTEGER, position INTEGER, target TEXT)")
        self._database.execute("BEGIN")
        self._database.executemany("INSERT INTO lines VALUES (?, ?, ?)", lines)
        parts, self.start = self._one("SELECT max(at % ?), min(at) FROM lines", SECOND)
        self._database.execute(_SORTED, {"gap": 0 if parts else SECOND})
        self._database.execute("DROP TABLE lines")
        self._database.execute("COMMIT")

    def _one(self, query: str, *values: int) -> tuple[int, ...]:
        found: tuple[int, ...] = self._database.execute(query, values).fetchone()
        return found

    def extent(self, before: int) -> tuple[int, int, int]:
        """How many arrivals are due before an instant, how many of them in one second at most, and when the last is."""
        (most,) = self._one(
            "SELECT max(n) FROM (SELECT count(*) AS n FROM arrivals WHERE due < ? GROUP BY due / 1000000000)", before
        )
        count, last = self._one("SELECT count(*), max(due) FROM arrivals WHERE due < ?", before)
        return count, most or 0, last or 0

    def dues(self, before: int) -> Iterator[tuple[int, int]]:
        """The instant of each, nanoseconds from the first, and the position of its endpoint."""
        yield from self._database.execute("SELECT due, position FROM arrivals WHERE due < ? ORDER BY rowid", (before,))

    def __iter__(self) -> Iterator[Row]:
        """What fills the endpoint of each."""
        for (target,) in self._database.execute("SELECT target FROM arrivals ORDER BY rowid"):
            yield {"target": Encoded(target)}


def replay(
    paths: Sequence[Path],
    parse: Parse,
    *,
    speed: Fraction = Fraction(1),
    within: int | None = None,
    all_methods: bool = False,
) -> Replay:
    """The requests of logs at their instants, `speed` times as fast; those alone that are due `within` nanoseconds.

    Raises `UsageError` for a log that cannot be read, and `NothingToRun` for one without a request that is sent.
    """
    summary = LogSummary(paths, parse, METHODS if all_methods else SAFE)
    labels: dict[tuple[str, str], int] = {}
    store = ArrivalStore(
        (line.at, _position(line.method, line.target, labels), line.target[1:]) for line in summary.requests()
    )
    before = 1 << 62 if within is None else -int(-within * speed // 1)
    count, most, last = store.extent(before)
    if not count:
        raise NothingToRun("; ".join(["there is no request to replay", *summary.notes]))
    many, divisor = speed.denominator, speed.numerator
    # the log's last second is over, too
    whole = (last // SECOND + 1) * SECOND * many // divisor
    arrivals = RecordedArrivals(
        digest=summary.digest,
        count=count,
        most=round(most * speed),
        duration=whole if within is None else min(whole, within),
        endpoints=len(labels),
        read=lambda: ((due * many // divisor, position) for due, position in store.dues(before)),
    )
    feed = Rows(store, at_end="stop")
    endpoints = [
        Endpoint(method, "/{target}", feed=feed, name=f"{method} {path}", path_as_is=True) for method, path in labels
    ]
    times = [datetime.fromtimestamp((store.start + after) / SECOND, UTC) for after in (0, last)]
    span = f"from {times[0]:%Y-%m-%d %H:%M:%S} to {times[1]:%Y-%m-%d %H:%M:%S} UTC"
    return Replay(endpoints=endpoints, arrivals=arrivals, notes=[f"{count:,} requests {span}", *summary.notes])


def _position(method: str, target: str, labels: dict[tuple[str, str], int]) -> int:
    """The position of the endpoint of a request, which is that of its method and its path without identities."""
    key = method, fold_path(target.partition("?")[0])
    if key not in labels and len(labels) >= MAX_LABELS:
        key = method, OTHER
    return labels.setdefault(key, len(labels))
