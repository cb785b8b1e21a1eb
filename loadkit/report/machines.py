"""The machines that shared a load: a row each, with what it did and how punctually, and how they are named together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from loadkit.judge.instants import instant
from loadkit.judge.parts import TOGETHER, UNFINISHED, missing_parts
from loadkit.plan.units import SECOND, show_percent, show_seconds
from loadkit.report.figures import count_cell, show_throughput, time_cell
from loadkit.report.table import Cell, Column, Table

if TYPE_CHECKING:
    from loadkit.drive.machines import Machine
    from loadkit.judge.result import Result


def describe_machines(machines: Sequence[Machine]) -> str:
    """Which parts of a load there are: `part 2 of 5`, `4 of 5 parts on 4 machines`; empty where there are none."""
    if not machines:
        return ""
    parts, found = machines[0].parts, len(machines)
    if found == 1:
        return f"part {machines[0].part} of {parts}"
    return f"{found}{f' of {parts}' * (found < parts)} parts on {found} machines"


def describe_missing(machines: Sequence[Machine]) -> str:
    """Which parts are not there, or not to their end: `part 3 of 5 is missing`; empty where all are."""
    unfinished = [one.part for one in machines if one.ended == UNFINISHED]
    found = {"missing": missing_parts(machines), "unfinished": unfinished}
    return " and ".join(_are(numbers, machines[0].parts, what) for what, numbers in found.items() if numbers)


def _are(numbers: Sequence[int], parts: int, what: str) -> str:
    which = ", ".join(map(str, numbers))
    return f"parts {which} of {parts} are {what}" if len(numbers) > 1 else f"part {which} of {parts} is {what}"


def machine_table(result: Result, most: int) -> Table | None:
    """A row for each machine of several, of very many those that were the latest; None where one had all of it."""
    if not result.machines:
        return None
    found = result.machines
    if len(found) > most:
        latest = sorted(found, key=lambda one: -(one.lateness_p99 or 0.0))[:most]
        found = [one for one in found if one in latest]
    more = len(result.machines) - len(found)
    first = min(instant(one.started_at) for one in result.machines)
    columns = [
        Column("threads", [count_cell(one.threads) for one in found], drop_order=6),
        Column("requests", [count_cell(one.requests) for one in found]),
        Column("throughput", [Cell(show_throughput(one.throughput), one.throughput) for one in found], drop_order=1),
        Column("errors", [count_cell(one.failures, "bad" if one.failures else "") for one in found], drop_order=2),
        Column("CPU", [_cpu(one) for one in found], drop_order=3),
        Column("begun after", [_start(one, first) for one in found], drop_order=2),
        *_clocks(found),
        Column("sent late p99", [time_cell(one.lateness_p99) for one in found], drop_order=4),
        Column("from", [Cell(" ".join(one.addresses) or "-") for one in found], drop_order=5),
        *_ends(found),
    ]
    note = f"these {len(found):,} sent the latest; {more:,} more in the JSON"
    return Table(
        caption="Machines",
        head="machine",
        names=[f"{one.part}/{one.parts} {one.host}" for one in found],
        columns=columns,
        notes=[Cell(note)] if more else [],
    )


def _cpu(one: Machine) -> Cell:
    """Of how many CPUs it used how much, in CPUs."""
    if not one.duration or not one.cpu_capacity:
        return Cell("-")
    used = one.cpu_seconds / one.duration
    return Cell(f"{show_percent(used)} of {one.cpu_capacity:g}", used)


def _start(one: Machine, first: int) -> Cell:
    """How much later than the first it began to measure."""
    after = (instant(one.started_at) - first) / SECOND
    return Cell(show_seconds(after) if after else "0", after, "doubt" if after > TOGETHER else "")


def _clocks(found: Sequence[Machine]) -> list[Column]:
    """How far the clock of each is ahead, where that is known of any."""
    if all(one.clock_offset is None for one in found):
        return []
    return [Column("clock ahead", [_clock(one) for one in found], drop_order=2)]


def _clock(one: Machine) -> Cell:
    if one.clock_offset is None:
        return Cell("-")
    sign = "-" * (one.clock_offset < 0)
    error = f" ± {show_seconds(one.clock_error)}" if one.clock_error else ""
    return Cell(f"{sign}{show_seconds(abs(one.clock_offset))}{error}", one.clock_offset)


def _ends(found: Sequence[Machine]) -> list[Column]:
    if not any(one.ended for one in found):
        return []
    return [Column("ended", [Cell(one.ended, tone="doubt") for one in found])]
