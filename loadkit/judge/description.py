"""What was asked for, as it is stored with a result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec

from loadkit.plan.recorded import RECORDED, RecordedArrivals
from loadkit.plan.think_time import Thought, describe_think_time
from loadkit.plan.units import SECOND
from loadkit.plan.urls import strip_url
from loadkit.plan.workload import Open, workload

if TYPE_CHECKING:
    from loadkit.plan.scenario import Scenario


class PhasePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for in a phase: the load at its start and at its end, threads or arrivals a second."""

    name: str
    duration: float
    start: float
    end: float


class ScenarioInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, as text and numbers, without secrets."""

    name: str
    description: str
    base_url: str
    threads: int
    duration: float | None
    iterations: int | None
    rate: float | None
    """Arrivals a second, the mean where phases change it; None in a closed workload."""
    warmup: float
    think_time: str
    """As a person writes it: `500ms`, `1s to 3s`; empty where there is none."""
    timeout: float
    transport: str
    verify: bool
    endpoints: list[str]
    journeys: list[str] = []
    arrivals: str | None = None
    """`constant`, `poisson` or `recorded`; None in a closed workload."""
    max_threads: int | None = None
    iterations_per_thread: int | None = None
    pacing: float = 0.0
    phases: list[PhasePlan] = []
    processes: int | Literal["auto"] = 1
    """How many shared the load; `auto` is a number in a result."""
    seed: int = 0
    options: dict[str, Any] = {}


def describe(scenario: Scenario) -> ScenarioInfo:
    """A scenario as it is stored with its result: what was asked, without headers, bodies and secrets."""
    load = workload(scenario)
    return ScenarioInfo(
        name=scenario.name or "scenario",
        description=scenario.description,
        base_url=strip_url(scenario.base_url) if scenario.base_url else "",
        threads=scenario.threads if isinstance(load, Open) else scenario.total_threads,
        duration=None if load.duration is None else load.duration / SECOND,
        iterations=scenario.iterations,
        iterations_per_thread=scenario.iterations_per_thread,
        rate=_mean_rate(load) if isinstance(load, Open) else None,
        arrivals=_arrivals(scenario) if isinstance(load, Open) else None,
        max_threads=scenario.most_threads if isinstance(load, Open) else None,
        phases=[
            PhasePlan(name=one.name, duration=one.length / SECOND, start=one.first, end=one.last)
            for one in scenario.segments
        ],
        processes=scenario.processes,
        seed=scenario.seed,
        warmup=cast(float, scenario.warmup),
        think_time=describe_think_time(cast(Thought, scenario.think_time)),
        pacing=cast(float, scenario.pacing),
        timeout=cast(float, scenario.timeout),
        transport="sockets",
        verify=scenario.verify,
        endpoints=list(scenario.labels),
        journeys=[journey.label for journey in scenario.journeys],
    )


def _arrivals(scenario: Scenario) -> str:
    return RECORDED if isinstance(scenario.arrivals, RecordedArrivals) else scenario.arrivals


def _mean_rate(load: Open) -> float:
    segments = load.arrivals.segments
    if len(segments) == 1 and segments[0].first == segments[0].last:
        return segments[0].first
    return float(sum(one.amount() for one in segments) * SECOND / segments[-1].end)
