"""Rows handed out to the threads of a run, each to one of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import compress, cycle, islice
from threading import Lock
from typing import Final, cast

from loadkit.drive.rows.order import at_random, shuffled
from loadkit.drive.rows.readers import RandomAccess, Record, RowSource, RowStream, open_source
from loadkit.plan.data import Row, Rows
from loadkit.plan.errors import FeedError, Halt, raised

CHUNK: Final = 32
"""Rows read at once: enough to share the cost of the lock, and few enough that nobody waits for 0.2 ms."""

PATIENCE: Final = 1.0
"""Seconds in which whoever is reading should be done."""


class RowsUsedUp(Halt):
    """The rows are used up, which ends the run; the message says how many there were."""

    is_fault = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RowUse:
    """How many rows of a source were used, and how many there are, where that is known."""

    name: str
    used: int
    rows: int = 0
    is_one_shot: bool = False
    is_spent: bool = False
    """A row was asked for, and there was none left."""

    @property
    def sentence(self) -> str:
        """What became of the rows, of which there are no more."""
        if self.is_one_shot:
            return f"{self.name} ended after {_many(self.used)}"
        if self.used >= self.rows:
            return f"{self.name} has {_many(self.rows)} and each was used once"
        return f"{self.name} has {_many(self.rows)}, of which {self.used:,} are known to have been used once"


def describe_ends(uses: Iterable[RowUse]) -> str:
    """What became of those that ended."""
    return ", and ".join(use.sentence for use in uses if use.is_spent)


def sum_of_uses(uses: Iterable[RowUse]) -> RowUse:
    """What the parts of a run used of one source, added up."""
    found = list(uses)
    return replace(
        found[0],
        used=sum(one.used for one in found),
        rows=max(one.rows for one in found),
        is_spent=any(one.is_spent for one in found),
    )


class RowFeed:
    """Hands out rows; `take` may be called by any thread.

    The sequence of rows is decided by the seed. Of several processes with the same seed each takes its `part`: `turns`
    says, over and over, whose the rows are, so that together they take each row as often as one would. `wanted` says
    which columns there must be, and who wants them.

    Raises `FeedError` for a source that cannot be read, has no rows, or whose first rows are unsound.
    """

    def __init__(
        self,
        rows: Rows,
        *,
        seed: int = 0,
        part: int = 0,
        turns: Sequence[int] = (0,),
        wanted: Mapping[str, str] | None = None,
    ) -> None:
        self._rows = rows
        self._lock = Lock()
        self._ready: deque[Row] = deque()
        self._end: tuple[type[RowsUsedUp | FeedError], str] | None = None
        self._lap = 0
        """Rows in all, as soon as they have come to an end."""
        self._taken = 0
        """Rows of ours that were read, those in `_ready` among them."""
        self._is_spent = False
        self._source = open_source(rows, wanted or {})
        self._records = self._in_order()
        try:
            self.first: Row = _first(self._source)
            self._sequence = self._in_sequence(seed, [turn == part for turn in turns])
            # what is taken from a generator is gone: it is asked only for rows that are needed
            self._chunk = 1 if isinstance(self._source, RowStream) else CHUNK
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

        Raises `RowsUsedUp` when there is none left, and `FeedError` when it is unsound.
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
                kind, message = self._end or (RowsUsedUp, f"{self.name} is closed")
                self._is_spent = kind is RowsUsedUp
                raise kind(message)
            self._ready.extend(found[1:])
            return found[0]

    def put_back(self, row: Row) -> None:
        """Have a row that was taken and not used come next."""
        self._ready.appendleft(row)

    @property
    def use(self) -> RowUse:
        """What has become of its rows so far."""
        used = self._taken - len(self._ready)
        rows = self._lap if self._is_spent else 0
        return RowUse(name=self.name, used=used, rows=rows, is_one_shot=self._rows.is_one_shot, is_spent=self._is_spent)

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
                self._end = RowsUsedUp, self._why_dry()
        self._taken += len(found)
        return found

    def _in_sequence(self, seed: int, ours: list[bool]) -> Iterator[Row]:
        if not any(ours):
            return iter(())
        if self._rows.order == "file":
            return map(self._source.row, compress(self._records, cycle(ours)))
        shelf = cast(RandomAccess, self._source)
        return map(shelf.at, compress(self._positions(seed, len(shelf)), cycle(ours)))

    def _in_order(self) -> Generator[Record, None, None]:
        while True:
            lap = 0
            with closing(self._source.records()) as records:
                for lap, record in enumerate(records, 1):  # noqa: B007 - counted, and told when it is over
                    yield record
            self._lap = lap
            if not lap or not self._starts_again:
                return

    def _positions(self, seed: int, n: int) -> Iterator[int]:
        self._lap = n
        if self._rows.order == "random":
            return at_random(n, seed=seed)
        positions = shuffled(n, seed=seed)
        return positions if self._starts_again else islice(positions, n)

    @property
    def _starts_again(self) -> bool:
        return self._rows.at_end == "again" and not self._rows.is_one_shot

    def _why_dry(self) -> str:
        if self._rows.is_one_shot:
            return f"{self.name} ended after {_many(self._lap)}"
        return f"{self.name} has {_many(self._lap)} and each was used once"

    def close(self, *, patience: float = PATIENCE) -> None:
        """Close the source; who still takes is told that it is dry. Waits for `patience` seconds for who is taking."""
        if not self._lock.acquire(timeout=patience):
            # a generator of the user's does not return; the run ends all the same
            return
        try:
            self._ready.clear()
            self._end = self._end or (RowsUsedUp, f"{self.name} is closed")
            self._records.close()
            self._source.close()
        finally:
            self._lock.release()


def _first(source: RowSource) -> Row:
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
    if isinstance(source, RowStream):
        source.put_back(record[1])
    return source.row(record)


def _many(rows: int) -> str:
    return f"{rows:,} row{'s' if rows != 1 else ''}"
