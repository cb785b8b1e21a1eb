"""Results as a run would make them, from a few numbers: the hdr texts are real."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import msgspec
from hdrh.histogram import HdrHistogram

from loadkit.judge.description import ScenarioInfo
from loadkit.judge.environment import Environment
from loadkit.judge.identity import Identity
from loadkit.judge.result import Result
from loadkit.judge.rows import FailureExample, Interval, IntervalRow, Row
from loadkit.judge.spans import RunSpan
from loadkit.judge.times import Times

HOUR = 3_600_000_000_000

SCENARIO = ScenarioInfo(
    name="browse",
    description="Shoppers on a quiet morning.",
    base_url="http://127.0.0.1:8000",
    threads=16,
    duration=30.0,
    iterations=None,
    rate=None,
    warmup=0.0,
    think_time="",
    timeout=10.0,
    transport="sockets",
    verify=True,
    endpoints=[],
)
ENVIRONMENT = Environment(
    loadkit="0.1.0",
    python="3.12.3",
    system="Linux 6.8",
    machine="x86_64",
    cpu_count=2,
    transport="sockets",
    clock="kernel",
    cpu_seconds=26.2,
    peak_memory=48_200_000,
)


def times(*spans: tuple[float, int]) -> Times:
    """Times from (microseconds, how often)."""
    counts = sorted((round(span * 1000), count) for span, count in spans)
    histogram = HdrHistogram(1000, HOUR, 3)
    for value, count in counts:
        histogram.record_value(value, count)
    count, total = sum(count for _, count in counts), sum(value * count for value, count in counts)
    return Times(
        count=count,
        sum_ns=total,
        min=counts[0][0] / 1e9 if counts else None,
        mean=total / count / 1e9 if count else None,
        **{f"p{name}": _rank(counts, count, share) for name, share in _PERCENTILES.items()},
        max=counts[-1][0] / 1e9 if counts else None,
        hdr=histogram.encode().decode(),
    )


_PERCENTILES = {"50": 0.5, "75": 0.75, "90": 0.9, "95": 0.95, "99": 0.99, "99_9": 0.999}


def _rank(counts: Sequence[tuple[int, int]], total: int, share: float) -> float | None:
    seen = 0
    for value, count in counts:
        seen += count
        if seen >= math.ceil(share * total):
            return value / 1e9
    return None


def skewed(median: float, count: int, *, spread: float = 1.5, steps: int = 400) -> Times:
    """Times as servers have them: log-normal, `median` in microseconds, without chance."""
    ranks = [(k + 0.5) / steps for k in range(steps)]
    spans = [(median * spread ** NormalDist().inv_cdf(rank), count // steps) for rank in ranks]
    return times(*spans, (spans[-1][0] * 3, count - count // steps * steps or 1))


def row(name: str, response: Times, **changes: Any) -> Row:
    """A row of good replies only, unless `changes` say otherwise."""
    failed = sum(changes.get("failures", {}).values())
    good = response.count
    row = Row(
        name=name,
        requests=good + failed,
        throughput=good / 30,
        error_rate=failed / (good + failed) if good + failed else 0.0,
        statuses={200: good} if good else {},
        failures={},
        failed_statuses={},
        examples=[],
        drained=0,
        unsent=0,
        cut=0,
        connects=0,
        reconnects=0,
        connect_seconds=0.0,
        bytes_sent=120 * (good + failed),
        bytes_received=321 * good,
        response_time=response,
        service_time=response,
        lateness=times(),
        pickup=times(),
        failure_time=times(),
    )
    return replace(row, **changes)


def replace(value: Any, **changes: Any) -> Any:
    """The same with some fields changed."""
    return msgspec.structs.replace(value, **changes)


def result(
    endpoints: Sequence[Row],
    total: Row | None = None,
    *,
    scenario: dict[str, Any] | None = None,
    environment: dict[str, Any] | None = None,
    **changes: Any,
) -> Result:
    """A closed run of 16 threads for 30 s, with changes."""
    started_at, duration = "2026-05-04T10:15:03Z", changes.get("duration", 30.0)
    values = {
        "identity": Identity(name="browse", plan="0123456789abcdef"),
        "scenario": replace(SCENARIO, endpoints=[row.name for row in endpoints], **(scenario or {})),
        "environment": replace(ENVIRONMENT, **(environment or {})),
        "started_at": started_at,
        "spans": [RunSpan(start=started_at, length=duration)],
        "duration": duration,
        "outcome": "passed",
        "total": total or replace(endpoints[0], name="total"),
        "endpoints": list(endpoints),
    }
    return Result(**(values | changes))


def interval(
    start: float,
    response: Times,
    *,
    failures: int = 0,
    length: float = 1.0,
    measured: float | None = None,
    name: str = "total",
) -> Interval:
    """A slice of the series, measured whole unless said otherwise."""
    total = IntervalRow(name=name, requests=response.count + failures, failures=failures, response_time=response)
    seconds = length if measured is None else measured
    return Interval(start=start, length=length, measured=seconds, total=total, endpoints=[])


def example(kind: str, message: str, count: int = 1, first_at: float = 12.4) -> FailureExample:
    """One reason for failures."""
    return FailureExample(kind=kind, message=message, count=count, first_at=first_at)
