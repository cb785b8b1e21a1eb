"""A comparison of two versions as text: the verdict, and how each figure changed."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from statistics import fmean, median
from typing import TYPE_CHECKING, Final

from loadkit.judge.comparison.comparison import changed, describe_change, show_figure, show_tolerance
from loadkit.plan.units import show_count, show_span
from loadkit.report.layout import display_width
from loadkit.report.progress import Status
from loadkit.report.sparkline import sparkline
from loadkit.report.table import Cell, Column, Table
from loadkit.report.tables import MAX_ROWS_OF_TEXT
from loadkit.report.text_table import STYLES, text_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadkit.judge.comparison.calibration import CalibratedFigure
    from loadkit.judge.comparison.changes import Change, Verdict
    from loadkit.judge.comparison.comparison import Changed, Comparison
    from loadkit.judge.comparison.procedure import Moment
    from loadkit.judge.validity import Caveat
    from loadkit.report.layout import Layout
    from loadkit.report.table import Tone

TONES: Final[dict[Verdict, Tone]] = {"worse": "bad", "no worse": "good", "better": "good", "cannot tell": "doubt"}
NAMES: Final = {"error_rate": "error rate", "server_cpu": "server CPU"}

_BAR: Final = 21
"""Characters of the bar that shows an interval; no change is in the middle of it."""
_STRIP: Final = 8
"""Characters of the strip of the rounds of one version."""
_MARKS: Final = ("─", "━", "●", "┼")
_ASCII_MARKS: Final = ("-", "=", "o", "+")


def comparison_report(comparison: Comparison, layout: Layout) -> str:
    """A comparison as a person reads it, without a newline at the end; no line is wider than the layout."""
    shown, more = shown_changes(comparison, MAX_ROWS_OF_TEXT)
    doubts, notes = doubts_and_notes(comparison)
    parts = (
        _headline(layout, comparison),
        [line for one in doubts for line in _item(layout, one.message, mark="!")],
        _verdict(layout, comparison),
        _table(layout, "figure", comparison, [one for one in all_changes(comparison) if one.decides]),
        _table(layout, "also measured", comparison, shown, more),
        _table(layout, "control", comparison, [comparison.control] if comparison.control else []),
        [line for note in notes for line in _item(layout, note)],
    )
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def doubts_and_notes(comparison: Comparison) -> tuple[list[Caveat], list[str]]:
    """What is to be known before the verdict, and what after the figures."""
    doubts = [one for one in comparison.caveats if one.level != "note"]
    return doubts, [*comparison.notes, *(one.message for one in comparison.caveats if one.level == "note")]


def _item(layout: Layout, text: str, mark: str = "-") -> list[str]:
    return layout.wrap(layout.escape(text), first=f"  {mark} ", margin="    ")


def progress_of(moment: Moment) -> Status:
    """How far a comparison has come, for a line on stderr."""
    stage = "confirming" if moment.is_confirming else "comparing"
    # confirming may take longer than the budget
    limit = "" if moment.elapsed > moment.budget else f" of {show_span(moment.budget)} at most"
    return Status(
        name="compare",
        stage=stage,
        elapsed=moment.elapsed,
        heading=f"[{show_span(round(moment.elapsed))}{limit}] {stage}",
        lead=[stage],
        figures=[show_count(moment.blocks, moment.unit), *(_so_far(one) for one in moment.changes if one.decides)],
        done=min(moment.elapsed, moment.budget),
        of=moment.budget,
        has_failures=False,
    )


def _so_far(change: Change) -> str:
    return f"{NAMES.get(change.metric.name, change.metric.name)} {describe_change(changed(change))}"


def _headline(layout: Layout, comparison: Comparison) -> list[str]:
    return headline(layout, _title(layout, comparison), describe_rounds(comparison))


def headline(layout: Layout, title: str, facts: str) -> list[str]:
    """What was measured, and for how long."""
    rule = "=" if layout.ascii else "━"
    name = layout.ellipsize(layout.escape(title), layout.width - 8)
    return [
        layout.style(f"{rule * 2} {name} {rule * (layout.width - display_width(name) - 4)}", "bold"),
        *layout.wrap(layout.escape(facts), first="  ", margin="  "),
    ]


def _title(layout: Layout, comparison: Comparison) -> str:
    """Both versions, of long names the ends of each."""
    new, old = layout.escape(comparison.new), layout.escape(comparison.old)
    room = layout.width - len("== new against old ====") + len("new") + len("old")
    new = layout.ellipsize(new, max(room // 2, room - display_width(old)))
    return f"{new} against {layout.ellipsize(old, room - display_width(new))}"


def describe_rounds(comparison: Comparison) -> str:
    """How many rounds the verdict rests on, and how long they took."""
    seconds = f"; {show_span(round(comparison.seconds))} in all" if comparison.seconds else ""
    if not comparison.in_turns:
        after = sum(one.version == "new" for one in comparison.rounds)
        before = len(comparison.rounds) - after
        return f"{before} round{'s' * (before != 1)} before, {after} after{seconds}"
    blocks = len({one.block for one in comparison.rounds})
    confirming = len({one.block for one in comparison.confirming})
    again = f", and {confirming} to confirm" if confirming else ""
    return f"{blocks} block{'s' * (blocks != 1)} of 4 rounds in turns{again}{seconds}"


def _verdict(layout: Layout, comparison: Comparison) -> list[str]:
    return conclusion(layout, comparison.verdict.upper(), TONES[comparison.verdict], describe_verdict(comparison))


def conclusion(layout: Layout, word: str, tone: Tone, sentence: str) -> list[str]:
    """What was found, in a word and a sentence."""
    first, *others = layout.wrap(layout.escape(f"{word}: {sentence}"), margin="  ")
    return [layout.style(layout.style(word, STYLES[tone]), "bold") + first[len(word) :], *others]


def describe_verdict(comparison: Comparison) -> str:
    """Why the verdict is what it is, in one sentence."""
    deciding = [one for one in all_changes(comparison) if one.decides]
    named = [one for one in deciding if one.verdict == comparison.verdict]
    if comparison.reason:
        # stored rounds that may not be compared decide of no figure
        undecided = named if comparison.verdict == "cannot tell" and comparison.in_turns else []
        return comparison.reason + (f"; undecided: {', '.join(map(figure_name, undecided))}" if undecided else "")
    if comparison.verdict == "no worse":
        return f"no figure that decides is worse by more than is tolerated ({', '.join(map(figure_name, deciding))})"
    return "; ".join(f"{figure_name(one)} {describe_change(one)}, tolerance {show_tolerance(one)}" for one in named)


def all_changes(comparison: Comparison) -> list[Changed]:
    """Those of everything, and those of each endpoint."""
    return [*comparison.changes, *(one for row in comparison.endpoints.values() for one in row.changes)]


def figure_name(figure: Changed | CalibratedFigure) -> str:
    """A figure as a person calls it: `p50`, `GET /: error rate`."""
    name = NAMES.get(figure.metric, figure.metric)
    return f"{figure.label}: {name}" if figure.label else name


def shown_changes(comparison: Comparison, most: int) -> tuple[list[Changed], int]:
    """Those that decide nothing, and how many are left out: of more than `most` those that are neither worse nor
    better."""
    shown = [one for one in all_changes(comparison) if not one.decides]
    if len(shown) > most:
        shown.sort(key=lambda one: one.verdict not in ("worse", "better"))
    return shown[:most], len(shown[most:])


def change_table(head: str, changes: Sequence[Changed], more: int = 0) -> Table:
    """A row a figure: before and after, the change with its interval, and the verdict; `more` are left out."""
    return Table(
        caption=head.capitalize(),
        head=head,
        names=list(map(figure_name, changes)),
        columns=[
            Column("before", [Cell(show_figure(one.metric, one.before), one.before) for one in changes], drop_order=1),
            Column("after", [Cell(show_figure(one.metric, one.after), one.after) for one in changes], drop_order=1),
            Column("change (interval)", [Cell(describe_change(one), one.ratio or one.difference) for one in changes]),
            Column("verdict", list(map(_verdict_cell, changes))),
        ],
        notes=[Cell(f"{more:,} more row{'s' * (more != 1)} in the JSON")] if more else [],
    )


def _verdict_cell(change: Changed) -> Cell:
    """What is said of one figure; where it has no interval, why."""
    if change.ratio is None and change.difference is None:
        return Cell("-")
    return Cell(change.verdict, tone=TONES[change.verdict]) if has_interval(change) else Cell("too few rounds")


def has_interval(change: Changed) -> bool:
    """True if there were rounds enough to bound it on a side."""
    return change.low is not None or change.high is not None


def _table(layout: Layout, head: str, comparison: Comparison, changes: Sequence[Changed], more: int = 0) -> list[str]:
    if not changes:
        return []
    table = change_table(head, changes, more)
    *figures, verdict = table.columns
    bars = Column("", [Cell(_bar(one, layout)) for one in changes], drop_order=2)
    strips = [Cell(_strip(comparison, one, layout)) for one in changes]
    rounds = [Column("rounds: old | new", strips, drop_order=3)] if any(one.text for one in strips) else []
    return text_table(layout, replace(table, columns=[*figures, bars, *rounds, verdict]))


def _strip(comparison: Comparison, change: Changed, layout: Layout) -> str:
    """The rounds of the old version and those of the new one in their order, on one scale; empty for an endpoint.

    The scale is as high as four tolerances at least, so that what is within one looks small.
    """
    unsound = {one.block for one in comparison.rounds if one.unsound}
    sides = {
        version: [
            one.figures[change.metric]
            for one in comparison.rounds
            if one.version == version and one.block not in unsound and change.metric in one.figures
        ]
        for version in ("old", "new")
    }
    known = [*sides["old"], *sides["new"]]
    if change.label or not known:
        return ""
    middle = median(known)
    around = 2 * change.tolerance * (1 if change.is_share else middle)
    low, high = min(*known, middle - around), max(*known, middle + around)
    old, new = (sparkline(_means(side, _STRIP), max(low, 0.0), high, ascii=layout.ascii) for side in sides.values())
    return f"{old.ljust(_STRIP)} | {new.ljust(_STRIP)}"


def _means(values: Sequence[float], most: int) -> list[float]:
    """The means of no more than so many groups of values that follow each other."""
    count = min(most, len(values))
    edges = [len(values) * k // count for k in range(count + 1)] if count else []
    return [fmean(values[start:end]) for start, end in pairwise(edges)]


def _bar(change: Changed, layout: Layout) -> str:
    """The interval on a scale from four tolerances below no change to four above."""
    line, interval, middle, origin = _ASCII_MARKS if layout.ascii else _MARKS
    estimate = change.difference if change.is_share else change.ratio
    if estimate is None:
        return ""
    most = _BAR - 1
    place, low, high = (
        round(most * place_of(change, estimate if one is None else one)) for one in (estimate, change.low, change.high)
    )
    marks = [interval if low <= k <= high else line for k in range(_BAR)]
    marks[_BAR // 2] = origin
    # to that side nothing bounds it
    marks[0] = "?" if change.low is None else marks[0]
    marks[-1] = "?" if change.high is None else marks[-1]
    marks[place] = middle
    return "".join(marks)


def place_of(change: Changed, value: float) -> float:
    """The place of the change or of a bound, from 0 at four tolerances below no change to 1 at four above."""
    # where nothing is tolerated, the bar shows only to which side the change is
    moved = value - (0.0 if change.is_share else 1.0)
    share = moved / (4 * change.tolerance) if change.tolerance else math.copysign(bool(moved), moved)
    return max(0.0, min(1.0, 0.5 + share / 2))
