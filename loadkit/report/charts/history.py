"""A figure over many runs as a chart: a line through the runs, and one at each level."""

from __future__ import annotations

from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Final

from loadkit.judge.comparison.comparison import show_figure
from loadkit.report.charts.svg import Chart, Curve, Scale, Tick, bands, even, line, steps, ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEADROOM: Final = 1.12
"""How much a level changed stands above the curves."""
_MOST_TICKS: Final = 5
_LEAST_SHARE: Final = 0.01
"""Where an axis of errors ends if there were none."""


def history_chart(
    metric: str,
    title: str,
    values: Sequence[float | None],
    *,
    levels: Sequence[tuple[int, str]],
    days: Sequence[str],
    texts: Sequence[str],
) -> Chart | None:
    """A chart of the values of runs, in order; None if none is known.

    `levels` are the runs with which a level began and by how much it differed from the one before, `days` when each run
    was, and `texts` what is shown of it.
    """
    known = [value for value in values if value is not None]
    if not known:
        return None
    across, (up, marks) = Scale(0, len(values)), even(_HEADROOM * (max(known) or _LEAST_SHARE))
    edges = [(across.place(k), across.place(k + 1)) for k in range(len(values))]
    starts = [0, *(start for start, _ in levels)]
    stretches = list(pairwise([*starts, len(values)]))
    places = [(across.place(start), across.place(end)) for start, end in stretches]
    medians = [_median(values[start:end]) for start, end in stretches]
    pieces = [
        (*place, None if level is None else up.place(level)) for place, level in zip(places, medians, strict=True)
    ]
    every = -(-len(days) // _MOST_TICKS)
    return Chart(
        title=title,
        description=f"{title}: from {show_figure(metric, min(known))} to {show_figure(metric, max(known))}",
        x_label="runs, by month and day",
        x_ticks=[Tick(across.place(k + 0.5), days[k]) for k in range(0, len(days), every)],
        y_ticks=ticks(up, marks, lambda value: show_figure(metric, value) if value else "0"),
        curves=[
            Curve(name="runs", color="first", outline=_through(across, up, values)),
            Curve(name="median of the level", color="second", outline=steps(pieces), is_dashed=True),
        ],
        phases=bands(places, ["", *(step for _, step in levels)]) if levels else [],
        spots=bands(edges, texts),
    )


def _through(across: Scale, up: Scale, values: Sequence[float | None]) -> str:
    """A line through the values, broken where one is not known."""
    parts: list[list[tuple[float, float]]] = [[]]
    for k, value in enumerate(values):
        if value is None:
            parts.append([])
        else:
            parts[-1].append((across.place(k + 0.5), up.place(value)))
    return "".join(map(line, parts))


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
