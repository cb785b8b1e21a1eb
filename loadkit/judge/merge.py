"""Several results as one, exactly: counts and histograms add, nothing is averaged.

Throughput is the good replies of all parts over the time in which at least one of them was measured: parts that ran
side by side (on several machines) share their time, and parts one after the other add it up. A merged result keeps the
span of each run that is in it, with the figures that add up only where runs were at the same time: so merging some of
the parts first changes nothing. What is added up are whole numbers, for a sum of floats depends on their order.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from loadkit.judge.bottleneck import NOTHING, Bottleneck, together
from loadkit.judge.caveats import OF_FIGURES, of_figures
from loadkit.judge.description import ScenarioInfo
from loadkit.judge.environment import Environment, Server
from loadkit.judge.instants import Span, covered, instant, later, united, whole
from loadkit.judge.result import Result
from loadkit.judge.rows import KINDS, FailureExample, Interval, IntervalRow, Phase, Row, Timing
from loadkit.judge.spans import RunSpan
from loadkit.judge.summary import TOTAL, most_first, times
from loadkit.judge.threshold_results import Outcome, ThresholdResult, outcome, threshold_results
from loadkit.judge.times import Times
from loadkit.judge.validity import Caveat, ranked, validity_of
from loadkit.measure.histogram import Histogram
from loadkit.plan.errors import UsageError
from loadkit.plan.threshold import threshold
from loadkit.plan.units import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Value = TypeVar("Value")

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
_NAME: Final = 120
_SETTINGS: Final = frozenset({"rate_limit", "per_host", "auto"})
"""Options of a fetch that were asked for; the others were counted."""


def merge(results: Sequence[Result]) -> Result:
    """One result of several of the same load, the same for any order of them, and for any of them merged before.

    Raises `UsageError` when they are of different loads.
    """
    _check_same(results)
    if len(results) == 1:
        return results[0]
    # of parts that start in the same instant the one with the lesser text is first, whatever order they were named in
    parts = sorted(results, key=lambda part: (_start(part), msgspec.json.encode(part)))
    spans = sorted((span for part in parts for span in _spans(part)), key=_when)
    duration = covered(map(_ends, spans)) / SECOND
    scenario = _scenario(parts, spans)
    endpoints = _rows(
        [[_moved(row, _shift(part, parts)) for row in part.endpoints] for part in parts], scenario, duration
    )
    total = _row(TOTAL, [_moved(part.total, _shift(part, parts)) for part in parts], duration)
    limits = [
        threshold(text)
        for text in dict.fromkeys(v.threshold for part in parts for v in part.thresholds if not v.implied)
    ]
    phases = _phases(parts, scenario)
    timings = _timings(parts, scenario, duration)
    found = threshold_results(limits, total, endpoints, phases, timings)
    # those of the parts; what rests on the figures alone is asked again of the whole
    doubts = ranked([*_lasting(parts), *of_figures(total, endpoints, phases, timings, limits=limits)])
    return msgspec.structs.replace(
        parts[0],
        scenario=scenario,
        environment=_environment(parts, spans),
        started_at=min((part.started_at for part in parts), key=lambda text: (instant(text), text)),
        spans=spans,
        duration=duration,
        outcome=_outcome(parts, total, found, timings),
        total=total,
        endpoints=endpoints,
        phases=phases,
        timings=timings,
        thresholds=found,
        caveats=doubts,
        intervals=_series(parts, spans, [row.name for row in endpoints]),
        validity=validity_of(doubts),
        bottleneck=_bottleneck(spans, scenario),
        server=_server(parts, spans),
    )


def _check_same(parts: Sequence[Result]) -> None:
    names = sorted({part.identity.name for part in parts})
    if len(names) > 1:
        raise UsageError(
            f"these are results of different scenarios and cannot be one: {' and '.join(map(_cut, names))}"
        )
    if len({part.identity.plan for part in parts}) > 1:
        raise UsageError(f"these are results of different loads of {_cut(names[0])} and cannot be one")


def _cut(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[:_NAME]}…"


def _outcome(
    parts: Sequence[Result], total: Row, found: Sequence[ThresholdResult], timings: Sequence[Timing]
) -> Outcome:
    outcomes = {part.outcome for part in parts}
    if "server-lost" in outcomes:
        return "server-lost"
    if "not-applied" in outcomes and "interrupted" not in outcomes:
        return "not-applied"
    return outcome(total, found, timings, interrupted="interrupted" in outcomes)


# -- when runs were


def _spans(part: Result) -> list[RunSpan]:
    """The runs in a result, each with what of it adds up only with runs at the same time."""
    first = part.spans[0]
    if first.threads is not None:
        return part.spans
    scenario = part.scenario
    return [
        msgspec.structs.replace(
            first,
            base_url=scenario.base_url,
            processes=scenario.processes if isinstance(scenario.processes, int) else 1,
            threads=scenario.threads,
            max_threads=scenario.max_threads,
            rate=scenario.rate,
            peak_memory=part.environment.peak_memory,
            server_memory=part.server.peak_memory if part.server else None,
            interval=_length(part),
            bottleneck=part.bottleneck,
        )
    ]


def _when(span: RunSpan) -> tuple[int, bytes]:
    return instant(span.start), msgspec.json.encode(span)


def _ends(span: Span) -> tuple[int, int]:
    start = instant(span.start)
    return start, start + whole(span.length)


def _start(part: Result) -> int:
    return min(instant(span.start) for span in part.spans)


def _shift(part: Result, parts: Sequence[Result]) -> int:
    """How many nanoseconds later than the first a part began to be measured."""
    return _start(part) - _start(parts[0])


def _at_once(spans: Sequence[RunSpan], name: str) -> Fraction:
    """The most of something that runs had together at any time; runs one after the other had it in turn."""
    changes = []
    for span in spans:
        start, end = _ends(span)
        amount = Fraction(getattr(span, name) or 0)
        # one that measured for no time still had its threads when it started
        changes += [(start, 1, amount), (max(end, start + 1), 0, -amount)]
    most = now = Fraction(0)
    for _, _, amount in sorted(changes):
        now += amount
        most = max(most, now)
    return most


def _known_at_once(spans: Sequence[RunSpan], name: str) -> Fraction | None:
    """The same of what not every run has; None where one has none."""
    return None if any(getattr(span, name) is None for span in spans) else _at_once(spans, name)


# -- rows


def _moved(row: Row, shift: int) -> Row:
    """A row with its examples on the time line of the whole."""
    return msgspec.structs.replace(row, examples=_dated(row.examples, shift))


def _dated(examples: Sequence[FailureExample], shift: int) -> list[FailureExample]:
    return [
        msgspec.structs.replace(example, first_at=(whole(example.first_at) + shift) / SECOND) for example in examples
    ]


def _rows(parts: list[list[Row]], scenario: ScenarioInfo, duration: float) -> list[Row]:
    """Rows of the same name as one: the scenario's endpoints in their order, then others by their names."""
    by_name: dict[str, list[Row]] = {}
    for part in parts:
        for row in part:
            by_name.setdefault(row.name, []).append(row)
    return [_row(name, by_name[name], duration) for name in sorted(by_name, key=_place(scenario.endpoints))]


