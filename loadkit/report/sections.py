"""The parts of a text report that are lists: totals, statuses, failures, thresholds and caveats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from loadkit.judge.result import Result
from loadkit.judge.rows import Row
from loadkit.judge.threshold_results import ThresholdResult
from loadkit.judge.validity import Caveat
from loadkit.report import overview, tables
from loadkit.report.failures import FailureReason, failure_reasons
from loadkit.report.headline import CAVEAT_TONES, TONES
from loadkit.report.layout import Layout, display_width, ljust, rjust
from loadkit.report.table import Cell
from loadkit.report.text_table import STYLES

MAX_FAILURES: Final = 10

_LABEL: Final = len("connections")


def totals(layout: Layout, result: Result) -> list[str]:
    """A line a total, wrapped beside its label."""
    lines: list[str] = []
    for label, fact in overview.totals(result).rows:
        first = f"  {label.text:{_LABEL}}  "
        wrapped = layout.wrap(layout.escape(fact.text), first=first, margin=" " * len(first))
        lines += [line[: len(first)] + layout.style(line[len(first) :], STYLES[fact.tone]) for line in wrapped]
    return lines


def statuses(layout: Layout, total: Row) -> list[str]:
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


def failures(layout: Layout, result: Result) -> list[str]:
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


def thresholds(layout: Layout, found: Sequence[ThresholdResult]) -> list[str]:
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


def caveats(layout: Layout, reasons: Sequence[Caveat]) -> list[str]:
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


def validity(layout: Layout, result: Result) -> list[str]:
    """The validity of the figures, and the bottleneck of the run."""
    reasons = sum(reason.level != "note" for reason in result.caveats)
    why = f", for {reasons} reason{'s' * (reasons != 1)} below" if reasons else ""
    lines = [f"  The figures are {layout.style(result.validity, STYLES[TONES[result.validity]])}{why}."]
    said = layout.escape(result.bottleneck.sentence)
    return lines + (layout.wrap(said, first="  ", margin="  ") if said else [])
