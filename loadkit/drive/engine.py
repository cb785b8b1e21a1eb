"""What carries the users of a closed workload: exchange loops, or a thread of the system each."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from loadkit.host.locality import is_here
from loadkit.host.usage import allowed_cpus, cpu_quota
from loadkit.plan.errors import UsageError
from loadkit.plan.journey import Journey
from loadkit.plan.scenario_fields import parse_engine
from loadkit.wire.exchange_loop.choice import IS_AVAILABLE, is_native
from loadkit.wire.sockets import SocketWire

if TYPE_CHECKING:
    from loadkit.drive.run_plan import RunPlan
    from loadkit.plan.endpoint import Endpoint
    from loadkit.plan.workload import ThreadPlan
    from loadkit.wire.base import Request

ENGINE: Final = "LOADKIT_ENGINE"
"""The variable of the environment with the engine of those scenarios to which nobody gave one."""
LOOPS: Final = "LOADKIT_LOOPS"
"""That with the number of exchange loops, where it is not to be that of the CPUs."""
USERS_OF_LOOP: Final = 16
"""Of fewer users a loop has so little to do at a time that a second one costs more than it carries."""


def is_carried(run: RunPlan, user: ThreadPlan) -> bool:
    """True for a user of whose code, or ours, nothing runs between two requests."""
    scenario = run.scenario
    if _engine_of(run) != "loop" or not IS_AVAILABLE or not isinstance(run.wire, SocketWire):
        return False
    if run.log or run.is_monitored or scenario.has_values or callable(scenario.think_time):
        return False
    return all(_is_plain(scenario.plans[position], run.requests[position]) for position in set(user.rotation))


def _engine_of(run: RunPlan) -> str:
    asked: str = run.scenario.engine
    if asked == "auto":
        asked = parse_engine(os.environ.get(ENGINE, "auto"), what=ENGINE)
    return asked if asked != "auto" else "threads"


def _is_plain(plan: Endpoint | Journey, request: Request | None) -> bool:
    """True for an endpoint whose replies nobody looks at, over plain TCP."""
    if isinstance(plan, Journey) or request is None or request.origin.tls:
        return False
    return plan.check is None and not plan.follow


def loop_count(run: RunPlan, users: int) -> int:
    """One loop for each CPU that these users may use, if each has enough of them to do; one in Python."""
    if not is_native(run.clock):
        return 1
    if asked := os.environ.get(LOOPS):
        if not asked.isdecimal() or not int(asked):
            raise UsageError(f"{LOOPS} takes a whole number of at least 1, not {asked!r}")
        return min(int(asked), users)
    origins = {request.origin for request in run.requests if request}
    spared = any(origin.unix or is_here(origin.host) for origin in origins)
    cpus = int(min(allowed_cpus(), cpu_quota())) - spared
    return max(1, min(cpus // run.load.part.processes, users // USERS_OF_LOOP))
