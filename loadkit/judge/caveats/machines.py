"""Caveats of single machines: one of several that share a load may be what is slow, where all together are not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from loadkit.judge.caveats.generator import MATTERS
from loadkit.judge.evidence import BUSY, LATE, LONG_ENOUGH, Evidence
from loadkit.judge.parts import TARGET, this_part, wrong_clocks
from loadkit.judge.validity import Caveat
from loadkit.plan.units import show_percent, show_seconds

if TYPE_CHECKING:
    from loadkit.drive.machines import Machine


def of_each_machine(run: Evidence) -> Iterator[Caveat]:
    """What a machine did to the figures by itself."""
    if run.stats.machines:
        yield from wrong_clocks(run.stats.machines, "the machine that directs them")
    elif not run.context.part.is_whole:
        yield from wrong_clocks([this_part(run)], TARGET)
    for doubt in (_busy, _late):
        found = [caveat for machine in run.stats.machines for caveat in doubt(machine, run)]
        # what is so on all of them is said of the run
        if len(found) < len(run.stats.machines):
            yield from found


def _busy(machine: Machine, _: Evidence) -> Iterator[Caveat]:
    if machine.duration < LONG_ENOUGH:
        return
    can = min(machine.processes, machine.cpu_capacity) if machine.cpu_capacity else machine.processes
    share = machine.cpu_seconds / machine.duration / can
    if share > BUSY:
        yield Caveat(
            "generator-busy",
            f"{machine.name}: loadkit used {show_percent(share)} of what its interpreters can use there, and may have "
            "sent less than the others; use more workers, or ask for less",
        )


def _late(machine: Machine, run: Evidence) -> Iterator[Caveat]:
    service, late = run.total.service_time.p50, machine.lateness_p99
    if run.is_open and service and late is not None and late > max(LATE, MATTERS * service):
        yield Caveat(
            "late",
            f"{machine.name}: requests were sent up to {show_seconds(late)} (p99) after they were due; the response "
            "time has that wait in it, which is that machine's own",
        )
