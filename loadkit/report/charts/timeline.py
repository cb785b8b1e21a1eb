"""A run over time as charts: requests a second, threads, and response times, interval by interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from loadkit.judge.merge.sums import all_journeys
from loadkit.judge.result import Result
from loadkit.judge.rows import Interval
from loadkit.plan.units import show_count, show_span
from loadkit.report.charts.planned import asked_rates, phase_bands
from loadkit.report.charts.svg import (
    Band,
    Chart,
    Color,
    Curve,
    Scale,
    bands,
    even,
    filled,
    spans,
    steps,
    ticks,
    time_scale,
)
from loadkit.report.figures import FIGURES, show_level, show_throughput, show_time

_WHOLE: Final = 0.25
"""The share of an interval that must have been measured for a rate to be taken from it."""

_COLORS: Final[tuple[Color, ...]] = ("third", "second", "first", "fourth", "fifth")

_NAME: Final = 40

_NEAR: Final = 0.05
"""The share of the threads asked for that may be inactive without a chart of them."""

_HEADROOM: Final = 1.08
"""The names of phases stand above the curves."""

_PERCENTILES: Final[dict[str, Color]] = {"p99": "third", "p90": "second", "p50": "first"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What a curve shows: a level for each interval, None where it is not known, or a line through points in time."""

    name: str
    color: Color
    levels: Sequence[float | None] = ()
    line: Sequence[tuple[float, float]] = ()
    is_filled: bool = False
    is_dashed: bool = False

    @property
    def known(self) -> list[float]:
        """The known levels, and those of the line."""
        return [*(level for level in self.levels if level is not None), *(level for _, level in self.line)]


@dataclass(frozen=True, slots=True)
class Timeline:
    """The intervals of a run that are charted, along one axis."""

    intervals: Sequence[Interval]
    axis: Scale
    phases: Sequence[Band]

    def chart(
        self,
        *,
        title: str,
        description: str,
        series: Sequence[Series],
        y_axis: tuple[Scale, Sequence[float]],
        show: Callable[[float], str],
        texts: Sequence[str],
        note: str,
    ) -> Chart:
        """A chart over time: `show` writes a value of the y axis, `texts` are what is shown of each interval."""
        up, marks = y_axis
        return Chart(
            title=title,
            description=description,
            x_label="time since the start",
            x_ticks=ticks(self.axis, spans(self.axis.high), show_span),
            y_ticks=ticks(up, marks, lambda value: show(value) if value else "0"),
            curves=[self._curve(one, up) for one in series],
            phases=self.phases,
            spots=bands(map(self._edges, self.intervals), texts),
            note=note,
        )

    def _curve(self, series: Series, up: Scale) -> Curve:
        if series.line:
            points = [f"{self.axis.place(at) * 10:.5g} {1000 - up.place(level) * 10:.5g}" for at, level in series.line]
            outline, area = f"M{'L'.join(points)}", ""
        else:
            heights = [None if level is None else up.place(level) for level in series.levels]
            pieces = [(*self._edges(one), height) for one, height in zip(self.intervals, heights, strict=True)]
            outline, area = steps(pieces), filled(pieces) if series.is_filled else ""
        return Curve(name=series.name, color=series.color, outline=outline, area=area, is_dashed=series.is_dashed)

    def _edges(self, one: Interval) -> tuple[float, float]:
        return self.axis.place(one.start), self.axis.place(one.start + one.measured)


def timeline_charts(result: Result) -> list[Chart]:
    """The charts of requests a second, of threads, and of response times; none without intervals."""
    timeline = _timeline(result)
    if not timeline.intervals:
        return []
    charts = (_rates(result, timeline), _threads(timeline), _times(timeline))
    return [chart for chart in charts if chart]


def _timeline(result: Result) -> Timeline:
    # what came after the stop, a few slow replies, would bend both axes for the sake of the fewest
    intervals = [one for one in result.intervals if _is_shown(one)]
    axis = Scale(0, max((one.start + one.measured for one in intervals), default=1.0))
    return Timeline(intervals, axis, phase_bands(result, axis))


def _is_shown(interval: Interval) -> bool:
    """True if enough of it was measured for a rate, or if it is the first, which may be all of a short run."""
    return interval.measured > 0 and (interval.measured >= _WHOLE * interval.length or interval.start <= 0)


def rates(interval: Interval) -> tuple[float, float] | None:
    """Good replies and failures a second; None where too little of the interval was measured to tell."""
    if not _is_shown(interval):
        return None
    total = interval.total
    return (total.requests - total.failures) / interval.measured, total.failures / interval.measured


def _rates(result: Result, timeline: Timeline) -> Chart | None:
    """None for journeys without requests, of which intervals have no figures."""
    if all_journeys(result):
        return None
    found = [rates(one) for one in timeline.intervals]
    good = Series(name="good replies", color="good", levels=[pair and pair[0] for pair in found], is_filled=True)
    failed = Series(name="failed", color="bad", levels=[pair and pair[1] for pair in found], is_filled=True)
    asked = Series(name="asked", color="asked", line=list(asked_rates(result, timeline.intervals)), is_dashed=True)
    series = [good, *([failed] if any(failed.levels) else []), *([asked] if asked.line else [])]
    return timeline.chart(
        title="Requests a second",
        description=_described("Good replies a second", good.known, show_throughput),
        series=series,
        y_axis=_from_zero(series),
        show=show_throughput,
        texts=list(map(_in_words, timeline.intervals)),
        note=_length(timeline.intervals),
    )


