"""A table, to be drawn as text or on a page: named rows, columns of cells, a total and notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Tone = Literal["", "good", "bad", "doubt"]
"""Good is green, bad is red and a doubt is yellow where there is colour."""


@dataclass(frozen=True, slots=True)
class Cell:
    """The text of a cell, and the number to sort it by; without one it is sorted by its text."""

    text: str
    number: float | None = None
    tone: Tone = ""


@dataclass(frozen=True, slots=True)
class Column:
    """The cells of a column, and when it is dropped on a narrow terminal.

    Of the columns that do not fit those with the highest `drop_order` are dropped first; those with 1 only where names
    would be left fewer than 24 cells, and those with 0 never.
    """

    title: str
    cells: Sequence[Cell]
    drop_order: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The names of rows, and columns of as many cells; the last row is a total if the table has one."""

    caption: str
    head: str = ""
    """The title over the names; a table of pairs has none."""
    names: Sequence[str]
    columns: Sequence[Column]
    has_total: bool = False
    notes: Sequence[Cell] = ()
    words: int = 0
    """How many columns hold words, which stand on the left of their cells on a page."""

    @property
    def rows(self) -> list[list[Cell]]:
        """The rows without the total, each with its name in front."""
        return self._rows()[: len(self.names) - self.has_total]

    @property
    def total(self) -> list[Cell]:
        """The total, with its name in front; empty if the table has none."""
        return self._rows()[-1] if self.has_total else []

    def _rows(self) -> list[list[Cell]]:
        cells = [column.cells for column in self.columns]
        return [[Cell(name), *row] for name, *row in zip(self.names, *cells, strict=True)]
