"""Which of a million keys came before: 8 bytes each, where a Python set takes 100."""

from __future__ import annotations

from array import array
from hashlib import blake2b
from typing import Final

FIRST: Final = 4096
FULL: Final = 0.75


class DigestSet:
    """A set of 64-bit digests, by open addressing in one array: 11-21 bytes for each.

    Two different keys among a million share a digest with a probability of 3 in 100 million.
    """

    __slots__ = ("_mask", "_slots", "count")

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * FIRST))
        self._mask = FIRST - 1
        self.count = 0

    def __contains__(self, digest: int) -> bool:
        return bool(self._slots[self._place(digest or 1)])

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return self._slots.itemsize * len(self._slots)

    def __len__(self) -> int:
        return self.count

    def add(self, digest: int) -> bool:
        """Remember it; whether it is new."""
        wanted = digest or 1  # 0 is an empty slot
        place = self._place(wanted)
        if self._slots[place]:
            return False
        self._slots[place] = wanted
        self.count += 1
        if self.count > FULL * self._mask:
            self._grow()
        return True

    def _place(self, digest: int) -> int:
        slots, mask = self._slots, self._mask
        place = digest & mask
        while (found := slots[place]) and found != digest:
            place = (place + 1) & mask
        return place

    def _grow(self) -> None:
        before = self._slots
        self._slots = array("Q", bytes(16 * len(before)))
        self._mask = len(self._slots) - 1
        for digest in before:
            if digest:
                self._slots[self._place(digest)] = digest


def digest_of(text: str) -> int:
    """64 bits of a key."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
