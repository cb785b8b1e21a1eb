"""A table, to be drawn as text or on a page: named columns, rows of cells, a total and notes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

Tone = Literal["", "good", "bad", "doubt"]
"""What a text means for the reader: green, red or yellow where there is colour."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cell:
    """What is shown, and what it is sorted by: its text unless it has a number."""

    text: str
    number: float | None = None
    tone: Tone = ""


@dataclass(frozen=True, slots=True)
class Column:
    """The head of a column, and when it is dropped on a narrow terminal.

    Of the columns that do not fit those with the highest `drop_order` are dropped first; those with 1 only where names
    would be left fewer than 24 cells, and those with 0 never.
    """

    title: str
    drop_order: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The first column names the rows; `total` is the row that is not sorted among the others."""

    caption: str
    columns: Sequence[Column] = ()
    rows: Sequence[Sequence[Cell]]
    total: Sequence[Cell] = ()
    notes: Sequence[Cell] = ()
    words: int = 0
    """How many columns after the first hold words, which stand on the left of their cells on a page."""


def table_of(
    rows: Iterable[tuple[str, T]],
    figures: Sequence[tuple[Column, Callable[[T], Cell]]],
    *,
    caption: str,
    names: str,
    total: T | None = None,
    notes: Sequence[Cell] = (),
    words: int = 0,
) -> Table:
    """A row for each value and its name; `figures` are the columns after that of `names`, and what their cells are."""
    columns, cells = [column for column, _ in figures], [cell for _, cell in figures]

    def row(name: str, value: T) -> list[Cell]:
        return [Cell(name), *(cell(value) for cell in cells)]

    return Table(
        caption=caption,
        columns=[Column(names), *columns],
        rows=[row(name, value) for name, value in rows],
        total=() if total is None else row("total", total),
        notes=notes,
        words=words,
    )
