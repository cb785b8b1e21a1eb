"""Is it me or the server: what kept a run from doing more, as far as one run can tell.

What can be told, and from what:

- An open workload that sent what was due did all it was asked to: it is bound by its **rate**. A closed one whose
  threads mostly pause as they were told to is bound by its plan, too.
- Where the **generator** used nearly all the CPU that one interpreter can use, or its threads spent more of their time
  in loadkit than at the server, more of it would have sent more.
- An open workload that could not send what was due, because all the threads it may have waited for replies, is bound
  by its **connections**. Whether the server would have answered more of them, it cannot say.
- An open workload that sent what was due and got fewer replies than it sent, later with each second, is bound by the
  **server**: requests queue there.
- A closed workload has a request under way on each thread, whatever bounds it: its throughput is threads / service
  time by construction, and one number of threads does not tell whether more would get more. Phases with fewer and
  with more threads do: throughput that grows with them is bound by the **connections**, throughput that does not by
  the **server**.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from loadkit.judge.load import MOSTLY, Load, percent
from loadkit.judge.result import Bound, Interval, PhasePlan
from loadkit.plan.units import show_rate, show_seconds, three_digits

APPLIED: Final = 0.99
"""The share of what was due that must have been sent for the rate to be what bound the run."""

BEHIND: Final = 0.9
"""With fewer replies than this share of what was sent in the same time, requests pile up somewhere."""

FULL: Final = 0.9
"""Share of CPU above which the generator cannot send more, although its threads mostly wait for the server."""

BAD: Final = 0.5
"""With more failures than this there is no load to speak of."""

FEW, MANY = 0.5, 0.9
"""Threads, as shares of the most there were, that count as few and as many; fewer than a tenth say nothing."""

ENOUGH: Final = 3
"""Intervals needed with few and with many threads."""

GROWN, FLAT = 0.75, 0.25
"""The share of its threads' growth by which throughput grows at least to be bound by them, or at most to be not."""

DUE_TO: Final[dict[Bound, str]] = {
    "rate": "the asked rate",
    "generator": "the generator",
    "server": "the server",
    "connections": "the connections",
}


class Finding(NamedTuple):
    """What bound a run, and the sentence that says so; neither of a run too short or too broken to tell."""

    by: Bound | None
    sentence: str


NOTHING = Finding(None, "")


def bound(load: Load, intervals: Sequence[Interval] = ()) -> Finding:
    """What kept the run from doing more."""
    total = load.total
    if not load.is_long_enough or not total.response_time.count or total.error_rate > BAD:
        return NOTHING
    if load.shares_interpreter:
        return Finding(None, "Server and generator are one process, so nothing tells which of them bound the run.")
    return _of_open(load, intervals) if load.is_open else _of_closed(load, intervals)


def together(found: Sequence[Finding]) -> Finding:
    """What bound several runs: what bound each of them, or how many were bound by what."""
    kinds = {one.by for one in found}
    by = kinds.pop() if len(kinds) == 1 else None
    if len({one.sentence for one in found}) == 1:
        return Finding(by, found[0].sentence)
    counted = [(kind, sum(one.by == kind for one in found)) for kind in DUE_TO]
    parts = [f"{count:,} by {DUE_TO[kind]}" for kind, count in counted if count]
    left = sum(one.by is None for one in found)
    if left == len(found):
        return Finding(None, f"None of the {left:,} runs can tell by itself what bound it.")
    parts += [f"{left:,} by what one run cannot tell"] if left else []
    return Finding(by, f"Of {len(found):,} runs, bound: {', '.join(parts)}.")


# -- open


def _of_open(load: Load, intervals: Sequence[Interval]) -> Finding:
    if load.sent >= APPLIED * load.due:
        return _queueing(load, intervals) or _rate(load)
    if load.is_generator_slow or load.cpu_share > FULL:
        return _generator(load)
    if load.was_short:
        return Finding(
            "connections",
            (
                f"Bound by the connections: all {load.most_threads:,} threads (max_threads) waited for replies, "
                f"{show_seconds(load.total.service_time.p50)} in the median; {show_rate(load.sent_rate)} of the "
                f"{show_rate(load.asked_rate)} asked were sent. Run again with twice max_threads: if no more are "
                "answered, it is the server."
            ),
        )
    return Finding(
        None,
        (
            f"Bound by the generator or by the server, which one run cannot tell: {_cpu(load)}, and not all "
            f"{load.most_threads:,} threads were in use. Run again with {load.more_processes}: "
            "if more are sent, it was loadkit."
        ),
    )


def _rate(load: Load) -> Finding:
    total = load.total
    if load.scenario.journeys:
        asked = show_rate(load.scenario.rate or 0)
        return Finding("rate", f"Bound by the asked rate: all of {asked} began{_hands(load)}.")
    asked = show_rate(load.asked_rate)
    failed = sum(total.failures.values()) + total.cut
    done = f"the server answered all of {asked}" if not failed else f"all of {asked} was sent"
    return Finding("rate", f"Bound by the asked rate: {done}{_hands(load)}.")


