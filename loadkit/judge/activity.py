"""Compares the load that was applied with the plan's: threads that were active, and those that were to be."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final

import msgspec

from loadkit.judge.rows import journeys_among
from loadkit.plan.think_time import BACK_OFF
from loadkit.plan.units import SECOND, show_span, three_digits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from loadkit.judge.description import PhasePlan, ScenarioInfo
    from loadkit.judge.rows import Interval, Phase, Row, Timing
    from loadkit.judge.times import Times

LOOKS: Final = 2000
"""At how many instants of a run the threads that were active are held against the plan."""

PUNCTUAL: Final = 0.5
"""Seconds by which a thread may begin late on a busy machine, and a thousandth for each thread there is."""

PARTS: Final = 20
PART: Final = 5.0
"""A long run is looked at in so many parts, of so many seconds at least."""

MISSING: Final = 0.005
"""The share of its threads that a run may lack for no known reason, and a tenth of a thread at least."""

IDLE: Final = 0.5
"""The share of their threads' time that requests which follow each other at once must at least have lasted."""

EVEN: Final = 0.01
SPREAD: Final = 6
"""How far the number of arrivals may be from the plan: a share where they are even, so many deviations where not."""


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


class Plan:
    """How many threads, or arrivals a second, there are to be at any instant."""

    def __init__(self, scenario: ScenarioInfo, duration: float) -> None:
        level = float(scenario.threads) if scenario.rate is None else scenario.rate
        self.is_open = scenario.rate is not None
        self.duration = duration
        self._phases = list(_placed(scenario.phases)) or [(0.0, math.inf, level, level)]

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


def _placed(phases: Iterable[PhasePlan]) -> Iterator[tuple[float, float, float, float]]:
    begin = 0.0
    for phase in phases:
        if phase.duration > 0:
            yield begin, phase.duration, phase.start, phase.end
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


# -- for the series


def with_threads(
    series: Sequence[Interval], phases: Sequence[Phase], plan: Plan, activity: Activity
) -> tuple[list[Interval], list[Phase]]:
    """The intervals and phases, each with the mean of the threads that were active in it, and of what was asked for."""
    begun, ended = _Before(sent for _, sent, _ in activity.active), _Before(taken for _, _, taken in activity.active)

    def means(start: float, length: float) -> dict[str, float | None]:
        if length <= 0:
            return {}
        end, seen = start + length, None
        if activity.is_whole and not plan.is_open:
            seen = round((begun.time(start, end) - ended.time(start, end)) / length, 6)
        return {"threads": seen, "asked": round(plan.mean(start, end), 6)}

    return (
        [msgspec.structs.replace(one, **means(one.start, one.measured)) for one in series],
        [msgspec.structs.replace(one, **means(one.start, one.length)) for one in phases],
    )


class _Before:
    """How long, of a span, each of some instants lay in the past; many are asked about often."""

    def __init__(self, instants: Iterable[float]) -> None:
        self._instants = sorted(instants)
        self._sums = [0.0, *accumulate(self._instants)]

    def time(self, start: float, end: float) -> float:
        """The sum over all instants."""
        return self._until(end) - self._until(start)

    def _until(self, at: float) -> float:
        many = bisect_right(self._instants, at)
        return many * at - self._sums[many]


# -- for the caveat


def differs(
    scenario: ScenarioInfo,
    duration: float,
    activity: Activity,
    total: Row,
    phases: Sequence[Phase] = (),
    timings: Sequence[Timing] = (),
) -> str:
    """A sentence if what was under way contradicts the plan, beyond what replies, pauses and the machine explain."""
    if not activity.is_whole or duration <= 0 or not (total.requests or timings):
        return ""
    plan = Plan(scenario, duration)
    journeys = journeys_among(timings)
    if plan.is_open:
        return next(_wrong_arrivals(scenario, plan, total, phases, journeys), "")
    return next(_wrong_threads(scenario, plan, activity, total, journeys), "") or next(
        _wrong_time(scenario, plan, activity, total, phases, journeys), ""
    )


