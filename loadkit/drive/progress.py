"""How far a run has come: a small value, made a few times a second, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from loadkit.measure.recording import Recording, second_of
from loadkit.plan.units import MILLISECOND, SECOND
from loadkit.plan.workload import Closed, Open

if TYPE_CHECKING:
    from loadkit.drive.state import RunState
    from loadkit.plan.scenario import Scenario
    from loadkit.wire.base import Clock

SHOW_EVERY: Final = 250 * MILLISECOND
"""A snapshot merges the last seconds, 1.5 ms of work in which all threads wait."""

RECENT: Final = 3
"""Seconds that the rate and the p99 of a snapshot are of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointProgress:
    """How far the requests of one endpoint have come; `rate` and `p99` are as those of a snapshot."""

    name: str
    requests: int
    failures: int
    rate: float | None
    p99: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """How far a run has come.

    Times are float seconds; `rate` (good replies a second) and `p99` (response time) are of the last few
    whole seconds, `recent`, and None before there was one.
    """

    name: str
    stage: str
    """`starting`, `warm-up`, `running` or the name of a phase, `draining`."""
    elapsed: float
    """Since the stage began: the warm-up, or the time that is measured."""
    planned: float | None
    """The planned duration; None when the run ends by a number of iterations."""
    iterations: int | None
    """Requests or journeys planned in all; None when the run ends by the clock."""
    threads: int
    in_flight: int
    requests: int
    failures: int
    rate: float | None
    p99: float | None
    recent: int = 0
    asked_rate: float | None = None
    """Arrivals a second that an open workload asks for now."""
    asked_threads: float | None = None
    """Threads that a phase asks for now."""
    journeys: int | None = None
    """Those that ended; None where there are none. Then it is they who are iterations."""
    is_interrupted: bool = False
    """The user has asked for its end."""
    endpoints: Callable[[], Sequence[EndpointProgress]] = tuple
    """Of each endpoint; they are counted when this is called, before the next snapshot is made."""


Watcher: TypeAlias = Callable[[Snapshot], None]


class Display:
    """Makes a snapshot of a run now and then, for whoever watches it, if there is somebody.

    What a second held is in the recording `lag` seconds after it; `under_way` returns how many threads there are, and
    how many requests.
    """

    def __init__(
        self,
        scenario: Scenario,
        load: Closed | Open,
        state: RunState,
        recording: Recording,
        clock: Clock,
        watch: Watcher | None,
        under_way: Callable[[], tuple[int, int]],
        *,
        lag: int = 0,
    ) -> None:
        self._scenario = scenario
        self._load = load
        self._state = state
        self._recording = recording
        self._clock = clock
        self._watch = watch
        self._under_way = under_way
        self._lag = lag
        self._shown = 0

    def show(self, *, stage: str = "", note: str = "", is_last: bool = False) -> None:
        """Make a snapshot if it is time; the stage is found by the clock if not given, and the note comes behind it."""
        now = self._clock.now()
        if not self._watch or not (is_last or now - self._shown >= SHOW_EVERY):
            return
        self._shown = now
        stage = stage or self._stage(now)
        recent = 0 if stage == "draining" else self._recent(now)
        rate, p99 = self._recently(now, recent)
        requests, failures = self._recording.requests_and_failures()
        threads, in_flight = self._under_way()
        load, state = self._load, self._state
        since = now - state.measured_from
        start = state.began if since < 0 else state.measured_from
        self._watch(
            Snapshot(
                name=self._scenario.name or "",
                stage=stage + note,
                elapsed=max(0, now - start) / SECOND,
                planned=None if load.duration is None else load.duration / SECOND,
                iterations=load.iterations,
                journeys=self._recording.journeys() if self._scenario.journeys else None,
                threads=threads,
                in_flight=in_flight,
                requests=requests,
                failures=failures,
                rate=rate,
                p99=p99,
                recent=recent,
                asked_rate=self._asked_rate(since),
                asked_threads=self._level(since) if isinstance(load, Closed) else None,
                is_interrupted=state.is_interrupted,
                endpoints=lambda: [self._endpoint(label, now, recent) for label in self._recording.labels],
            )
        )

    def _endpoint(self, label: str, now: int, recent: int) -> EndpointProgress:
        requests, failures = self._recording.requests_and_failures(label)
        rate, p99 = self._recently(now, recent, label)
        return EndpointProgress(name=label, requests=requests, failures=failures, rate=rate, p99=p99)

    def _stage(self, now: int) -> str:
        since = now - self._state.measured_from
        if since < 0:
            return "warm-up"
        if now >= self._state.stop_at:
            return "draining"
        return next((one.name for one in self._load.segments if since < one.end), "running")

    def _recent(self, now: int) -> int:
        """How many of the last seconds are complete, and shown."""
        return min(RECENT, self._last(now))

    def _last(self, now: int) -> int:
        return max(0, second_of(now, self._state.measured_from) - self._lag)

    def _recently(self, now: int, seconds: int, label: str | None = None) -> tuple[float | None, float | None]:
        """Good replies a second, and the p99 of their response times, of so many of the last seconds."""
        if not seconds:
            return None, None
        last = self._last(now)
        recent = self._recording.between(last - seconds, last, label)
        p99 = recent.response_time.percentile(99)
        return recent.good / seconds, None if p99 is None else p99 / SECOND

    def _level(self, since: int) -> float | None:
        """How many threads or arrivals a second phases ask a part for; None where it is always the same."""
        levels = (one.level(since) for one in self._load.segments if one.start <= since < one.end)
        return next((level / self._load.part.count for level in levels), None)

    def _asked_rate(self, since: int) -> float | None:
        if isinstance(self._load, Closed) or self._scenario.journeys:
            # of journeys, it cannot be held against a rate of requests
            return None
        rate = cast(float, self._scenario.rate)
        return rate / self._load.part.count if rate else self._level(since)
