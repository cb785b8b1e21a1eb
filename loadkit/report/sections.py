"""What a result says beside its figures: replies by status, failures, thresholds and caveats."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from loadkit.judge.result import Caveat, FailureExample, Level, Result, Row, Soundness, Timing, Verdict
from loadkit.report import tables
from loadkit.report.escape import visible_lines
from loadkit.report.figures import show_time
from loadkit.report.layout import Layout, Style, display_width, ljust, rjust
from loadkit.report.table import Cell

MAX_EXAMPLES = 10
MAX_LINES = 8


def statuses(layout: Layout, total: Row) -> list[str]:
    """A line a status code, those of failures marked."""
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
    """The reasons for failures, the most frequent first: how often, where, since when, and the message."""
    examples = reasons(result)
    if not examples:
        return []
    shown, more = examples[:MAX_EXAMPLES], len(examples) - MAX_EXAMPLES
    room, kinds = len(f"{shown[0].count:,}"), max(display_width(layout.escape(example.kind)) for example in shown)
    lines = [layout.style("failures", "bold")]
    for example in shown:
        first = f"  {example.count:>{room},}  {ljust(layout.escape(example.kind), kinds)}  "
        lines += _failure(layout, result, example, first)
    return [*lines, f"  {more:,} more in the JSON"] if more > 0 else lines


def reasons(result: Result) -> list[FailureExample]:
    """The reasons for failures of requests, journeys, steps and timers, each once, the most frequent first.

    What fails in a step fails its journey, too: of the same reason the highest count is told.
    """
    timed = sorted((example for one in result.timings for example in one.examples), key=lambda one: one.count)
    once = {(example.kind, example.message): example for example in timed}
    return sorted([*with_rest(result.total), *once.values()], key=lambda example: -example.count)


def with_rest(total: Row) -> Iterator[FailureExample]:
    """The examples, and for each kind what no example was kept of: the counts add up to the failures."""
    yield from total.examples
    for kind, count in total.failures.items():
        rest = count - sum(example.count for example in total.examples if example.kind == kind)
        if rest > 0:
            yield FailureExample(kind=kind, message="(message not kept)", count=rest, first_at=math.nan)


def _failure(layout: Layout, result: Result, example: FailureExample, first: str) -> list[str]:
    margin = " " * display_width(first)
    lines: list[str] = []
    for text in told(example):
        indent = " " * min(len(text) - len(text.lstrip()), layout.width // 4)
        head = margin if lines else first
        lines += layout.wrap(layout.escape(text.strip()), first=head + indent, margin=margin + indent)
    return _beside(layout, lines, where(layout, result, example), margin)


def told(example: FailureExample) -> list[str]:
    """The lines of a message, beside its kind: a type is not said twice."""
    return shortened(visible_lines(example.message.strip("\n").removeprefix(f"{example.kind}: ")))


def shortened(lines: list[str]) -> list[str]:
    """The first lines of a message, and how many more there are."""
    more = len(lines) - MAX_LINES
    return [*lines[:MAX_LINES], f"... {more:,} more lines in the JSON"] if more > 1 else lines


def where(layout: Layout, result: Result, example: FailureExample) -> str:
    """Which rows it belongs to and when it was first met."""
    reason = (example.kind, example.message)
    rows: list[Row | Timing] = [*result.endpoints, *result.timings]
    names = [row.name for row in rows if reason in [(other.kind, other.message) for other in row.examples]]
    parts = []
    if len(rows) > 1 and names:
        parts.append(layout.escape(names[0]) if len(names) == 1 else f"{len(names)} rows")
    if math.isfinite(example.first_at):
        parts.append(f"first at {show_time(example.first_at)}")
    return f"({', '.join(parts)})" if parts else ""


def _beside(layout: Layout, lines: list[str], note: str, margin: str) -> list[str]:
    """The note behind the message if both fit on a line, else on a line of its own."""
    if not note:
        return lines
    if len(lines) == 1 and display_width(lines[-1]) + 2 + display_width(note) <= layout.width:
        return [*lines[:-1], f"{lines[-1]}  {layout.style(note, 'dim')}"]
    return [*lines, *(layout.style(line, "dim") for line in layout.wrap(note, first=margin, margin=margin + " "))]


def thresholds(layout: Layout, verdicts: Sequence[Verdict]) -> list[str]:
    """A line a threshold: met or not, its value, and by how much."""
    table = tables.thresholds(verdicts)
    if table is None:
        return []
    texts = [layout.ellipsize(layout.escape(name.text), layout.width // 2) for name, *_ in table.rows]
    values = [layout.escape(value.text) for _, _, value, _ in table.rows]
    margins = [margin.text for *_, margin in table.rows]
    room, most = max(map(display_width, texts)), max(map(display_width, values))
    has_room = room + most + max(map(len, margins)) + (11 if layout.ascii else 8) <= layout.width
    lines = [
        f"  {_tick(layout, verdict)} {ljust(text, room)}  {rjust(value, most)}  {margin * has_room}".rstrip()
        for verdict, text, value, margin in zip(verdicts, texts, values, margins, strict=True)
    ]
    return [layout.style("thresholds", "bold"), *lines]


def _tick(layout: Layout, verdict: Verdict) -> str:
    tick, cross = ("ok  ", "FAIL") if layout.ascii else ("✓", "✗")
    return layout.style(tick, "green") if verdict.passed else layout.style(cross, "red")


_MARKS: dict[Level, tuple[str, Style]] = {"grave": ("!", "red"), "doubt": ("!", "yellow"), "note": ("-", "")}


def caveats(layout: Layout, reasons: Sequence[Caveat]) -> list[str]:
    """A paragraph a reason to doubt, its code in front; what is only to be known has another mark."""
    if not reasons:
        return []
    lines = [layout.style("caveats", "bold")]
    for reason in reasons:
        mark, style = _MARKS[reason.level]
        first = f"  {mark} {layout.escape(reason.code)}: "
        start, *others = layout.wrap(layout.escape(reason.message), first=first, margin="    ")
        lines += [start.replace(mark, layout.style(mark, style), 1), *others]
    return lines


_VERDICTS: dict[Soundness, Style] = {"clean": "green", "doubtful": "yellow", "invalid": "red"}


def verdict(layout: Layout, result: Result) -> list[str]:
    """How far to believe the figures, and what kept the run from doing more."""
    reasons = sum(reason.level != "note" for reason in result.caveats)
    why = f", for {reasons} reason{'s' * (reasons != 1)} below" if reasons else ""
    lead = "  The figures are "
    said = f"{result.verdict}{why}."
    lines = [lead + layout.style(result.verdict, _VERDICTS[result.verdict]) + said[len(result.verdict) :]]
    return lines + (layout.wrap(layout.escape(result.bound), first="  ", margin="  ") if result.bound else [])
