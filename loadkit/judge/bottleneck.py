"""Is it me or the server: what kept a run from doing more, as far as one run can tell.

What can be told, and from what:

- An open workload that sent what was due did all it was asked to: it is bound by its **rate**. A closed one whose
  threads mostly pause as they were told to is bound by its plan, too.
- Where the **generator** used nearly all the CPU that one interpreter can use, or its threads spent more of their time
  in loadkit than at the server, more of it would have sent more.
- An open workload whose replies came later with each second, while no more of them came, is bound by the **server**:
  requests queue there, whether all that was due could be sent or not.
- An open workload that could not send what was due, because all the threads it may have waited for replies, began with
  few of them under way. Replies that were fast then and have been slow since queue at the **server**; replies that took
  no less then are waited for, and more **connections** would get more. Where some are fast at any time, as of a server
  with fast and slow ones, one run does not tell.
- A closed workload has a request under way on each thread, whatever bounds it: its throughput is threads / service
  time by construction, and one number of threads does not tell whether more would get more. Phases with fewer and
  with more threads do: throughput that grows with them is bound by the **connections**, throughput that does not by
  the **server**.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Literal

import msgspec

from loadkit.judge.evidence import MOSTLY, Evidence
from loadkit.judge.rows import Interval
from loadkit.judge.scaling import ENOUGH, scaling
from loadkit.plan.units import SECOND, show_count, show_percent, show_rate, show_seconds, three_digits

RATE_REACHED: Final = 0.99
"""The share of what was due that must have been sent for the rate to be what bound the run."""

BEHIND: Final = 0.98
"""With fewer replies than this share of what was sent in the same time, requests pile up somewhere."""

LONGER: Final = 3.0
"""How many times as long as in the beginning replies must take in the end for them to have come ever later."""

PUNCTUAL: Final = 0.2
"""The share of the response time that requests may have waited for a thread for it to be the server's."""

FAST: Final = 0.5
"""The share of the median service time below which a reply was a fast one."""

SAME: Final = 0.8
"""The share of the median service time above which a reply took no less than the others."""

QUEUED: Final = 3.0
"""How many times as many fast replies as a queue that fills once leaves there may be for it to have been one."""

SETTLED: Final = 4
"""A run must have had so many times as many replies as came while its queue filled."""

FULL: Final = 0.9
"""Share of CPU above which the generator cannot send more, although its threads mostly wait for the server."""

BAD: Final = 0.5
"""With more failures than this there is no load to speak of."""

LEAST: Final = 2
"""Threads of an open run: one alone has never more than one under way."""

DUE_TO: Final[dict[Cause, str]] = {
    "rate": "the asked rate",
    "generator": "the generator",
    "server": "the server",
    "connections": "the connections",
}


Cause = Literal["server", "generator", "rate", "connections"]
"""What kept a run from doing more. `rate` is the plan's own pace: its arrivals, or the pauses of its threads."""


class Bottleneck(msgspec.Struct, frozen=True):
    """What kept a run from doing more."""

    cause: Cause | None = None
    """None where one run cannot tell."""
    sentence: str = ""
    """The same with its figures, or with what would tell; empty of short runs and where the server ended."""


NOTHING = Bottleneck()


def bottleneck(run: Evidence, intervals: Sequence[Interval] = ()) -> Bottleneck:
    """What kept the run from doing more."""
    total = run.total
    if not run.is_long_enough or not total.response_time.count or total.error_rate > BAD:
        return NOTHING
    if run.shares_interpreter:
        return Bottleneck(None, "Server and generator are one process, so nothing tells which of them bound the run.")
    return _of_open(run, intervals) if run.is_open else _of_closed(run, intervals)


# -- open