def _place(names: Sequence[str]) -> Callable[[str], tuple[int, str]]:
    places = {name: place for place, name in reversed(list(enumerate(names)))}
    return lambda name: (places.get(name, len(names)), name)


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


def _phases(parts: Sequence[Result], scenario: ScenarioInfo) -> list[Phase]:
    """Phases of the same name as one, in their order."""
    by_name: dict[str, list[tuple[Result, Phase]]] = {}
    for part in parts:
        for phase in part.phases:
            by_name.setdefault(phase.name, []).append((part, phase))
    order = _place([plan.name for plan in scenario.phases])
    found = [_phase(by_name[name], parts, scenario) for name in sorted(by_name, key=order)]
    return sorted(found, key=lambda phase: phase.start)


def _phase(found: Sequence[tuple[Result, Phase]], parts: Sequence[Result], scenario: ScenarioInfo) -> Phase:
    spans = sorted((span for part, phase in found for span in _of_phase(part, phase)), key=_ends)
    length = covered(map(_ends, spans)) / SECOND
    moved = [[_moved(row, _shift(part, parts)) for row in phase.endpoints] for part, phase in found]
    return Phase(
        name=found[0][1].name,
        start=(instant(spans[0].start) - _start(parts[0])) / SECOND,
        length=length,
        threads=_mean([(phase.threads, phase.length) for _, phase in found], length),
        asked=_mean([(phase.asked, phase.length) for _, phase in found], length),
        spans=spans,
        total=_row(TOTAL, [_moved(phase.total, _shift(part, parts)) for part, phase in found], length),
        endpoints=_rows(moved, scenario, length),
    )


