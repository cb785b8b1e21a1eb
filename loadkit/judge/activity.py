"""What the threads of a run did, and what its plan had them do, at any instant."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final

import msgspec

from loadkit.plan.recorded import RECORDED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from loadkit.judge.description import PhasePlan, ScenarioInfo
    from loadkit.judge.rows import Interval, Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What the threads of a run did, as far as it is known; seconds from the start of what was measured."""

    active: Sequence[tuple[float, float, float]] = ()
    """When each thread came, sent its first request and had its last reply, for each time that it was wanted."""
    longest_pause: float = 0.0
    """Seconds that a thread may pause between requests; infinite where that is not known."""
    tasks: int = 1
    """How many journeys a thread has under way at once."""
    is_bare: bool = True
    """Between a reply and the next request there is no code of the user's."""
    is_whole: bool = True
    """It went on as planned: no process was lost, no thread is stuck, nothing halted it."""


UNRECORDED: Final = Activity(is_whole=False)
"""Of a run whose threads nobody looked at."""


class Plan:
    """How many threads, or arrivals a second, there are to be at any instant."""

    def __init__(self, scenario: ScenarioInfo, duration: float) -> None:
        level = float(scenario.threads) if scenario.rate is None else scenario.rate
        self.is_open = scenario.rate is not None
        self.is_recorded = scenario.arrivals == RECORDED
        self.duration = duration
        self._phases = [(begin, one.duration, one.start, one.end) for begin, one in placed(scenario.phases)]
        self._phases = self._phases or [(0.0, math.inf, level, level)]

    def mean(self, start: float, end: float) -> float:
        """The mean from one instant to a later one: of threads there are whole ones only."""
        parts = [(length, first, last) for _, length, first, last in self._within(start, end)]
        area = _rate_area if self.is_open else _thread_area
        return sum(area(*part) for part in parts) / (end - start)

    def most(self, start: float, end: float) -> int:
        """The largest number of threads at any instant between the two."""
        return max((_whole(max(first, last)) for _, _, first, last in self._within(start, end)), default=0)

    def least(self, start: float, end: float) -> int:
        """The smallest number of threads at any instant between the two; none before and after the run."""
        if start < 0 or end > self.duration:
            return 0
        return min((_whole(min(first, last)) for _, _, first, last in self._within(start, end)), default=0)

    def _within(self, start: float, end: float) -> Iterator[tuple[float, float, float, float]]:
        """Start, length and the levels at both ends of each phase between two instants, as far as it lies there."""
        for begin, length, first, last in self._phases:
            low, high = max(start, begin, 0.0), min(end, begin + length, self.duration)
            if low < high:
                rise = (last - first) / length if first != last else 0.0
                yield low, high - low, first + rise * (low - begin), first + rise * (high - begin)


def placed(phases: Iterable[PhasePlan]) -> Iterator[tuple[float, PhasePlan]]:
    """When each phase begins, without those that take no time."""
    begin = 0.0
    for phase in phases:
        if phase.duration > 0:
            yield begin, phase
        begin += phase.duration


def _whole(level: float) -> int:
    """A thread is wanted while there are to be more of them than its number."""
    return math.ceil(level - 1e-9)


def _rate_area(length: float, first: float, last: float) -> float:
    return length * (first + last) / 2


def _thread_area(length: float, first: float, last: float) -> float:
    """The time of whole threads under a level that rises or falls evenly."""
    if abs(last - first) < 1e-9:
        return length * _whole(first)
    return length * (_steps(last) - _steps(first)) / (last - first)


def _steps(level: float) -> float:
    """The area under the whole numbers above each level, from 0 on."""
    below = math.floor(level)
    return below * (below + 1) / 2 + (level - below) * (below + 1)


def with_threads(
    series: Sequence[Interval], phases: Sequence[Phase], plan: Plan, activity: Activity
) -> tuple[list[Interval], list[Phase]]:
    """The intervals and phases, each with the mean of the threads that were active in it, and of what was asked for."""
    begun, ended = _before(sent for _, sent, _ in activity.active), _before(taken for _, _, taken in activity.active)

    def means(start: float, length: float) -> dict[str, float | None]:
        if length <= 0:
            return {}
        end, seen = start + length, None
        if activity.is_whole and not plan.is_open:
            seen = round((begun(start, end) - ended(start, end)) / length, 6)
        return {"threads": seen, "asked": None if plan.is_recorded else round(plan.mean(start, end), 6)}

    return (
        [msgspec.structs.replace(one, **means(one.start, one.measured)) for one in series],
        [msgspec.structs.replace(one, **means(one.start, one.length)) for one in phases],
    )


def _before(instants: Iterable[float]) -> Callable[[float, float], float]:
    """How long, of a span, some instants lay in the past, all together; it is asked for many spans."""
    ordered = sorted(instants)
    sums = [0.0, *accumulate(ordered)]

    def until(at: float) -> float:
        many = bisect_right(ordered, at)
        return many * at - sums[many]

    return lambda start, end: until(end) - until(start)
