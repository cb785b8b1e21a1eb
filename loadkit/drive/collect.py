"""Where the counts of all threads come together: in a recording, or with whoever this run is a part for."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

from loadkit.drive.progress import RECENT
from loadkit.drive.state import NEVER
from loadkit.measure.recording import JOURNEY, REQUEST, Batch, Recording, second_of
from loadkit.plan.journey import Journey
from loadkit.plan.labels import MAX_LABELS, OTHER
from loadkit.plan.units import MILLISECOND, SECOND

if TYPE_CHECKING:
    from loadkit.drive.outstanding import Monitor, Outstanding
    from loadkit.drive.state import RunState
    from loadkit.drive.stats import Driven
    from loadkit.plan.endpoint import Endpoint
    from loadkit.plan.phases import Segment
    from loadkit.plan.scenario import Scenario
    from loadkit.wire.base import Clock

LATE: Final = 250 * MILLISECOND
"""After a second of which what was counted so far is taken: a thread hands it over with its next reply."""


class Relay(Protocol):
    """Whoever has this run as a part of a larger one."""

    def begin(self) -> int:
        """All have connected: wait for the word, and say when it begins (nanoseconds of the monotonic clock)."""

    def take(self, batches: list[Batch], start: int, outstanding: Sequence[Outstanding]) -> None:
        """Take what was counted since the last time, about once a second; measuring began at `start`.

        And what was under way and is not counted yet, where a monitor looks at that.
        """


class Keeper(Protocol):
    """Keeps what was counted while a run is under way, for the case that it is killed."""

    @property
    def is_due(self) -> bool:
        """True if what was counted so far is to be taken now."""

    def take(self, so_far: Callable[[], Driven]) -> None:
        """Take what came of the run so far, which is made by a call at once; the run waits until this returns."""


class Collector:
    """Merges what threads hand over, which any of them may do at any time; the rest is for one thread.

    What a second held has come in `lag` seconds after it.
    """

    def __init__(
        self,
        recording: Recording,
        state: RunState,
        clock: Clock,
        *,
        relay: Relay | None = None,
        keeper: Keeper | None = None,
        monitor: Monitor | None = None,
        outstanding: Callable[[], Sequence[Outstanding]] = tuple,
        lag: int = 0,
    ) -> None:
        self.recording = recording
        self._state = state
        self._clock = clock
        self._relay = relay
        self._keeper = keeper
        self._monitor = monitor
        self.outstanding = outstanding
        """What is under way and not counted yet, of a run that a monitor looks at."""
        self._lag = lag
        self._judged = 0
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
            self._judge(now - LATE - self._lag * SECOND)
            # threads that wait for a slow reply hand a second over late; three are kept open for them
            self.recording.close_before(second_of(now, self._state.measured_from) - self._lag - RECENT - 1)

    def _judge(self, instant: int, *, is_last: bool = False) -> None:
        """Have the monitor look at what the seconds before an instant held, once each."""
        start = self._state.measured_from
        before = second_of(min(instant, self._state.stop_at), start)
        if self._monitor and (before > self._judged or is_last):
            self._judged = before
            self._monitor.look(self.recording, before, start, self.outstanding())

    @property
    def is_missed(self) -> bool:
        """True if a threshold is missed for which the run is to end."""
        return self._monitor is not None and self._monitor.is_missed

    def keep(self, describe: Callable[[Recording, int], Driven]) -> None:
        """Have what was counted so far kept, if it is time; `describe` is told the instant at which that ends, too."""
        before = second_of(self._clock.now() - LATE, self._state.measured_from) - self._lag
        if self._keeper and before > 0 and self._keeper.is_due:
            self._keeper.take(lambda: self._so_far(before, describe))

    def _so_far(self, before: int, describe: Callable[[Recording, int], Driven]) -> Driven:
        recording = self.recording.so_far(before)
        return describe(recording, min(self._state.measured_from + recording.complete * SECOND, self._state.stop_at))

    def count_unsent(
        self,
        scenario: Scenario,
        rotation: Sequence[int],
        arrivals: Iterable[tuple[int, int]],
        known: Mapping[tuple[str, str, int], int] = MappingProxyType({}),
    ) -> None:
        """Count arrivals (number, and when due) as unsent, but for those `known` by kind, label and phase.

        `rotation` is the endpoint or journey, by position, that each arrival in turn is for.
        """
        rows = [self._row(plan, label) for plan, label in zip(scenario.plans, scenario.rows, strict=True)]
        missing: Counter[tuple[str, str, int]] = Counter()
        for number, due in arrivals:
            kind, label = rows[rotation[number % len(rotation)]]
            # journeys are counted in no phase
            missing[kind, label, _phase_of(due, scenario.segments) if kind == REQUEST else 0] += 1
        missing.subtract(known)
        for (kind, label, phase), count in (+missing).items():
            self.recording.unsent(label, phase, count, kind=kind)

    def _row(self, plan: Endpoint | Journey, label: str) -> tuple[str, str]:
        """The kind and label under which it is counted."""
        if isinstance(plan, Journey):
            return JOURNEY, label
        is_known = label in self.recording.labels or len(self.recording.labels) < MAX_LABELS
        return REQUEST, label if is_known else OTHER

    def finish(self) -> None:
        """All threads have handed over what they had."""
        if self._relay:
            self._pass_on(self._relay)
        else:
            self._judge(self._clock.now(), is_last=True)
            self.recording.finish()

    def _pass_on(self, relay: Relay) -> None:
        self._relayed = self._clock.now()
        relay.take(self.recording.drain(), self._state.measured_from, self.outstanding())


def _phase_of(due: int, segments: Sequence[Segment]) -> int:
    """The phase that an instant lies in, nanoseconds from the start of what is measured."""
    return next((k for k, one in enumerate(segments) if due < one.end), max(0, len(segments) - 1))
