"""Tests under load as a table: a row for each test, and one below it for each kind of request that it sends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from loadkit.judge.merge.sums import added
from loadkit.judge.rows import Row, Timing, journeys_among
from loadkit.judge.summary import timing
from loadkit.judge.times import SHOWN
from loadkit.plan.labels import without_origin
from loadkit.report.figures import count_cell, errors_cell, throughput_cell, time_columns
from loadkit.report.table import Cell, Column, Table
from loadkit.report.text_table import text_table

if TYPE_CHECKING:
    from loadkit.judge.result import Result
    from loadkit.report.layout import Layout

MOST: Final = 20
"""Kinds of requests that are shown, unless all are asked for."""

_NAME: Final = 48


class _Line(NamedTuple):
    name: str
    row: Row | Timing


def tests_table(layout: Layout, result: Result, *, title: str, word: str, full: bool) -> list[str]:
    """All tests together, each of them, and the requests within; `word` says how far to believe the figures."""
    tests = journeys_among(result.timings)
    shown = result.endpoints if full else _slowest(result.endpoints)
    whole = timing("journey", "", added((one, 0) for one in tests), duration=result.duration, started=0)
    lines = [_Line(title, whole), *_lines(tests, shown)]
    rows = [line.row for line in lines]
    rest = [""] * (len(lines) - 1)
    columns = [
        Column("times", [count_cell(row.requests) for row in rows], drop_order=6),
        Column("throughput", [throughput_cell(row) for row in rows], drop_order=1),
        Column("errors", [errors_cell(row) for row in rows]),
        *time_columns([one.name for one in SHOWN], [row.response_time for row in rows]),
        Column("caveats", [Cell(text) for text in [str(len(result.caveats) or ""), *rest]], drop_order=4),
        Column("figures", [Cell(text) for text in [word, *rest]]),
    ]
    notes = []
    if len(shown) < len(result.endpoints):
        left = f"the {len(shown)} slowest of {len(result.endpoints)} kinds of requests; --load-report full shows all"
        notes.append(Cell(left))
    table = Table(caption="tests", head="test", names=[line.name for line in lines], columns=columns, notes=notes)
    return text_table(layout, table, name_width=_NAME)


def _slowest(rows: Sequence[Row]) -> list[Row]:
    """Those that are shown where there are too many, in their order."""
    chosen = {row.name for row in sorted(rows, key=lambda row: -(row.response_time.p99 or 0))[:MOST]}
    return [row for row in rows if row.name in chosen]


def _lines(tests: Sequence[Timing], shown: Sequence[Row]) -> Iterator[_Line]:
    """What several tests send has figures of all of them, and comes after these."""
    # of one server the path says it all, and is a name for thresholds
    has_one_server = len({urlsplit(row.name.partition(" ")[2]).netloc for row in shown}) == 1
    names = {row.name: without_origin(row.name) if has_one_server else row.name for row in shown}
    shared = [name for test in tests for name in test.endpoints]
    many = {row.name: shared.count(row.name) for row in shown}
    for test in tests:
        yield _Line(f"  {test.name}", test)
        for row in shown:
            if row.name in test.endpoints and many[row.name] == 1:
                yield _Line(f"    {names[row.name]}", row)
    for row in shown:
        if many[row.name] != 1:
            within = f" (in {many[row.name]} tests)" if many[row.name] else ""
            yield _Line(f"  {names[row.name]}{within}", row)
