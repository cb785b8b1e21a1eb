"""A scenario with each endpoint sent once: is everything in it sound?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from loadkit.plan.endpoint import Endpoint
from loadkit.plan.journey import Journey
from loadkit.plan.scenario import Scenario

if TYPE_CHECKING:
    from loadkit.plan.scenario import ScenarioFields

ONCE_AT_MOST: Final = 6
"""Times the timeout of a request that each endpoint or journey may take where each is sent once: a minute with 10 s."""

_LOAD: Final[ScenarioFields] = {
    "threads": 1,
    "iterations_per_thread": None,
    "phases": (),
    "rate": None,
    "arrivals": "constant",
    "max_threads": None,
    "processes": 1,
    "warmup": 0,
    "think_time": 0,
    "pacing": 0,
    "thresholds": (),
}

DECIDED: Final = frozenset((*_LOAD, "iterations", "duration"))
"""The fields of a scenario that `once` sets, whatever they were."""


def once(scenario: Scenario) -> Scenario:
    """The same scenario with each endpoint sent once, by one thread, and only failures judged.

    It ends after `ONCE_AT_MOST` timeouts an endpoint: a journey may have a loop without an end.
    """
    endpoints = [_alone(one) for one in scenario.plans]
    fields: ScenarioFields = {
        **_LOAD,
        "endpoints": endpoints,
        "iterations": len(endpoints),
        "duration": ONCE_AT_MOST * cast(float, scenario.timeout) * len(endpoints),
    }
    return scenario.replace(**fields)


def _alone(plan: Endpoint | Journey) -> Endpoint | Journey:
    if isinstance(plan, Endpoint):
        return plan.replace(weight=1, threads=None)
    return plan.replace(weight=1, threads=None, tasks_per_thread=1)
