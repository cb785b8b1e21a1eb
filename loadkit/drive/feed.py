"""Rows handed out to the threads of a run, each to one of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from itertools import chain, count, islice
from threading import Lock
from typing import Final, cast

from loadkit.drive.order import at_random, shuffled
from loadkit.drive.source import Record, Shelf, Source, Stream, open_source
from loadkit.plan.data import Row, Rows
from loadkit.plan.errors import FeedError, Halt, raised

CHUNK: Final = 32
"""Rows read at once: enough to share the cost of the lock, and few enough that nobody waits for 0.2 ms."""

PATIENCE: Final = 1.0
"""Seconds in which whoever is reading should be done."""


class Dry(Halt):
    """The rows are used up, which ends the run; the message says how many there were."""

    is_fault = False


class Feed:
    """Hands out rows; `take` may be called by any thread.

    The sequence of rows is decided by the seed. Of `parts` processes with the same seed each takes its part of it, and
    together they take each row as often as one would. `wanted` says which columns there must be, and who wants them.

    Raises `FeedError` for a source that cannot be read, has no rows, or whose first rows are unsound.
    """

    def __init__(
        self, rows: Rows, *, seed: int = 0, part: int = 0, parts: int = 1, wanted: Mapping[str, str] | None = None
    ) -> None:
        self._rows = rows
        self._lock = Lock()
        self._ready: deque[Row] = deque()
        self._end: tuple[type[Dry | FeedError], str] | None = None
        self._used = 0
        self._source = open_source(rows, wanted or {})
        self._records = self._in_order()
        try:
            self.first: Row = _first(self._source)
            self._sequence = self._in_sequence(seed, part, parts)
            # what is taken from a generator is gone: it is asked only for rows that are needed
            self._chunk = 1 if isinstance(self._source, Stream) else CHUNK
            if self._chunk > 1:
                self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        """Read the first rows: what is wrong with them is said before the start."""
        self._ready.extend(self._read(self._chunk))
        if self._end and self._end[0] is FeedError:
            raise FeedError(self._end[1])

    @property
    def name(self) -> str:
        """What messages call the source."""
        return self._rows.name

    def take(self) -> Row:
        """The next row.

        Raises `Dry` when there is none left, and `FeedError` when it is unsound.
        """
        try:
            return self._ready.popleft()
        except IndexError:
            return self._refilled()

    def _refilled(self) -> Row:
        with self._lock:
            try:
                # another thread may have read on while this one waited
                return self._ready.popleft()
            except IndexError:
                found = self._read(self._chunk)
            if not found:
                kind, message = self._end or (Dry, f"{self.name} is closed")
                raise kind(message)
            self._ready.extend(found[1:])
            return found[0]

    def _read(self, many: int) -> list[Row]:
        """The next rows; fewer when they end, and then why is in `_end`."""
        found: list[Row] = []
        if self._end:
            return found
        try:
            for row in islice(self._sequence, many):
                found.append(row)  # noqa: PERF402 - what was read before an error counts
        except FeedError as error:
            self._end = FeedError, str(error)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the code of a generator is the user's
            self._end = FeedError, f"{self.name} failed with {raised(error)}"
        else:
            if len(found) < many:
                self._end = Dry, self._why_dry()
        return found

    def _in_sequence(self, seed: int, part: int, parts: int) -> Iterator[Row]:
        if self._rows.order == "file":
            return map(self._source.row, islice(self._records, part, None, parts))
        shelf = cast(Shelf, self._source)
        return map(shelf.at, islice(self._positions(seed, len(shelf)), part, None, parts))

    def _in_order(self) -> Generator[Record, None, None]:
        while True:
            lap = 0
            with closing(self._source.records()) as records:
                for lap, record in enumerate(records, 1):  # noqa: B007 - counted, and told when it is over
                    yield record
            self._used = lap
            if not lap or not self._starts_again:
                return

    def _positions(self, seed: int, n: int) -> Iterator[int]:
        self._used = n
        if self._rows.order == "random":
            return at_random(n, seed=seed)
        laps = count() if self._starts_again else range(1)
        return chain.from_iterable(shuffled(n, seed=seed, lap=lap) for lap in laps)

    @property
    def _starts_again(self) -> bool:
        return self._rows.at_end == "again" and not self._rows.is_one_shot

    def _why_dry(self) -> str:
        if self._rows.is_one_shot:
            return f"{self.name} ended after {_many(self._used)}"
        return f"{self.name} has {_many(self._used)} and each was used once"

    def close(self) -> None:
        """Close the source; who still takes is told that it is dry."""
        if not self._lock.acquire(timeout=PATIENCE):
            # a generator of the user's does not return; the run ends all the same
            return
        try:
            self._ready.clear()
            self._end = self._end or (Dry, f"{self.name} is closed")
            self._records.close()
            self._source.close()
        finally:
            self._lock.release()


def _first(source: Source) -> Row:
    """The first row, to see what columns there are; it is handed out all the same."""
    try:
        with closing(source.records()) as records:
            record = next(records, None)
    except FeedError:
        raise
    except (Exception, SystemExit) as error:
        raise FeedError(f"{source.name} failed with {raised(error)}") from error
    if record is None:
        raise FeedError(f"{source.name} has no rows")
    if isinstance(source, Stream):
        source.put_back(record[1])
    return source.row(record)


def _many(rows: int) -> str:
    return f"{rows:,} row{'s' if rows != 1 else ''}"
