"""A comparison of two versions on a page: the verdict, how each figure changed, distributions and rounds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from loadkit.judge.comparison.comparison import describe_change, show_figure, show_tolerance
from loadkit.report.charts.compared import comparison_charts
from loadkit.report.comparison import (
    TONES,
    all_changes,
    change_table,
    describe_rounds,
    describe_verdict,
    doubts_and_notes,
    figure_name,
    has_interval,
    place_of,
    shown_changes,
)
from loadkit.report.overview import machine_table
from loadkit.report.render import HeadFigure
from loadkit.report.table import Cell, Column, Table
from loadkit.report.tables import MAX_ROWS_OF_PAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadkit.judge.comparison.comparison import Changed, Comparison
    from loadkit.report.table import Tone

_MOST_FIGURES: Final = 8


class Bar(NamedTuple):
    """An interval on a scale from four tolerances below no change to four above, in per cent of it."""

    low: float | None
    """None where nothing bounds it; so too `high`."""
    high: float | None
    middle: float | None
    tone: Tone


def comparison_view(comparison: Comparison, title: str = "") -> dict[str, Any]:
    """What the template shows of a comparison; its title is that of the versions by default."""
    doubts, notes = doubts_and_notes(comparison)
    deciding = [one for one in all_changes(comparison) if one.decides]
    control = [comparison.control] if comparison.control else []
    others, more = shown_changes(comparison, MAX_ROWS_OF_PAGE)
    versions = f"{comparison.new} against {comparison.old}"
    return {
        "template": "comparison.html",
        "title": title or versions,
        "word": comparison.verdict.upper(),
        "tone": TONES[comparison.verdict],
        "sentence": describe_verdict(comparison),
        "about": [*([versions] if title else []), describe_rounds(comparison)],
        "caveats": doubts,
        "notes": notes,
        "figures": list(map(_figure, deciding[:_MOST_FIGURES])),
        "deciding": (_table("What decides", deciding), list(map(_bar, deciding))),
        "control": (_table("Control", control), list(map(_bar, control))),
        "others": (_table("Also measured", others, more), list(map(_bar, others))),
        "charts": comparison_charts(comparison),
        "rounds": _rounds(comparison),
        "machine": machine_table(comparison.environment) if comparison.environment else None,
    }


def _table(caption: str, changes: Sequence[Changed], more: int = 0) -> Table:
    return replace(change_table("figure", changes, more), caption=caption)


def _figure(change: Changed) -> HeadFigure:
    estimate, _, interval = describe_change(change).partition(" (")
    known = interval.removesuffix(")") if has_interval(change) else "too few rounds for an interval"
    tone = TONES[change.verdict] if change.verdict in ("worse", "better") else ""
    return HeadFigure(figure_name(change), estimate, f"{known}, tolerance {show_tolerance(change)}", tone)


def _bar(change: Changed) -> Bar:
    estimate = change.difference if change.is_share else change.ratio
    low, high, middle = (
        None if one is None else 100 * place_of(change, one) for one in (change.low, change.high, estimate)
    )
    return Bar(low=low, high=high, middle=middle, tone=TONES[change.verdict] if has_interval(change) else "")


def _rounds(comparison: Comparison) -> Table | None:
    """A row a round, with the figures of everything."""
    rounds = [*comparison.rounds, *comparison.confirming]
    metrics = list(dict.fromkeys(metric for one in rounds for metric in one.figures))
    if not metrics:
        return None
    confirming = len(comparison.rounds)
    columns = [
        Column("version", [Cell(one.version) for one in rounds]),
        Column("block", [Cell(f"{one.block + 1}{' to confirm' * (k >= confirming)}") for k, one in enumerate(rounds)]),
        *(Column(metric, [_value(metric, one.figures.get(metric)) for one in rounds]) for metric in metrics),
        Column("not sound for", [Cell(one.unsound or "") for one in rounds]),
    ]
    return Table(caption="Each round", head="round", names=[str(k + 1) for k in range(len(rounds))], columns=columns)


def _value(metric: str, value: float | None) -> Cell:
    return Cell(show_figure(metric, value), -1.0 if value is None else value)
