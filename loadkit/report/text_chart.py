"""A chart as text: its marks, and the lines across it, on a grid of characters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadkit.report.layout import display_width, rjust
from loadkit.report.text_table import STYLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from loadkit.report.charts.svg import Chart, Shape, Tick
    from loadkit.report.layout import Layout

_ROWS: Final = 11
_WIDEST: Final = 100
_SIGNS: Final[dict[Shape, str]] = {"dot": "●", "diamond": "◆", "cross": "✗", "ring": "○", "triangle": "△"}
_ASCII_SIGNS: Final[dict[Shape, str]] = {"dot": "o", "diamond": "@", "cross": "x", "ring": "?", "triangle": "!"}
_LINES: Final = ("│", "─", "└", "╌", "┊")
_ASCII_LINES: Final = ("|", "-", "+", "-", ":")


def text_chart(layout: Layout, chart: Chart) -> list[str]:
    """The lines of a chart: its title, a grid with its axes, and what the signs in it mean."""
    axis, floor, corner, *_ = _ASCII_LINES if layout.ascii else _LINES
    labels = {_row(tick.place): layout.escape(tick.label) for tick in chart.y_ticks}
    margin = max(map(display_width, labels.values()))
    width = min(_WIDEST, layout.width - margin - 4)
    return [
        layout.style(layout.ellipsize(layout.escape(f"{chart.title}, over {chart.x_label}"), layout.width), "bold"),
        *(
            f"  {rjust(labels.get(k, ''), margin)} {axis}{row}".rstrip()
            for k, row in enumerate(_grid(layout, chart, width))
        ),
        f"  {' ' * margin} {corner}{floor * width}",
        f"  {' ' * margin}  {_scale(chart.x_ticks, width)}",
        *_wrapped(layout, _meanings(layout, chart)),
    ]


def _grid(layout: Layout, chart: Chart, width: int) -> Iterator[str]:
    *_, across, upright = _ASCII_LINES if layout.ascii else _LINES
    grid = [[" "] * width for _ in range(_ROWS)]
    for bound in chart.bounds:
        for k, row in enumerate(grid):
            if bound.is_upright:
                row[_column(bound.place, width)] = upright
            elif k == _row(bound.place):
                row[:] = across * width
    signs = _ASCII_SIGNS if layout.ascii else _SIGNS
    for mark in chart.marks:
        grid[_row(mark.y)][_column(mark.x, width)] = layout.style(signs[mark.shape], STYLES[mark.tone])
    return map("".join, grid)


def _meanings(layout: Layout, chart: Chart) -> Iterator[str]:
    *_, across, upright = _ASCII_LINES if layout.ascii else _LINES
    signs = _ASCII_SIGNS if layout.ascii else _SIGNS
    yield from dict.fromkeys(f"{signs[mark.shape]} {mark.name}" for mark in chart.marks)
    yield from (layout.escape(f"{upright if one.is_upright else across} {one.name}") for one in chart.bounds)


def _wrapped(layout: Layout, meanings: Iterable[str]) -> list[str]:
    """As many on a line as fit, none of which is broken."""
    lines = [""]
    for one in meanings:
        shown = layout.ellipsize(one, layout.width - 2)
        if lines[-1] and display_width(f"{lines[-1]}   {shown}") > layout.width:
            lines.append("")
        lines[-1] += f"{'   ' if lines[-1] else '  '}{shown}"
    return lines


def _row(place: float) -> int:
    """Counted from the top."""
    return round((1 - place / 100) * (_ROWS - 1))


def _column(place: float, width: int) -> int:
    return round(place / 100 * (width - 1))


def _scale(ticks: Sequence[Tick], width: int) -> str:
    """The labels below their places, as far as they do not touch each other."""
    line = ""
    for tick in ticks:
        start = min(_column(tick.place, width) - len(tick.label) // 2, width - len(tick.label))
        if start > len(line) or not line:
            line = line.ljust(max(0, start)) + tick.label
    return line
