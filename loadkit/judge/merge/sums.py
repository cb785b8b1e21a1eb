"""Rows of several results as one: endpoints, phases, journeys, steps and timers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from loadkit.judge.description import ScenarioInfo
from loadkit.judge.instants import Span, covered, instant, later, whole
from loadkit.judge.merge.overlap import ends, shift, start_of
from loadkit.judge.result import Result
from loadkit.judge.rows import KINDS, FailureExample, Phase, Row, Timing
from loadkit.judge.summary import TOTAL, most_first, times
from loadkit.judge.times import Times
from loadkit.measure.histogram import Histogram
from loadkit.plan.units import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


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


def dated_row(row: Row, shift: int) -> Row:
    """A row with its examples on the time line of the whole."""
    return msgspec.structs.replace(row, examples=_dated(row.examples, shift))


def _dated(examples: Sequence[FailureExample], shift: int) -> list[FailureExample]:
    return [
        msgspec.structs.replace(example, first_at=(whole(example.first_at) + shift) / SECOND) for example in examples
    ]


def merged_rows(parts: list[list[Row]], scenario: ScenarioInfo, duration: float) -> list[Row]:
    """Rows of the same name as one: the scenario's endpoints in their order, then others by their names."""
    by_name: dict[str, list[Row]] = {}
    for part in parts:
        for row in part:
            by_name.setdefault(row.name, []).append(row)
    return [merged_row(name, by_name[name], duration) for name in sorted(by_name, key=in_order_of(scenario.endpoints))]


def in_order_of(names: Sequence[str]) -> Callable[[str], tuple[int, str]]:
    """A key that puts names in the order of a list, and others behind it."""
    places = {name: place for place, name in reversed(list(enumerate(names)))}
    return lambda name: (places.get(name, len(names)), name)


def merged_row(name: str, rows: list[Row], duration: float) -> Row:
    """Rows of one name as one, over so many seconds."""
    merged: dict[str, Any] = {field: merged_times(getattr(row, field) for row in rows) for field in _TIMES}
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


def merged_phases(parts: Sequence[Result], scenario: ScenarioInfo) -> list[Phase]:
    """Phases of the same name as one, in their order."""
    by_name: dict[str, list[tuple[Result, Phase]]] = {}
    for part in parts:
        for phase in part.phases:
            by_name.setdefault(phase.name, []).append((part, phase))
    order = in_order_of([plan.name for plan in scenario.phases])
    found = [_phase(by_name[name], parts, scenario) for name in sorted(by_name, key=order)]
    return sorted(found, key=lambda phase: phase.start)


def _phase(found: Sequence[tuple[Result, Phase]], parts: Sequence[Result], scenario: ScenarioInfo) -> Phase:
    spans = sorted((span for part, phase in found for span in _of_phase(part, phase)), key=ends)
    length = covered(map(ends, spans)) / SECOND
    moved = [[dated_row(row, shift(part, parts)) for row in phase.endpoints] for part, phase in found]
    return Phase(
        name=found[0][1].name,
        start=(instant(spans[0].start) - start_of(parts[0])) / SECOND,
        length=length,
        threads=mean([(phase.threads, phase.length) for _, phase in found], length),
        asked=mean([(phase.asked, phase.length) for _, phase in found], length),
        spans=spans,
        total=merged_row(TOTAL, [dated_row(phase.total, shift(part, parts)) for part, phase in found], length),
        endpoints=merged_rows(moved, scenario, length),
    )


def _of_phase(part: Result, phase: Phase) -> list[Span]:
    return phase.spans or [Span(start=later(part.spans[0].start, phase.start), length=phase.length)]


def merged_timings(parts: Sequence[Result], scenario: ScenarioInfo, duration: float) -> list[Timing]:
    """Journeys, steps and timers of the same name as one, in their order."""
    by_name: dict[tuple[str, str], list[Timing]] = {}
    for part in parts:
        for one in part.timings:
            moved = msgspec.structs.replace(one, examples=_dated(one.examples, shift(part, parts)))
            by_name.setdefault((one.kind, one.name), []).append(moved)
    place = in_order_of(scenario.journeys)
    order = sorted(by_name, key=lambda found: (KINDS.index(found[0]), place(found[1])))
    return [timing(by_name[key], duration) for key in order]


def timing(found: Sequence[Timing], duration: float) -> Timing:
    """Several of a kind as one, by the name of the first, over so many seconds."""
    fields = ("response_time", "service_time", "failure_time")
    merged: dict[str, Any] = {field: merged_times(getattr(one, field) for one in found) for field in fields}
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


def merged_times(parts: Iterable[Times]) -> Times:
    """Times as one: their histograms add."""
    whole = Histogram()
    for part in parts:
        whole.add(part.histogram)
    return times(whole)


def _counter(parts: Iterable[dict[Any, int]]) -> Counter[Any]:
    whole: Counter[Any] = Counter()
    for part in parts:
        whole.update(part)
    return whole


def _examples(examples: list[FailureExample]) -> list[FailureExample]:
    """Each reason once; all of them, for those of a few parts that were left out could be the most of all parts."""
    whole: dict[tuple[str, str], FailureExample] = {}
    for one in examples:
        known = whole.get((one.kind, one.message))
        whole[one.kind, one.message] = _both(known, one) if known else one
    return sorted(whole.values(), key=lambda one: (-one.count, one.first_at, one.kind, one.message))


def _both(one: FailureExample, other: FailureExample) -> FailureExample:
    count, first = one.count + other.count, min(one.first_at, other.first_at)
    return msgspec.structs.replace(one, count=count, first_at=first)


def mean(parts: Sequence[tuple[float | None, float]], measured: float) -> float | None:
    """What the parts had together over the time measured; None where one does not know."""
    known = [(value, seconds) for value, seconds in parts if value is not None]
    if len(known) < len(parts) or not measured:
        return None
    return sum(value * seconds for value, seconds in known) / measured
