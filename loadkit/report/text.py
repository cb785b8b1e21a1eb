"""A result as text: what was run, how it came out, the figures, what went wrong and how far to believe it.

The short form fits on a screen. It leaves out what makes no figure less true: the other kinds of time, the cost of
loadkit, and notes but for their codes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import starmap
from typing import Final

from loadkit.judge.result import Result
from loadkit.judge.rows import Row
from loadkit.judge.threshold_results import ThresholdResult
from loadkit.judge.validity import Caveat
from loadkit.report import overview, tables
from loadkit.report.failures import FailureReason, failure_reasons
from loadkit.report.figures import FIGURES, drop_order, show_time
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
from loadkit.report.machines import machine_table
from loadkit.report.table import Cell
from loadkit.report.text_histogram import BARS, histogram_lines
from loadkit.report.text_table import STYLES, text_table

MAX_FAILURES: Final = 10
MAX_SLOWEST: Final = 3

_FEW_BARS: Final = 8
_FIRST: Final = ("requests", "journeys", "throughput", "redirects", "errors")
_ALWAYS: Final = (*_FIRST, "unsent", "cut")
_USUAL: Final = ("same-host", "few-samples", "own-clock")
"""Notes of nearly every run, of which the short form has the codes alone."""


def text_report(result: Result, layout: Layout, *, full: bool = False, passed: str = "", more: str = "--full") -> str:
    """A result as a person reads it, without a newline at the end.

    No line is wider than the layout; no text of a server, URL or name starts a line, moves the cursor or is taken for
    a command by a CI. `passed` is what a run that passed is said to be, if something else, `more` the option that
    shows the full form.
    """
    rows = tables.endpoints(result) if full or len(result.endpoints) > 1 else None
    in_full = (tables.times(result), tables.slowest(result, MAX_SLOWEST)) if full else ()
    machines = machine_table(result, tables.MAX_ROWS_OF_TEXT)
    of_figures = (rows, *tables.timings(result), tables.phases(result), machines, *in_full)
    parts = (
        [*_headline(layout, result), "", *_outcome(layout, result, passed, full=full)],
        _totals(layout, result, full=full),
        *(text_table(layout, table) for table in of_figures if table),
        histogram_lines(layout, result.total.response_time, BARS if full else _FEW_BARS),
        _failures(layout, result),
        *(_reasons(layout, result) if full else [_few_reasons(layout, result, more)]),
    )
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def title_line(layout: Layout, result: Result) -> str:
    """The scenario, by which the report of a result is headed."""
    rule = "=" if layout.ascii else "━"
    name = layout.ellipsize(layout.escape(result.title), layout.width - 8)
    return layout.style(f"{rule * 2} {name} {rule * (layout.width - display_width(name) - 4)}", "bold")


def _headline(layout: Layout, result: Result) -> list[str]:
    lines = [title_line(layout, result)]
    for facts in (result.scenario.description.strip(), describe_run(result), _target(result)):
        lines += _wrapped(layout, facts, "  ")
    return lines


def _target(result: Result) -> str:
    """Where requests went, and which they were if they were of one kind: the short form has no row of it."""
    target, names = describe_target(result.scenario), [row.name for row in result.endpoints]
    # a bare URL is its own title
    if result.title.startswith(target):
        target = ""
    is_said = len(names) != 1 or names[0] == "GET /" or result.title.endswith(names[0].removeprefix("GET "))
    return " at ".join(filter(None, ["" if is_said else names[0], target]))


def _outcome(layout: Layout, result: Result, passed: str, *, full: bool) -> list[str]:
    """The outcome, the thresholds, those that were missed first, and how far to believe the figures."""
    thresholds = sorted(result.thresholds, key=lambda one: one.passed)
    return [
        *outcome_line(layout, result, passed),
        *_thresholds(layout, [one for one in thresholds if full or not one.implied]),
        *(_validity(layout, result) if is_believable(result) else []),
    ]


def outcome_line(layout: Layout, result: Result, passed: str) -> list[str]:
    """How it came out, `passed` where it passed, if that is not empty."""
    word, text, tone = describe_outcome(result)
    word = passed or word if result.passed else word
    first, *others = layout.wrap(f"{word}{text}", margin="  ")
    return [layout.style(layout.style(word, STYLES[tone]), "bold") + first[len(word) :], *others]


def _validity(layout: Layout, result: Result) -> list[str]:
    reasons = sum(reason.level != "note" for reason in result.caveats)
    why = f", for {reasons} reason{'s' * (reasons != 1)} below" if reasons else ""
    return [f"  The figures are {layout.style(result.validity, STYLES[TONES[result.validity]])}{why}."]


def _wrapped(layout: Layout, text: str, indent: str = "") -> list[str]:
    """The lines of a foreign text; none for an empty one."""
    return layout.wrap(layout.escape(text), first=indent, margin=indent) if text else []


def _totals(layout: Layout, result: Result, *, full: bool) -> list[str]:
    """A line a total, wrapped beside its label."""
    totals = [(label.text, fact) for label, fact in overview.totals(result).rows]
    room = max(len("response time"), *(len(label) for label, _ in totals))
    shown = [
        *(one for one in totals if one[0] in _FIRST),
        *_response_time(result, layout.width - room - 4),
        *_statuses(result.total),
        *(one for one in totals if one[0] not in _FIRST and (full or one[0] in _ALWAYS)),
    ]
    lines: list[str] = []
    for label, fact in shown:
        first = f"  {label:{room}}  "
        wrapped = layout.wrap(layout.escape(fact.text), first=first, margin=" " * len(first))
        lines += [line[: len(first)] + layout.style(line[len(first) :], STYLES[fact.tone]) for line in wrapped]
    return lines


def _response_time(result: Result, room: int) -> Iterator[tuple[str, Cell]]:
    """The percentiles that fit on a line; those that thresholds limit are the last to be left out."""
    times, limits = result.total.response_time, tables.limited(result)
    titles = [title for title in FIGURES if title not in ("min", "mean", "p75") or title in limits]
    texts = {title: f"{title} {show_time(FIGURES[title](times))}" for title in titles}
    for title in sorted(titles, key=lambda title: -drop_order(title, limits)):
        if len("  ".join(texts.values())) > room and title != "p50":
            del texts[title]
    if times.count:
        yield "response time", Cell("  ".join(texts.values()))


def _statuses(total: Row) -> Iterator[tuple[str, Cell]]:
    """How many replies had which status code."""
    table = tables.statuses(total)
    if table:
        bad = any(failed.number for *_, failed in table.rows)
        yield "status codes", Cell(", ".join(starmap(_replies, table.rows)), tone="bad" if bad else "")


def _replies(code: Cell, good: Cell, failed: Cell) -> str:
    counts = [*([good.text] if good.number else []), *([f"{failed.text} failed"] if failed.number else [])]
    return f"[{code.text}] {' and '.join(counts)}"


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
    return [
        f"  {_tick(layout, one)} {ljust(text, room)}  {rjust(value, most)}  {margin * has_room}".rstrip()
        for one, text, value, margin in zip(found, texts, values, margins, strict=True)
    ]


def _tick(layout: Layout, one: ThresholdResult) -> str:
    tick, cross = ("ok  ", "FAIL") if layout.ascii else ("✓", "✗")
    return layout.style(tick, "green") if one.passed else layout.style(cross, "red")


def _reasons(layout: Layout, result: Result) -> Iterator[list[str]]:
    """What limited the run, all reasons to doubt it, and what the times are."""
    yield _bottleneck(layout, result)
    yield [layout.style("caveats", "bold"), *_caveats(layout, result.caveats)] if result.caveats else []
    yield [layout.style(line, "dim") for line in _wrapped(layout, describe_times(result))]


def _few_reasons(layout: Layout, result: Result, more: str) -> list[str]:
    """The same in one paragraph, without the text of notes that nearly every run has."""
    usual = [one for one in result.caveats if one.level == "note" and one.code in _USUAL]
    notes = f"notes: {', '.join(one.code for one in usual)}; " if usual else ""
    return [
        *_bottleneck(layout, result),
        *_caveats(layout, [one for one in result.caveats if one not in usual]),
        *(layout.style(line, "dim") for line in layout.wrap(f"{notes}{more} tells more")),
    ]


def _bottleneck(layout: Layout, result: Result) -> list[str]:
    return _wrapped(layout, result.bottleneck.sentence) if is_believable(result) else []


def _caveats(layout: Layout, reasons: Sequence[Caveat]) -> Iterator[str]:
    """A paragraph a caveat, after its code; notes have a mark of their own."""
    for reason in reasons:
        mark, style = "-" if reason.level == "note" else "!", STYLES[CAVEAT_TONES[reason.level]]
        first = f"  {mark} {layout.escape(reason.code)}: "
        start, *others = layout.wrap(layout.escape(reason.message), first=first, margin="    ")
        yield start.replace(mark, layout.style(mark, style), 1)
        yield from others
