"""Compares the load that was applied with the plan's: threads that were active, and those that were to be."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import chain
from typing import TYPE_CHECKING, Final

from loadkit.judge.activity import Plan, placed
from loadkit.judge.rows import journeys_among
from loadkit.plan.recorded import RECORDED
from loadkit.plan.think_time import BACK_OFF
from loadkit.plan.units import SECOND, show_span, three_digits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadkit.judge.description import ScenarioInfo
    from loadkit.judge.evidence import Evidence
    from loadkit.judge.rows import Row, Timing
    from loadkit.judge.times import Times

LOOKS: Final = 2000
"""At how many instants of a run the threads that were active are held against the plan."""

APART: Final = 0.001
"""Seconds between two of them at least: what is allowed for is no finer."""

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


def differs(run: Evidence) -> str:
    """A sentence if what was under way contradicts the plan, beyond what replies, pauses and the machine explain."""
    if not run.activity.is_whole or run.duration <= 0 or not (run.total.requests or run.timings):
        return ""
    plan = Plan(run.scenario, run.duration)
    if plan.is_open:
        return next(_wrong_arrivals(run, plan), "")
    return next(chain(_wrong_threads(run, plan), _wrong_time(run, plan)), "")


def _wrong_threads(run: Evidence, plan: Plan) -> Iterator[str]:
    """By instants: a thread that is not wanted any more may wait for its reply, one that is wanted may be late."""
    straggling, late = _straggling(run), _late(run)
    resting = run.activity.longest_pause + BACK_OFF / SECOND * bool(run.total.failures)
    came, sent, taken = (sorted(one[k] for one in run.activity.active) for k in range(3))
    gone = [instant + resting for instant in taken]
    looks = min(LOOKS, plan.duration / APART)
    for begin, end, name in _stages(run.scenario, plan.duration):
        many = max(20, round(looks * (end - begin) / plan.duration))
        instants = [begin + (end - begin) * (k + 0.5) / many for k in range(many)]
        seen = [bisect_right(sent, at) - bisect_right(taken, at) for at in instants]
        surplus = sum(max(0, n - plan.most(at - straggling, at + 0.002)) for n, at in zip(seen, instants, strict=True))
        there = [bisect_right(came, at) - bisect_right(gone, at) for at in instants]
        missing = [max(0, plan.least(at - late, at + 0.002) - n) for n, at in zip(there, instants, strict=True)]
        is_few = sum(missing) > max(0.1, MISSING * plan.mean(begin, end)) * many
        if surplus > 0.05 * many or (is_few and math.isfinite(late) and not _has_quota(run.scenario)):
            yield _sentence(name, "were active", plan.mean(begin, end), sum(seen) / many)


def _straggling(run: Evidence) -> float:
    """How long a thread may go on when it is not wanted any more: for its last reply."""
    rows: list[Row | Timing] = [run.total, *journeys_among(run.timings)]
    return math.inf if any(one.cut for one in rows) else 0.01 + max(map(_longest, rows))


def _longest(one: Row | Timing) -> float:
    return max(one.response_time.max or 0.0, one.failure_time.max or 0.0)


def _late(run: Evidence) -> float:
    """By how much a thread may begin late: its turn in a pause, its connection, the machine."""
    total = run.total
    machine = PUNCTUAL + run.scenario.threads / 1000 + 2 * ((total.pickup.max or 0.0) + (total.lateness.max or 0.0))
    return machine + run.activity.longest_pause + total.connect_seconds


def _stages(scenario: ScenarioInfo, duration: float) -> Iterator[tuple[float, float, str]]:
    """From when to when, and as what."""
    yield 0.0, duration, "the run"
    for begin, phase in placed(scenario.phases):
        if begin < duration:
            yield begin, min(duration, begin + phase.duration), phase.name
    # of a long run the whole says little of a few seconds
    many = min(PARTS, int(duration / PART))
    for k in range(many if many > 1 else 0):
        start, end = duration * k / many, duration * (k + 1) / many
        yield start, end, f"the run from {show_span(round(start, 1))} to {show_span(round(end, 1))}"


def _wrong_time(run: Evidence, plan: Plan) -> Iterator[str]:
    """Little's law: replies that a thread waits for one after the other last no longer in all than its time."""
    times = max(1, len(run.scenario.phases))
    if journeys := journeys_among(run.timings):
        if not run.scenario.endpoints:
            spent, longest = sum(map(_at_server, journeys)), max(map(_longest, journeys))
            yield from _too_much(run, plan, "the run", (0.0, plan.duration), spent, longest * times)
        return
    for begin, end, name, total in _measured(run):
        spent, longest = _at_server(total), _longest(total)
        yield from _too_much(run, plan, name, (begin, end), spent, longest * (times if total is run.total else 1))
        if end - begin >= 1 and _is_steady(run):
            # thread-seconds that may have gone by otherwise: in a reply from before, connecting, coming late
            unknown = plan.most(begin, plan.duration) * (_late(run) + _longest(run.total))
            least = IDLE * plan.mean(begin, end) * (end - begin) - unknown
            known = spent + _sum(total.pickup) + BACK_OFF / SECOND * sum(total.failures.values())
            if known < least:
                yield _sentence(name, "had a request", plan.mean(begin, end), known / (end - begin))


