"""Charts as geometry: scales, ticks and outlines, which the page's template writes down as SVG.

Places along an axis are per cent of the drawing, so that a chart fills whatever width a page has and its letters keep
their size; there is no text in here that a template does not escape.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from loadkit.report.table import Tone

Color = Literal["good", "bad", "asked", "first", "second", "third", "fourth", "fifth"]
Shape = Literal["dot", "diamond", "cross", "ring", "triangle"]

_NICE_SPANS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)

_FAR = 30.0
"""How many times the lowest point of a chart the highest may be before it gets a logarithmic axis."""

_NARROW, _LETTER, _GAP = 250.0, 7.0, 4.0
"""Pixels: the width of an x axis on a telephone, of a letter below it, and between two labels."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear or logarithmic scale: it maps values to per cent of an axis."""

    low: float
    high: float
    is_log: bool = False

    def place(self, value: float) -> float:
        """The place of a value, from 0 at the low end to 100 at the high one."""
        low, high, value = (math.log(one) if self.is_log else one for one in (self.low, self.high, self._within(value)))
        return 100 * (value - low) / (high - low)

    def _within(self, value: float) -> float:
        return min(max(value, self.low), self.high)


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis."""

    place: float
    label: str
    is_spare: bool = False
    """True if its label is left out of a narrow chart, where it would touch another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A line of a chart: `outline` is an SVG path in a square of 1000, `area` one that is closed to be filled."""

    name: str
    color: Color
    outline: str
    area: str = ""
    is_dashed: bool = False
    is_dots: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A stretch of the x axis with a text: the name of a phase, or the tooltip of an interval."""

    start: float
    width: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A point that is told from others by its shape, and leads to a part of the page."""

    x: float
    y: float
    shape: Shape
    tone: Tone
    name: str
    """What all of this shape are."""
    text: str
    """The tooltip."""
    part: int
    """The number of the part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A straight line across the chart, at a height or, upright, at a place of the x axis."""

    name: str
    place: float
    color: Color
    is_upright: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """All that a template needs to draw a chart."""

    title: str
    description: str
    """For readers that cannot see the chart."""
    x_label: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    curves: Sequence[Curve]
    bounds: Sequence[Bound] = ()
    marks: Sequence[Mark] = ()
    phases: Sequence[Band] = ()
    spots: Sequence[Band] = ()
    """Tooltips."""
    note: str = ""


def bands(places: Iterable[tuple[float, float]], texts: Iterable[str]) -> list[Band]:
    """A band from each start to its end, with its text."""
    return [Band(start=start, width=end - start, text=text) for (start, end), text in zip(places, texts, strict=True)]


def even(top: float, *, most: int = 5) -> tuple[Scale, list[float]]:
    """A scale from 0 that ends at a round number, and its round steps."""
    # a smaller one has steps that no float is small enough for
    top = top if sys.float_info.min * 100 < top < math.inf else 1.0
    step = 10.0 ** math.floor(math.log10(top / most))
    step *= next(factor for factor in (1, 2, 5, 10) if top / (step * factor) <= most)
    count = math.ceil(round(top / step, 9))
    return Scale(0, step * count), [step * k for k in range(count + 1)]


def near(low: float, high: float, *, most: int = 5) -> tuple[Scale, list[float]]:
    """A scale around values that lie near each other, which ends at round numbers; and its round steps."""
    margin = max((high - low) * 0.1, high * 0.02)
    start, end = low - margin, high + margin
    _, marks = even(end - start, most=most)
    step = marks[1]
    first, last = math.floor(start / step), math.ceil(end / step)
    return Scale(step * first, step * last), [step * k for k in range(first, last + 1)]


def logarithmic(low: float, high: float, *, most: int = 9) -> tuple[Scale, list[float]]:
    """A scale that ends at 1, 2 or 5 times a power of ten; its marks are those, or the powers where there are many."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    fine = [factor * 10.0**power for power in range(first, last + 1) for factor in (1, 2, 5)]
    start = max(mark for mark in fine if mark <= low * (1 + 1e-9))
    end = min(mark for mark in [*fine, 10.0 ** (last + 1)] if mark >= high * (1 - 1e-9) and mark > start)
    marks = [mark for mark in fine if start <= mark <= end]
    if len(marks) > most:
        marks = [mark for k, mark in enumerate(fine) if k % 3 == 0 and start <= mark <= end]
    return Scale(start, end, is_log=True), marks


def time_scale(low: float, high: float) -> tuple[Scale, list[float]]:
    """An even scale from 0, or a logarithmic one where the times lie far apart."""
    low = max(low, 1e-6)
    return logarithmic(low, high) if high > _FAR * low else even(high)


def spans(length: float, *, most: int = 6) -> list[float]:
    """Round times from 0 to a length in seconds, not more than `most` of them and the first."""
    tenths = next((step for step in (0.001, 0.01, 0.1, 0.2, 0.5) if length / step <= most), None)
    step = tenths or next((step for step in _NICE_SPANS if length / step <= most), length / most)
    return [step * k for k in range(int(length / step + 1e-9) + 1)]


def ticks(scale: Scale, marks: Iterable[float], show: Callable[[float], str]) -> list[Tick]:
    """Marks with their places and labels."""
    return [Tick(scale.place(mark), show(mark)) for mark in marks]


def spared(across: Sequence[Tick]) -> list[Tick]:
    """Ticks of an x axis; spare are those whose labels touch one to their right at the narrowest."""
    kept: list[Tick] = []
    free = math.inf
    for tick in reversed(across):
        width, middle = _LETTER * len(tick.label), tick.place / 100 * _NARROW
        # as the template anchors them: within the chart at both ends of the axis
        start = middle - width if tick.place > 96 else middle if tick.place <= 2 else middle - width / 2
        is_spare = start + width + _GAP > free
        free = free if is_spare else start
        kept.append(replace(tick, is_spare=is_spare))
    return kept[::-1]


Piece = tuple[float, float, float | None]
"""A stretch of a curve that is level: from, to, and how high, per cent; None where nothing is known."""


def steps(pieces: Iterable[Piece]) -> str:
    """The outline of what is level within each piece, broken where nothing is known."""
    return "".join(f"M{_across(run[0][0])} {_up(run[0][2])}{_level(run)}" for run in _runs(pieces))


def filled(pieces: Iterable[Piece]) -> str:
    """What lies below `steps`, closed."""
    return "".join(f"M{_across(run[0][0])} 1000{_level(run)}V1000Z" for run in _runs(pieces))


def _runs(pieces: Iterable[Piece]) -> list[list[tuple[float, float, float]]]:
    """Known pieces that follow each other without a gap."""
    runs: list[list[tuple[float, float, float]]] = []
    for start, end, height in pieces:
        if height is None:
            continue
        if not runs or runs[-1][-1][1] != start:
            runs.append([])
        runs[-1].append((start, end, height))
    return runs


def _level(run: Iterable[tuple[float, float, float]]) -> str:
    return "".join(f"V{_up(height)}H{_across(end)}" for _, end, height in run)


def line(points: Iterable[tuple[float, float]]) -> str:
    """An outline through points, per cent."""
    path = "L".join(f"{_across(x)} {_up(y)}" for x, y in points)
    return f"M{path}h0" if path else ""


def dots(points: Iterable[tuple[float, float]]) -> str:
    """An outline of nothing but points, per cent."""
    return "".join(f"M{_across(x)} {_up(y)}h0" for x, y in points)


def _across(place: float) -> str:
    return f"{place * 10:.5g}"


def _up(place: float) -> str:
    # SVG counts from the top
    return f"{1000 - place * 10:.5g}"
