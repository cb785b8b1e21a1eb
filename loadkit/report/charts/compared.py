"""A comparison as charts: the response times of both versions, and the rounds in the order of time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

from loadkit.judge.comparison.comparison import show_figure
from loadkit.report.charts.distribution import version_charts
from loadkit.report.charts.svg import Band, Chart, Color, Curve, Scale, Tick, bands, dots, even, line, near, ticks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadkit.judge.comparison.comparison import Changed, Comparison, RoundFigures

COLORS: Final[dict[str, Color]] = {"old": "second", "new": "first"}
TITLES: Final = {
    "throughput": "Throughput",
    "error_rate": "Error rate",
    "server_cpu": "Server CPU a request",
    "mean": "Mean response time",
}
_MOST_TICKS: Final = 12
_LOW: Final = 0.5
"""The lowest value as a share of the highest below which an axis begins at 0."""


def comparison_charts(comparison: Comparison) -> list[Chart]:
    """Both distributions, and a chart of the rounds for each figure of everything that decides."""
    rounds = _in_order(comparison)
    changes = {one.metric: one for one in comparison.changes}
    deciding = [metric for metric, one in changes.items() if one.decides]
    # where a version failed altogether, nothing else decided
    charts = [_rounds_chart(comparison, rounds, one, changes.get(one)) for one in deciding or ("error_rate", "p50")]
    return [*version_charts(comparison.response_time, COLORS), *(chart for chart in charts if chart)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """A round with its place among all."""

    place: float
    block: int
    is_confirming: bool
    unsound: str
    """Why its block is left out, if so."""
    figures: RoundFigures


def _in_order(comparison: Comparison) -> list[_Round]:
    """The rounds in the order of time; those that confirm are the last."""
    first = 1 + max((one.block for one in comparison.rounds), default=-1)
    found = [*((0, one) for one in comparison.rounds), *((first, one) for one in comparison.confirming)]
    unsound = {start + one.block: one.unsound for start, one in found if one.unsound}
    across = Scale(0, max(1, len(found)))
    return [
        _Round(
            place=across.place(k + 0.5),
            block=start + one.block,
            is_confirming=k >= len(comparison.rounds),
            unsound=unsound.get(start + one.block, ""),
            figures=one,
        )
        for k, (start, one) in enumerate(found)
    ]


def _rounds_chart(
    comparison: Comparison, rounds: Sequence[_Round], metric: str, change: Changed | None
) -> Chart | None:
    """None where no round has the figure, or all have none of it."""
    found = [one for one in rounds if metric in one.figures.figures]
    values = [one.figures.figures[metric] for one in found]
    if not any(values):
        return None
    low, high = min(values), max(values)
    up, marks = even(high) if low < _LOW * high else near(low, high)
    half = 50 / len(rounds)
    return Chart(
        title=f"{TITLES.get(metric, f'{metric} of the response time')}, round by round",
        description=f"{metric} of each round; the table below has them all.",
        x_label="blocks of rounds, in the order of time"
        if comparison.in_turns
        else "rounds, one version after the other",
        x_ticks=_block_ticks(rounds),
        y_ticks=ticks(up, marks, lambda value: show_figure(metric, value) if value else "0"),
        curves=[*(_medians(change, up) if change else []), *_points(found, metric, up)],
        phases=_confirming(rounds, half),
        spots=_spots(found, metric, half),
    )


def _medians(change: Changed, up: Scale) -> Iterator[Curve]:
    for version, value in (("old", change.before), ("new", change.after)):
        if value is not None:
            yield Curve(
                name=f"median, {version}: {show_figure(change.metric, value)}",
                color=COLORS[version],
                outline=line([(0, up.place(value)), (100, up.place(value))]),
                is_dashed=True,
            )


def _points(rounds: Sequence[_Round], metric: str, up: Scale) -> list[Curve]:
    names: dict[str, Color] = {**COLORS, "left out": "asked"}
    curves = []
    for name, color in names.items():
        points = [
            (one.place, up.place(one.figures.figures[metric]))
            for one in rounds
            if name == ("left out" if one.unsound else one.figures.version)
        ]
        if points:
            curves.append(Curve(name=name, color=color, outline=dots(points), is_dots=True))
    return curves


def _block_ticks(rounds: Sequence[_Round]) -> list[Tick]:
    """The number of a block below its middle, of many blocks of every second, third and so on."""
    blocks = [list(found) for _, found in groupby(rounds, key=lambda one: one.block)]
    every = -(-len(blocks) // _MOST_TICKS)
    middles = [(found[0].place + found[-1].place) / 2 for found in blocks]
    return [Tick(place, str(k + 1)) for k, place in enumerate(middles) if k % every == 0]


def _confirming(rounds: Sequence[_Round], half: float) -> list[Band]:
    confirming = [one.place for one in rounds if one.is_confirming]
    return [Band(start=confirming[0] - half, width=100 - confirming[0] + half, text="to confirm")] if confirming else []


def _spots(rounds: Sequence[_Round], metric: str, half: float) -> list[Band]:
    places = [(one.place - half, one.place + half) for one in rounds]
    return bands(places, [_in_words(one, metric) for one in rounds])


def _in_words(one: _Round, metric: str) -> str:
    left_out = f"; left out: {one.unsound}" if one.unsound else ""
    return f"block {one.block + 1}, {one.figures.version}: {show_figure(metric, one.figures.figures[metric])}{left_out}"