def _measured(run: Evidence) -> Iterator[tuple[float, float, str, Row]]:
    """The run and its phases: from when to when, as what, and what was counted."""
    yield 0.0, run.duration, "the run", run.total
    for one in run.phases:
        yield one.start, one.start + one.length, one.name, one.total


def _too_much(
    run: Evidence, plan: Plan, name: str, span: tuple[float, float], spent: float, longest: float
) -> Iterator[str]:
    (begin, end), tasks = span, run.activity.tasks
    mean = plan.mean(begin, end)
    # each thread may have one that lasts beyond the end, or beyond the instant from which it was not wanted
    beyond = longest * plan.most(begin, end)
    if spent > tasks * (1.02 * mean * (end - begin) + beyond) + 0.05:
        yield _sentence(name, "had a request", mean, spent / (end - begin) / tasks)


def _is_steady(run: Evidence) -> bool:
    """Each request follows the one before at once, and all are counted."""
    return run.activity.is_bare and not (run.activity.longest_pause or _has_quota(run.scenario) or run.total.cut)


def _has_quota(scenario: ScenarioInfo) -> bool:
    """Threads end when they have sent so many requests, and not with the time."""
    return scenario.iterations is not None or scenario.iterations_per_thread is not None


def _at_server(one: Row | Timing) -> float:
    return _sum(one.response_time) + _sum(one.failure_time)


def _sum(times: Times) -> float:
    return times.sum_ns / SECOND


def _wrong_arrivals(run: Evidence, plan: Plan) -> Iterator[str]:
    """What was sent, cut or unsent of those that were due."""
    scenario = run.scenario
    if scenario.iterations is not None or (scenario.journeys and scenario.endpoints):
        return
    if scenario.arrivals == RECORDED and run.duration < (scenario.duration or 0):
        # how many were due until then is not known any more
        return
    for begin, end, name, total in _measured(run):
        if scenario.journeys and total is not run.total:
            return
        counted = total.requests + total.cut + total.unsent
        seen = run.begun + run.not_begun if scenario.journeys else counted
        wanted = plan.mean(begin, end) * (end - begin)
        slack = EVEN * wanted if scenario.arrivals == "constant" else SPREAD * math.sqrt(wanted)
        if abs(seen - wanted) > slack + 2:
            yield _sentence(name, "came", wanted, seen, of="arrivals")


def _sentence(name: str, what: str, wanted: float, seen: float, *, of: str = "threads in the mean") -> str:
    found = f"{name} was to have {three_digits(wanted)} {of}, and {three_digits(seen)} {what}"
    return (
        f"the load was not that of the plan, by a fault of loadkit's own: {found}; "
        "believe none of the figures, and report it with the scenario"
    )