def _hands(load: Load) -> str:
    if load.in_flight is None:
        return ""
    busy = three_digits(load.in_flight) if load.in_flight >= 1 else "less than one"
    return f" with {busy} of up to {load.most_threads:,} threads busy in the mean"


def _queueing(load: Load, intervals: Sequence[Interval]) -> Finding | None:
    """Whether replies fell behind, and came later and later."""
    total = load.total
    answered = total.requests - total.drained
    if load.scenario.phases or answered >= BEHIND * load.sent or not _grows(intervals):
        return None
    return Finding(
        "server",
        (
            f"Bound by the server: {show_rate(load.sent_rate)} were sent as asked, "
            f"{show_rate(answered / load.duration)} were answered, and replies took longer with each second: requests "
            "queue there."
        ),
    )


def _grows(intervals: Sequence[Interval]) -> bool:
    medians = [one.total.response_time.p50 for one in intervals]
    known = [median for median in medians if median is not None]
    return len(known) >= ENOUGH and all(before < after for before, after in pairwise(known))


# -- closed


def _of_closed(load: Load, intervals: Sequence[Interval]) -> Finding:
    many = load.most_threads
    if load.rests and load.in_flight is not None and load.in_flight < many / 2:
        share = 1 - load.in_flight / many
        return Finding("rate", f"Bound by the pauses of the plan: its threads rested {percent(share)} of the time.")
    if load.is_generator_slow or load.cpu_share > FULL:
        return _generator(load)
    waited = load.at_server / many
    if load.scenario.journeys and waited < MOSTLY:
        return Finding(
            None,
            f"Its threads waited for replies {percent(waited)} of the time; the rest went by in the journeys' own "
            f"pauses, code and other clients, and {_cpu(load)}.",
        )
    return _by_threads(load, intervals) or Finding(
        None,
        (
            f"Bound by the server or by the connections, which one run cannot tell: {_under_way(load)}, and "
            f"{_cpu(load)}. Run again with {2 * many:,} threads: if the throughput stays the same, it is the server."
        ),
    )


def _under_way(load: Load) -> str:
    many = load.most_threads
    threads = f"{many:,} thread{'s' * (many != 1)}"
    if load.rests and load.in_flight is not None:
        return f"{three_digits(load.in_flight)} of {threads} had a request under way in the mean"
    if load.scenario.journeys:
        return f"{threads} waited for replies {percent(load.at_server / many)} of the time"
    return f"{threads} always had a request under way"


def _cpu(load: Load) -> str:
    if not load.use.seconds:
        return "it is not known how much CPU loadkit used"
    return f"loadkit used {percent(load.cpu_share)} of the CPU that one interpreter can use"


def _generator(load: Load) -> Finding:
    return Finding(
        "generator", f"Bound by the generator: {_cpu(load)}{_elsewhere(load)}; it sent {show_rate(load.sent_rate)}."
    )


def _elsewhere(load: Load) -> str:
    """Where its threads spent their time."""
    share = load.server_share
    if share is None:
        return ""
    if load.is_generator_slow:
        return f", and {percent(1 - share)} of its threads' time went by outside the server"
    return f" (its threads waited for the server {percent(share)} of the time, so that may be near its limit, too)"


class _Level(NamedTuple):
    threads: float
    rate: float


def _by_threads(load: Load, intervals: Sequence[Interval]) -> Finding | None:
    """What phases of fewer and of more threads say."""
    levels = [level for one in intervals if (level := _level(one, load.scenario.phases))]
    top = max((level.threads for level in levels), default=0.0)
    few = _mean([level for level in levels if top / 10 <= level.threads <= FEW * top])
    many = _mean([level for level in levels if level.threads >= MANY * top])
    if load.rests or not few or not many or not few.rate:
        return None
    gained = (many.rate / few.rate - 1) / (many.threads / few.threads - 1)
    figures = (
        f"{three_digits(few.threads)} threads got {show_rate(few.rate)}, "
        f"{three_digits(many.threads)} threads {show_rate(many.rate)}"
    )
    if gained >= GROWN:
        return Finding("connections", f"Bound by the connections: {figures}; more threads would get more.")
    if gained <= FLAT:
        return Finding("server", f"Bound by the server: {figures}; more threads only wait longer.")
    return None


def _level(interval: Interval, phases: Sequence[PhasePlan]) -> _Level | None:
    """Threads and requests a second in an interval that lies wholly within a phase."""
    begins = 0.0
    for phase in phases:
        ends = begins + phase.duration
        if begins <= interval.start and interval.start + interval.length <= ends and phase.duration:
            middle = (interval.start + interval.length / 2 - begins) / phase.duration
            threads = phase.start + (phase.end - phase.start) * middle
            return _Level(threads, interval.total.requests / interval.length)
        begins = ends
    return None


def _mean(levels: Sequence[_Level]) -> _Level | None:
    if len(levels) < ENOUGH:
        return None
    many = len(levels)
    return _Level(sum(one.threads for one in levels) / many, sum(one.rate for one in levels) / many)
