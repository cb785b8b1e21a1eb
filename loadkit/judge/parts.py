"""Parts of one load, each run by a machine of its own: what is stored of each, and whether all of them are there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from loadkit.drive.machines import CLOCK_WRONG, Machine
from loadkit.judge.instants import instant, later
from loadkit.judge.threshold_results import MIN_APPLIED
from loadkit.judge.validity import Caveat
from loadkit.plan.errors import UsageError
from loadkit.plan.units import SECOND, nanoseconds, show_seconds

if TYPE_CHECKING:
    from loadkit.judge.description import ScenarioInfo
    from loadkit.judge.evidence import Evidence, RunContext
    from loadkit.judge.result import Result

TARGET: Final = "the target"

PARTS_LACK: Final = frozenset({"parts-missing", "parts-unfinished"})
OF_MACHINES: Final = PARTS_LACK | {"parts-apart", "clocks-apart", "clock-wrong"}
"""Caveats that all parts together give reason for."""

INTERRUPTED: Final = "interrupted"
UNFINISHED: Final = "unfinished"
"""How a part ended of which there is only what was written while it went on."""

_MOST: Final = 3
"""Machines that are named in a sentence."""

TOGETHER: Final = 0.05
"""Seconds between the beginnings of two machines that begin together."""


def late_start(run: Evidence) -> float:
    """Seconds from the instant at which all machines were to begin until this one did; none where there is none."""
    at = run.context.part.at
    if at is None or run.stats.interrupted:
        return 0.0
    return max(0, instant(run.context.measured_at) - nanoseconds(run.scenario.warmup) - at) / SECOND


def corrected(text: str, context: RunContext) -> str:
    """An instant of a part: by the clock of the target, which all parts have in common, where its own is wrong."""
    ahead = context.clock_ahead[0] if context.clock_ahead else 0.0
    return later(text, -ahead) if abs(ahead) > CLOCK_WRONG else text


def this_part(run: Evidence) -> Machine:
    """What this machine did of a load that several share."""
    part, total, ahead = run.context.part, run.total, run.context.clock_ahead
    return Machine(
        host=run.environment.host or "machine",
        part=part.number + 1,
        parts=part.count,
        started_at=corrected(run.context.measured_at, run.context),
        duration=run.duration,
        processes=run.processes,
        threads=run.stats.threads,
        requests=total.requests,
        throughput=total.throughput,
        failures=sum(total.failures.values()),
        cpu_seconds=run.environment.cpu_seconds,
        cpu_capacity=run.environment.cpu_capacity,
        lateness_p99=total.lateness.p99,
        lateness_max=total.lateness.max,
        late_start=late_start(run),
        clock_offset=ahead and ahead[0],
        clock_error=ahead[1] if ahead else 0.0,
        addresses=list(run.context.addresses),
        ended=INTERRUPTED if run.stats.interrupted else "" if run.is_over else UNFINISHED,
    )


# -- parts that are merged


def is_part(result: Result) -> bool:
    """True if some machines are missing that share the load, so that it is not judged yet."""
    return bool(missing_parts(result.machines))


def lacks_load(result: Result) -> bool:
    """True for a part whose load was not applied, or that never came to its end, of which a grave caveat tells."""
    was_interrupted = any(one.ended == INTERRUPTED for one in result.machines)
    return is_part(result) and result.outcome in ("not-applied", "interrupted") and not was_interrupted


def check_parts(results: Sequence[Result]) -> None:
    """See that these may be parts of one run, or none is a part; `UsageError` if not."""
    parts = [result for result in results if is_part(result)]
    machines = [machine for result in parts for machine in result.machines]
    if machines and len(parts) < len(results):
        raise UsageError(f"{machines[0].name} is a part of a load, and another result is all of it; they cannot be one")
    if len({machine.parts for machine in machines}) > 1:
        few, many = (pick(machines, key=lambda one: one.parts) for pick in (min, max))
        raise UsageError(f"{few.name} and {many.name} are not parts of one run, for there are not as many")
    counts = Counter(machine.part for machine in machines)
    if again := [machine for machine in in_order_of_parts(machines) if counts[machine.part] > 1]:
        raise UsageError(f"{' and '.join(one.name for one in again[:2])} are the same part, and would be counted twice")


def in_order_of_parts(machines: Iterable[Machine]) -> list[Machine]:
    """The same in any order that they come in."""
    return sorted(machines, key=lambda one: (one.part, msgspec.json.encode(one)))


def missing_parts(machines: Sequence[Machine]) -> list[int]:
    """The parts that there were to be, and are not there."""
    return sorted({*range(1, machines[0].parts + 1)} - {one.part for one in machines}) if machines else []


def named(result: Result) -> list[Caveat]:
    """The caveats of a result, of a part that is not merged yet with the name of its machine where they doubt figures.

    Those that all parts together give reason for are left out.
    """
    if not is_part(result):
        return result.caveats
    found = [one for one in result.caveats if one.code not in OF_MACHINES]
    if result.spans[0].threads is not None:
        return found
    name = result.machines[0].name
    return [
        one if one.level == "note" else msgspec.structs.replace(one, message=f"{name}: {one.message}") for one in found
    ]


def share_of(scenario: ScenarioInfo, machine: Machine) -> ScenarioInfo:
    """What was asked of one machine, as far as it adds up."""
    return msgspec.structs.replace(
        scenario,
        threads=machine.threads,
        rate=None if scenario.rate is None else scenario.rate / machine.parts,
        max_threads=None if scenario.max_threads is None else scenario.max_threads // machine.parts,
    )


def of_machines(machines: Sequence[Machine], duration: float) -> Iterator[Caveat]:
    """What keeps the load of several machines from having been that of the plan."""
    if missing := missing_parts(machines):
        parts = machines[0].parts
        names = f"part {missing[0]} is" if len(missing) == 1 else f"parts {', '.join(map(str, missing))} are"
        message = f"{names} missing: these figures are of {parts - len(missing)} of {parts} parts of the load"
        yield Caveat("parts-missing", message, "grave")
    for one in machines:
        if one.ended == UNFINISHED:
            yield Caveat(
                "parts-unfinished",
                f"{one.name} did not come to its end: it was killed, or still runs. This is what it had counted after "
                f"{show_seconds(one.duration)}, and the rest of its load is not known to have been applied",
                "grave",
            )
    starts = sorted((instant(one.started_at), one.name) for one in machines)
    yield from _apart(starts[0], starts[-1], duration, code="parts-apart", by="")
    yield from wrong_clocks(machines, TARGET)
    # the beginning of one whose clock is wrong is told by that of the target already
    right = [one for one in machines if not one.is_clock_wrong]
    known = [(instant(one.started_at), one) for one in right if one.clock_offset is not None]
    if len(known) > 1:
        # by the clock of the target, as late as it may have been, and as early
        first = min((at - nanoseconds((one.clock_offset or 0) - one.clock_error), one.name) for at, one in known)
        last = max((at - nanoseconds((one.clock_offset or 0) + one.clock_error), one.name) for at, one in known)
        by = " at least, by the clock of the target"
        yield from _apart(first, last, duration, code="clocks-apart", by=by)


def wrong_clocks(machines: Sequence[Machine], whose: str) -> Iterator[Caveat]:
    """Which clocks were wrong by that of somebody, by which their instants are told."""
    if found := [one for one in machines if one.is_clock_wrong]:
        named = ", ".join(f"{one.name} {_ahead(one.clock_offset or 0.0)}" for one in found[:_MOST])
        more = f" and {len(found) - _MOST:,} more" if len(found) > _MOST else ""
        message = f"clocks were wrong by that of {whose}, by which instants are told here: {named}{more}"
        yield Caveat("clock-wrong", message, "note")


def _ahead(seconds: float) -> str:
    return f"{show_seconds(abs(seconds))} {'ahead' if seconds > 0 else 'behind'}"


def _apart(first: tuple[int, str], last: tuple[int, str], duration: float, *, code: str, by: str) -> Iterator[Caveat]:
    apart = (last[0] - first[0]) / SECOND
    if apart > max(TOGETHER, (1 - MIN_APPLIED) / 5 * duration):
        yield Caveat(
            code,
            f"{last[1]} began {show_seconds(apart)} after {first[1]}{by}, so not all of the load was there all the "
            "time; give all of them the same --at, and see that their clocks are set by the same time servers",
            "grave" if apart > (1 - MIN_APPLIED) * duration else "doubt",
        )
