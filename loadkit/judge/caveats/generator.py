"""Caveats of the generator: did loadkit do what it was asked to, and was it fast enough not to be what was measured?"""

from __future__ import annotations

import importlib.util
import math
import sys
import threading
from collections.abc import Iterator
from typing import Final

from loadkit.judge.evidence import LATE, Evidence
from loadkit.judge.threshold_results import MIN_APPLIED
from loadkit.judge.validity import Caveat
from loadkit.plan.units import SECOND, nanoseconds, show_count, show_percent, show_rate, show_seconds, three_digits

MATTERS: Final = 0.1
"""Share of the median service time that the generator may add at p99 before it changes what is measured."""

BUNCHED: Final = 0.05
"""Share of the requests that may be sent after the next one was due before arrivals are no longer spaced as planned."""

SLOW_PICKUP: Final = 0.5
"""Share of the median service time, and seconds, that a reply may wait in the median to be read."""
LONG_PICKUP: Final = 0.0001

SLACK: Final = 0.2
"""Share by which requests in flight may differ from Little's law, beside 1 and four times the chance of the looks."""
LOOKS: Final = 10.0
"""A second."""

STEADY: Final = 20
"""Service times that a run must be long for those at its edges not to count."""


def of_generator(run: Evidence) -> Iterator[Caveat]:
    """What loadkit did to its own figures."""
    yield from _asked(run)
    yield from _short(run)
    yield from _busy(run)
    yield from _late(run)
    yield from _pickup(run)
    yield from _little(run)


def _asked(run: Evidence) -> Iterator[Caveat]:
    """Where the load was not applied: that of the run, or although it was that of a phase."""
    if not run.sent and not run.begun:
        yield Caveat("nothing-sent", "not one request was sent, so nothing was measured", "grave")
        return
    if not run.is_open:
        return
    if run.sent < MIN_APPLIED * run.due:
        message = f"asked {show_rate(run.asked_rate)}, sent {show_rate(run.sent_rate)}"
        # a run that ends because the server stalls says so by its threshold
        yield Caveat("asked-rate", f"{message}{_why(run)}", "doubt" if run.is_ended_by_server else "grave")
        return
    if run.begun < MIN_APPLIED * (run.begun + run.not_begun):
        message = f"{run.begun:,} of {run.begun + run.not_begun:,} journeys that were due began"
        yield Caveat("asked-rate", f"{message}{_why(run)}", "grave")
    for phase in run.phases:
        sent = phase.total.requests + phase.total.cut
        due = sent + phase.total.unsent
        if sent < MIN_APPLIED * due:
            yield Caveat(
                "asked-rate",
                f"in the phase {phase.name!r} {sent:,} of {show_count(due, 'request')} that were due were sent: its "
                "figures are of another load than was asked for",
            )


def _why(run: Evidence) -> str:
    if run.is_generator_busy or run.is_generator_slow:
        return _ceiling(run)
    if run.stats.was_short:
        return f": all {run.most_threads:,} threads waited for replies; raise max_threads, or ask for less"
    share = (run.sent + run.begun) / (run.due + run.begun + run.not_begun)
    return f", {show_percent(share)} of what was due: the figures are of another load than was asked for"


def _ceiling(run: Evidence) -> str:
    """What one process could send; with many threads that wait for a slow server it is less than with a few."""
    user = run.cpu_user.replace("one interpreter", "an interpreter")
    cpu = f" at {show_percent(run.cpu_share)} of {user}" if run.cpu_share else ""
    threads = f" on {show_count(run.stats.threads, 'thread')}" if run.stats.threads else ""
    crowd = run.stats.use.cpus_busy
    others = f" (the machine's CPUs were {show_percent(crowd)} busy)" if crowd and not run.is_generator_busy else ""
    advice = f"use {run.more_processes}, or ask for less"
    if not run.is_generator_slow and run.server_share is not None:
        advice = (
            f"use {run.more_processes}, a smaller max_threads (most of them waited for the server), or ask for less"
        )
    who = "one process" if run.processes == 1 else f"{run.processes:,} processes"
    if run.stats.machines:
        who = show_count(run.processes, "machine")
    who += " beside the other scenarios" if run.context.companions else ""
    return f"{cpu}{others}: about {show_rate(run.sent_rate)} is what {who} can send here{threads}; {advice}"


def _short(run: Evidence) -> Iterator[Caveat]:
    total = run.total
    unsent = total.unsent + run.not_begun
    if run.stats.was_short and (unsent or run.lateness > LATE):
        yield Caveat(
            "max-threads",
            f"all {run.most_threads:,} threads were busy when requests were due, so some were sent late "
            f"(p99 {show_seconds(total.lateness.p99)}) and {unsent:,} not at all; the response time has that "
            "wait in it. Raise max_threads if the clients that you mean would not have waited for each other",
        )