def _wrong_threads(
    scenario: ScenarioInfo, plan: Plan, activity: Activity, total: Row, journeys: Sequence[Timing]
) -> Iterator[str]:
    """By instants: a thread that is not wanted any more may wait for its reply, one that is wanted may be late."""
    straggling = _straggling(total, journeys)
    late = _late(scenario, activity, total)
    resting = activity.longest_pause + BACK_OFF / SECOND * bool(total.failures)
    sent, taken = sorted(one[1] for one in activity.active), sorted(one[2] for one in activity.active)
    came, gone = sorted(one[0] for one in activity.active), sorted(one[2] + resting for one in activity.active)
    for begin, end, name in _stages(scenario, plan.duration):
        instants = list(_instants(begin, end, max(20, round(LOOKS * (end - begin) / plan.duration))))
        seen = [bisect_right(sent, at) - bisect_right(taken, at) for at in instants]
        surplus = sum(max(0, n - plan.most(at - straggling, at + 0.002)) for n, at in zip(seen, instants, strict=True))
        if surplus > 0.05 * len(instants):
            yield _sentence(name, "were active", plan.mean(begin, end), sum(seen) / len(seen), "threads in the mean")
        if _has_quota(scenario) or not math.isfinite(late):
            continue
        there = [bisect_right(came, at) - bisect_right(gone, at) for at in instants]
        missing = [max(0, plan.least(at - late, at + 0.002) - n) for n, at in zip(there, instants, strict=True)]
        if sum(missing) > max(0.1, MISSING * plan.mean(begin, end)) * len(instants):
            yield _sentence(name, "were active", plan.mean(begin, end), sum(seen) / len(seen), "threads in the mean")


def _straggling(total: Row, journeys: Sequence[Timing]) -> float:
    """How long a thread may go on when it is not wanted any more: for its last reply."""
    if total.cut or any(one.cut for one in journeys):
        return math.inf
    return 0.01 + max(_longest(total), *(_longest(one) for one in journeys), 0.0)


def _longest(one: Row | Timing) -> float:
    return max(one.response_time.max or 0.0, one.failure_time.max or 0.0)


def _late(scenario: ScenarioInfo, activity: Activity, total: Row) -> float:
    """By how much a thread may begin late: its turn in a pause, its connection, the machine."""
    machine = PUNCTUAL + scenario.threads / 1000 + 2 * ((total.pickup.max or 0.0) + (total.lateness.max or 0.0))
    return machine + activity.longest_pause + total.connect_seconds


def _stages(scenario: ScenarioInfo, duration: float) -> Iterator[tuple[float, float, str]]:
    """From when to when, and as what."""
    yield 0.0, duration, "the run"
    for (begin, length, _, _), phase in zip(
        _placed(scenario.phases), (one for one in scenario.phases if one.duration > 0), strict=True
    ):
        if begin < duration:
            yield begin, min(duration, begin + length), phase.name
    # of a long run the whole says little of a few seconds
    many = min(PARTS, int(duration / PART))
    for k in range(many if many > 1 else 0):
        start, end = duration * k / many, duration * (k + 1) / many
        yield start, end, f"the run from {show_span(round(start, 1))} to {show_span(round(end, 1))}"


def _instants(begin: float, end: float, many: int) -> Iterator[float]:
    for k in range(many):
        yield begin + (end - begin) * (k + 0.5) / many