def _threads(timeline: Timeline) -> Chart | None:
    """Active threads beside those asked for; None if these never change and the two are alike."""
    intervals = timeline.intervals
    seen = Series(name="active", color="first", levels=[_finite(one.threads) for one in intervals])
    asked = Series(name="asked", color="asked", levels=[_finite(one.asked) for one in intervals], is_dashed=True)
    if len(seen.known) < len(intervals) or len(asked.known) < len(intervals):
        return None
    if len(set(asked.known)) == 1 and all(map(_is_near, seen.known, asked.known)):
        return None
    return timeline.chart(
        title="Threads",
        description=_described("Threads that were active", seen.known, show_level),
        series=[seen, asked],
        y_axis=_from_zero([seen, asked], least=1.0),
        show=show_level,
        texts=[f"{between(one)}: {show_level(one.threads)} active, {show_level(one.asked)} asked" for one in intervals],
        note=_length(intervals),
    )


def _is_near(seen: float, asked: float) -> bool:
    return abs(seen - asked) <= max(0.5, _NEAR * asked)


def _from_zero(series: Sequence[Series], *, least: float = 0.0) -> tuple[Scale, list[float]]:
    return even(_HEADROOM * max(least, *(level for one in series for level in one.known)))


def _times(timeline: Timeline) -> Chart | None:
    times = [one.total.response_time for one in timeline.intervals]
    series = [
        Series(name=name, color=color, levels=[_finite(FIGURES[name](one)) for one in times])
        for name, color in _PERCENTILES.items()
    ]
    known = next(one.known for one in series if one.name == "p99")
    description = _described("p99 of the response time", known, show_time)
    return _times_chart(timeline, "Response time", description, series, list(map(_in_words, timeline.intervals)))


def endpoint_charts(result: Result) -> list[Chart]:
    """The p99 over time of the slowest endpoints; none for a single endpoint."""
    if len(result.endpoints) < 2:
        return []
    timeline = _timeline(result)
    answered = [row for row in result.endpoints if _finite(row.response_time.p99) is not None]
    slowest = sorted(answered, key=lambda row: -row.p99)[: len(_COLORS)]
    by_name = [{row.name: _finite(row.response_time.p99) for row in one.endpoints} for one in timeline.intervals]
    series = [
        Series(name=row.name, color=color, levels=[found.get(row.name) for found in by_name])
        for row, color in zip(slowest, _COLORS, strict=False)
    ]
    title = "p99 of each endpoint" if len(slowest) == len(answered) else f"p99 of the {len(slowest)} slowest endpoints"
    known = [level for one in series for level in one.known]
    description = _described("p99 of the slowest endpoints", known, show_time)
    texts = [f"{between(one)}: p99 {_listed(series, k)}" for k, one in enumerate(timeline.intervals)]
    chart = _times_chart(timeline, title, description, series, texts)
    return [chart] if chart else []


def _times_chart(
    timeline: Timeline, title: str, description: str, series: Sequence[Series], texts: Sequence[str]
) -> Chart | None:
    """A chart of times; None if no time is known."""
    known = [level for one in series for level in one.known]
    if not known:
        return None
    up, marks = time_scale(min(known), max(known))
    return timeline.chart(
        title=title,
        description=description,
        series=series,
        y_axis=(up, marks),
        show=show_time,
        texts=texts,
        note="logarithmic scale" if up.is_log else "",
    )


def _listed(series: Sequence[Series], k: int) -> str:
    """The value of each curve in an interval."""
    return ", ".join(f"{one.name[:_NAME]} {show_time(one.levels[k])}" for one in series)


def _finite(span: float | None) -> float | None:
    return span if span is not None and math.isfinite(span) else None


def _in_words(one: Interval) -> str:
    """The figures of an interval on one line."""
    times, found = one.total.response_time, rates(one)
    parts = [f"{show_throughput(found[0])} good", f"{show_throughput(found[1])} failed"] if found else []
    parts += [f"{name} {show_time(FIGURES[name](times))}" for name in ("p50", "p90", "p99")] if times.count else []
    return f"{between(one)}: {', '.join(parts) or show_count(one.total.requests, 'request')}"


def between(one: Interval) -> str:
    """The start and end of an interval: `12s - 13s`."""
    return f"{show_span(one.start)} - {show_span(one.start + one.length)}"


def _length(series: Sequence[Interval]) -> str:
    length = max(one.length for one in series)
    return f"means of {show_span(length)}" if length > 1 else ""


def _described(what: str, values: Sequence[float], show: Callable[[float], str]) -> str:
    """A sentence for readers that cannot see the chart."""
    if not values:
        return f"{what}: not known."
    return f"{what}, over time: from {show(min(values))} to {show(max(values))}; the table below has each interval."
