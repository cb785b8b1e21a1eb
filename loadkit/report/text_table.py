"""A table as text: names on the left, cells on the right, less important columns dropped on a narrow terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from loadkit.report.layout import Layout, Style, display_width, ljust, rjust
from loadkit.report.table import Cell, Column, Table, Tone

STYLES: Final[dict[Tone, Style]] = {"": "", "good": "green", "bad": "red", "doubt": "yellow"}

_INDENT: Final = "  "
_GAP: Final = 2
_NAME: Final = 24


class _TextColumn(NamedTuple):
    title: str
    cells: Sequence[str]
    tones: Sequence[Tone]
    width: int
    drop_order: int


def text_table(layout: Layout, table: Table, *, name_width: int = _NAME) -> list[str]:
    """The lines of a table and of its notes.

    Names of up to `name_width` cells are shown whole, and columns are dropped for them.
    """
    names = [layout.escape(name) for name in table.names]
    longest = max(map(display_width, (table.head, *names)))
    width = layout.width - len(_INDENT)
    columns = _fitting([_as_text(layout, one) for one in table.columns], width - min(longest, name_width), least=2)
    columns = _fitting(columns, width - min(longest, _NAME), least=1)
    room = min(longest, max(8, width - _taken(columns)))
    heads = [rjust(one.title, one.width) for one in columns]
    lines = [layout.style(_line([ljust(table.head, room + len(_INDENT)), *heads]), "bold")]
    for k, name in enumerate(names):
        head = _INDENT + ljust(layout.ellipsize(name, room), room)
        is_total = table.has_total and k == len(names) - 1
        cells = [layout.style(rjust(one.cells[k], one.width), STYLES[one.tones[k]]) for one in columns]
        lines.append(_line([layout.style(head, "bold" if is_total else ""), *cells]).rstrip())
    return [*lines, *_notes(layout, table.notes)]


def _as_text(layout: Layout, column: Column) -> _TextColumn:
    cells = [layout.escape(cell.text) for cell in column.cells]
    width = max(map(display_width, (column.title, *cells)))
    return _TextColumn(column.title, cells, [cell.tone for cell in column.cells], width, column.drop_order)


def _fitting(columns: Sequence[_TextColumn], room: int, *, least: int) -> list[_TextColumn]:
    chosen = list(columns)
    while _taken(chosen) > room and any(one.drop_order >= least for one in chosen):
        chosen.remove(max(chosen, key=lambda one: one.drop_order))
    return chosen


def _taken(columns: Sequence[_TextColumn]) -> int:
    return sum(_GAP + one.width for one in columns)


def _line(parts: Sequence[str]) -> str:
    return (" " * _GAP).join(parts)


def _notes(layout: Layout, notes: Sequence[Cell]) -> Iterator[str]:
    for note in notes:
        for line in layout.wrap(layout.escape(note.text), first=_INDENT, margin=_INDENT):
            yield layout.style(line, STYLES[note.tone])
