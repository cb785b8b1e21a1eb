"""How small a change can be seen here, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadkit.plan.units import show_span, three_digits
from loadkit.report.comparison import conclusion, figure_name, headline
from loadkit.report.table import Cell, Column, Table
from loadkit.report.text_table import text_table

if TYPE_CHECKING:
    from loadkit.judge.comparison.calibration import CalibratedFigure, Calibration
    from loadkit.report.layout import Layout


def calibration_report(calibration: Calibration, name: str, layout: Layout) -> str:
    """A calibration as a person reads it, without a newline at the end; no line is wider than the layout."""
    seconds = show_span(round(calibration.seconds))
    facts = f"{calibration.blocks} sound blocks of 4 rounds in turns; {seconds} in all"
    if calibration.fault:
        said = conclusion(layout, "NOT CALIBRATED", "doubt", calibration.fault)
    else:
        said = conclusion(layout, "CALIBRATED", "good", f"how small a change can be seen here in {seconds}")
    parts = (
        headline(layout, f"{name} against itself", facts),
        said,
        _table(layout, calibration),
    )
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _table(layout: Layout, calibration: Calibration) -> list[str]:
    # those that decide first, and then as they were found: everything before single endpoints
    figures = sorted(calibration.figures, key=lambda one: not one.decides)
    if not figures:
        return []
    columns = [
        Column("change seen", [Cell(_show(one, one.smallest)) for one in figures]),
        Column("tolerance", [Cell(_show(one, one.tolerance)) for one in figures], drop_order=2),
        Column("blocks differ by", [Cell(_show(one, one.spread)) for one in figures], drop_order=1),
        Column("decides", [Cell("yes" if one.decides else "no") for one in figures]),
    ]
    names = list(map(figure_name, figures))
    return text_table(layout, Table(caption="figure", head="figure", names=names, columns=columns))


def _show(figure: CalibratedFigure, share: float | None) -> str:
    if share is None:
        return "-"
    return f"{three_digits(share * 100)} {'points' if figure.key.is_share else '%'}"
