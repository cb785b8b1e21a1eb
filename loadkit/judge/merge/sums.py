"""Figures of several results as one: endpoints, phases, journeys, steps and timers, and the series."""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from loadkit.judge.description import ScenarioInfo
from loadkit.judge.instants import Span, covered, instant, later, united
from loadkit.judge.merge.timeline import interval_length, shift, start_of
from loadkit.judge.result import Result, RunSpan
from loadkit.judge.rows import KINDS, Interval, IntervalRow, Phase, Row, SlowRequest, Timing, journeys_among
from loadkit.judge.summary import TOTAL, row, times, timing
from loadkit.judge.times import Times
from loadkit.measure.counts import Connections, Counts, Failures
from loadkit.measure.histogram import Histogram
from loadkit.measure.reasons import Reason, add_reason
from loadkit.measure.slowest import MOST
from loadkit.plan.units import SECOND, nanoseconds
from loadkit.wire.base import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

MILLIONTHS: Final = 1_000_000

Name = TypeVar("Name")
Part = TypeVar("Part")


def added(rows: Iterable[tuple[Row | Timing, int]]) -> Counts:
    """What rows have together, each with how many nanoseconds later than the first its part began.

    All reasons of failures are kept, for those of a few parts that were left out could be the most of all parts.
    """
    found = Counts()
    reasons = found.failures.reasons
    for one, after in rows:
        found.add(_counts(one))
        for example in one.examples:
            failure = Failure(example.kind, example.message)
            reason = Reason(example.count, nanoseconds(example.first_at) + after, example.reply)
            add_reason(reasons, failure, reason, most=sys.maxsize)
    return found


def _counts(one: Row | Timing) -> Counts:
    counts = Counts(
        response_time=one.response_time.histogram,
        service_time=one.service_time.histogram,
        failures=Failures(time=one.failure_time.histogram, kinds=Counter(one.failures)),
        drained=one.drained,
        unsent=one.unsent,
        cut=one.cut,
    )
    if isinstance(one, Row):
        counts.lateness, counts.pickup = one.lateness.histogram, one.pickup.histogram
        counts.first_byte = _histogram(one.first_byte_time)
        counts.statuses.update(one.statuses)
        counts.failures.statuses.update(one.failed_statuses)
        counts.connections = Connections(
            made=one.connects,
            again=one.reconnects,
            time=nanoseconds(one.connect_seconds),
            connect=_histogram(one.connect_time),
            tls=_histogram(one.tls_time),
        )
        counts.bytes_sent, counts.bytes_received = one.bytes_sent, one.bytes_received
    return counts


def _histogram(times: Times | None) -> Histogram:
    return times.histogram if times else Histogram()


def merged_rows(
    found: Sequence[tuple[Row, Sequence[Row], int]], scenario: ScenarioInfo, duration: float
) -> tuple[Row, list[Row]]:
    """Totals as one, and rows of the same name: the scenario's endpoints in their order, then others by their names.

    Each total and its rows come with how many nanoseconds later than the first their part began.
    """
    by_name = grouped((one.name, (one, after)) for _, rows, after in found for one in rows)
    names = sorted(by_name, key=in_order_of(scenario.endpoints))
    total = row(TOTAL, added((total, after) for total, _, after in found), duration=duration, started=0)
    return total, [row(name, added(by_name[name]), duration=duration, started=0) for name in names]


def grouped(parts: Iterable[tuple[Name, Part]]) -> dict[Name, list[Part]]:
    """The parts of each name."""
    found: dict[Name, list[Part]] = {}
    for name, part in parts:
        found.setdefault(name, []).append(part)
    return found


def in_order_of(names: Sequence[str]) -> Callable[[str], tuple[int, str]]:
    """A key that puts names in the order of a list, and others behind it."""
    places = {name: place for place, name in reversed(list(enumerate(names)))}
    return lambda name: (places.get(name, len(names)), name)


def merged_phases(parts: Sequence[Result], scenario: ScenarioInfo) -> list[Phase]:
    """Phases of the same name as one, in their order."""
    by_name = grouped((phase.name, (part, phase)) for part in parts for phase in part.phases)
    order = in_order_of([plan.name for plan in scenario.phases])
    found = [_phase(by_name[name], parts, scenario) for name in sorted(by_name, key=order)]
    return sorted(found, key=lambda phase: phase.start)


def _phase(found: Sequence[tuple[Result, Phase]], parts: Sequence[Result], scenario: ScenarioInfo) -> Phase:
    spans = sorted((span for part, phase in found for span in _of_phase(part, phase)), key=attrgetter("ends"))
    length = covered(span.ends for span in spans) / SECOND
    rows = [(phase.total, phase.endpoints, shift(part, parts)) for part, phase in found]
    total, endpoints = merged_rows(rows, scenario, length)
    return Phase(
        name=found[0][1].name,
        start=(instant(spans[0].start) - start_of(parts[0])) / SECOND,
        length=length,
        threads=mean([(phase.threads, phase.length) for _, phase in found], length),
        asked=mean([(phase.asked, phase.length) for _, phase in found], length),
        spans=spans,
        total=total,
        endpoints=endpoints,
    )