def _of_open(run: Evidence, intervals: Sequence[Interval]) -> Bottleneck:
    if run.sent >= RATE_REACHED * run.due:
        return _queueing(run, intervals) or _rate(run)
    if run.is_generator_slow or run.cpu_share > FULL:
        return _generator(run)
    if run.stats.was_short:
        return _queueing(run, intervals) or _of_all_threads(run)
    return Bottleneck(
        None,
        f"Bound by the generator or by the server, which one run cannot tell: {_cpu(run)}, and not all "
        f"{run.most_threads:,} threads were in use. Run again with {run.more_processes}: "
        "if more are sent, it was loadkit.",
    )


def _rate(run: Evidence) -> Bottleneck:
    total = run.total
    if run.scenario.journeys:
        asked = show_rate(run.scenario.rate or 0)
        return Bottleneck("rate", f"Bound by the asked rate: all of {asked} began{_hands(run)}.")
    asked = show_rate(run.asked_rate)
    failed = sum(total.failures.values()) + total.cut
    done = f"the server answered all of {asked}" if not failed else f"all of {asked} was sent"
    return Bottleneck("rate", f"Bound by the asked rate: {done}{_hands(run)}.")


def _hands(run: Evidence) -> str:
    if run.stats.in_flight is None:
        return ""
    busy = three_digits(run.stats.in_flight) if run.stats.in_flight >= 1 else "less than one"
    return f" with {busy} of up to {show_count(run.most_threads, 'thread')} busy in the mean"


def _queueing(run: Evidence, intervals: Sequence[Interval]) -> Bottleneck | None:
    """The server, if replies fell behind, and came later and later, and not for want of a thread to send them."""
    total = run.total
    answered = total.requests - total.drained
    late, whole = total.lateness.p50 or 0.0, total.response_time.p50 or 0.0
    if answered >= BEHIND * run.sent or late > PUNCTUAL * whole or not _grows(run, intervals):
        return None
    sent = f"{show_rate(run.sent_rate)} were sent"
    sent += " as asked" if run.sent >= RATE_REACHED * run.due else f" of the {show_rate(run.asked_rate)} asked"
    return Bottleneck(
        "server",
        f"Bound by the server: {sent}, {show_rate(answered / run.duration)} were answered, and replies took "
        "longer with each second: requests queue there.",
    )


