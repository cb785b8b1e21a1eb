"""Rows handed out to the threads of a run, each to one of them: in their order, shuffled, or at random."""

from __future__ import annotations

from array import array
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import compress, cycle, islice
from pathlib import Path
from random import Random
from typing import Final, TypeVar

from loadkit.drive.rows.readers import Record, RowItems, open_source
from loadkit.drive.shared_iterator import SharedIterator
from loadkit.plan.data import Row, Rows
from loadkit.plan.errors import FeedError, Halt, raised

Item = TypeVar("Item")

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

    The sequence of rows is decided by the seed. Of several parts with the same seed each takes its own: `turns` says,
    over and over, which of all rows those are, and a second one which of those, so that together they take each row as
    often as one would. `wanted` says which columns there must be, and who wants them.

    Raises `FeedError` for a source that cannot be read, has no rows, or whose first rows are unsound.
    """

    def __init__(
        self,
        rows: Rows,
        *,
        seed: int = 0,
        turns: Sequence[Sequence[bool]] = (),
        wanted: Mapping[str, str] | None = None,
    ) -> None:
        self._rows = rows
        self._end: tuple[type[RowsUsedUp | FeedError], str] = RowsUsedUp, f"{self.name} is closed"
        """What ended the rows, or will."""
        self._lap = 0
        """Rows in all, as soon as they have come to an end."""
        self._read = 0
        """Rows of ours that were read, those that are ready to be taken among them."""
        self._is_spent = False
        self._source = open_source(rows, wanted or {})
        self._records = self._in_order()
        try:
            self.first: Row = self._first()
            sequence = self._in_sequence(seed, turns)
            self._shared = SharedIterator(self._until_end(sequence), 1 if self.is_lazy else CHUNK)
            if not self.is_lazy:
                self._read_ahead()
        except BaseException:
            self._close_source()
            raise

    def _first(self) -> Row:
        """The first row, to see what columns there are; it is handed out all the same."""
        try:
            with closing(self._source.records()) as records:
                record = next(records, None)
        except FeedError:
            raise
        except (Exception, SystemExit) as error:
            raise FeedError(f"{self.name} failed with {raised(error)}") from error
        if record is None:
            raise FeedError(f"{self.name} has no rows")
        if isinstance(self._source, RowItems) and self._rows.is_one_shot:
            self._source.put_back(record[1])
        return self._source.row(record)

    def _read_ahead(self) -> None:
        """Read the first rows: what is wrong with them is said before the start."""
        if (row := self._shared.take()) is not None:
            self._shared.put_back(row)
        kind, message = self._end
        if kind is FeedError:
            raise FeedError(message)

    @property
    def is_lazy(self) -> bool:
        """True for a generator, which is asked only for rows that are needed: what was taken from it is gone."""
        return not isinstance(self._rows.source, Path | Sequence)

    @property
    def name(self) -> str:
        """What messages call the source."""
        return self._rows.name

    def take(self) -> Row:
        """The next row.

        Raises `RowsUsedUp` when there is none left, and `FeedError` when it is unsound.
        """
        row = self._shared.take()
        if row is None:
            kind, message = self._end
            self._is_spent = kind is RowsUsedUp
            raise kind(message)
        return row

    def put_back(self, row: Row) -> None:
        """Have a row that was taken and not used come next."""
        self._shared.put_back(row)

    @property
    def use(self) -> RowUse:
        """What has become of its rows so far."""
        rows = self._lap if self._is_spent else 0
        return self._use(self._read - self._shared.ready, rows, is_spent=self._is_spent)

    def _use(self, used: int, rows: int, *, is_spent: bool) -> RowUse:
        return RowUse(name=self.name, used=used, rows=rows, is_one_shot=self._rows.is_one_shot, is_spent=is_spent)

    def _until_end(self, sequence: Iterator[Row]) -> Iterator[Row]:
        """The rows of a sequence, noting why there are no more; an error ends it, and what was read before counts."""
        try:
            for row in sequence:
                self._read += 1
                yield row
            self._end = RowsUsedUp, self._use(self._lap, self._lap, is_spent=True).sentence
        except FeedError as error:
            self._end = FeedError, str(error)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the code of a generator is the user's
            self._end = FeedError, f"{self.name} failed with {raised(error)}"

    def _in_sequence(self, seed: int, turns: Sequence[Sequence[bool]]) -> Iterator[Row]:
        if not all(map(any, turns)):
            return iter(())
        if self._rows.order == "file":
            return map(self._source.row, _ours(self._records, turns))
        return map(self._source.at, _ours(self._positions(seed, len(self._source)), turns))

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

    def close(self, *, patience: float = PATIENCE) -> None:
        """Close the source; who still takes is told that it is dry. Waits for `patience` seconds for who is taking."""
        # a generator of the user's may not return; the run ends all the same
        if self._shared.close(patience):
            self._close_source()

    def _close_source(self) -> None:
        self._records.close()
        self._source.close()


def shuffled(n: int, *, seed: int) -> Iterator[int]:
    """Each of `range(n)` once, then each once again in another order, for ever.

    >>> from itertools import islice
    >>> sorted(islice(shuffled(5, seed=1), 5))
    [0, 1, 2, 3, 4]

    A position is drawn when it is asked for (Fisher and Yates): a lap begins without a pause in which the threads of a
    run would wait for all of it to be shuffled. 4 bytes a position.
    """
    positions = array("I", range(n))
    draw = _random(f"shuffled {seed}").random
    while n:
        for k in range(n):
            # as good as randrange for fewer than 2**32 positions, in a third of its time
            other = k + int(draw() * (n - k))
            positions[k], positions[other] = positions[other], positions[k]
            yield positions[k]


def at_random(n: int, *, seed: int) -> Iterator[int]:
    """Any of `range(n)` each time, for ever."""
    draw = _random(f"random {seed}").randrange
    while True:
        yield draw(n)


def _ours(found: Iterator[Item], turns: Sequence[Sequence[bool]]) -> Iterator[Item]:
    for ours in turns:
        found = compress(found, cycle(ours))
    return found


def _random(seed: str) -> Random:
    # text is hashed with SHA-512, so that near seeds have nothing in common, and it is the same everywhere
    return Random(seed)


def _many(rows: int) -> str:
    return f"{rows:,} row{'s' if rows != 1 else ''}"
