"""Results, and what is known of runs, as a run would make them, from a few numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from statistics import NormalDist
from typing import Any, NamedTuple

import msgspec
from hdrh.histogram import HdrHistogram

from loadkit.judge.caveats.figures import of_figures
from loadkit.judge.description import ScenarioInfo
from loadkit.judge.environment import Environment
from loadkit.judge.identity import Identity
from loadkit.judge.result import Result, RunSpan
from loadkit.judge.rows import FailureExample, Interval, IntervalRow, Row, Timing
from loadkit.judge.summary import intervals, rows
from loadkit.judge.threshold_results import outcome, threshold_results
from loadkit.judge.times import Times
from loadkit.judge.validity import validity_of
from loadkit.measure.counts import Counts
from loadkit.measure.recording import Batch, Recording
from loadkit.plan.threshold import threshold
from loadkit.plan.units import SECOND
from loadkit.wire.base import Failure, Note, Opened

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
SHOPPERS = msgspec.structs.replace(
    SCENARIO,
    description="Shoppers on a quiet morning.",
    base_url="http://127.0.0.1:8000",
    threads=16,
    duration=30.0,
    endpoints=[],
)

HOUR = 3_600_000_000_000


def replace(value: Any, **changes: Any) -> Any:
    """The same with some fields changed."""
    return msgspec.structs.replace(value, **changes)


# -- times and rows


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


def spans(*parts: tuple[float, int]) -> Times:
    """Times from (milliseconds, how often)."""
    return times(*((span * 1000, count) for span, count in parts))


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


def timing(response: Times, failed: Times | None = None, **changes: Any) -> Timing:
    """A journey that came through in these times in 30 s, and failed in those, unless `changes` say otherwise."""
    failure_time = failed or times()
    failures, count = failure_time.count, response.count + failure_time.count
    made = Timing(
        kind="journey",
        name="buy",
        count=count,
        throughput=response.count / 30,
        error_rate=failures / count if count else 0.0,
        failures={"check": failures} if failures else {},
        examples=[],
        drained=0,
        cut=0,
        response_time=response,
        service_time=response,
        failure_time=failure_time,
    )
    return replace(made, **changes)


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
    return FailureExample(kind=kind, message=message, count=count, first_at=first_at)


# -- results


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
    machine = {"python": "3.12.3", "cpu_seconds": 26.2, "peak_memory": 48_200_000}
    values = {
        "identity": Identity(name="browse", plan="0123456789abcdef"),
        "scenario": replace(SHOPPERS, endpoints=[row.name for row in endpoints], **(scenario or {})),
        "environment": replace(ENVIRONMENT, **(machine | (environment or {}))),
        "started_at": started_at,
        "spans": [RunSpan(start=started_at, length=duration)],
        "duration": duration,
        "outcome": "passed",
        "total": total or replace(endpoints[0], name="total"),
        "endpoints": list(endpoints),
    }
    return Result(**(values | changes))


class Sample(NamedTuple):
    """One request: in which second, for how many nanoseconds, and what came of it."""

    second: int = 0
    label: str = "a"
    span: int = 5_000_000
    failure: Failure | None = None
    status: int = 200


def recorded(samples: list[Sample], labels: tuple[str, ...] = ("a", "b")) -> Recording:
    recording = Recording(labels)
    for sample in samples:
        recording.absorb(_batch(sample))
    recording.finish()
    return recording


def _batch(sample: Sample) -> Batch:
    due = sample.second * SECOND
    counts = Counts()
    if sample.failure:
        counts.fail(sample.failure, at=due + sample.span, span=sample.span, status=0, size=0)
        return Batch(sample.second, 0, sample.label, [], 40, counts)
    counts.connected(Note(connects=1, connect_time=100_001, openings=(Opened(60_000 + sample.second, 40_000),)))
    samples = [due, due + 1000, due + sample.span, due + sample.span + 2000, sample.status, 120]
    return Batch(sample.second, 0, sample.label, samples, 40, counts)


def measured(
    samples: list[Sample],
    *,
    later: float = 0.0,
    duration: float = 2.0,
    thresholds: tuple[str, ...] = (),
    scenario: dict[str, Any] | None = None,
    **changes: Any,
) -> Result:
    """What a run of these requests comes to that began `later` seconds after the first."""
    recording = recorded(samples)
    total, endpoints = rows(recording, duration=duration, started=0)
    limits = [threshold(text) for text in thresholds]
    found = threshold_results(limits, total, endpoints)
    started_at = changes.get("started_at") or (BEGAN + timedelta(seconds=later)).isoformat(timespec="milliseconds")
    doubts = changes.get("caveats", of_figures(total, endpoints, limits=limits))
    values = {
        "identity": Identity(name="shop.py::browse", plan="0123456789abcdef"),
        "scenario": replace(SCENARIO, **(scenario or {})),
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
