"""Caveats of the machine: what it did to the figures, or could not give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from loadkit.judge.evidence import Evidence
from loadkit.judge.validity import Caveat
from loadkit.plan.units import MILLISECOND, SECOND, show_percent, show_seconds, show_size
from loadkit.wire.base import NO_PORT

STOLEN: Final = 0.05
"""Share of the CPUs' time; on a virtual machine one or two hundredths are ordinary."""

THROTTLED: Final = 0.01
"""Share of the measured time that a container may have to wait for its CPU."""

SWAPPED: Final = 1_000_000
"""Bytes; less is what idle programs do."""

SLEPT: Final = 0.05
"""Seconds; more than the inexactness of reading two clocks one after the other."""

LEFT: Final = 16
"""File descriptors: with fewer left, the next connections may fail."""

MOST_PORTS: Final = 0.8
"""Share of the local ports that may be taken."""

STEP: Final = 1 * MILLISECOND
"""A wall clock that moved less was corrected gently, which moves arrivals by less than they are believed."""

UNSTAMPED: Final = 0.01
"""Share of the replies whose arrival may be our own clock's before a p99 is."""

CROWDED: Final = 0.5
"""CPU share up to which threads hardly wait for each other, so our own clock is nearly as good as the kernel's."""


def of_machine(run: Evidence) -> Iterator[Caveat]:
    """What the machine did meanwhile, and where it was near its limits."""
    if run.stats.use.suspended > SLEPT:
        yield Caveat(
            "suspended",
            f"the machine slept for {show_seconds(run.stats.use.suspended)} in mid-run, which no figure counts; what "
            "was under way then may have failed or seem slow: run again",
        )
    yield from _limits(run)
    yield from _starved(run)
    yield from _clock(run)
    if run.context.is_same_host:
        count, busy = run.environment.cpu_count, run.stats.use.cpus_busy
        cpus = f"{count} CPU{'s' * (count != 1)}" + ("" if busy is None else f" ({show_percent(busy)} busy)")
        yield Caveat("same-host", f"the target runs on this machine and shares its {cpus} with loadkit", "note")


def _limits(run: Evidence) -> Iterator[Caveat]:
    """Where there was no more of something, or nearly."""
    use = run.stats.use
    if failed := sum(example.count for example in run.total.examples if NO_PORT in example.message):
        yield Caveat(
            "no-ports",
            f"{_times(failed)} no local port was free for a connection: that is this machine's failure and not the "
            "server's; keep connections alive, or widen net.ipv4.ip_local_port_range",
        )
    if use.descriptors and use.descriptor_limit and use.descriptors > use.descriptor_limit - LEFT:
        yield Caveat(
            "descriptors",
            f"{use.descriptors:,} of {use.descriptor_limit:,} file descriptors were in use: the next connections "
            "would have failed; raise the limit (ulimit -n), or use fewer threads",
            "note",
        )
    if use.ports and use.port_range and use.ports > MOST_PORTS * use.port_range:
        yield Caveat(
            "ports",
            f"up to {use.ports:,} of {use.port_range:,} local ports were taken, most by connections that were "
            "closed a while ago (TIME_WAIT): keep connections alive, or widen net.ipv4.ip_local_port_range",
            "note",
        )


def _starved(run: Evidence) -> Iterator[Caveat]:
    """Where it had to wait for its CPU or its memory."""
    use = run.stats.use
    if use.stolen > STOLEN:
        yield Caveat(
            "steal",
            f"the hypervisor gave {show_percent(use.stolen)} of this machine's CPU time to others (steal): all times "
            "are longer for it; use a machine of its own",
        )
    if use.seconds and use.throttled > THROTTLED * use.seconds:
        yield Caveat(
            "throttled",
            f"this container had used up its share of CPU for {show_seconds(use.throttled)} of "
            f"{show_seconds(use.seconds)}, and all its threads waited; raise its CPU limit",
        )
    if use.swapped > SWAPPED:
        yield Caveat(
            "swapping",
            f"the machine swapped {show_size(use.swapped)} of memory to its disk and back: whoever waited for "
            "that was slow; leave more memory free",
        )


def _clock(run: Evidence) -> Iterator[Caveat]:
    """What arrivals were timed by."""
    use, replies, unstamped = run.stats.use, run.total.response_time.count, run.stats.unstamped
    # the wall clock goes on while a machine sleeps and the monotonic one does not: that is no second reason
    slept = round(use.suspended * SECOND) if use.suspended > SLEPT else None
    steps = [abs(one) for one in run.context.clock_steps if slept is None or abs(one - slept) > SECOND]
    if steps and max(steps) >= STEP:
        count = sum(step >= STEP for step in steps)
        yield Caveat(
            "clock-step",
            f"the wall clock was set {_times(count)}, by up to {show_seconds(max(steps) / SECOND)}; "
            "replies under way then were timed by our own clock",
        )
    if run.environment.clock == "own" and run.total.requests:
        yield Caveat(
            "own-clock",
            "arrivals were not stamped by the kernel but read by our own clock: with many threads, "
            "service times include the wait for the interpreter",
            "doubt" if use.cpu_share > CROWDED else "note",
        )
    elif unstamped > UNSTAMPED * replies:
        yield Caveat(
            "mixed-clock",
            f"the kernel did not stamp {unstamped:,} of {replies:,} replies, so those were timed by our own "
            "clock: with many threads, their service times include the wait for the interpreter",
        )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"