def _of_phase(part: Result, phase: Phase) -> list[Span]:
    return phase.spans or [Span(start=later(part.spans[0].start, phase.start), length=phase.length)]


def _timings(parts: Sequence[Result], scenario: ScenarioInfo, duration: float) -> list[Timing]:
    by_name: dict[tuple[str, str], list[Timing]] = {}
    for part in parts:
        for one in part.timings:
            moved = msgspec.structs.replace(one, examples=_dated(one.examples, _shift(part, parts)))
            by_name.setdefault((one.kind, one.name), []).append(moved)
    place = _place(scenario.journeys)
    order = sorted(by_name, key=lambda found: (KINDS.index(found[0]), place(found[1])))
    return [timing(by_name[key], duration) for key in order]


def timing(found: Sequence[Timing], duration: float) -> Timing:
    """Several of a kind as one, by the name of the first, over so many seconds."""
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


# -- what was asked, and on what it ran


def _scenario(parts: Sequence[Result], spans: Sequence[RunSpan]) -> ScenarioInfo:
    asked = [part.scenario.iterations for part in parts]
    iterations = [count for count in asked if count is not None]
    rate, most = _known_at_once(spans, "rate"), _known_at_once(spans, "max_threads")
    of_all: dict[str, Any] = {
        "base_url": ", ".join(sorted({span.base_url for span in spans if span.base_url})),
        "processes": int(_at_once(spans, "processes")),
        "threads": int(_at_once(spans, "threads")),
        "rate": None if rate is None else float(rate),
        "max_threads": None if most is None else int(most),
        "iterations": sum(iterations) if len(iterations) == len(asked) else None,
        "endpoints": _names(part.scenario.endpoints for part in parts),
        "journeys": _names(part.scenario.journeys for part in parts),
        "options": _options([part.scenario.options for part in parts]),
    }
    return _first([(_start(part), msgspec.structs.replace(part.scenario, **of_all)) for part in parts])


def _bottleneck(spans: Sequence[RunSpan], scenario: ScenarioInfo) -> Bottleneck:
    load = (scenario.threads, scenario.max_threads, scenario.rate)
    is_load_of_each = all((span.threads, span.max_threads, span.rate) == load for span in spans)
    found = [span.bottleneck or NOTHING for span in spans]
    return together(found, is_load_of_each=is_load_of_each)


def _first(found: Sequence[tuple[int, Value]]) -> Value:
    """What the part that started first has; of those in the same instant the one whose text is less."""
    return min(found, key=lambda one: (one[0], msgspec.json.encode(one[1])))[1]


def _names(parts: Iterable[Sequence[str]]) -> list[str]:
    """All names: in the order of the longest list, then others by the alphabet."""
    lists = sorted({tuple(names) for names in parts}, key=lambda names: (-len(names), names))
    return [*lists[0], *sorted({name for names in lists[1:] for name in names} - set(lists[0]))]


