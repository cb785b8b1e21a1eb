"""A result of one request each as text: a line for each endpoint, request and journey, and why it was not sound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from loadkit.judge.result import Result
from loadkit.judge.rows import FailureExample, Row, Timing
from loadkit.plan.units import show_size
from loadkit.report.failures import body_lines, message_lines
from loadkit.report.figures import time_cell
from loadkit.report.layout import Layout, Style, display_width
from loadkit.report.table import Cell, Column, Table
from loadkit.report.text import outcome_line, title_line
from loadkit.report.text_table import text_table

_MARGIN: Final = " " * 6


def once_report(result: Result, layout: Layout) -> str:
    """Whether each was sound, and if not, why, with the beginning of the reply; no newline at the end."""
    rows: list[Row | Timing] = [*result.endpoints, *result.timings]
    indent = " " * (1 + len(_marks(layout)[0][0]))
    table = replace(layout, width=layout.width - len(indent))
    head, *lines = text_table(table, _table(rows), name_width=layout.width // 2)
    told = [text for line, one in zip(lines, rows, strict=True) for text in _row(layout, line, one)]
    return "\n".join([title_line(layout, result), "", indent + head, *told, "", *outcome_line(layout, result, "SOUND")])


def _table(rows: list[Row | Timing]) -> Table:
    return Table(
        caption="Each once",
        head="each once",
        names=[one.name for one in rows],
        columns=[
            Column("status", [_status(one) for one in rows]),
            Column("time", [time_cell(_time(one)) for one in rows]),
            Column(
                "received", [Cell(show_size(one.bytes_received) if isinstance(one, Row) else "") for one in rows], 2
            ),
        ],
    )


def _status(one: Row | Timing) -> Cell:
    if isinstance(one, Timing):
        return Cell(one.kind)
    return Cell(", ".join(map(str, [*one.statuses, *one.failed_statuses])) or "-")


def _time(one: Row | Timing) -> float | None:
    """The longest, where a journey did it more than once."""
    found = [most for times in (one.response_time, one.failure_time) if (most := times.max) is not None]
    return max(found, default=None)


def _row(layout: Layout, line: str, one: Row | Timing) -> Iterator[str]:
    """The line of a table behind its mark; why it was not sound is behind it where there is room, or else below."""
    reasons = list(map(layout.escape, _why(one)))
    mark, tone = _marks(layout)[bool(reasons)]
    has_room = bool(reasons) and display_width(f"  {mark}{line[1:]}  {reasons[0]}") <= layout.width
    behind = f"  {reasons.pop(0)}" if has_room else ""
    yield f"  {layout.style(mark, tone)}{line[1:]}{behind}"
    for text in reasons:
        yield from layout.wrap(text, first=_MARGIN, margin=_MARGIN)


def _marks(layout: Layout) -> tuple[tuple[str, Style], tuple[str, Style]]:
    return (("ok  ", "green"), ("FAIL", "red")) if layout.ascii else (("✓", "green"), ("✗", "red"))


def _why(one: Row | Timing) -> list[str]:
    """Lines that say why it was not sound; none where it was."""
    if one.failures:
        return [line for example in one.examples for line in _reason(example)] or [f"failed: {', '.join(one.failures)}"]
    if one.cut:
        return ["cut off"]
    return [] if one.requests else ["not sent"]


def _reason(example: FailureExample) -> Iterator[str]:
    yield from message_lines(example)
    if example.reply:
        yield f"{example.reply.method} {example.reply.url}"
        yield from body_lines(example.reply)
