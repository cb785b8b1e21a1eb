"""A comparison of two versions as text: the verdict, and how each figure changed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from loadkit.judge.comparison.comparison import changed, describe_change, show_figure, show_tolerance
from loadkit.plan.units import show_span
from loadkit.report.layout import display_width
from loadkit.report.progress import Status
from loadkit.report.table import Cell, Column, Table
from loadkit.report.text_table import STYLES, text_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadkit.judge.comparison.calibration import CalibratedFigure
    from loadkit.judge.comparison.changes import Change, Verdict
    from loadkit.judge.comparison.comparison import Changed, Comparison
    from loadkit.judge.comparison.procedure import Moment
    from loadkit.report.layout import Layout
    from loadkit.report.table import Tone

TONES: Final[dict[Verdict, Tone]] = {"worse": "bad", "no worse": "good", "better": "good", "cannot tell": "doubt"}
NAMES: Final = {"error_rate": "error rate", "server_cpu": "server CPU"}

_BAR: Final = 21
"""Characters of the bar that shows an interval; no change is in the middle of it."""
_MARKS: Final = ("─", "━", "●", "┼")
_ASCII_MARKS: Final = ("-", "=", "o", "+")


def comparison_report(comparison: Comparison, layout: Layout) -> str:
    """A comparison as a person reads it, without a newline at the end; no line is wider than the layout."""
    changes = _all(comparison)
    parts = (
        _headline(layout, comparison),
        [line for one in comparison.caveats for line in _item(layout, one.message, mark="!")],
        _verdict(layout, comparison),
        _table(layout, "figure", [one for one in changes if one.decides]),
        _table(layout, "also measured", [one for one in changes if not one.decides]),
        [line for note in comparison.notes for line in _item(layout, note)],
    )
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _item(layout: Layout, text: str, mark: str = "-") -> list[str]:
    return layout.wrap(layout.escape(text), first=f"  {mark} ", margin="    ")


def progress_of(moment: Moment) -> Status:
    """How far a comparison has come, for a line on stderr."""
    stage = "confirming" if moment.is_confirming else "comparing"
    return Status(
        name="compare",
        stage=stage,
        elapsed=moment.elapsed,
        heading=f"[{show_span(round(moment.elapsed))} of {show_span(moment.budget)} at most] {stage}",
        lead=[stage],
        figures=[f"{moment.blocks} blocks", *(_so_far(one) for one in moment.changes if one.decides)],
        done=min(moment.elapsed, moment.budget),
        of=moment.budget,
        has_failures=False,
    )


def _so_far(change: Change) -> str:
    return f"{NAMES.get(change.metric.name, change.metric.name)} {describe_change(changed(change))}"


def _headline(layout: Layout, comparison: Comparison) -> list[str]:
    return headline(layout, f"{comparison.new} against {comparison.old}", _rounds(comparison), comparison.seconds)


def headline(layout: Layout, title: str, facts: str, seconds: float) -> list[str]:
    """What was measured, and for how long."""
    rule = "=" if layout.ascii else "━"
    name = layout.ellipsize(layout.escape(title), layout.width - 8)
    in_all = f"; {show_span(round(seconds))} in all" if seconds else ""
    return [
        layout.style(f"{rule * 2} {name} {rule * (layout.width - display_width(name) - 4)}", "bold"),
        f"  {facts}{in_all}",
    ]


def _rounds(comparison: Comparison) -> str:
    if not comparison.in_turns:
        after = sum(one.version == "new" for one in comparison.rounds)
        return f"{len(comparison.rounds) - after} rounds before, {after} after"
    blocks = len({one.block for one in comparison.rounds})
    confirming = len({one.block for one in comparison.confirming})
    return f"{blocks} blocks of 4 rounds in turns{f', and {confirming} to confirm' if confirming else ''}"


def _verdict(layout: Layout, comparison: Comparison) -> list[str]:
    return conclusion(layout, comparison.verdict.upper(), TONES[comparison.verdict], describe_verdict(comparison))


def conclusion(layout: Layout, word: str, tone: Tone, sentence: str) -> list[str]:
    """What was found, in a word and a sentence."""
    first, *others = layout.wrap(layout.escape(f"{word}: {sentence}"), margin="  ")
    return [layout.style(layout.style(word, STYLES[tone]), "bold") + first[len(word) :], *others]


def describe_verdict(comparison: Comparison) -> str:
    """Why the verdict is what it is, in one sentence."""
    deciding = [one for one in _all(comparison) if one.decides]
    named = [one for one in deciding if one.verdict == comparison.verdict]
    if comparison.reason:
        return comparison.reason
    if comparison.verdict == "no worse":
        return f"no figure that decides is worse by more than is tolerated ({', '.join(map(figure_name, deciding))})"
    return "; ".join(f"{figure_name(one)} {describe_change(one)}, tolerance {show_tolerance(one)}" for one in named)


def _all(comparison: Comparison) -> list[Changed]:
    return [*comparison.changes, *(one for row in comparison.endpoints.values() for one in row.changes)]


def figure_name(figure: Changed | CalibratedFigure) -> str:
    """A figure as a person calls it: `p50`, `GET /: error rate`."""
    name = NAMES.get(figure.metric, figure.metric)
    return f"{figure.label}: {name}" if figure.label else name


def _table(layout: Layout, head: str, changes: Sequence[Changed]) -> list[str]:
    if not changes:
        return []
    table = Table(
        caption=head,
        head=head,
        names=[figure_name(one) for one in changes],
        columns=[
            Column("before", [Cell(show_figure(one.metric, one.before)) for one in changes], drop_order=1),
            Column("after", [Cell(show_figure(one.metric, one.after)) for one in changes], drop_order=1),
            Column("change (interval)", [Cell(describe_change(one)) for one in changes]),
            Column("", [Cell(_bar(one, layout)) for one in changes], drop_order=2),
            Column("verdict", [Cell(one.verdict, tone=TONES[one.verdict]) for one in changes]),
        ],
    )
    return text_table(layout, table)


def _bar(change: Changed, layout: Layout) -> str:
    """The interval on a scale from four tolerances below no change to four above."""
    line, interval, middle, origin = _ASCII_MARKS if layout.ascii else _MARKS
    offset = 0.0 if change.is_share else 1.0
    estimate = change.difference if change.is_share else change.ratio
    if estimate is None:
        return ""
    low = _place(change.low, offset, change.tolerance, missing=0)
    high = _place(change.high, offset, change.tolerance, missing=_BAR - 1)
    marks = [interval if low <= k <= high else line for k in range(_BAR)]
    marks[_BAR // 2] = origin
    marks[_place(estimate, offset, change.tolerance, missing=_BAR // 2)] = middle
    return "".join(marks)


def _place(value: float | None, offset: float, tolerance: float, *, missing: int) -> int:
    if value is None:
        return missing
    # where nothing is tolerated, the bar shows only to which side the change is
    change = value - offset
    share = change / (4 * tolerance) if tolerance else math.copysign(bool(change), change)
    return max(0, min(_BAR - 1, round(_BAR // 2 * (1 + share))))
