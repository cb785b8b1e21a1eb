"""A limit as charts: the figure of each threshold over the rate, and the throughput over the threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadkit.judge.limit.threads import ENOUGH
from loadkit.plan.units import show_rate, show_seconds, three_digits
from loadkit.report.charts.svg import (
    Band,
    Bound,
    Chart,
    Color,
    Curve,
    Mark,
    Scale,
    Shape,
    dots,
    even,
    line,
    spared,
    ticks,
    time_scale,
)
from loadkit.report.table import Tone

if TYPE_CHECKING:
    from loadkit.judge.limit.limit import LevelTrial, Limit, LimitLevel
    from loadkit.plan.threshold import Threshold

SHAPES: Final[dict[str, tuple[Shape, Tone]]] = {
    "confirmed": ("diamond", "good"),
    "holds": ("dot", "good"),
    "missed": ("cross", "bad"),
    "unclear": ("ring", "doubt"),
    "inconclusive": ("triangle", "doubt"),
    "enough": ("diamond", "good"),
    "": ("dot", ""),
}
"""How a level is drawn, by what is known of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figure:
    """What is drawn over the load."""

    name: str
    value: Callable[[LimitLevel | LevelTrial], float | None]
    show: Callable[[float], str]
    is_time: bool = False
    bound: float | None = None
    bound_name: str = ""
    curve: Sequence[tuple[float, float]] = ()
    """What is drawn beside the levels: loads, each with the figure there."""
    curve_name: str = ""


def describe_level(limit: Limit, level: LimitLevel, *, is_rate: bool) -> str:
    """What is known of a level, in a word; nothing of threads that only lead to the answer."""
    if not is_rate:
        return "enough" if limit.ending == "found" and level.level == limit.threads else ""
    return "confirmed" if level.level == limit.confirmed else level.holding


def show_load(level: float, *, is_rate: bool) -> str:
    """Arrivals a second, or threads."""
    return show_rate(level) if is_rate else f"{three_digits(level)} thread{'s' * (level != 1)}"


def limit_charts(limit: Limit) -> list[Chart]:
    """What was missed first, or the throughput of threads, is the first of them."""
    levels = limit.closed if limit.by == "threads" else limit.levels
    figures = _of_threads(limit) if limit.by == "threads" else _of_rates(limit)
    return [_chart(limit, levels, one) for one in figures if any(map(one.value, levels))]


def _of_rates(limit: Limit) -> Iterator[_Figure]:
    missed = next((one.missed for one in limit.levels if one.level == limit.failed), [])
    for one in sorted(limit.limits, key=lambda one: (one.text not in missed, one.limits_errors)):
        yield _limited(one)
    yield _Figure(
        name="Good replies a second",
        value=lambda one: one.throughput,
        show=show_rate,
        curve=[(one.level, one.level) for one in limit.levels],
        curve_name="all that arrive",
    )


def name_figure(threshold: Threshold) -> str:
    """The figure that is limited: `p99 of the response time`, `GET /: error rate`."""
    name = "Error rate" if threshold.limits_errors else f"{threshold.metric} of the {threshold.time.replace('_', ' ')}"
    return f"{threshold.label}: {name}" if threshold.label else name


def _limited(threshold: Threshold) -> _Figure:
    return _Figure(
        name=name_figure(threshold),
        value=lambda one: one.values.get(threshold.text),
        show=threshold.show,
        is_time=not threshold.limits_errors,
        bound=threshold.limit or None,
        bound_name=threshold.text,
    )


def _of_threads(limit: Limit) -> Iterator[_Figure]:
    yield _Figure(
        name="Good replies a second",
        value=lambda one: one.throughput,
        show=show_rate,
        bound=limit.best and ENOUGH * limit.best,
        bound_name=f"{100 * ENOUGH:g} % of the best",
        curve=limit.scalability.curve if limit.scalability else (),
        curve_name="Universal Scalability Law",
    )
    yield _Figure(
        name="p99 of the response time", value=lambda one: one.figures.get("p99"), show=show_seconds, is_time=True
    )


