"""A result as text: what was run, how it came out, the figures, what went wrong and how far to believe it."""

from __future__ import annotations

from loadkit.judge.result import Result
from loadkit.report import sections, tables
from loadkit.report.headline import (
    describe_outcome,
    describe_run,
    describe_target,
    describe_times,
    is_believable,
)
from loadkit.report.layout import Layout, display_width, report_width
from loadkit.report.text_histogram import histogram_lines
from loadkit.report.text_table import STYLES, text_table


def text_report(result: Result, *, width: int | None = None, color: bool = False, ascii: bool = False) -> str:  # noqa: A002 - what it is called everywhere
    """A result as a person reads it, without a newline at the end.

    `width` is that of the terminal unless given; less than 60 columns is 60, and more than 140 is 140. No line is
    wider; no text of a server, URL or name starts a line, moves the cursor or is taken for a command by a CI. `ascii`
    is for an encoding that cannot show more.
    """
    layout = Layout(width=report_width(width), color=color, ascii=ascii)
    of_figures = (tables.endpoints(result), *tables.timings(result), tables.phases(result), tables.times(result))
    parts = (
        [*_headline(layout, result), "", *_outcome(layout, result)],
        sections.totals(layout, result),
        *(text_table(layout, table) for table in of_figures if table),
        histogram_lines(layout, result.total.response_time),
        sections.statuses(layout, result.total),
        sections.failures(layout, result),
        sections.thresholds(layout, result.thresholds),
        sections.caveats(layout, result.caveats),
        _definition(layout, result),
    )
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _headline(layout: Layout, result: Result) -> list[str]:
    rule = "=" if layout.ascii else "━"
    name = layout.ellipsize(layout.escape(result.title), layout.width - 8)
    lines = [layout.style(f"{rule * 2} {name} {rule * (layout.width - display_width(name) - 4)}", "bold")]
    if result.scenario.description:
        lines += layout.wrap(layout.escape(result.scenario.description.strip()), first="  ", margin="  ")
    for facts in (describe_run(result), describe_target(result.scenario)):
        lines += layout.wrap(layout.escape(facts), first="  ", margin="  ") if facts else []
    return lines


def _outcome(layout: Layout, result: Result) -> list[str]:
    word, text, tone = describe_outcome(result)
    first, *others = layout.wrap(f"{word}{text}", margin="  ")
    head = layout.style(layout.style(word, STYLES[tone]), "bold") + first[len(word) :]
    return [head, *others, *(sections.validity(layout, result) if is_believable(result) else [])]


def _definition(layout: Layout, result: Result) -> list[str]:
    text = describe_times(result)
    return [layout.style(line, "dim") for line in layout.wrap(layout.escape(text))] if text else []
