"""The rounds of one load in a table, a row each: how much do they differ?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadkit.report.figures import errors_cell, throughput_cell, time_columns
from loadkit.report.headline import describe_outcome
from loadkit.report.table import Cell, Column, Table
from loadkit.report.text_table import text_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadkit.judge.identity import Identity
    from loadkit.judge.result import Result
    from loadkit.report.layout import Layout


def rounds_report(results: Iterable[Result], layout: Layout) -> str:
    """Those that are of the same load, without a newline at the end; empty where each is of another."""
    of_same: dict[Identity, list[Result]] = {}
    for result in results:
        of_same.setdefault(result.identity, []).append(result)
    tables = [text_table(layout, table) for table in map(_table, of_same.values()) if len(table.names) > 1]
    return "\n\n".join("\n".join(lines) for lines in tables)


def _table(rounds: list[Result]) -> Table:
    return Table(
        caption="Rounds",
        head=f"rounds of {rounds[0].title}",
        names=[str(number) for number in range(1, len(rounds) + 1)],
        columns=[
            Column("throughput", [throughput_cell(one.total) for one in rounds]),
            *time_columns(("p50", "p90", "p99"), [one.total.response_time for one in rounds]),
            Column("errors", [errors_cell(one.total) for one in rounds]),
            Column("", list(map(_outcome, rounds))),
        ],
    )


def _outcome(result: Result) -> Cell:
    word, _, tone = describe_outcome(result)
    return Cell(word.lower(), tone=tone)
