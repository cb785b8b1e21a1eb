"""What an exchange loop has done, in rows: its samples are split by second and phase when they are taken from it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from loadkit.measure.counts import STRIDE, bounds
from loadkit.measure.recording import FOLD, Batch, RowRecorder, second_of
from loadkit.plan.units import SECOND

if TYPE_CHECKING:
    from loadkit.drive.state import RunState
    from loadkit.wire.base import Request


class LoopRow:
    """The samples of one request of a loop, for all of its users; what was sent in the warm-up is left out."""

    __slots__ = ("_hand_over", "_phase", "_request", "_row", "_second", "_state")

    def __init__(self, label: str, request: Request, state: RunState, hand_over: Callable[[Batch], None]) -> None:
        self._row = RowRecorder(label, len(request.payload))
        self._row.sink = state.samples
        self._request = request
        self._state = state
        self._hand_over = hand_over
        self._second = self._phase = 0

    def take(self, samples: Sequence[int]) -> None:
        """Count samples, in the order in which they were taken."""
        start = self._state.measured_from
        if bounds(samples)[0] < start:
            samples = [value for one in _each(samples) if one[0] >= start for value in one]
        while samples:
            second = second_of(samples[3], start)
            end = start + (second + 1) * SECOND
            many = len(samples) // STRIDE if samples[-3] < end else bisect_left(samples[3::STRIDE], end)
            self._take_of_second(second, samples[: many * STRIDE])
            samples = samples[many * STRIDE :]

    def _take_of_second(self, second: int, samples: Sequence[int]) -> None:
        first_due, last_due, longest = bounds(samples)
        first, last = self._phase_of(first_due), self._phase_of(last_due)
        if first == last:
            self._write(second, first, samples, longest)
            return
        for phase in range(first, last + 1):
            within = [value for one in _each(samples) if self._phase_of(one[0]) == phase for value in one]
            if within:
                self._write(second, phase, within, longest)

    def _phase_of(self, due: int) -> int:
        ends = self._state.phase_ends
        return min(bisect_right(ends, due - self._state.measured_from), len(ends) - 1) if ends else 0

    def _write(self, second: int, phase: int, samples: Sequence[int], longest: int) -> None:
        row, state = self._row, self._state
        if (second, phase) != (self._second, self._phase):
            self.hand_over()
            self._second, self._phase = second, phase
        if len(samples) < FOLD * STRIDE:
            row.samples += samples
            row.fold()
        else:
            row.take(samples)
        if samples[-3] > state.stop_at:
            row.counts.drained += sum(arrived > state.stop_at for arrived in samples[2::STRIDE])
        if longest > state.slow.limit:
            self._note_slow(samples)

    def _note_slow(self, samples: Sequence[int]) -> None:
        for due, sent, arrived, _, status, _ in _each(samples):
            if self._state.slow.offer(arrived - due):
                self._row.note_slow(arrived - due, due, arrived - sent, status, self._request)

    def end_second(self, second: int) -> None:
        """Hand over what was written before a second."""
        if self._second < second:
            self.hand_over()

    def hand_over(self) -> None:
        """Hand over what was written."""
        if batch := self._row.hand_over(self._second, self._phase):
            self._hand_over(batch)


def _each(samples: Sequence[int]) -> zip[tuple[int, ...]]:
    return zip(*(samples[k::STRIDE] for k in range(STRIDE)), strict=True)
