"""The series of a run: what each second had, in longer intervals where there are many, so that memory has a bound."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from operator import attrgetter

from loadkit.measure.histogram import Histogram

MAX_INTERVALS = 600
MAX_SERIES_BYTES = 8_000_000


@dataclass(slots=True)
class Slice:
    """A closed interval of the series: for each label requests, failures and the packed response times."""

    second: int
    length: int
    rows: dict[str, tuple[int, int, bytes]]

    @property
    def size(self) -> int:
        """Bytes of the packed response times."""
        return sum(len(packed) for _, _, packed in self.rows.values())

    def add(self, other: Slice) -> None:
        """Merge another part of the same interval."""
        for label, (requests, failures, packed) in other.rows.items():
            mine = self.rows.get(label)
            if mine is None:
                self.rows[label] = requests, failures, packed
            else:
                merged = Histogram.unpack(mine[2])
                merged.add(Histogram.unpack(packed))
                self.rows[label] = mine[0] + requests, mine[1] + failures, merged.pack()


class Series:
    """Slices in their order, all of one length: 1 s, or 2, 4, 8 … where there were too many, or too many bytes."""

    def __init__(self, most_bytes: int) -> None:
        self.slices: list[Slice] = []
        self._bytes = 0
        self._most_bytes = most_bytes
        self._length = 1

    def copy(self) -> Series:
        """The same, apart from what is added from now on."""
        made = Series(self._most_bytes)
        made.slices = [Slice(piece.second, piece.length, dict(piece.rows)) for piece in self.slices]
        made._bytes, made._length = self._bytes, self._length
        return made

    def add(self, piece: Slice) -> None:
        """Add what one second had."""
        self._place(piece)
        if len(self.slices) > MAX_INTERVALS or self._bytes > self._most_bytes:
            self._length *= 2
            pieces, self.slices, self._bytes = self.slices, [], 0
            for one in pieces:
                self._place(one)

    def _place(self, piece: Slice) -> None:
        """Put a piece into the interval it lies in, which is an old one where a thread waited long for its reply."""
        piece.second -= piece.second % self._length
        piece.length = self._length
        place = bisect_left(self.slices, piece.second, key=attrgetter("second"))
        known = self.slices[place] if place < len(self.slices) else None
        if known and known.second == piece.second:
            self._bytes -= known.size
            known.add(piece)
            self._bytes += known.size
        else:
            self.slices.insert(place, piece)
            self._bytes += piece.size
