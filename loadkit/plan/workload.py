"""The rule for when the next request is due, and who sends it.

Closed: a thread's next request is due when it has the last reply, plus think time, or a pace after the last one was.
The threads look at nothing else, so the load falls when the server slows down. Open: requests are due by the clock, and
any thread that is free sends the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import lcm

from loadkit.plan.arrivals import Arrivals
from loadkit.plan.data import Rows
from loadkit.plan.endpoint import Endpoint
from loadkit.plan.journey import Journey
from loadkit.plan.part import WHOLE, Part
from loadkit.plan.phases import Segment
from loadkit.plan.recorded import RecordedArrivals
from loadkit.plan.scenario import DEFAULT_DURATION, Scenario
from loadkit.plan.think_time import Thought, longest_pause
from loadkit.plan.units import nanoseconds

MAX_ROTATION = 1000

ALWAYS = 1 << 62
"""Nanoseconds: later than any run ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A closed workload in nanoseconds; `duration` is None when only iterations end it."""

    duration: int | None
    iterations: int | None
    warmup: int
    think_time: Thought
    pacing: int
    seed: int
    graceful_stop: int
    segments: tuple[Segment, ...] = ()
    thread_plans: tuple[ThreadPlan, ...]
    part: Part = WHOLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """An open workload in nanoseconds: when requests are due, and which endpoint (by position) each in turn is for."""

    duration: int | None
    iterations: int | None
    warmup: int
    graceful_stop: int
    segments: tuple[Segment, ...] = ()
    arrivals: Arrivals | RecordedArrivals
    warming: Arrivals
    """What is due during the warm-up."""
    rotation: tuple[int, ...]
    threads: int
    max_threads: int
    part: Part = WHOLE


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadPlan:
    """What one thread sends: endpoints (by position in the scenario) in turn, how many requests at most, and when.

    `windows` are spans in which it sends, nanoseconds from the start of what is measured; `delay` is how much later
    than the others it begins.
    """

    number: int
    rotation: tuple[int, ...]
    iterations: int | None = None
    windows: tuple[tuple[int, int], ...] = ((0, ALWAYS),)
    delay: int = 0

    @property
    def begins_at_once(self) -> bool:
        """True if it is wanted from the start."""
        return bool(self.windows) and self.windows[0][0] == 0


def workload(scenario: Scenario, part: Part = WHOLE) -> Closed | Open:
    """The workload of a scenario, or a part of it: together they are the whole."""
    return opened(scenario, part) if scenario.is_open else closed(scenario, part)


def closed(scenario: Scenario, part: Part = WHOLE) -> Closed:
    """The workload of threads that wait for their replies."""
    mine = thread_plans(scenario)[part.first :: part.step]
    quotas = [plan.iterations for plan in mine if plan.iterations is not None]
    return Closed(
        duration=_duration(scenario),
        iterations=sum(quotas) if quotas else None,
        warmup=_ns(scenario.warmup),
        think_time=scenario.think_time,  # type: ignore[arg-type]  # a scenario keeps it as seconds
        pacing=_ns(scenario.pacing),
        seed=scenario.seed,
        graceful_stop=_ns(scenario.graceful_stop),
        segments=scenario.segments,
        thread_plans=tuple(mine),
        part=part,
    )


def opened(scenario: Scenario, part: Part = WHOLE) -> Open:
    """The workload of arrivals."""
    duration = _duration(scenario)
    recorded = scenario.arrivals if isinstance(scenario.arrivals, RecordedArrivals) else None
    computed = Arrivals(
        segments=recorded.segments if recorded else _rates(scenario, duration),
        spacing="constant" if isinstance(scenario.arrivals, RecordedArrivals) else scenario.arrivals,
        seed=scenario.seed,
        iterations=scenario.iterations,
        part=part,
    )
    rate = computed.segments[0].first
    return Open(
        duration=duration,
        iterations=scenario.iterations,
        warmup=_ns(scenario.warmup),
        graceful_stop=_ns(scenario.graceful_stop),
        segments=scenario.segments,
        arrivals=replace(recorded, part=part) if recorded else computed,
        warming=replace(computed, segments=(Segment("", 0, _ns(scenario.warmup), rate, rate),), iterations=None),
        rotation=tuple(range(len(scenario.plans)) if recorded else _rotation(scenario.plans)),
        threads=max(1, part.share(min(scenario.threads, scenario.most_threads))),
        max_threads=part.share(scenario.most_threads),
        part=part,
    )


def _rates(scenario: Scenario, duration: int | None) -> tuple[Segment, ...]:
    """The arrivals a second, over time."""
    if scenario.segments:
        return scenario.segments
    assert isinstance(scenario.rate, float)
    return (Segment("", 0, ALWAYS if duration is None else duration, scenario.rate, scenario.rate),)


def _duration(scenario: Scenario) -> int | None:
    if scenario.phases:
        return scenario.segments[-1].end
    duration = scenario.duration
    if duration is None:
        ends = scenario.iterations is not None or scenario.iterations_per_thread is not None
        return None if ends else _ns(DEFAULT_DURATION)
    return _ns(duration)


def thread_plans(scenario: Scenario) -> list[ThreadPlan]:
    """A plan for each thread: first those that share, then those that an endpoint has of its own.

    Threads that share go through the same rotation, each from another place, so that at any instant the mix on
    the wire is near the weights. Those that think or keep a pace begin spread over it, or they would do all in step.
    """
    shared = [k for k, endpoint in enumerate(scenario.plans) if endpoint.threads is None]
    order = _rotation([scenario.plans[k] for k in shared])
    segments = scenario.segments
    sharing = scenario.total_threads if segments else scenario.threads
    rows: list[tuple[int, ...]] = []
    # far from each other, so that of very many endpoints each comes to its turn early
    stride = max(1, len(order) // max(1, sharing))
    for thread in range(sharing if shared else 0):
        start = thread * stride % len(order)
        rows.append(tuple(shared[k] for k in order[start:] + order[:start]))
    for k, endpoint in enumerate(scenario.plans):
        rows.extend([(k,)] * (endpoint.threads or 0))
    quotas = _quotas(scenario, len(rows))
    spread = longest_pause(scenario.think_time) or _ns(scenario.pacing)  # type: ignore[arg-type]  # kept as seconds
    return [
        ThreadPlan(
            number=number,
            rotation=rotation,
            iterations=quota,
            windows=_windows(segments, number) if segments else ((0, ALWAYS),),
            delay=0 if segments else spread * number // len(rows),
        )
        for number, (rotation, quota) in enumerate(zip(rows, quotas, strict=True))
    ]


def row_turns(scenario: Scenario, feed: Rows, part: Part) -> list[list[bool]]:
    """Which rows of a feed in turn are for a part, over and over; then which of those, of one of several processes."""
    machines = row_owners(scenario, feed, WHOLE, part.count)
    turns = [[machine == part.number for machine in machines]] if part.count > 1 else []
    if part.processes == 1:
        return turns
    processes = row_owners(scenario, feed, replace(part, process=0, processes=1), part.processes)
    return [*turns, [process == part.process for process in processes]]


def row_owners(scenario: Scenario, feed: Rows, part: Part, parts: int) -> tuple[int, ...]:
    """Which of the parts of a part each of its rows in turn is for: each has as many as its threads or arrivals use.

    One of which no thread or arrival uses the feed has none.
    """
    if parts == 1:
        return (0,)
    if isinstance(scenario.arrivals, RecordedArrivals):
        # each arrival has a row, whichever endpoint it is for
        return tuple(range(parts))
    fed = {k for k, plan in enumerate(scenario.plans) if plan.feed is feed}
    if scenario.is_open:
        rotation = _rotation(scenario.plans)
        numbers = range(part.first, part.first + part.step * lcm(len(rotation), parts), part.step)
        return tuple(turn % parts for turn, number in enumerate(numbers) if rotation[number % len(rotation)] in fed)
    uses = _row_uses(scenario, fed)[part.first :: part.step]
    by_part = [sum(uses[one::parts], Fraction(0)) for one in range(parts)]
    users = [one for one in range(parts) if by_part[one]]
    return tuple(users[turn] for turn in _smooth([by_part[one] for one in users]))


def _row_uses(scenario: Scenario, fed: set[int]) -> list[Fraction]:
    """How often each thread uses a feed, of all that it sends."""
    known: dict[tuple[int, int], Fraction] = {}
    uses = []
    for rotation in (plan.rotation for plan in thread_plans(scenario)):
        # those that share go through the same rotation, each from another place
        key = (rotation[0], 1) if len(rotation) == 1 else (0, len(rotation))
        if key not in known:
            known[key] = Fraction(sum(turn in fed for turn in rotation), len(rotation))
        plan = scenario.plans[rotation[0]]
        uses.append(known[key] * (plan.tasks_per_thread if isinstance(plan, Journey) else 1))
    return uses


def _windows(segments: Sequence[Segment], thread: int) -> tuple[tuple[int, int], ...]:
    """When a thread is wanted: while there are more threads than its number, to the nanosecond."""
    found: list[tuple[int, int]] = []
    for one in segments:
        start, end = one.start, one.end
        if one.first <= thread < one.last:
            start = _crossing(one, thread)
        elif one.last <= thread < one.first:
            end = _crossing(one, thread)
        elif thread >= one.first:
            continue
        if found and found[-1][1] == start:
            start, _ = found.pop()
        if start < end:
            found.append((start, end))
    return tuple(found)


def _crossing(one: Segment, level: int) -> int:
    return one.start + round(one.length * (level - one.first) / (one.last - one.first))


def _rotation(endpoints: Sequence[Endpoint | Journey]) -> list[int]:
    """Smooth weighted round-robin: each endpoint as often as its weight says, as evenly spread as can be.

    Each step everyone gains its weight and the richest pays for all (the scheme nginx balances with).
    """
    return _smooth([endpoint.weight for endpoint in endpoints])


def _smooth(shares: Sequence[float | Fraction]) -> list[int]:
    weights = _whole_weights(shares)
    if len(set(weights)) <= 1:
        return list(range(len(weights)))
    credit = [0] * len(weights)
    order = []
    for _ in range(sum(weights)):
        credit = [have + gain for have, gain in zip(credit, weights, strict=True)]
        richest = max(range(len(weights)), key=credit.__getitem__)
        credit[richest] -= sum(weights)
        order.append(richest)
    return order


def _whole_weights(weights: Sequence[float | Fraction]) -> list[int]:
    """Weights as small whole numbers in the same proportion; to 1 in `MAX_ROTATION` where there are none exactly."""
    if not weights:
        return []
    # as they were written: 0.1 is a tenth, and not the nearest binary float
    written = [Fraction(str(weight)) for weight in weights]
    total = sum(written)
    shares = [weight / total for weight in written]
    simple = [share.limit_denominator(MAX_ROTATION) for share in shares]
    common = lcm(*(share.denominator for share in simple))
    if all(simple) and sum(simple) == 1 and common <= MAX_ROTATION:
        return [int(share * common) for share in simple]
    return _apportioned(shares)


def _apportioned(shares: list[Fraction]) -> list[int]:
    """`MAX_ROTATION` places given out by largest remainder (Hamilton's method); everyone has one at least."""
    places = [int(share * MAX_ROTATION) for share in shares]
    by_rest = sorted(range(len(shares)), key=lambda k: places[k] - shares[k] * MAX_ROTATION)
    for k in by_rest[: MAX_ROTATION - sum(places)]:
        places[k] += 1
    return [max(1, many) for many in places]


def _quotas(scenario: Scenario, threads: int) -> list[int | None]:
    if scenario.iterations is None:
        return [scenario.iterations_per_thread] * threads
    each, left = divmod(scenario.iterations, threads)
    return [each + (thread < left) for thread in range(threads)]


def _ns(span: object) -> int:
    assert isinstance(span, float), "a scenario keeps its durations as seconds"
    return nanoseconds(span)
