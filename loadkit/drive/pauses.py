"""The rests of one thread: between its requests, and within its journeys."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from loadkit.drive.state import NEVER
from loadkit.plan.units import SECOND

if TYPE_CHECKING:
    from loadkit.drive.recorder import Recorder
    from loadkit.drive.state import RunState
    from loadkit.wire.base import Clock


class Pauses:
    """Rests for one thread or its tasks, no longer than the run lasts."""

    __slots__ = ("_clock", "_recorder", "_state", "count", "elsewhere")

    def __init__(self, clock: Clock, state: RunState, recorder: Recorder) -> None:
        self._clock = clock
        self._state = state
        self._recorder = recorder
        self.count = 0
        """How many rest now: the thread, or tasks of it."""
        self.elsewhere: Callable[[], int] = int
        """How many rest that a loop carries."""

    @property
    def resting(self) -> int:
        """How many rest now."""
        return self.count + self.elsewhere()

    def until(self, instant: int, end: int | None = None) -> None:
        """Rest until this instant, or until `end`, which is that of the stage if it is not given, or until a stop."""
        end = self._recorder.end if end is None else end
        span = min(instant, end) - self._clock.now()
        if span > SECOND:
            self._hand_over()
        self.count += 1
        self._clock.pause(span, lambda: self._state.is_stopped)
        self.count -= 1

    def _hand_over(self) -> None:
        """Hand over before a rest of more than a second, for what was written is of one that is soon over."""
        if self._recorder.is_measuring:
            self._recorder.hand_over()

    def within_journey(self, span: int) -> bool:
        """Rest so many nanoseconds within a journey; True if it is time to stop."""
        now, state, is_over = self._clock.now, self._state, self._recorder.is_over
        until = now() + span
        if span > SECOND:
            self._hand_over()
        self.count += 1
        while (left := until - now()) > 0 and not is_over(now()):
            # not beyond the end, of which nobody needs to tell
            to_end = NEVER if state.finishing else state.stop_at - now()
            self._clock.pause(min(left, to_end), lambda: is_over(now()))
        self.count -= 1
        return is_over(now())
