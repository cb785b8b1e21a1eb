"""Tables of figures: names on the left, cells on the right, less important columns left out on narrow paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loadkit.report.layout import Ink, Paper, cells, left, right

INDENT = "  "
_GAP = 2
_NAME = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column: its cells from top to bottom, and when it goes.

    Of the columns that do not fit those with the highest `spare` go first; those with 1 only where names would be left
    fewer than 24 cells, and those with 0 never.
    `alarm` is the ink of the cells that are neither nothing nor zero.
    """

    title: str
    cells: Sequence[str]
    spare: int = 0
    alarm: Ink = ""

    @property
    def width(self) -> int:
        """The widest of its cells."""
        return max(map(cells, (self.title, *self.cells)))


def table(
    paper: Paper,
    title: str,
    names: Sequence[str],
    columns: Sequence[Column],
    *,
    total: bool = False,
    names_first: int = _NAME,
) -> list[str]:
    """The lines of a table; the last row is a total if it says so.

    Names of up to `names_first` cells are shown whole, and columns that can be spared go for them.
    """
    longest = max(map(cells, (title, *names)))
    width = paper.width - len(INDENT)
    chosen = _fitting(columns, width - min(longest, names_first), least=2)
    chosen = _fitting(chosen, width - min(longest, _NAME), least=1)
    room = min(longest, max(8, paper.width - len(INDENT) - _taken(chosen)))
    lines = [paper.paint(_line([left(title, room + len(INDENT)), *_titles(chosen)]), "bold")]
    for k, name in enumerate(names):
        is_total = total and k == len(names) - 1
        head = INDENT + left(paper.cut(name, room), room)
        inks = [paper.paint(cell, _ink(column, k)) for cell, column in zip(_row(chosen, k), chosen, strict=True)]
        lines.append(_line([paper.paint(head, "bold" if is_total else ""), *inks]).rstrip())
    return lines


def _fitting(columns: Sequence[Column], room: int, *, least: int) -> list[Column]:
    chosen = list(columns)
    while _taken(chosen) > room and any(column.spare >= least for column in chosen):
        chosen.remove(max(chosen, key=lambda column: column.spare))
    return chosen


def _taken(columns: Sequence[Column]) -> int:
    return sum(_GAP + column.width for column in columns)


def _titles(columns: Sequence[Column]) -> list[str]:
    return [right(column.title, column.width) for column in columns]


def _row(columns: Sequence[Column], k: int) -> list[str]:
    return [right(column.cells[k], column.width) for column in columns]


def _ink(column: Column, k: int) -> Ink:
    return column.alarm if column.cells[k] not in ("0", "-", "") else ""


def _line(parts: Sequence[str]) -> str:
    return (" " * _GAP).join(parts)
