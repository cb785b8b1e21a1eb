"""What was asked for, as it is stored with a result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec

from loadkit.plan.part import WHOLE, Part
from loadkit.plan.recorded import RECORDED, RecordedArrivals
from loadkit.plan.think_time import Thought, describe_think_time
from loadkit.plan.units import SECOND
from loadkit.plan.urls import strip_url
from loadkit.plan.workload import Closed, Open, workload

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
    thresholds: list[str] = []
    """What must hold, as it was written."""
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


def describe(scenario: Scenario, part: Part = WHOLE) -> ScenarioInfo:
    """A scenario as it is stored with its result: what was asked, without headers, bodies and secrets.

    Of a part of it, what was asked of that part.
    """
    load = workload(scenario, part)
    # of threads each part has those whose number is its own, of arrivals it has a share at any rate
    number = part.number if isinstance(load, Closed) else 0
    return ScenarioInfo(
        name=scenario.name or "scenario",
        description=scenario.description,
        base_url=strip_url(scenario.base_url) if scenario.base_url else "",
        threads=part.share(scenario.threads if isinstance(load, Open) else scenario.total_threads),
        duration=None if load.duration is None else load.duration / SECOND,
        iterations=_iterations(scenario, load, part),
        iterations_per_thread=scenario.iterations_per_thread,
        rate=_mean_rate(load) / part.count if isinstance(load, Open) else None,
        arrivals=_arrivals(scenario) if isinstance(load, Open) else None,
        max_threads=load.max_threads if isinstance(load, Open) else None,
        phases=[
            PhasePlan(
                name=one.name,
                duration=one.length / SECOND,
                start=(one.first - number) / part.count,
                end=(one.last - number) / part.count,
            )
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
        thresholds=[limit.text for limit in scenario.limits],
        journeys=[journey.label for journey in scenario.journeys],
    )


def _arrivals(scenario: Scenario) -> str:
    return RECORDED if isinstance(scenario.arrivals, RecordedArrivals) else scenario.arrivals


def _iterations(scenario: Scenario, load: Closed | Open, part: Part) -> int | None:
    if scenario.iterations is None or isinstance(load, Closed):
        return None if scenario.iterations is None else load.iterations
    return part.share(scenario.iterations)


def _mean_rate(load: Open) -> float:
    segments = load.arrivals.segments
    if len(segments) == 1 and segments[0].first == segments[0].last:
        return segments[0].first
    return float(sum(one.amount() for one in segments) * SECOND / segments[-1].end)
