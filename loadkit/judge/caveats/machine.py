"""Caveats of the machine: what it did to the figures, or could not give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from loadkit.host.usage import Usage
from loadkit.judge.environment import Environment
from loadkit.judge.evidence import Evidence, percent
from loadkit.judge.rows import Row
from loadkit.judge.validity import Caveat
from loadkit.plan.units import MILLISECOND, SECOND, show_seconds, show_size
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
    total, use, environment = run.total, run.stats.use, run.environment
    yield from _suspended(use)
    yield from _ports_failed(total)
    yield from _descriptors(use)
    yield from _ports(use)
    yield from _stolen(use)
    yield from _swapped(use)
    yield from _steps(run.context.clock_steps, use)
    yield from _clock(environment, use, run.stats.unstamped, total.response_time.count)
    if run.context.is_same_host:
        yield _same_host(environment, use)


def _suspended(use: Usage) -> Iterator[Caveat]:
    if use.suspended > SLEPT:
        yield Caveat(
            code="suspended",
            message=(
                f"the machine slept for {show_seconds(use.suspended)} in mid-run, which no figure counts; what was "
                "under way then may have failed or seem slow: run again"
            ),
        )


def _ports_failed(total: Row) -> Iterator[Caveat]:
    failed = sum(example.count for example in total.examples if NO_PORT in example.message)
    if failed:
        yield Caveat(
            code="no-ports",
            message=(
                f"{_times(failed)} no local port was free for a connection: that is this machine's failure and not the "
                "server's; keep connections alive, or widen net.ipv4.ip_local_port_range"
            ),
        )


def _descriptors(use: Usage) -> Iterator[Caveat]:
    if use.descriptors and use.descriptor_limit and use.descriptors > use.descriptor_limit - LEFT:
        yield Caveat(
            code="descriptors",
            message=(
                f"{use.descriptors:,} of {use.descriptor_limit:,} file descriptors were in use: the next connections "
                "would have failed; raise the limit (ulimit -n), or use fewer threads"
            ),
            level="note",
        )


def _ports(use: Usage) -> Iterator[Caveat]:
    if use.ports and use.port_range and use.ports > MOST_PORTS * use.port_range:
        yield Caveat(
            code="ports",
            message=(
                f"up to {use.ports:,} of {use.port_range:,} local ports were taken, most by connections that were "
                "closed a while ago (TIME_WAIT): keep connections alive, or widen net.ipv4.ip_local_port_range"
            ),
            level="note",
        )


def _stolen(use: Usage) -> Iterator[Caveat]:
    if use.stolen > STOLEN:
        yield Caveat(
            code="steal",
            message=(
                f"the hypervisor gave {percent(use.stolen)} of this machine's CPU time to others (steal): all times "
                "are longer for it; use a machine of its own"
            ),
        )
    if use.seconds and use.throttled > THROTTLED * use.seconds:
        yield Caveat(
            code="throttled",
            message=(
                f"this container had used up its share of CPU for {show_seconds(use.throttled)} of "
                f"{show_seconds(use.seconds)}, and all its threads waited; raise its CPU limit"
            ),
        )


def _swapped(use: Usage) -> Iterator[Caveat]:
    if use.swapped > SWAPPED:
        yield Caveat(
            code="swapping",
            message=(
                f"the machine swapped {show_size(use.swapped)} of memory to its disk and back: whoever waited for "
                "that was slow; leave more memory free"
            ),
        )


def _steps(steps: Sequence[int], use: Usage) -> Iterator[Caveat]:
    # the wall clock goes on while a machine sleeps and the monotonic one does not: that is no second reason
    slept = round(use.suspended * SECOND) if use.suspended > SLEPT else None
    told = [step for step in steps if abs(step) >= STEP and (slept is None or abs(step - slept) > SECOND)]
    if told:
        yield Caveat(
            code="clock-step",
            message=(
                f"the wall clock was set {_times(len(told))}, by up to {show_seconds(max(map(abs, told)) / SECOND)}; "
                "replies under way then were timed by our own clock"
            ),
        )


def _clock(environment: Environment, use: Usage, unstamped: int, replies: int) -> Iterator[Caveat]:
    if environment.clock == "own":
        yield Caveat(
            code="own-clock",
            message=(
                "arrivals were not stamped by the kernel but read by our own clock: with many threads, "
                "service times include the wait for the interpreter"
            ),
            level="doubt" if use.cpu_share > CROWDED else "note",
        )
    elif unstamped > UNSTAMPED * replies:
        yield Caveat(
            code="mixed-clock",
            message=(
                f"the kernel did not stamp {unstamped:,} of {replies:,} replies, so those were timed by our own "
                "clock: with many threads, their service times include the wait for the interpreter"
            ),
        )


def _same_host(environment: Environment, use: Usage) -> Caveat:
    cpus = f"{environment.cpu_count} CPU{'s' * (environment.cpu_count != 1)}"
    busy = "" if use.cpus_busy is None else f" ({percent(use.cpus_busy)} busy)"
    return Caveat(
        code="same-host",
        message=f"the target runs on this machine and shares its {cpus}{busy} with loadkit",
        level="note",
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"