def _options(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a fetch counted adds up; what was asked of it is that of all, or None where they differ."""
    names = dict.fromkeys(name for options in parts for name in sorted(options))
    found = {name: [options[name] for options in parts if name in options] for name in names}
    return {name: _same(values) if name in _SETTINGS else _added(values) for name, values in found.items()}


def _same(values: list[Any]) -> Any:
    return values[0] if all(value == values[0] for value in values) else None


def _added(values: list[Any]) -> Any:
    if all(isinstance(value, dict) for value in values):
        return _options(values)
    if all(isinstance(value, int) for value in values):
        return sum(values)
    if all(isinstance(value, int | float) for value in values):
        return sum(map(whole, values)) / SECOND
    return _same(values)


def _environment(parts: Sequence[Result], spans: Sequence[RunSpan]) -> Environment:
    found = [part.environment for part in parts]
    clocks = {one.clock for one in found}
    of_all: dict[str, Any] = {
        "clock": clocks.pop() if len(clocks) == 1 else "mixed",
        "cpu_seconds": _seconds(one.cpu_seconds for one in found),
        "cpu_by_process": sorted((cpu for one in found for cpu in one.cpu_by_process), reverse=True),
        "peak_memory": int(_at_once(spans, "peak_memory")),
    }
    return _first([(_start(part), msgspec.structs.replace(part.environment, **of_all)) for part in parts])


def _server(parts: Sequence[Result], spans: Sequence[RunSpan]) -> Server | None:
    """Of all parts, or of none: the CPU of some would be divided by the requests of all."""
    found = [part.server for part in parts if part.server is not None]
    memory = _known_at_once(spans, "server_memory")
    if len(found) < len(parts) or memory is None:
        return None
    return Server(cpu_seconds=_seconds(one.cpu_seconds for one in found), peak_memory=int(memory))


def _seconds(parts: Iterable[float]) -> float:
    return sum(map(whole, parts)) / SECOND


def _lasting(parts: Sequence[Result]) -> list[Caveat]:
    """The caveats of the parts that merging cannot settle; of notes, whose figures differ a little, one a code."""
    found = [caveat for part in parts for caveat in part.caveats if caveat.code not in OF_FIGURES]
    found.sort(key=lambda one: (one.code, one.message))
    notes = {caveat.code: caveat for caveat in reversed(found) if caveat.level == "note"}
    return [caveat for caveat in found if caveat.level != "note" or caveat == notes[caveat.code]]


# -- the series


def _series(parts: Sequence[Result], spans: Sequence[RunSpan], names: Sequence[str]) -> list[Interval]:
    """All intervals on one time line, as long as the longest of them, each on a multiple of its length in UTC.

    The intervals of a run begin when it does. They are moved, all by the same, to such a multiple, and so is the time
    that was measured.
    """
    length = max(_length(part) for part in parts)
    at: dict[float, list[Interval]] = {}
    for part in parts:
        for interval in part.intervals:
            start = _zero(_start(part), _length(part)) + interval.start
            at.setdefault(start - start % length, []).append(interval)
    first, measured = _zero(_start(parts[0]), length), united(map(_on_the_line, spans))
    return [
        _interval(found, names, start=start - first, length=length, measured=_overlap(measured, start, start + length))
        for start, found in sorted(at.items())
    ]


def _length(part: Result) -> float:
    return max((interval.length for interval in part.intervals), default=1.0)


def _zero(start: int, length: float) -> float:
    """Where on the time line the intervals of a part begin that starts at an instant."""
    second = (start + SECOND // 2) // SECOND
    return second - second % length


def _on_the_line(span: RunSpan) -> tuple[int, int]:
    start = whole(_zero(instant(span.start), span.interval or 1.0))
    return start, start + whole(span.length)


def _overlap(spans: Sequence[tuple[int, int]], begins: float, ends: float) -> float:
    """How many seconds between two instants lie in spans, which are in order and apart."""
    start, end, found = whole(begins), whole(ends), 0
    for place in range(max(0, bisect_right(spans, (start,)) - 1), len(spans)):
        if spans[place][0] >= end:
            break
        found += max(0, min(end, spans[place][1]) - max(start, spans[place][0]))
    return found / SECOND


def _interval(
    parts: Sequence[Interval], names: Sequence[str], *, start: float, length: float, measured: float
) -> Interval:
    by_name: dict[str, list[IntervalRow]] = {}
    for part in parts:
        for row in part.endpoints:
            by_name.setdefault(row.name, []).append(row)
    return Interval(
        start=start,
        length=length,
        measured=measured,
        threads=_mean([(one.threads, one.measured) for one in parts], measured),
        asked=_mean([(one.asked, one.measured) for one in parts], measured),
        total=_interval_row(TOTAL, [part.total for part in parts]),
        endpoints=[_interval_row(name, by_name[name]) for name in sorted(by_name, key=_place(names))],
    )


def _mean(parts: Sequence[tuple[float | None, float]], measured: float) -> float | None:
    """What the parts had together over the time measured; None where one does not know."""
    known = [(value, seconds) for value, seconds in parts if value is not None]
    if len(known) < len(parts) or not measured:
        return None
    return sum(value * seconds for value, seconds in known) / measured


def _interval_row(name: str, rows: list[IntervalRow]) -> IntervalRow:
    return IntervalRow(
        name=name,
        requests=sum(row.requests for row in rows),
        failures=sum(row.failures for row in rows),
        response_time=_times(row.response_time for row in rows),
    )
