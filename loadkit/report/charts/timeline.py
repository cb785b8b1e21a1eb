"""A run over time as charts: requests a second, threads, and response times, interval by interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from loadkit.judge.result import Interval, Result
from loadkit.plan.units import show_span
from loadkit.report.charts.planned import asked_rates, phase_bands
from loadkit.report.charts.svg import Band, Chart, Color, Curve, Scale, even, filled, logarithmic, spans, steps, ticks
from loadkit.report.figures import FIGURES, all_journeys, show_level, show_throughput, show_time

_WHOLE: Final = 0.25
"""The share of an interval that must have been measured for a rate to be taken from it."""

_FAR: Final = 30.0
"""How many times the lowest point of a chart the highest may be before it gets a logarithmic axis."""

_COLORS: Final[tuple[Color, ...]] = ("third", "second", "first", "fourth", "fifth")

_NAME: Final = 40

_NEAR: Final = 0.05
"""The share of the threads asked for that may be inactive without a chart of them."""

_HEADROOM: Final = 1.08
"""The names of phases stand above the curves."""

_PERCENTILES: Final[dict[str, Color]] = {"p99": "third", "p90": "second", "p50": "first"}

_Heights = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Series:
    """The intervals of a run that are charted, along one time axis."""

    intervals: Sequence[Interval]
    axis: Scale
    phases: Sequence[Band]

    def curve(
        self, name: str, color: Color, heights: _Heights, up: Scale, *, filled_below: bool = False, dashed: bool = False
    ) -> Curve:
        """A curve that is level within each interval, broken where a height is None."""
        pieces = [
            (*self._edges(one), None if height is None else up.place(height))
            for one, height in zip(self.intervals, heights, strict=True)
        ]
        area = filled(pieces) if filled_below else ""
        return Curve(name=name, color=color, outline=steps(pieces), area=area, is_dashed=dashed)

    def chart(
        self,
        title: str,
        description: str,
        y_axis: tuple[Scale, Sequence[float]],
        show: Callable[[float], str],
        curves: Sequence[Curve],
        texts: Sequence[str],
        note: str,
    ) -> Chart:
        """A chart over time; `texts` say for each interval what it shows."""
        up, marks = y_axis
        places = [self._edges(one) for one in self.intervals]
        return Chart(
            title=title,
            description=description,
            x_label="time since the start",
            x_ticks=ticks(self.axis, spans(self.axis.high), show_span),
            y_ticks=ticks(up, marks, show),
            curves=curves,
            phases=self.phases,
            spots=[
                Band(start=start, width=end - start, text=text)
                for text, (start, end) in zip(texts, places, strict=True)
            ],
            note=note,
        )

    def _edges(self, one: Interval) -> tuple[float, float]:
        return self.axis.place(one.start), self.axis.place(one.start + one.measured)


def timeline_charts(result: Result) -> list[Chart]:
    """Requests a second, good and failed, threads where they were to change, and the percentiles of the response time.

    Nothing without a series.
    """
    series = _series(result)
    if not series.intervals:
        return []
    charts = (_rates(result, series), _threads(series), _times(series))
    return [chart for chart in charts if chart]


def _series(result: Result) -> Series:
    # what came after the stop, a few slow replies, would bend both axes for the sake of the fewest
    intervals = [one for one in result.intervals if _is_shown(one)]
    axis = Scale(0, max((one.start + one.measured for one in intervals), default=1.0))
    return Series(intervals, axis, phase_bands(result, axis))


def _is_shown(interval: Interval) -> bool:
    """Enough of it was measured to take a rate from; the first interval is all that a short run has."""
    return interval.measured > 0 and (interval.measured >= _WHOLE * interval.length or interval.start <= 0)


def rates(interval: Interval) -> tuple[float, float] | None:
    """Good replies and failures a second; None where too little of the interval was measured to tell."""
    if not _is_shown(interval):
        return None
    total = interval.total
    return (total.requests - total.failures) / interval.measured, total.failures / interval.measured


def _rates(result: Result, series: Series) -> Chart | None:
    """Nothing of journeys without requests of their own: their rates are in no interval."""
    if all_journeys(result):
        return None
    found = [rates(one) for one in series.intervals]
    good, failed = [pair and pair[0] for pair in found], [pair and pair[1] for pair in found]
    asked = list(asked_rates(result, series.intervals))
    up, marks = even(_HEADROOM * max([*_known(good), *_known(failed), *(rate for _, rate in asked)], default=1))
    curves = [series.curve("good replies", "good", good, up, filled_below=True)]
    if any(failed):
        curves.append(series.curve("failed", "bad", failed, up, filled_below=True))
    if asked:
        path = "L".join(f"{series.axis.place(at) * 10:.5g} {1000 - up.place(rate) * 10:.5g}" for at, rate in asked)
        curves.append(Curve(name="asked", color="asked", outline=f"M{path}", is_dashed=True))
    return series.chart(
        "Requests a second",
        _described("Good replies a second", _known(good), show_throughput),
        (up, marks),
        _or_zero(show_throughput),
        curves,
        list(map(_in_words, series.intervals)),
        _length(series.intervals),
    )


def _threads(series: Series) -> Chart | None:
    """Threads that were active beside those asked for, where these change or the two differ."""
    intervals = series.intervals
    seen, asked = [_finite(one.threads) for one in intervals], [_finite(one.asked) for one in intervals]
    pairs = [(one, other) for one, other in zip(seen, asked, strict=True) if one is not None and other is not None]
    if len(pairs) < len(intervals):
        return None
    if len({level for _, level in pairs}) == 1 and all(_is_near(*pair) for pair in pairs):
        return None
    up, marks = even(_HEADROOM * max([*(level for pair in pairs for level in pair), 1.0]))
    return series.chart(
        "Threads",
        _described("Threads that were active", _known(seen), show_level),
        (up, marks),
        show_level,
        [series.curve("active", "first", seen, up), series.curve("asked", "asked", asked, up, dashed=True)],
        [f"{between(one)}: {show_level(one.threads)} active, {show_level(one.asked)} asked" for one in intervals],
        _length(intervals),
    )


def _is_near(seen: float, asked: float) -> bool:
    return abs(seen - asked) <= max(0.5, _NEAR * asked)


def _times(series: Series) -> Chart | None:
    points = {
        name: [_finite(FIGURES[name](one.total.response_time)) for one in series.intervals] for name in _PERCENTILES
    }
    return _times_chart(
        series,
        points,
        list(_PERCENTILES.values()),
        "Response time",
        _described("p99 of the response time", _known(points["p99"]), show_time),
        list(map(_in_words, series.intervals)),
    )


def endpoint_charts(result: Result) -> list[Chart]:
    """Whose replies were slow, and when: the p99 of the endpoints that have the highest; nothing of only one."""
    if len(result.endpoints) < 2:
        return []
    series = _series(result)
    answered = [row for row in result.endpoints if _finite(row.response_time.p99) is not None]
    slowest = sorted(answered, key=lambda row: -row.p99)[: len(_COLORS)]
    by_name = [{row.name: _finite(row.response_time.p99) for row in one.endpoints} for one in series.intervals]
    points = {row.name: [found.get(row.name) for found in by_name] for row in slowest}
    chart = _times_chart(
        series,
        points,
        _COLORS,
        "p99 of each endpoint" if len(slowest) == len(answered) else f"p99 of the {len(slowest)} slowest endpoints",
        _described("p99 of the slowest endpoints", _known(*points.values()), show_time),
        [f"{between(one)}: p99 {_listed(points, k)}" for k, one in enumerate(series.intervals)],
    )
    return [chart] if chart else []


def _times_chart(
    series: Series,
    points: Mapping[str, _Heights],
    colors: Sequence[Color],
    title: str,
    description: str,
    texts: Sequence[str],
) -> Chart | None:
    """A curve of times for each name; nothing where none is known."""
    known = _known(*points.values())
    if not known:
        return None
    up, marks = time_scale(min(known), max(known))
    curves = [
        series.curve(name, color, found, up) for (name, found), color in zip(points.items(), colors, strict=False)
    ]
    note = "logarithmic scale" if up.is_log else ""
    return series.chart(title, description, (up, marks), _or_zero(show_time), curves, texts, note)


def _known(*series: _Heights) -> list[float]:
    return [height for heights in series for height in heights if height is not None]


def _or_zero(show: Callable[[float], str]) -> Callable[[float], str]:
    """The same, but for 0 without its unit."""
    return lambda value: show(value) if value else "0"


def _listed(points: Mapping[str, Sequence[float | None]], k: int) -> str:
    """What each curve is at a place."""
    return ", ".join(f"{name[:_NAME]} {show_time(found[k])}" for name, found in points.items())


def time_scale(low: float, high: float) -> tuple[Scale, list[float]]:
    """An even scale from 0, or a logarithmic one where the times lie far apart."""
    low = max(low, 1e-6)
    return logarithmic(low, high) if high > _FAR * low else even(high)


def _finite(span: float | None) -> float | None:
    return span if span is not None and math.isfinite(span) else None


def _in_words(one: Interval) -> str:
    """What an interval was, in a line."""
    times, found = one.total.response_time, rates(one)
    parts = [f"{show_throughput(found[0])} good", f"{show_throughput(found[1])} failed"] if found else []
    parts += [f"{name} {show_time(FIGURES[name](times))}" for name in ("p50", "p90", "p99")] if times.count else []
    return f"{between(one)}: {', '.join(parts) or f'{one.total.requests:,} requests'}"


def between(one: Interval) -> str:
    """From when to when an interval is: `12s - 13s`."""
    return f"{show_span(one.start)} - {show_span(one.start + one.length)}"


def _length(series: Sequence[Interval]) -> str:
    length = max(one.length for one in series)
    return f"means of {show_span(length)}" if length > 1 else ""


def _described(what: str, values: Sequence[float], show: Callable[[float], str]) -> str:
    """The chart in a sentence, for those who cannot see it."""
    if not values:
        return f"{what}: not known."
    return f"{what}, over time: from {show(min(values))} to {show(max(values))}; the table below has each interval."