def _chart(limit: Limit, levels: Sequence[LimitLevel], figure: _Figure) -> Chart:
    loads = [*(one.level for one in levels), *(load for load, _ in figure.curve)]
    across, x_marks = time_scale(min(loads), max(loads))
    if limit.by == "threads":
        x_marks = [mark for mark in x_marks if mark.is_integer()]
    trials = [(one.level, figure.value(trial)) for one in levels for trial in one.trials]
    values = [figure.bound, *map(figure.value, levels), *(value for _, value in (*trials, *figure.curve))]
    up, y_marks = _up([value for value in values if value is not None], is_time=figure.is_time)
    marks = list(_marks(limit, levels, figure, across, up))
    return Chart(
        title=figure.name,
        description=f"{figure.name}: {'; '.join(one.text for one in marks)}",
        x_label="arrivals a second" if limit.by == "rate" else "threads",
        x_ticks=spared(ticks(across, x_marks, lambda mark: f"{mark:,.0f}" if mark >= 1_000 else three_digits(mark))),
        y_ticks=ticks(up, y_marks, lambda mark: figure.show(mark) if mark else "0"),
        curves=[
            Curve(name="", color="first", outline=line((mark.x, mark.y) for mark in marks)),
            *([_beside(figure, across, up)] if figure.curve else []),
            Curve(
                name="each trial",
                color="asked",
                outline=dots((across.place(load), up.place(value)) for load, value in trials if value is not None),
                is_dots=True,
            ),
        ],
        bounds=list(_bounds(limit, figure, across, up)),
        marks=marks,
        phases=_bracket(limit, across),
        note="logarithmic scale" if up.is_log else "",
    )


def _beside(figure: _Figure, across: Scale, up: Scale) -> Curve:
    points = [(across.place(load), up.place(value)) for load, value in figure.curve]
    return Curve(name=figure.curve_name, color="fifth", outline=line(points), is_dashed=True)


def _up(values: Sequence[float], *, is_time: bool) -> tuple[Scale, list[float]]:
    return time_scale(min(values), max(values)) if is_time else even(max(values))


def _marks(limit: Limit, levels: Sequence[LimitLevel], figure: _Figure, across: Scale, up: Scale) -> Iterator[Mark]:
    for part, one in enumerate(levels, 1):
        value = figure.value(one)
        if value is None:
            continue
        known = describe_level(limit, one, is_rate=limit.by == "rate")
        shape, tone = SHAPES[known]
        load = show_load(one.level, is_rate=limit.by == "rate")
        yield Mark(
            x=across.place(one.level),
            y=up.place(value),
            shape=shape,
            tone=tone,
            name=known or "measured",
            text=f"{load}: {figure.show(value)}{known and f', {known}'}",
            part=part,
        )


def _bounds(limit: Limit, figure: _Figure, across: Scale, up: Scale) -> Iterator[Bound]:
    """The limit itself, and where on the x axis the answer is."""
    if figure.bound is not None:
        yield Bound(name=figure.bound_name, place=up.place(figure.bound), color="bad")
    answers: list[tuple[float | None, str, Color]] = [
        (limit.confirmed, "confirmed", "good"),
        (limit.failed, "missed", "bad"),
        (limit.threads if limit.ending == "found" else None, "enough", "good"),
        (limit.knee, "knee", "asked"),
    ]
    for level, what, color in answers:
        if level is not None and across.low <= level <= across.high:
            load = show_load(level, is_rate=limit.by == "rate")
            # a sign in text stands in the nearest row, which tells no figure
            value = next((figure.value(one) for one in limit.levels if one.level == level and figure.is_time), None)
            shown = "" if value is None else f" ({figure.show(value)})"
            yield Bound(name=f"{what}: {load}{shown}", place=across.place(level), color=color, is_upright=True)


def _bracket(limit: Limit, across: Scale) -> list[Band]:
    """From what is confirmed to what is missed: there the limit is."""
    if limit.failed is None or limit.by == "threads":
        return []
    start = across.place(limit.confirmed or 0.0)
    return [Band(start=start, width=across.place(limit.failed) - start, text="")]
