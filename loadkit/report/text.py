"""A result as text: what was run, how it came out, the figures, what went wrong and how far to believe it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from loadkit.judge.result import Result
from loadkit.judge.rows import Row
from loadkit.judge.threshold_results import ThresholdResult
from loadkit.judge.validity import Caveat
from loadkit.report import overview, tables
from loadkit.report.failures import FailureReason, failure_reasons
from loadkit.report.headline import (
    CAVEAT_TONES,
    TONES,
    describe_outcome,
    describe_run,
    describe_target,
    describe_times,
    is_believable,
)
from loadkit.report.layout import Layout, display_width, ljust, rjust
from loadkit.report.table import Cell, Table
from loadkit.report.text_histogram import histogram_lines
from loadkit.report.text_table import STYLES, text_table

MAX_FAILURES: Final = 10
MAX_SLOWEST: Final = 3

_LABEL: Final = len("connections")


def text_report(result: Result, layout: Layout, *, passed: str = "PASSED") -> str:
    """A result as a person reads it, without a newline at the end.

    No line is wider than the layout; no text of a server, URL or name starts a line, moves the cursor or is taken for
    a command by a CI. `passed` is what a run that passed is said to be.
    """
    of_figures = (
        tables.endpoints(result),
        *tables.timings(result),
        tables.phases(result),
        tables.times(result),
        _slowest(result),
    )
    parts = (
        [*_headline(layout, result), "", *_outcome(layout, result, passed)],
        _totals(layout, result),
        *(text_table(layout, table) for table in of_figures if table),
        histogram_lines(layout, result.total.response_time),
        _statuses(layout, result.total),
        _failures(layout, result),
        _thresholds(layout, result.thresholds),
        _caveats(layout, result.caveats),
        [layout.style(line, "dim") for line in _wrapped(layout, describe_times(result))],
    )
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _slowest(result: Result) -> Table | None:
    """The slowest requests, where it is not always the same that was requested."""
    return tables.slowest(result, MAX_SLOWEST) if len({one.url for one in result.slowest}) > 1 else None


def once_report(result: Result, layout: Layout) -> str:
    """A result of one request each as a person reads it: whether each was sound, and if not, why."""
    rule = "=" if layout.ascii else "━"
    name = layout.ellipsize(layout.escape(result.title), layout.width - 8)
    parts = (
        [layout.style(f"{rule * 2} {name} {rule * (layout.width - display_width(name) - 4)}", "bold")],
        text_table(layout, tables.each_once(result), name_width=layout.width // 2),
        _failures(layout, result),
        _outcome_line(layout, result, "SOUND"),
    )
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _headline(layout: Layout, result: Result) -> list[str]:
    rule = "=" if layout.ascii else "━"
    name = layout.ellipsize(layout.escape(result.title), layout.width - 8)
    lines = [layout.style(f"{rule * 2} {name} {rule * (layout.width - display_width(name) - 4)}", "bold")]
    for facts in (result.scenario.description.strip(), describe_run(result), describe_target(result.scenario)):
        lines += _wrapped(layout, facts, "  ")
    return lines


def _outcome(layout: Layout, result: Result, passed: str) -> list[str]:
    line = _outcome_line(layout, result, passed)
    return [*line, *(_validity(layout, result) if is_believable(result) else [])]


def _outcome_line(layout: Layout, result: Result, passed: str) -> list[str]:
    word, text, tone = describe_outcome(result)
    word = passed if result.passed else word
    first, *others = layout.wrap(f"{word}{text}", margin="  ")
    return [layout.style(layout.style(word, STYLES[tone]), "bold") + first[len(word) :], *others]


def _validity(layout: Layout, result: Result) -> list[str]:
    """The validity of the figures, and the bottleneck of the run."""
    reasons = sum(reason.level != "note" for reason in result.caveats)
    why = f", for {reasons} reason{'s' * (reasons != 1)} below" if reasons else ""
    line = f"  The figures are {layout.style(result.validity, STYLES[TONES[result.validity]])}{why}."
    return [line, *_wrapped(layout, result.bottleneck.sentence, "  ")]


def _wrapped(layout: Layout, text: str, indent: str = "") -> list[str]:
    """The lines of a foreign text; none for an empty one."""
    return layout.wrap(layout.escape(text), first=indent, margin=indent) if text else []


def _totals(layout: Layout, result: Result) -> list[str]:
    """A line a total, wrapped beside its label."""
    lines: list[str] = []
    for label, fact in overview.totals(result).rows:
        first = f"  {label.text:{_LABEL}}  "
        wrapped = layout.wrap(layout.escape(fact.text), first=first, margin=" " * len(first))
        lines += [line[: len(first)] + layout.style(line[len(first) :], STYLES[fact.tone]) for line in wrapped]
    return lines


def _statuses(layout: Layout, total: Row) -> list[str]:
    """A line a status code; failures are red."""
    table = tables.statuses(total)
    if table is None:
        return []
    room = max(len(cell.text) for _, *counts in table.rows for cell in counts)
    lines = [f"  [{code.text}]  {_replies(layout, good, failed, room)}" for code, good, failed in table.rows]
    return [layout.style("status codes", "bold"), *lines]


def _replies(layout: Layout, good: Cell, failed: Cell, room: int) -> str:
    if not failed.number:
        return f"{good.text:>{room}} {'reply' if good.number == 1 else 'replies'}"
    if not good.number:
        return layout.style(f"{failed.text:>{room}} failed", "red")
    return f"{good.text:>{room}} replies, {layout.style(f'{failed.text} more failed', 'red')}"


def _failures(layout: Layout, result: Result) -> list[str]:
    """The reasons for failures, the most frequent first: count, kind, message, rows and time of the first."""
    found = failure_reasons(result)
    if not found:
        return []
    shown, more = found[:MAX_FAILURES], len(found) - MAX_FAILURES
    room, kinds = len(f"{shown[0].count:,}"), max(display_width(layout.escape(one.kind)) for one in shown)
    lines = [layout.style("failures", "bold")]
    for one in shown:
        lines += _failure(layout, one, f"  {one.count:>{room},}  {ljust(layout.escape(one.kind), kinds)}  ")
    return [*lines, f"  {more:,} more in the JSON"] if more > 0 else lines


def _failure(layout: Layout, reason: FailureReason, first: str) -> list[str]:
    margin = " " * display_width(first)
    lines: list[str] = []
    for text in reason.lines:
        indent = " " * min(len(text) - len(text.lstrip()), layout.width // 4)
        head = margin if lines else first
        lines += layout.wrap(layout.escape(text.strip()), first=head + indent, margin=margin + indent)
    return _beside(layout, lines, layout.escape(reason.where), margin)


def _beside(layout: Layout, lines: list[str], note: str, margin: str) -> list[str]:
    """The note behind the message if both fit on a line, else on a line of its own."""
    if not note:
        return lines
    if len(lines) == 1 and display_width(lines[-1]) + 2 + display_width(note) <= layout.width:
        return [*lines[:-1], f"{lines[-1]}  {layout.style(note, 'dim')}"]
    return [*lines, *(layout.style(line, "dim") for line in layout.wrap(note, first=margin, margin=margin + " "))]


def _thresholds(layout: Layout, found: Sequence[ThresholdResult]) -> list[str]:
    """A line a threshold: met or not, its value, and by how much."""
    table = tables.thresholds(found)
    if table is None:
        return []
    texts = [layout.ellipsize(layout.escape(name.text), layout.width // 2) for name, *_ in table.rows]
    values = [layout.escape(value.text) for _, _, value, _ in table.rows]
    margins = [margin.text for *_, margin in table.rows]
    room, most = max(map(display_width, texts)), max(map(display_width, values))
    has_room = room + most + max(map(len, margins)) + (11 if layout.ascii else 8) <= layout.width
    lines = [
        f"  {_tick(layout, one)} {ljust(text, room)}  {rjust(value, most)}  {margin * has_room}".rstrip()
        for one, text, value, margin in zip(found, texts, values, margins, strict=True)
    ]
    return [layout.style("thresholds", "bold"), *lines]


def _tick(layout: Layout, one: ThresholdResult) -> str:
    tick, cross = ("ok  ", "FAIL") if layout.ascii else ("✓", "✗")
    return layout.style(tick, "green") if one.passed else layout.style(cross, "red")


def _caveats(layout: Layout, reasons: Sequence[Caveat]) -> list[str]:
    """A paragraph a caveat, after its code; notes have a mark of their own."""
    if not reasons:
        return []
    lines = [layout.style("caveats", "bold")]
    for reason in reasons:
        mark, style = "-" if reason.level == "note" else "!", STYLES[CAVEAT_TONES[reason.level]]
        first = f"  {mark} {layout.escape(reason.code)}: "
        start, *others = layout.wrap(layout.escape(reason.message), first=first, margin="    ")
        lines += [start.replace(mark, layout.style(mark, style), 1), *others]
    return lines
