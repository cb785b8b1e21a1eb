"""One of several machines that share a load: it sees that there is a part for each, and begins when all do."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Final

from loadkit.plan.errors import Interrupted, UsageError
from loadkit.plan.units import MILLISECOND, SECOND, show_count
from loadkit.plan.workload import Open, workload

if TYPE_CHECKING:
    from loadkit.clock import SystemClock
    from loadkit.plan.part import Part
    from loadkit.plan.scenario import Scenario

LEAD: Final = 10 * SECOND
LEAD_OF_THREAD: Final = MILLISECOND
"""Before the beginning, from when on threads connect and are set up; servers close connections that rest for long."""

LOOK_EVERY: Final = SECOND // 10


def check_part(scenario: Scenario, part: Part) -> None:
    """See that there is something in each part, and what is judged can be; `UsageError` if not, on each machine."""
    if part.is_whole:
        return
    if scenario.server is not None:
        raise UsageError(
            f"{scenario.name or 'the scenario'} starts a server of its own, and each machine would load another one; "
            "start it once, and name it with --base-url"
        )
    if over := next((limit.text for limit in scenario.limits if limit.over is not None), None):
        raise UsageError(
            f"the threshold {over!r} is judged while a run goes on, and one machine sees a part of it; "
            "leave it out, or hold it for the whole run"
        )
    _check_enough(scenario, part)


def _check_enough(scenario: Scenario, part: Part) -> None:
    load = workload(scenario)
    if part.count > scenario.total_threads:
        few = show_count(scenario.total_threads, "thread")
    elif scenario.iterations is not None and part.count > scenario.iterations:
        few = show_count(scenario.iterations, "iteration")
    elif isinstance(load, Open):
        arrivals = sum(1 for _ in islice(load.arrivals.dues(), part.count))
        few = show_count(arrivals, "arrival") if part.count > arrivals else ""
    else:
        few = ""
    if few:
        raise UsageError(f"{part.count:,} parts cannot share {few}; give each one at least, or use fewer parts")


def await_lead(part: Part, threads: int, clock: SystemClock, asked: Callable[[], int]) -> None:
    """Wait until it is time to connect. Raises `Interrupted` where the user asks to stop meanwhile."""
    if part.at is None:
        return
    lead = LEAD + threads * LEAD_OF_THREAD
    while (left := part.at - clock.wall_offset - lead - clock.now()) > 0:
        if asked():
            raise Interrupted(f"interrupted before part {part} began")
        clock.pause(min(left, LOOK_EVERY), lambda: False)
        clock.reanchor()


def beginning(part: Part, clock: SystemClock) -> Callable[[], int] | None:
    """What tells, when a machine is ready, the instant at which all begin; `drive` says more.

    That is now where it has passed, and None where each begins as soon as it is ready.
    """
    at = part.at
    if at is None:
        return None

    def begin() -> int:
        clock.reanchor()
        return max(at - clock.wall_offset, clock.now())

    return begin
