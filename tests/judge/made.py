"""Results made as a run makes them, from a few requests that never were."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from loadkit.judge.caveats import of_figures
from loadkit.judge.description import ScenarioInfo
from loadkit.judge.environment import Environment
from loadkit.judge.identity import Identity
from loadkit.judge.result import Result
from loadkit.judge.spans import RunSpan
from loadkit.judge.summary import intervals, rows
from loadkit.judge.threshold_results import outcome, threshold_results
from loadkit.judge.validity import validity_of
from loadkit.measure.recording import Batch, Counts, Recording
from loadkit.plan.threshold import threshold
from loadkit.plan.units import SECOND
from loadkit.wire.base import Failure

BEGAN = datetime(2026, 5, 4, 10, 15, 3, tzinfo=UTC)
REFUSED = Failure("connect", "connection refused h:1")

ENVIRONMENT = Environment(
    loadkit="0.1.0",
    python="CPython 3.12.3",
    system="Linux 6.8",
    machine="x86_64",
    cpu_count=2,
    transport="sockets",
    clock="kernel",
    cpu_seconds=0.5,
    peak_memory=48_000_000,
)
SCENARIO = ScenarioInfo(
    name="browse",
    description="",
    base_url="http://h/",
    threads=2,
    duration=2.0,
    iterations=None,
    rate=None,
    warmup=0.0,
    think_time="",
    timeout=10.0,
    transport="sockets",
    verify=True,
    endpoints=["a", "b"],
)


class Shot(NamedTuple):
    """One request: in which second, for how many nanoseconds, and what came of it."""

    second: int = 0
    label: str = "a"
    span: int = 5_000_000
    failure: Failure | None = None
    status: int = 200


def recorded(shots: list[Shot], labels: tuple[str, ...] = ("a", "b")) -> Recording:
    """A recording of these requests."""
    recording = Recording(labels)
    for shot in shots:
        recording.absorb(_batch(shot))
    recording.finish()
    return recording


def _batch(shot: Shot) -> Batch:
    due = shot.second * SECOND
    counts = Counts()
    if shot.failure:
        counts.fail(shot.failure, at=due + shot.span, span=shot.span, status=0, size=0)
        return Batch(shot.second, 0, shot.label, [], 40, counts)
    counts.connects, counts.connect_time = 1, 100_001
    samples = [due, due + 1000, due + shot.span, due + shot.span + 2000, shot.status, 120]
    return Batch(shot.second, 0, shot.label, samples, 40, counts)


def result(
    shots: list[Shot],
    *,
    later: float = 0.0,
    duration: float = 2.0,
    thresholds: tuple[str, ...] = (),
    scenario: dict[str, Any] | None = None,
    **changes: Any,
) -> Result:
    """What a run of these requests comes to that began `later` seconds after the first."""
    recording = recorded(shots)
    total, endpoints = rows(recording, duration=duration, started=0)
    found = threshold_results([threshold(text) for text in thresholds], total, endpoints)
    started_at = changes.get("started_at") or (BEGAN + timedelta(seconds=later)).isoformat(timespec="milliseconds")
    limits = [threshold(text) for text in thresholds]
    doubts = changes.get("caveats", of_figures(total, endpoints, limits=limits))
    values = {
        "identity": Identity(name="shop.py::browse", plan="0123456789abcdef"),
        "scenario": ScenarioInfo(**(_fields(SCENARIO) | (scenario or {}))),
        "environment": ENVIRONMENT,
        "started_at": started_at,
        "spans": [RunSpan(start=started_at, length=duration)],
        "duration": duration,
        "outcome": outcome(total, found, interrupted=False),
        "total": total,
        "endpoints": endpoints,
        "thresholds": found,
        "caveats": doubts,
        "validity": validity_of(doubts),
        "intervals": intervals(recording.series, duration=duration),
    }
    return Result(**(values | changes))


def _fields(info: ScenarioInfo) -> dict[str, Any]:
    return {name: getattr(info, name) for name in info.__struct_fields__}