def _wrong_time(
    scenario: ScenarioInfo,
    plan: Plan,
    activity: Activity,
    total: Row,
    phases: Sequence[Phase],
    journeys: Sequence[Timing],
) -> Iterator[str]:
    """Little's law: replies that a thread waits for one after the other last no longer in all than its time."""
    times = max(1, len(scenario.phases))
    if journeys:
        if not scenario.endpoints:
            spent, most = (
                sum(_spent(one.response_time, one.failure_time) for one in journeys),
                max(map(_longest, journeys)),
            )
            yield from _too_much("the run", spent, plan, activity, (0.0, plan.duration), most, times)
        return
    stages = [(0.0, plan.duration, "the run", total)]
    stages += [(one.start, one.start + one.length, one.name, one.total) for one in phases]
    for begin, end, name, row in stages:
        spent = _spent(row.response_time, row.failure_time)
        yield from _too_much(name, spent, plan, activity, (begin, end), _longest(row), times if row is total else 1)
        if end - begin >= 1 and _is_steady(scenario, activity, total):
            least = IDLE * plan.mean(begin, end) * (end - begin) - _unknown(scenario, plan, activity, total, begin)
            known = spent + _spent(row.pickup) + BACK_OFF / SECOND * sum(row.failures.values())
            if known < least:
                yield _sentence(
                    name, "had a request", plan.mean(begin, end), known / (end - begin), "threads in the mean"
                )


def _too_much(
    name: str, spent: float, plan: Plan, activity: Activity, span: tuple[float, float], longest: float, times: int = 1
) -> Iterator[str]:
    begin, end = span
    mean = plan.mean(begin, end)
    # each thread may have one that lasts beyond the end, or beyond the instant from which it was not wanted
    beyond = longest * plan.most(begin, end) * times
    if spent > activity.tasks * (1.02 * mean * (end - begin) + beyond) + 0.05:
        yield _sentence(name, "had a request", mean, spent / (end - begin) / activity.tasks, "threads in the mean")


def _is_steady(scenario: ScenarioInfo, activity: Activity, total: Row) -> bool:
    """Each request follows the one before at once, and all are counted."""
    return activity.is_bare and not (activity.longest_pause or _has_quota(scenario) or total.cut)


def _has_quota(scenario: ScenarioInfo) -> bool:
    """Threads end when they have sent so many requests, and not with the time."""
    return scenario.iterations is not None or scenario.iterations_per_thread is not None


def _unknown(scenario: ScenarioInfo, plan: Plan, activity: Activity, total: Row, begin: float) -> float:
    """Thread-seconds of a stage that may have gone by otherwise: in a reply from before, connecting, coming late."""
    return plan.most(begin, plan.duration) * (_late(scenario, activity, total) + _longest(total))


def _spent(*times: Times) -> float:
    return sum(one.sum_ns for one in times) / SECOND


def _wrong_arrivals(
    scenario: ScenarioInfo, plan: Plan, total: Row, phases: Sequence[Phase], journeys: Sequence[Timing]
) -> Iterator[str]:
    """What was sent, cut or unsent of those that were due."""
    if scenario.iterations is not None or (scenario.journeys and scenario.endpoints):
        return
    if scenario.journeys:
        due = sum(one.count + one.cut + one.unsent for one in journeys)
        stages = [(0.0, plan.duration, "the run", due)]
    else:
        stages = [(0.0, plan.duration, "the run", total.requests + total.cut + total.unsent)]
        stages += [
            (one.start, one.start + one.length, one.name, one.total.requests + one.total.cut + one.total.unsent)
            for one in phases
        ]
    for begin, end, name, seen in stages:
        wanted = plan.mean(begin, end) * (end - begin)
        slack = EVEN * wanted if scenario.arrivals == "constant" else SPREAD * math.sqrt(wanted)
        if abs(seen - wanted) > slack + 2:
            yield _sentence(name, "came", wanted, seen, "arrivals")


def _sentence(name: str, what: str, wanted: float, seen: float, of: str) -> str:
    found = f"{name} was to have {three_digits(wanted)} {of}, and {three_digits(seen)} {what}"
    return (
        f"the load was not that of the plan, by a fault of loadkit's own: {found}; "
        "believe none of the figures, and report it with the scenario"
    )
