"""Results as Markdown, on the screen and between the markers of docs/benchmarks.md."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A limit we asked of ourselves, and the figure that was found, or why there is none."""

    claim: str
    limit: float
    figure: float | None
    unit: str = ""
    reason: str = ""

    def row(self) -> list[str]:
        if self.figure is None:
            return [self.claim, "-", f"not measured: {self.reason}"]
        verdict = "met" if self.figure <= self.limit else "**not met**"
        return [self.claim, f"{self.figure:.3g}{self.unit}", verdict]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, aligned so that it can be read as plain text too."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    line = ["-" * width for width in widths]
    return "\n".join(_row(cells, widths) for cells in [head, line, *rows])


def targets_table(targets: Sequence[Target]) -> str:
    return table(["asked", "found", "verdict"], [target.row() for target in targets])


def publish(section: str, text: str, *, write: bool) -> None:
    """Print a result and, when wanted, put it into the page in the place of the last one."""
    print(f"\n{text}\n")
    if write:
        PAGE.write_text(replaced(PAGE.read_text(), section, text))
        print(f"written into docs/{PAGE.name}, section {section}")


def replaced(page: str, section: str, text: str) -> str:
    """The page with another text between the section's markers."""
    begin, end = f"<!-- {section}: begin -->", f"<!-- {section}: end -->"
    pattern = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"docs/{PAGE.name} has no {begin} ... {end}")
    return pattern.sub(lambda _: f"{begin}\n{text}\n{end}", page)


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"
