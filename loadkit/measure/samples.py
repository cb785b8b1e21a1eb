"""The samples of a run one by one, on their way to a file: nobody waits for it, and what is too much is counted."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from loadkit.wire.base import Clock

MOST: Final = 250_000
"""Samples that wait: 12 MB, three seconds at 80,000 a second."""

_WIDTH: Final = 48
"""Bytes of a good one: six integers."""


class FailedSample(NamedTuple):
    """A request that failed; instants are nanoseconds of the monotonic clock, `sent` is 0 if nothing was."""

    due: int
    sent: int
    taken: int
    status: int
    size: int
    kind: str


class Samples(msgspec.Struct, frozen=True, array_like=True):
    """Some samples of one row."""

    label: str
    offset: int
    """Nanoseconds from the monotonic clock of their process to the wall clock."""
    good: bytes = b""
    """Of each good reply due, sent, arrived, taken, status and size."""
    failed: tuple[FailedSample, ...] = ()

    @property
    def count(self) -> int:
        """How many."""
        return len(self.good) // _WIDTH + len(self.failed)


class SampleBuffer:
    """What threads put in, one takes out."""

    def __init__(self, clock: Clock) -> None:
        self.lost = 0
        """Samples that were too much."""
        self._clock = clock
        self._waiting: list[Samples] = []
        self._held = 0
        self._lock = Lock()

    def put(self, label: str, samples: Sequence[int]) -> None:
        """Put in good ones, as a `RowRecorder` has them."""
        self._add(Samples(label, self._clock.wall_offset, array("q", samples).tobytes()))

    def put_failed(self, label: str, sample: FailedSample) -> None:
        """Put in one that failed."""
        self._add(Samples(label, self._clock.wall_offset, failed=(sample,)))

    def extend(self, found: Iterable[Samples], lost: int) -> None:
        """Put in what another process has, and how many were too much there."""
        for one in found:
            self._add(one)
        with self._lock:
            self.lost += lost

    def take(self) -> tuple[list[Samples], int]:
        """Take out all there are; and how many were too much since the last time."""
        with self._lock:
            found, self._waiting, self._held = self._waiting, [], 0
            lost, self.lost = self.lost, 0
        return found, lost

    def _add(self, some: Samples) -> None:
        with self._lock:
            if self._held + some.count > MOST:
                self.lost += some.count
                return
            self._held += some.count
            self._waiting.append(some)
