"""Several results as one, exactly: counts and histograms add, nothing is averaged.

Throughput is the good replies of all parts over the time in which at least one of them was measured: parts
that ran side by side (on several machines) share their time, and parts one after the other add it up.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from loadkit.judge.result import (
    Caveat,
    Environment,
    FailureExample,
    Interval,
    IntervalRow,
    Result,
    Row,
    ScenarioInfo,
    Times,
)
from loadkit.judge.summary import TOTAL, histogram, times
from loadkit.judge.verdict import outcome, verdicts
from loadkit.measure.histogram import Histogram
from loadkit.plan.errors import UsageError
from loadkit.plan.threshold import threshold

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_TIMES = ("response_time", "service_time", "lateness", "pickup", "failure_time")
_COUNTS = ("statuses", "failures", "failed_statuses")
_SUMS = (
    "requests",
    "drained",
    "unsent",
    "cut",
    "connects",
    "reconnects",
    "connect_seconds",
    "bytes_sent",
    "bytes_received",
)


def merge(results: Sequence[Result]) -> Result:
    """One result of several of the same scenario.

    Raises `UsageError` when they are of different scenarios.
    """
    first = min(results, key=lambda result: result.started_at)
    names = sorted({result.scenario.name for result in results})
    if len(names) > 1:
        raise UsageError(f"these are results of different scenarios and cannot be one: {', '.join(names)}")
    if len(results) == 1:
        return first
    duration = _covered([(_instant(result), result.duration) for result in results])
    endpoints = _rows([result.endpoints for result in results], duration)
    total = _row(TOTAL, [result.total for result in results], duration)
    limits = [threshold(text) for text in dict.fromkeys(v.threshold for r in results for v in r.thresholds)]
    found = verdicts(limits, total, endpoints)
    return msgspec.structs.replace(
        first,
        scenario=_scenario(results),
        environment=_environment(results),
        duration=duration,
        outcome=outcome(total, found, interrupted=any(result.outcome == "interrupted" for result in results)),
        total=total,
        endpoints=endpoints,
        thresholds=found,
        caveats=_caveats(results),
        intervals=_series(results, _instant(first)),
    )


def _covered(spans: list[tuple[float, float]]) -> float:
    """The length of the union of `(start, length)` spans."""
    covered, reached = 0.0, float("-inf")
    for start, length in sorted(spans):
        end = start + length
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return covered


def _instant(result: Result) -> float:
    return datetime.fromisoformat(result.started_at).timestamp()


def _rows(parts: list[list[Row]], duration: float) -> list[Row]:
    by_name: dict[str, list[Row]] = {}
    for part in parts:
        for row in part:
            by_name.setdefault(row.name, []).append(row)
    return [_row(name, rows, duration) for name, rows in by_name.items()]


def _row(name: str, rows: list[Row], duration: float) -> Row:
    merged: dict[str, Any] = {field: _times(getattr(row, field) for row in rows) for field in _TIMES}
    counts: dict[str, Any] = {field: dict(_counter(getattr(row, field) for row in rows)) for field in _COUNTS}
    sums: dict[str, Any] = {field: sum(getattr(row, field) for row in rows) for field in _SUMS}
    good, requests = merged["response_time"].count, sums["requests"]
    return Row(
        name=name,
        throughput=(good - sums["drained"]) / duration if duration else 0.0,
        error_rate=merged["failure_time"].count / requests if requests else 0.0,
        examples=_examples([example for row in rows for example in row.examples]),
        **merged,
        **counts,
        **sums,
    )


def _times(parts: Iterable[Times]) -> Times:
    whole = Histogram()
    for part in parts:
        whole.add(histogram(part))
    return times(whole)


def _counter(parts: Iterable[dict[Any, int]]) -> Counter[Any]:
    whole: Counter[Any] = Counter()
    for part in parts:
        whole.update(part)
    return whole


def _examples(examples: list[FailureExample]) -> list[FailureExample]:
    whole: dict[tuple[str, str], FailureExample] = {}
    for one in examples:
        key = (one.kind, one.message)
        known = whole.get(key)
        whole[key] = one if known is None else _both(known, one)
    return sorted(whole.values(), key=lambda one: (-one.count, one.first_at))


def _both(one: FailureExample, other: FailureExample) -> FailureExample:
    count, first = one.count + other.count, min(one.first_at, other.first_at)
    return msgspec.structs.replace(one, count=count, first_at=first)


def _scenario(results: Sequence[Result]) -> ScenarioInfo:
    first = results[0].scenario
    return msgspec.structs.replace(first, threads=sum(result.scenario.threads for result in results))


def _environment(results: Sequence[Result]) -> Environment:
    found = [result.environment for result in results]
    clocks = {one.clock for one in found}
    return msgspec.structs.replace(
        found[0],
        clock=clocks.pop() if len(clocks) == 1 else "mixed",
        cpu_seconds=sum(one.cpu_seconds for one in found),
        peak_memory=max(one.peak_memory for one in found),
    )


def _caveats(results: Sequence[Result]) -> list[Caveat]:
    return list({(caveat.code, caveat.message): caveat for result in results for caveat in result.caveats}.values())


def _series(results: Sequence[Result], origin: float) -> list[Interval]:
    """All intervals on one time line, those of the same length and whole second added up."""
    at: dict[tuple[float, float], list[Interval]] = {}
    for result in results:
        shift = round(_instant(result) - origin)
        for interval in result.intervals:
            at.setdefault((interval.start + shift, interval.length), []).append(interval)
    return [_interval(start, length, parts) for (start, length), parts in sorted(at.items(), key=lambda item: item[0])]


def _interval(start: float, length: float, parts: list[Interval]) -> Interval:
    by_name: dict[str, list[IntervalRow]] = {}
    for part in parts:
        for row in part.endpoints:
            by_name.setdefault(row.name, []).append(row)
    return Interval(
        start=start,
        length=length,
        total=_interval_row(TOTAL, [part.total for part in parts]),
        endpoints=[_interval_row(name, rows) for name, rows in by_name.items()],
    )


def _interval_row(name: str, rows: list[IntervalRow]) -> IntervalRow:
    return IntervalRow(
        name=name,
        requests=sum(row.requests for row in rows),
        failures=sum(row.failures for row in rows),
        response_time=_times(row.response_time for row in rows),
    )
