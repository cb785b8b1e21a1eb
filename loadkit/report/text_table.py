"""A table as text: names on the left, cells on the right, less important columns dropped on a narrow terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from loadkit.report.layout import Layout, Style, display_width, ljust, rjust
from loadkit.report.table import Cell, Column, Table, Tone

STYLES: Final[dict[Tone, Style]] = {"": "", "good": "green", "bad": "red", "doubt": "yellow"}

_INDENT: Final = "  "
_GAP: Final = 2
_NAME: Final = 24


@dataclass(frozen=True, slots=True)
class _Text:
    """A column as text, from top to bottom."""

    column: Column
    cells: Sequence[str]
    tones: Sequence[Tone]

    @property
    def width(self) -> int:
        """The widest of its cells."""
        return max(map(display_width, (self.column.title, *self.cells)))


def text_table(layout: Layout, table: Table, *, name_width: int = _NAME) -> list[str]:
    """The lines of a table and of its notes.

    Names of up to `name_width` cells are shown whole, and columns are dropped for them.
    """
    rows = [*table.rows, *([table.total] if table.total else [])]
    title, names = table.columns[0].title, [layout.escape(row[0].text) for row in rows]
    longest = max(map(display_width, (title, *names)))
    width = layout.width - len(_INDENT)
    shown = _fitting(_columns(layout, table, rows), width - min(longest, name_width), least=2)
    shown = _fitting(shown, width - min(longest, _NAME), least=1)
    room = min(longest, max(8, width - _taken(shown)))
    heads = [rjust(one.column.title, one.width) for one in shown]
    lines = [layout.style(_line([ljust(title, room + len(_INDENT)), *heads]), "bold")]
    for k, name in enumerate(names):
        head = _INDENT + ljust(layout.ellipsize(name, room), room)
        is_total = k == len(table.rows)
        figures = [layout.style(rjust(one.cells[k], one.width), STYLES[one.tones[k]]) for one in shown]
        lines.append(_line([layout.style(head, "bold" if is_total else ""), *figures]).rstrip())
    return [*lines, *_notes(layout, table.notes)]


def _columns(layout: Layout, table: Table, rows: Sequence[Sequence[Cell]]) -> list[_Text]:
    """All columns after that of the names."""
    return [
        _Text(column, [layout.escape(row[k].text) for row in rows], [row[k].tone for row in rows])
        for k, column in enumerate(table.columns)
        if k
    ]


def _fitting(columns: Sequence[_Text], room: int, *, least: int) -> list[_Text]:
    chosen = list(columns)
    while _taken(chosen) > room and any(one.column.drop_order >= least for one in chosen):
        chosen.remove(max(chosen, key=lambda one: one.column.drop_order))
    return chosen


def _taken(columns: Sequence[_Text]) -> int:
    return sum(_GAP + one.width for one in columns)


def _line(parts: Sequence[str]) -> str:
    return (" " * _GAP).join(parts)


def _notes(layout: Layout, notes: Sequence[Cell]) -> Iterator[str]:
    for note in notes:
        for line in layout.wrap(layout.escape(note.text), first=_INDENT, margin=_INDENT):
            yield layout.style(line, STYLES[note.tone])
