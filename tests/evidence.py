"""What is known of a run, as the judge gets it, from a few numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from loadkit.drive.stats import RunStats
from loadkit.host.usage import Usage
from loadkit.judge.description import ScenarioInfo
from loadkit.judge.evidence import Evidence, RunContext
from loadkit.judge.rows import Row
from loadkit.judge.summary import rows
from loadkit.plan.units import SECOND
from tests.results import BEGAN, ENVIRONMENT, SCENARIO, recorded, replace, spans

DURATION = 10.0
IDLE = Usage(seconds=DURATION, cpu_user=1.0, cpu_system=1.0)


def total(good: int, *, service: float = 1.0, late: float = 0.01, pickup: float = 0.02, **changes: Any) -> Row:
    """A total of so many good replies, each of these milliseconds, with changes."""
    made, _ = rows(recorded([]), duration=DURATION, started=0)
    values = {
        "requests": good,
        "statuses": {200: good},
        "throughput": good / DURATION,
        "response_time": spans((late + service, good)),
        "service_time": spans((service, good)),
        "lateness": spans((late, good)),
        "pickup": spans((pickup, good)),
    }
    return replace(made, **(values | changes))


def asked(**changes: Any) -> ScenarioInfo:
    """A scenario of 10 s, with changes."""
    return replace(SCENARIO, duration=DURATION, **changes)


def known(**changes: Any) -> Evidence:
    """What is known of a run of 10 s: fields of it, of its statistics, of its context, and of its environment."""
    values: dict[str, Any] = {"total": total(0), "scenario": asked(), "duration": DURATION}
    stats = RunStats(measured_from=0, stopped_at=round(DURATION * SECOND))
    context = RunContext(started_at=BEGAN.isoformat(), measured_at=BEGAN.isoformat())
    return Evidence(
        stats=replace(stats, **_taken(changes, RunStats.__struct_fields__)),
        context=dataclasses.replace(
            context, **_taken(changes, [field.name for field in dataclasses.fields(RunContext)])
        ),
        environment=replace(ENVIRONMENT, clock=changes.pop("clock", "kernel")),
        **(values | changes),
    )


def _taken(changes: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: changes.pop(name) for name in names if name in changes}


def closed(good: int = 20_000, threads: int = 2, *, use: Usage = IDLE, **changes: Any) -> Evidence:
    """A closed run of 10 s whose threads always had a request: by default 2,000/s of 1 ms on 2 of them."""
    figures = _taken(changes, ("service", "late", "pickup"))
    plan = _taken(changes, ("think_time", "pacing", "phases"))
    values = {
        "total": total(good, **figures),
        "scenario": asked(threads=threads, **plan),
        "use": use,
        "in_flight": float(threads),
        "threads": threads,
    }
    return known(**(values | changes))


def opened(good: int = 20_000, *, unsent: int = 0, use: Usage = IDLE, **changes: Any) -> Evidence:
    """An open run of 10 s that sent 2,000/s of 1 ms on up to 100 threads, with changes."""
    figures = _taken(changes, ("service", "late", "pickup", "lateness"))
    plan = _taken(changes, ("arrivals", "phases", "processes"))
    row = total(good, unsent=unsent, **figures)
    values = {
        "total": row,
        "scenario": asked(
            threads=2, rate=(good + unsent) / DURATION, max_threads=100, **({"arrivals": "constant"} | plan)
        ),
        "use": use,
        "in_flight": row.service_time.sum_ns / 1e9 / DURATION,
        "threads": 10,
    }
    return known(**(values | changes))


def using(share: float, *, user: float = 0.5, seconds: float = DURATION, **changes: Any) -> Usage:
    """That share of a CPU, `user` of it in Python."""
    spent = share * seconds
    return Usage(seconds=seconds, cpu_user=spent * user, cpu_system=spent * (1 - user), **changes)
