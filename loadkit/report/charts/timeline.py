"""A run over time as charts: requests a second, and response times, interval by interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Final

from loadkit.judge.instants import instant, united, whole
from loadkit.judge.result import Interval, Result
from loadkit.plan.units import SECOND, show_span
from loadkit.report.charts.svg import (
    Band,
    Chart,
    Curve,
    Ink,
    Piece,
    Scale,
    even,
    filled,
    logarithmic,
    spans,
    steps,
    ticks,
)
from loadkit.report.figures import all_journeys, show_level, show_throughput, show_time

_WHOLE: Final = 0.25
"""The share of an interval that must have been measured for a rate to be taken from it."""

_FAR: Final = 30.0
"""How many times the lowest point of a chart the highest may be before it gets a logarithmic axis."""

_INKS: Final[tuple[Ink, ...]] = ("third", "second", "first", "fourth", "fifth")

_NAME: Final = 40

_NEAR: Final = 0.05
"""The share of the threads asked for that may be inactive without a chart of them."""

_HEADROOM: Final = 1.08
"""The names of phases stand above the curves."""

_PERCENTILES: Final[dict[str, tuple[str, Ink]]] = {
    "p99": ("p99", "third"),
    "p90": ("p90", "second"),
    "p50": ("p50", "first"),
}


def over_time(result: Result) -> list[Chart]:
    """Requests a second, good and failed, threads where they were to change, and the percentiles of the response time.

    Nothing without a series.
    """
    series = _series(result)
    if not series:
        return []
    across = _across(series)
    charts = (_rates(result, series, across), _threads(series, result, across), _times(result, series, across))
    return [chart for chart in charts if chart]


def _series(result: Result) -> list[Interval]:
    # what came after the stop, a few slow replies, would bend both axes for the sake of the fewest
    return [one for one in result.intervals if _is_shown(one)]


def _across(series: Sequence[Interval]) -> Scale:
    return Scale(0, max((one.start + one.measured for one in series), default=1.0))


def _is_shown(interval: Interval) -> bool:
    """Enough of it was measured to take a rate from; the first interval is all that a short run has."""
    return interval.measured > 0 and (interval.measured >= _WHOLE * interval.length or interval.start <= 0)


def rates(interval: Interval) -> tuple[float, float] | None:
    """Good replies and failures a second; None where too little of the interval was measured to tell."""
    if not _is_shown(interval):
        return None
    total = interval.total
    return (total.requests - total.failures) / interval.measured, total.failures / interval.measured


def _rates(result: Result, series: Sequence[Interval], across: Scale) -> Chart | None:
    """Nothing of journeys without requests of their own: their rates are in no interval."""
    if all_journeys(result):
        return None
    found = [rates(one) for one in series]
    asked = list(_asked(result, series))
    known = [rate for pair in found if pair for rate in pair]
    up, marks = even(_HEADROOM * max([*known, *(rate for _, rate in asked)], default=1))
    good = _pieces(series, [pair and pair[0] for pair in found], across, up)
    bad = _pieces(series, [pair and pair[1] for pair in found], across, up)
    curves = [Curve(name="good replies", ink="good", outline=steps(good), area=filled(good))]
    if any(pair and pair[1] for pair in found):
        curves.append(Curve(name="failed", ink="bad", outline=steps(bad), area=filled(bad)))
    if asked:
        path = "L".join(f"{across.place(at) * 10:.5g} {1000 - up.place(rate) * 10:.5g}" for at, rate in asked)
        curves.append(Curve(name="asked", ink="asked", outline=f"M{path}", is_dashed=True))
    return Chart(
        title="Requests a second",
        told=_told("Good replies a second", [pair[0] for pair in found if pair], show_throughput),
        across="time since the start",
        x_ticks=ticks(across, spans(across.high), show_span),
        y_ticks=ticks(up, marks, lambda rate: show_throughput(rate) if rate else "0"),
        curves=curves,
        phases=_phases(result, across),
        spots=_spots([_shown(one) for one in series], series, across),
        note=_length(series),
    )


def _threads(series: Sequence[Interval], result: Result, across: Scale) -> Chart | None:
    """Threads that were active beside those asked for, where these change or the two differ."""
    seen, asked = [_finite(one.threads) for one in series], [_finite(one.asked) for one in series]
    pairs = [(one, other) for one, other in zip(seen, asked, strict=True) if one is not None and other is not None]
    if len(pairs) < len(series):
        return None
    if len({level for _, level in pairs}) == 1 and all(_is_near(*pair) for pair in pairs):
        return None
    up, marks = even(_HEADROOM * max([*(level for pair in pairs for level in pair), 1.0]))
    return Chart(
        title="Threads",
        told=_told("Threads that were active", [level for level, _ in pairs], show_level),
        across="time since the start",
        x_ticks=ticks(across, spans(across.high), show_span),
        y_ticks=ticks(up, marks, show_level),
        curves=[
            Curve(name="active", ink="first", outline=steps(_pieces(series, seen, across, up))),
            Curve(name="asked", ink="asked", outline=steps(_pieces(series, asked, across, up)), is_dashed=True),
        ],
        phases=_phases(result, across),
        spots=_spots(
            [f"{between(one)}: {show_level(one.threads)} active, {show_level(one.asked)} asked" for one in series],
            series,
            across,
        ),
        note=_length(series),
    )


def _is_near(seen: float, asked: float) -> bool:
    return abs(seen - asked) <= max(0.5, _NEAR * asked)


def _times(result: Result, series: Sequence[Interval], across: Scale) -> Chart | None:
    points = {name: [_finite(getattr(one.total.response_time, name)) for one in series] for name in _PERCENTILES}
    known = [span for found in points.values() for span in found if span is not None]
    if not known:
        return None
    up, marks = time_scale(min(known), max(known))
    curves = []
    for name, (title, ink) in _PERCENTILES.items():
        outline = steps(_pieces(series, points[name], across, up))
        curves.append(Curve(name=title, ink=ink, outline=outline))
    return Chart(
        title="Response time",
        told=_told("p99 of the response time", [span for span in points["p99"] if span is not None], show_time),
        across="time since the start",
        x_ticks=ticks(across, spans(across.high), show_span),
        y_ticks=ticks(up, marks, lambda span: show_time(span) if span else "0"),
        curves=curves,
        phases=_phases(result, across),
        spots=_spots([_shown(one) for one in series], series, across),
        note="logarithmic scale" if up.is_log else "",
    )


def by_endpoint(result: Result) -> list[Chart]:
    """Whose replies were slow, and when: the p99 of the endpoints that have the highest; nothing of only one."""
    series = _series(result)
    across = _across(series)
    answered = [row for row in result.endpoints if _finite(row.response_time.p99) is not None]
    slowest = sorted(answered, key=lambda row: -row.p99)[: len(_INKS)]
    by_name = [{row.name: _finite(row.response_time.p99) for row in one.endpoints} for one in series]
    points = {row.name: [found.get(row.name) for found in by_name] for row in slowest}
    known = [span for found in points.values() for span in found if span is not None]
    if len(result.endpoints) < 2 or not known:
        return []
    up, marks = time_scale(min(known), max(known))
    left_out = len(answered) - len(slowest)
    chart = Chart(
        title="p99 of each endpoint" if not left_out else f"p99 of the {len(slowest)} slowest endpoints",
        told=_told("p99 of the slowest endpoints", known, show_time),
        across="time since the start",
        x_ticks=ticks(across, spans(across.high), show_span),
        y_ticks=ticks(up, marks, lambda span: show_time(span) if span else "0"),
        curves=[
            Curve(name=name, ink=ink, outline=steps(_pieces(series, found, across, up)))
            for (name, found), ink in zip(points.items(), _INKS, strict=False)
        ],
        phases=_phases(result, across),
        spots=_spots([f"{between(one)}: p99 {_listed(points, k)}" for k, one in enumerate(series)], series, across),
        note="logarithmic scale" if up.is_log else "",
    )
    return [chart]


def _listed(points: Mapping[str, Sequence[float | None]], k: int) -> str:
    """What each curve is at a place."""
    return ", ".join(f"{name[:_NAME]} {show_time(found[k])}" for name, found in points.items())


def time_scale(low: float, high: float) -> tuple[Scale, list[float]]:
    """An even scale from 0, or a logarithmic one where the times lie far apart."""
    low = max(low, 1e-6)
    return logarithmic(low, high) if high > _FAR * low else even(high)


def _finite(span: float | None) -> float | None:
    return span if span is not None and math.isfinite(span) else None


def _pieces(series: Sequence[Interval], heights: Sequence[float | None], across: Scale, up: Scale) -> list[Piece]:
    return [
        (
            across.place(one.start),
            across.place(one.start + one.measured),
            None if height is None else up.place(height),
        )
        for one, height in zip(series, heights, strict=True)
    ]


def _asked(result: Result, series: Sequence[Interval]) -> Iterator[tuple[float, float]]:
    """The arrivals a second that an open workload asked for, as corners of a line."""
    scenario = result.scenario
    if scenario.rate is None:
        return
    if len(result.spans) > 1:
        yield from _asked_of_all(series)
        return
    if not scenario.phases:
        yield from ((0.0, scenario.rate), (result.duration or 1.0, scenario.rate))
        return
    begins = 0.0
    for phase in scenario.phases:
        yield begins, phase.start
        begins += phase.duration
        yield begins, phase.end


def _asked_of_all(series: Sequence[Interval]) -> Iterator[tuple[float, float]]:
    """The same of several runs, whose plans began when each of them did; nothing where it is not known throughout."""
    if all(one.asked is not None for one in series):
        yield from ((at, one.asked) for one in series for at in (one.start, one.start + one.measured) if one.asked)


def _phases(result: Result, across: Scale) -> list[Band]:
    """Where each phase is, if there is more than one."""
    if len(result.scenario.phases) < 2:
        return []
    return [
        Band(start=across.place(start), width=across.place(end) - across.place(start), text=name)
        for name, start, end in _phase_spans(result)
        if end > start
    ]


def _phase_spans(result: Result) -> Iterator[tuple[str, float, float]]:
    if len(result.spans) > 1:
        began = min(instant(span.start) for span in result.spans)
        for phase in result.phases:
            spans = [(instant(one.start), instant(one.start) + whole(one.length)) for one in phase.spans]
            for start, end in united(spans):
                yield phase.name, (start - began) / SECOND, (end - began) / SECOND
        return
    plans = result.scenario.phases
    ends = [0.0, *accumulate(plan.duration for plan in plans)]
    yield from ((plan.name, start, end) for plan, (start, end) in zip(plans, pairwise(ends), strict=True))


def _spots(texts: Sequence[str], series: Sequence[Interval], across: Scale) -> list[Band]:
    """A text for each interval, where it is."""
    places = [(across.place(one.start), across.place(one.start + one.measured)) for one in series]
    return [Band(start=start, width=end - start, text=text) for text, (start, end) in zip(texts, places, strict=True)]


def _shown(one: Interval) -> str:
    """What an interval was, in a line."""
    times, found = one.total.response_time, rates(one)
    parts = [f"{show_throughput(found[0])} good", f"{show_throughput(found[1])} failed"] if found else []
    parts += [f"{name} {show_time(getattr(times, name))}" for name in ("p50", "p90", "p99")] if times.count else []
    return f"{between(one)}: {', '.join(parts) or f'{one.total.requests:,} requests'}"


def between(one: Interval) -> str:
    """From when to when an interval is: `12s - 13s`."""
    return f"{show_span(one.start)} - {show_span(one.start + one.length)}"


def _length(series: Sequence[Interval]) -> str:
    length = max(one.length for one in series)
    return f"means of {show_span(length)}" if length > 1 else ""


def _told(what: str, values: Sequence[float], show: Callable[[float], str]) -> str:
    """The chart in a sentence, for those who cannot see it."""
    if not values:
        return f"{what}: not known."
    return f"{what}, over time: from {show(min(values))} to {show(max(values))}; the table below has each interval."
