"""Several results as one, exactly: counts and histograms add, nothing is averaged.

Throughput is the good replies of all parts over the time in which at least one of them was measured: parts
that ran side by side (on several machines) share their time, and parts one after the other add it up.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from loadkit.judge.bound import Finding, together
from loadkit.judge.caveats import OF_FIGURES, of_figures, ranked, soundness
from loadkit.judge.result import (
    Caveat,
    Environment,
    FailureExample,
    Interval,
    IntervalRow,
    Outcome,
    Phase,
    Result,
    Row,
    ScenarioInfo,
    Server,
    Times,
    Timing,
    Verdict,
)
from loadkit.judge.summary import TOTAL, histogram, most_first, times
from loadkit.judge.verdict import outcome, verdicts
from loadkit.measure.histogram import Histogram
from loadkit.measure.recording import MAX_REASONS, MORE_REASONS
from loadkit.plan.errors import UsageError
from loadkit.plan.threshold import threshold
from loadkit.plan.units import SECOND

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
    "bytes_sent",
    "bytes_received",
)


def merge(results: Sequence[Result]) -> Result:
    """One result of several of the same scenario, the same for any order of them.

    Raises `UsageError` when they are of different scenarios.
    """
    parts = sorted(results, key=_order)
    _check_same(parts)
    if len(parts) == 1:
        return parts[0]
    duration = _covered([(_instant(part), part.duration) for part in parts])
    endpoints = _rows([[_moved(row, _shift(part, parts)) for row in part.endpoints] for part in parts], duration)
    total = _row(TOTAL, [_moved(part.total, _shift(part, parts)) for part in parts], duration)
    limits = [
        threshold(text)
        for text in dict.fromkeys(v.threshold for part in parts for v in part.thresholds if not v.implied)
    ]
    phases = _phases(parts)
    timings = _timings(parts, duration)
    found = verdicts(limits, total, endpoints, phases, timings)
    # those of the parts; what rests on the figures alone is asked again of the whole
    lasting = _lasting(parts)
    doubts = ranked([*lasting, *of_figures(total, endpoints, phases, timings, limits=limits)])
    bound = together([Finding(part.bound_by, part.bound) for part in parts])
    return msgspec.structs.replace(
        parts[0],
        scenario=_scenario(parts),
        environment=_environment(parts),
        spans=[span for part in parts for span in part.spans],
        duration=duration,
        outcome=_outcome(parts, total, found, timings),
        total=total,
        endpoints=endpoints,
        phases=phases,
        timings=timings,
        thresholds=found,
        caveats=doubts,
        intervals=_series(parts),
        verdict=soundness(doubts),
        bound_by=bound.by,
        bound=bound.sentence,
        server=_server(parts),
    )


def _order(result: Result) -> tuple[float, bytes]:
    # parts that started in the same millisecond still have one order, whatever order they were named in
    return _instant(result), msgspec.json.encode(result)


def _check_same(parts: Sequence[Result]) -> None:
    names = sorted({part.identity.name for part in parts})
    if len(names) > 1:
        raise UsageError(f"these are results of different scenarios and cannot be one: {' and '.join(names)}")
    if len({part.identity.plan for part in parts}) > 1:
        raise UsageError(f"these are results of different loads of {names[0]} and cannot be one")


def _outcome(parts: Sequence[Result], total: Row, found: Sequence[Verdict], timings: Sequence[Timing]) -> Outcome:
    outcomes = {part.outcome for part in parts}
    if "server-lost" in outcomes:
        return "server-lost"
    if "not-applied" in outcomes and "interrupted" not in outcomes:
        return "not-applied"
    return outcome(total, found, timings, interrupted="interrupted" in outcomes)


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


def _shift(part: Result, parts: Sequence[Result]) -> float:
    """How much later than the first a part began."""
    return _instant(part) - _instant(parts[0])


def _moved(row: Row, shift: float) -> Row:
    """A row with its examples on the time line of the whole."""
    later = [msgspec.structs.replace(example, first_at=example.first_at + shift) for example in row.examples]
    return msgspec.structs.replace(row, examples=later)


def _rows(parts: list[list[Row]], duration: float) -> list[Row]:
    by_name: dict[str, list[Row]] = {}
    for part in parts:
        for row in part:
            by_name.setdefault(row.name, []).append(row)
    return [_row(name, rows, duration) for name, rows in by_name.items()]


def _row(name: str, rows: list[Row], duration: float) -> Row:
    merged: dict[str, Any] = {field: _times(getattr(row, field) for row in rows) for field in _TIMES}
    counts = {field: _counter(getattr(row, field) for row in rows) for field in _COUNTS}
    sums: dict[str, Any] = {field: sum(getattr(row, field) for row in rows) for field in _SUMS}
    good, requests = merged["response_time"].count, sums["requests"]
    return Row(
        name=name,
        throughput=(good - sums["drained"]) / duration if duration else 0.0,
        error_rate=merged["failure_time"].count / requests if requests else 0.0,
        statuses=dict(sorted(counts["statuses"].items())),
        failures=most_first(counts["failures"]),
        failed_statuses=dict(sorted(counts["failed_statuses"].items())),
        examples=_examples([example for row in rows for example in row.examples]),
        # in whole nanoseconds, for a sum of floats depends on their order
        connect_seconds=sum(round(row.connect_seconds * SECOND) for row in rows) / SECOND,
        **merged,
        **sums,
    )


def _phases(parts: Sequence[Result]) -> list[Phase]:
    """Phases of the same name as one, in their order."""
    by_name: dict[str, list[tuple[Result, Phase]]] = {}
    for part in parts:
        for phase in part.phases:
            by_name.setdefault(phase.name, []).append((part, phase))
    merged = []
    for name, found in by_name.items():
        length = _covered([(_instant(part) + phase.start, phase.length) for part, phase in found])
        endpoints = _rows(
            [[_moved(row, _shift(part, parts)) for row in phase.endpoints] for part, phase in found], length
        )
        total = _row(TOTAL, [_moved(phase.total, _shift(part, parts)) for part, phase in found], length)
        start = min(phase.start + _shift(part, parts) for part, phase in found)
        merged.append(Phase(name=name, start=start, length=length, total=total, endpoints=endpoints))
    return sorted(merged, key=lambda phase: phase.start)


def _timings(parts: Sequence[Result], duration: float) -> list[Timing]:
    by_name: dict[tuple[str, str], list[Timing]] = {}
    for part in parts:
        shift = _shift(part, parts)
        for one in part.timings:
            moved = [msgspec.structs.replace(each, first_at=each.first_at + shift) for each in one.examples]
            by_name.setdefault((one.kind, one.name), []).append(msgspec.structs.replace(one, examples=moved))
    merged = [_timing(found, duration) for found in by_name.values()]
    order = ("journey", "step", "timer")
    return sorted(merged, key=lambda one: order.index(one.kind))


def _timing(found: list[Timing], duration: float) -> Timing:
    fields = ("response_time", "service_time", "failure_time")
    merged: dict[str, Any] = {field: _times(getattr(one, field) for one in found) for field in fields}
    count, drained = sum(one.count for one in found), sum(one.drained for one in found)
    return Timing(
        kind=found[0].kind,
        name=found[0].name,
        count=count,
        throughput=(merged["response_time"].count - drained) / duration if duration else 0.0,
        error_rate=merged["failure_time"].count / count if count else 0.0,
        failures=most_first(_counter(one.failures for one in found)),
        examples=_examples([example for one in found for example in one.examples]),
        drained=drained,
        cut=sum(one.cut for one in found),
        unsent=sum(one.unsent for one in found),
        **merged,
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
    for one in _joined(examples):
        is_full = sum(kind == one.kind for kind, _ in whole) >= MAX_REASONS
        message = MORE_REASONS if is_full else one.message
        known = whole.get((one.kind, message))
        whole[one.kind, message] = msgspec.structs.replace(_both(known, one) if known else one, message=message)
    return _ranked(whole.values())


def _joined(examples: list[FailureExample]) -> list[FailureExample]:
    whole: dict[tuple[str, str], FailureExample] = {}
    for one in examples:
        known = whole.get((one.kind, one.message))
        whole[one.kind, one.message] = _both(known, one) if known else one
    return _ranked(whole.values())


def _ranked(examples: Iterable[FailureExample]) -> list[FailureExample]:
    return sorted(examples, key=lambda one: (-one.count, one.first_at, one.kind, one.message))


def _both(one: FailureExample, other: FailureExample) -> FailureExample:
    count, first = one.count + other.count, min(one.first_at, other.first_at)
    return msgspec.structs.replace(one, count=count, first_at=first)


def _scenario(parts: Sequence[Result]) -> ScenarioInfo:
    asked = [part.scenario.iterations for part in parts]
    iterations = [count for count in asked if count is not None]
    return msgspec.structs.replace(
        parts[0].scenario,
        threads=_most_at_once(parts),
        iterations=sum(iterations) if len(iterations) == len(asked) else None,
        endpoints=list(dict.fromkeys(label for part in parts for label in part.scenario.endpoints)),
        journeys=list(dict.fromkeys(label for part in parts for label in part.scenario.journeys)),
    )


def _most_at_once(parts: Sequence[Result]) -> int:
    """Threads of parts side by side are more threads; those of parts one after the other are not."""
    starts = [_instant(part) for part in parts]
    return max(
        sum(part.scenario.threads for part, start in zip(parts, starts, strict=True) if start <= at < _end(part, start))
        for at in starts
    )


def _end(part: Result, start: float) -> float:
    # one that measured for no time still had its threads when it started
    return start + max(part.duration, 0.001)


def _environment(results: Sequence[Result]) -> Environment:
    found = [result.environment for result in results]
    clocks = {one.clock for one in found}
    return msgspec.structs.replace(
        found[0],
        clock=clocks.pop() if len(clocks) == 1 else "mixed",
        cpu_seconds=sum(one.cpu_seconds for one in found),
        cpu_by_process=[cpu for one in found for cpu in one.cpu_by_process],
        peak_memory=max(one.peak_memory for one in found),
    )


def _server(parts: Sequence[Result]) -> Server | None:
    """Of all parts, or of none: the CPU of some would be divided by the requests of all."""
    found = [part.server for part in parts if part.server is not None]
    if len(found) < len(parts):
        return None
    return Server(
        # in whole microseconds, for a sum of floats depends on their order
        cpu_seconds=sum(round(one.cpu_seconds * 1e6) for one in found) / 1e6,
        peak_memory=max(one.peak_memory for one in found),
    )


def _lasting(parts: Sequence[Result]) -> list[Caveat]:
    """The caveats of the parts that merging cannot settle; of notes, whose figures differ a little, one a code."""
    found = [caveat for part in parts for caveat in part.caveats if caveat.code not in OF_FIGURES]
    notes = {caveat.code: caveat for caveat in reversed(found) if caveat.level == "note"}
    return [caveat for caveat in found if caveat.level != "note" or caveat is notes[caveat.code]]


def _series(parts: Sequence[Result]) -> list[Interval]:
    """All intervals on one time line, as long as the longest of them."""
    length = max((interval.length for part in parts for interval in part.intervals), default=1.0)
    at: dict[float, list[Interval]] = {}
    for part in parts:
        for interval in part.intervals:
            start = interval.start + round(_shift(part, parts))
            at.setdefault(start - start % length, []).append(interval)
    return [_interval(start, length, found) for start, found in sorted(at.items())]


def _interval(start: float, length: float, parts: list[Interval]) -> Interval:
    by_name: dict[str, list[IntervalRow]] = {}
    for part in parts:
        for row in part.endpoints:
            by_name.setdefault(row.name, []).append(row)
    return Interval(
        start=start,
        length=length,
        measured=min(length, sum(part.measured for part in parts)),
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