def _of_phase(part: Result, phase: Phase) -> list[Span]:
    return phase.spans or [Span(start=later(part.spans[0].start, phase.start), length=phase.length)]


def merged_timings(parts: Sequence[Result], scenario: ScenarioInfo, duration: float) -> list[Timing]:
    """Journeys, steps and timers of the same name as one, in their order."""
    by_name = grouped(((one.kind, one.name), (one, shift(part, parts))) for part in parts for one in part.timings)
    place = in_order_of(scenario.journeys)
    order = sorted(by_name, key=lambda found: (KINDS.index(found[0]), place(found[1])))
    within = {key: {name for one, _ in found for name in one.endpoints} for key, found in by_name.items()}
    return [timing(*key, added(by_name[key]), endpoints=within[key], duration=duration, started=0) for key in order]


def all_journeys(result: Result) -> Timing | None:
    """All journeys as one, where none made a request of loadkit's own: then the total has no figures."""
    found = journeys_among(result.timings)
    total = result.total
    if not found or total.requests or total.unsent or total.cut:
        return None
    merged = added((one, 0) for one in found)
    return timing(found[0].kind, found[0].name, merged, duration=result.duration, started=0)


def merged_slowest(parts: Sequence[Result]) -> list[SlowRequest]:
    """The slowest requests of all parts."""
    found = [
        msgspec.structs.replace(one, at=(nanoseconds(one.at) + shift(part, parts)) / SECOND)
        for part in parts
        for one in part.slowest
    ]
    return sorted(found, key=lambda one: (-one.response_time, msgspec.json.encode(one)))[:MOST]


def mean(parts: Sequence[tuple[float | None, float]], measured: float) -> float | None:
    """What the parts had together over the time measured; None where one does not know.

    It is added up in whole millionths of a second of it, which a mean gives back exactly: parts merged before are as
    those that were not.
    """
    known = [(value, seconds) for value, seconds in parts if value is not None]
    if len(known) < len(parts) or not measured:
        return None
    return sum(round(value * seconds * MILLIONTHS) for value, seconds in known) / MILLIONTHS / measured


# -- the series


def merged_series(parts: Sequence[Result], spans: Sequence[RunSpan], names: Sequence[str]) -> list[Interval]:
    """All intervals on one time line, as long as the longest of them, each on a multiple of its length in UTC.

    The intervals of a run begin when it does. They are moved, all by the same, to such a multiple, and so is the time
    that was measured.
    """
    length = max(interval_length(part) for part in parts)
    zeros = [_zero(start_of(part), interval_length(part)) for part in parts]
    placed = ((zero + one.start, one) for zero, part in zip(zeros, parts, strict=True) for one in part.intervals)
    at = grouped((start - start % length, one) for start, one in placed)
    first, measured = _zero(start_of(parts[0]), length), united(map(_on_the_line, spans))
    return [
        _interval(found, names, start=start - first, length=length, measured=_overlap(measured, start, start + length))
        for start, found in sorted(at.items())
    ]


def _zero(start: int, length: float) -> float:
    """Where on the time line the intervals of a part begin that starts at an instant."""
    second = (start + SECOND // 2) // SECOND
    return second - second % length


def _on_the_line(span: RunSpan) -> tuple[int, int]:
    start = nanoseconds(_zero(instant(span.start), span.interval or 1.0))
    return start, start + nanoseconds(span.length)


def _overlap(spans: Sequence[tuple[int, int]], begins: float, ends: float) -> float:
    """How many seconds between two instants lie in spans, which are in order and apart."""
    start, end, found = nanoseconds(begins), nanoseconds(ends), 0
    for place in range(max(0, bisect_right(spans, (start,)) - 1), len(spans)):
        if spans[place][0] >= end:
            break
        found += max(0, min(end, spans[place][1]) - max(start, spans[place][0]))
    return found / SECOND


def _interval(
    parts: Sequence[Interval], names: Sequence[str], *, start: float, length: float, measured: float
) -> Interval:
    by_name = grouped((row.name, row) for part in parts for row in part.endpoints)
    return Interval(
        start=start,
        length=length,
        measured=measured,
        threads=mean([(one.threads, one.measured) for one in parts], measured),
        asked=mean([(one.asked, one.measured) for one in parts], measured),
        total=_interval_row(TOTAL, [part.total for part in parts]),
        endpoints=[_interval_row(name, by_name[name]) for name in sorted(by_name, key=in_order_of(names))],
    )


def _interval_row(name: str, rows: list[IntervalRow]) -> IntervalRow:
    merged = Histogram()
    for one in rows:
        merged.add(one.response_time.histogram)
    return IntervalRow(
        name=name,
        requests=sum(row.requests for row in rows),
        failures=sum(row.failures for row in rows),
        response_time=times(merged),
    )