def _grows(run: Evidence, intervals: Sequence[Interval]) -> bool:
    """Replies took ever longer; where the load changed with phases, in the second half."""
    known = [
        median
        for one in intervals
        if one.measured >= one.length / 2 and (median := one.total.response_time.p50) is not None
    ]
    tail = known[len(known) // 2 :] if run.scenario.phases else known
    if len(tail) < ENOUGH or tail[-1] < LONGER * min(known):
        return False
    return all(after > 0.9 * before for before, after in pairwise(tail)) and tail[-1] > tail[0]


def _of_all_threads(run: Evidence) -> Bottleneck:
    """All threads waited for replies: whether more of them would have got more."""
    median = run.total.service_time.p50
    waited = f"all {run.most_threads:,} threads (max_threads) waited for replies, {show_seconds(median)} in the median"
    sent = f"{show_rate(run.sent_rate)} of the {show_rate(run.asked_rate)} asked were sent"
    by = _by_fast_ones(run)
    if by == "server":
        least = show_seconds(run.total.service_time.min)
        return Bottleneck(
            "server",
            f"Bound by the server: {waited}, and {least} when few were under way; {sent}, and no more are answered "
            "for more that wait: requests queue there.",
        )
    if by == "connections":
        return Bottleneck(
            "connections",
            f"Bound by the connections: {waited}, and no less when few were under way; {sent}. With more max_threads "
            "more would be sent.",
        )
    return Bottleneck(
        None,
        f"Bound by the connections or by the server, which one run cannot tell: {waited}; {sent}. Run again with twice "
        "max_threads: if no more are answered, it is the server.",
    )


def _by_fast_ones(run: Evidence) -> Cause | None:
    """What the replies tell that came while the threads filled up, from few requests under way to one on each.

    They come at the rate at which the server answers while requests come at the rate that is asked; up to half of the
    threads a queue leaves replies that are faster than half of those of the full one, and half of these in half of
    that time. Without a queue there are none, unless replies are now fast and now slow.
    """
    times, threads = run.total.service_time, run.most_threads
    if run.scenario.warmup or run.scenario.phases or run.scenario.journeys or not times.p50 or threads < LEAST:
        # it filled up before it was looked at, or otherwise, or each request is another
        return None
    counted = times.histogram
    fast = counted.below(round(times.p50 * FAST * SECOND))
    if counted.below(round(times.p50 * SAME * SECOND)) <= threads / 16:
        return "connections"
    filling = threads * FAST * run.asked_rate / max(run.asked_rate - run.sent_rate, 1e-9)
    is_queue = threads * FAST / QUEUED <= fast <= QUEUED * filling and times.count >= SETTLED * filling
    # of two kinds of replies all fast ones may be of one kind
    half = counted.below(round(times.p50 * FAST * FAST * SECOND))
    return "server" if is_queue and fast / 8 <= half <= 0.8 * fast else None


# -- closed


def _of_closed(run: Evidence, intervals: Sequence[Interval]) -> Bottleneck:
    many = run.most_threads
    if run.rests and run.stats.in_flight is not None and run.stats.in_flight < many / 2:
        share = 1 - run.stats.in_flight / many
        return Bottleneck(
            "rate", f"Bound by the pauses of the plan: its threads rested {show_percent(share)} of the time."
        )
    if run.is_generator_slow or run.cpu_share > FULL:
        return _generator(run)
    waited = run.at_server / many
    if run.scenario.journeys and waited < MOSTLY:
        return Bottleneck(
            None,
            f"Its threads waited for replies {show_percent(waited)} of the time; the rest went by in the journeys' own "
            f"pauses, code and other clients, and {_cpu(run)}.",
        )
    return _by_scaling(run, intervals) or Bottleneck(
        None,
        f"Bound by the server or by the connections, which one run cannot tell: {_under_way(run)}, and "
        f"{_cpu(run)}. Run again with {2 * many:,} threads: if the throughput stays the same, it is the server.",
    )


def _under_way(run: Evidence) -> str:
    many = run.most_threads
    threads = f"{many:,} thread{'s' * (many != 1)}"
    if run.rests and run.stats.in_flight is not None:
        return f"{three_digits(run.stats.in_flight)} of {threads} had a request under way in the mean"
    if run.scenario.journeys:
        return f"{threads} waited for replies {show_percent(run.at_server / many)} of the time"
    if run.scenario.phases:
        return f"the threads of the plan, up to {many:,}, always had a request under way"
    return f"{threads} always had a request under way"


def _cpu(run: Evidence) -> str:
    if not run.stats.use.seconds:
        return "it is not known how much CPU loadkit used"
    return f"loadkit used {show_percent(run.cpu_share)} of the CPU that {run.cpu_user} can use"


def _generator(run: Evidence) -> Bottleneck:
    return Bottleneck(
        "generator", f"Bound by the generator: {_cpu(run)}{_elsewhere(run)}; it sent {show_rate(run.sent_rate)}."
    )


def _elsewhere(run: Evidence) -> str:
    """Where its threads spent their time."""
    share = run.server_share
    if share is None:
        return ""
    if run.is_generator_slow:
        return f", and {show_percent(1 - share)} of its threads' time went by outside the server"
    return f" (its threads waited for the server {show_percent(share)} of the time, so that may be near its limit, too)"


def _by_scaling(run: Evidence, intervals: Sequence[Interval]) -> Bottleneck | None:
    """What phases of fewer and of more threads say."""
    found = None if run.rests else scaling(intervals, run.scenario.phases)
    if found is None:
        return None
    few, many, has_grown = found
    figures = (
        f"{three_digits(few.threads)} threads got {show_rate(few.rate)}, "
        f"{three_digits(many.threads)} threads {show_rate(many.rate)}"
    )
    if has_grown:
        return Bottleneck("connections", f"Bound by the connections: {figures}; more threads would get more.")
    return Bottleneck("server", f"Bound by the server: {figures}; more threads only wait longer.")
