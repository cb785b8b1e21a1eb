"""Where the counts of all threads come together: in a recording, or with whoever this run is a part for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from loadkit.drive.progress import RECENT
from loadkit.drive.state import NEVER
from loadkit.measure.recording import Batch, Recording, second_of
from loadkit.plan.units import MILLISECOND, SECOND

if TYPE_CHECKING:
    from loadkit.drive.state import RunState
    from loadkit.drive.stats import Driven
    from loadkit.wire.base import Clock

LATE: Final = 250 * MILLISECOND
"""After a second of which what was counted so far is taken: a thread hands it over with its next reply."""


class Relay(Protocol):
    """Whoever has this run as a part of a larger one."""

    def begin(self) -> int:
        """All have connected: wait for the word, and say when it begins (nanoseconds of the monotonic clock)."""

    def take(self, batches: list[Batch], start: int) -> None:
        """Take what was counted since the last time, about once a second; measuring began at `start`."""


class Keeper(Protocol):
    """Keeps what was counted while a run is under way, for the case that it is killed."""

    @property
    def is_due(self) -> bool:
        """True if what was counted so far is to be taken now."""

    def take(self, so_far: Callable[[], Driven]) -> None:
        """Take what came of the run so far, which is made by a call at once; the run waits until this returns."""


class Collector:
    """Merges what threads hand over, which any of them may do at any time; the rest is for one thread."""

    def __init__(
        self, recording: Recording, state: RunState, clock: Clock, relay: Relay | None, keeper: Keeper | None
    ) -> None:
        self.recording = recording
        self._state = state
        self._clock = clock
        self._relay = relay
        self._keeper = keeper
        self._handed: deque[Batch] = deque()
        self._relayed = 0
        self.hand_over = self._handed.append

    def collect(self) -> None:
        """Merge what was handed over so far, and close the seconds that are complete."""
        while self._handed:
            self.recording.absorb(self._handed.popleft())
        now = self._clock.now()
        if self._relay:
            if now - self._relayed >= SECOND:
                self._pass_on(self._relay)
        elif self._state.measured_from < NEVER:
            # threads that wait for a slow reply hand a second over late; three are kept open for them
            self.recording.close_before(second_of(now, self._state.measured_from) - RECENT - 1)

    def keep(self, so_far: Callable[[Recording, int], Driven]) -> None:
        """Have what was counted so far kept, if it is time; made of a recording and the instant at which that ends."""
        before = second_of(self._clock.now() - LATE, self._state.measured_from)
        if self._keeper and before > 0 and self._keeper.is_due:
            self._keeper.take(lambda: self._up_to(before, so_far))

    def _up_to(self, before: int, so_far: Callable[[Recording, int], Driven]) -> Driven:
        recording = self.recording.so_far(before)
        end = min(self._state.measured_from + recording.complete * SECOND, self._state.stop_at)
        return so_far(recording, end)

    def finish(self) -> None:
        """All threads have handed over what they had."""
        if self._relay:
            self._pass_on(self._relay)
        else:
            self.recording.finish()

    def _pass_on(self, relay: Relay) -> None:
        self._relayed = self._clock.now()
        relay.take(self.recording.drain(), self._state.measured_from)