def _busy(run: Evidence) -> Iterator[Caveat]:
    if not run.is_generator_busy or not run.total.requests:
        return
    use, pickup = run.stats.use, run.total.pickup.p50
    user, system = use.cpu_user / use.seconds, use.cpu_system / use.seconds
    waited = "Use"
    if pickup is not None:  # a reply was good
        waited = f"Replies waited {show_seconds(pickup)} in the median to be picked up, which is not in the service "
        waited += "time; use"
    yield Caveat(
        "generator-busy",
        f"loadkit itself used {show_percent(run.cpu_share)} of what {run.cpu_user} can use ({show_percent(user)} of a "
        f"CPU in {'Python' if 'loop' not in run.cpu_user else 'its own code'}, {show_percent(system)} in the kernel): "
        f"the server may be able to do more. {waited} "
        f"{run.more_processes}, or ask for less",
    )


def _late(run: Evidence) -> Iterator[Caveat]:
    """Sent late although threads were free: that is loadkit, or its machine, and no server."""
    total, service = run.total, run.total.service_time.p50
    if not run.is_open or run.stats.was_short or not service or run.sent < MIN_APPLIED * run.due:
        return  # there is another reason, or a worse one
    gap = 1 / run.asked_rate
    is_even = run.scenario.arrivals == "constant"  # others come in bunches by nature
    # a spacing is lost when a request waits for the next
    count, in_time = total.lateness.count, total.lateness.histogram.below(nanoseconds(max(gap, LATE)) + 1)
    bunched = (count - in_time) / count if is_even and count else 0.0
    is_late = run.lateness > max(LATE, MATTERS * service)
    if not is_late and bunched <= BUNCHED:
        return
    spacing = (
        f", and {show_percent(bunched)} of them after the next one was due ({show_seconds(gap)} apart as planned)"
        if bunched > BUNCHED
        else ""
    )
    yield Caveat(
        "late",
        f"requests were sent up to {show_seconds(run.lateness)} (p99) after they were due{spacing}; the service "
        f"time is {show_seconds(service)} in the median. The response time has that wait in it, which is "
        f"loadkit's own: compare the service time (p99 {show_seconds(total.service_time.p99)}), use a quieter "
        f"machine, or {run.more_processes}",
    )


def _pickup(run: Evidence) -> Iterator[Caveat]:
    pickup, service = run.total.pickup.p50, run.total.service_time.p50
    if run.is_generator_busy or not pickup or not service:
        return
    if pickup > max(LONG_PICKUP, SLOW_PICKUP * service):
        yield Caveat(
            "pickup",
            f"replies waited {show_seconds(pickup)} in the median until loadkit read them, "
            f"{show_percent(pickup / service)} of the service time: it is not in the service time, but its threads "
            f"sent less for it. Use fewer threads, a quieter machine, or {run.more_processes}",
        )


def _little(run: Evidence) -> Iterator[Caveat]:
    """Throughput times the mean time of a request is the mean number of them under way, whatever the distribution.

    J. D. C. Little, "A Proof for the Queuing Formula: L = lambda W", Operations Research 9 (3), 1961. What is
    multiplied is the whole time that a request has its thread, loadkit's own part of it too.
    """
    seen, total = run.stats.in_flight, run.total
    if seen is None or not run.is_long_enough or not total.response_time.count or run.scenario.journeys:
        return
    spans = [total.service_time, total.pickup] + ([] if run.is_open else [total.lateness])
    mean = sum(span.sum_ns for span in spans) / SECOND / total.response_time.count
    if mean * STEADY > run.duration or total.cut or total.error_rate > MATTERS / 10 or total.reconnects:
        return
    expected = mean * total.response_time.count / run.duration
    more = max(seen, expected)
    if abs(seen - expected) > 1 + SLACK * more + 4 * math.sqrt(more / (LOOKS * run.duration)):
        yield Caveat(
            "little",
            f"throughput x mean time is {three_digits(expected)} requests under way, and {three_digits(seen)} were "
            "seen (Little's law): "
            + (
                "threads were held by something that is in no figure, such as checks"
                if seen > expected
                else "times or counts are wrong; please report it"
            ),
        )


def of_surroundings() -> Iterator[Caveat]:
    """What else runs in this interpreter."""
    if tools := tracing():
        yield Caveat(
            "traced",
            f"a debugger, profiler or coverage was active ({', '.join(tools)}): loadkit is slower for it, and "
            "so is the load; run without it",
        )
    if importlib.util.find_spec("niquests"):
        yield Caveat(
            "niquests",
            "niquests is installed; it replaces the urllib3 under requests in this whole environment",
            "note",
        )


def tracing() -> list[str]:
    """The names of what watches each line or call of this interpreter."""
    hooks = {"sys.settrace": sys.gettrace(), "sys.setprofile": sys.getprofile()}
    hooks |= {"threading.settrace": threading.gettrace(), "threading.setprofile": threading.getprofile()}
    found = [_owner(hook) or name for name, hook in hooks.items() if hook]
    # Python 3.12 and newer: up to six tools by number
    if monitoring := getattr(sys, "monitoring", None):
        found += [name for number in range(6) if (name := monitoring.get_tool(number))]
    return list(dict.fromkeys(found))


def _owner(hook: object) -> str:
    """Whose function it is: `coverage.tracer` is coverage's, `pydevd...` a debugger's."""
    module = getattr(hook, "__module__", None) or type(hook).__module__
    return "" if module in ("builtins", "__main__") else str(module).partition(".")[0]
