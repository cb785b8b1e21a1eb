"""Figures as text and as cells of tables; what is no number is a dash, and never a traceback."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from loadkit.judge.instants import instant
from loadkit.judge.result import Result
from loadkit.judge.rows import Row, Timing
from loadkit.judge.times import PERCENTILES, Times
from loadkit.measure.histogram import Histogram
from loadkit.plan.errors import UsageError
from loadkit.plan.units import show_rate, show_seconds, three_digits
from loadkit.report.table import Cell, Column, Tone

FIGURES: Final[dict[str, Callable[[Times], float | None]]] = {
    "min": lambda times: times.min,
    "mean": lambda times: times.mean,
    **{one.name: one.of for one in PERCENTILES},
    "max": lambda times: times.max,
}
"""The figures of a kind of time by the titles of their columns, in their order; seconds."""

BRIEF: Final = tuple(one for one in PERCENTILES if one.name in ("p50", "p90", "p99", "p99.9"))
"""The percentiles that are shown where there is room for a few."""

_DROP_ORDER: Final = {"p95": 2, "max": 3, "mean": 4, "p90": 5, "p99.9": 6, "min": 7, "p75": 8}


def show_time(span: float | None) -> str:
    """A time, or a dash for what is no number."""
    return show_seconds(span if span is not None and math.isfinite(span) else None)


def show_share(share: float) -> str:
    """A share of one in percent."""
    return f"{three_digits(share * 100)} %" if math.isfinite(share) else "-"


def show_throughput(rate: float) -> str:
    """A rate, or a dash for what is no number."""
    return show_rate(rate) if math.isfinite(rate) else "-"


def show_level(level: float | None, *, is_rate: bool = False) -> str:
    """Threads, or arrivals a second: `12`, `3.5`, `200/s`; a dash where it is not known."""
    if level is None or not math.isfinite(level):
        return "-"
    return show_rate(level) if is_rate else three_digits(level)


def time_cell(span: float | None) -> Cell:
    """A time; an unknown one is sorted before all others."""
    return Cell(show_time(span), -1.0 if span is None or not math.isfinite(span) else span)


def count_cell(count: int, tone: Tone = "") -> Cell:
    """A count; `tone` is that of any but 0."""
    return Cell(f"{count:,}", count, tone if count else "")


def throughput_cell(row: Row | Timing) -> Cell:
    """The throughput of a row."""
    return Cell(show_throughput(row.throughput), row.throughput)


def errors_cell(row: Row | Timing) -> Cell:
    """The number of failures of a row."""
    return count_cell(sum(row.failures.values()), "bad")


def share_cell(row: Row | Timing) -> Cell:
    """The share of failures in percent."""
    return Cell(show_share(row.error_rate), row.error_rate, "bad" if row.failures else "")


def percent_cell(row: Row | Timing) -> Cell:
    """The same without the sign, and empty where there are none."""
    cell = share_cell(row)
    return Cell(cell.text.removesuffix(" %") if row.failures else "", cell.number, cell.tone)


def time_columns(titles: Iterable[str], times: Sequence[Times], limits: Collection[str] = ()) -> list[Column]:
    """A column for each title, with that figure of each of the times; `limits` are titles to be dropped last."""
    return [
        Column(title, [time_cell(FIGURES[title](one)) for one in times], drop_order(title, limits)) for title in titles
    ]


def drop_order(title: str, limits: Collection[str] = ()) -> int:
    """The drop order of the column of this title; those in `limits` come last."""
    order = _DROP_ORDER.get(title, 0)
    return order and (1 if title in limits else order + len(limits))


def histogram_of(times: Times) -> Histogram | None:
    """The histogram behind the figures; None where nothing was measured or it cannot be read."""
    try:
        return times.histogram if times.count else None
    except (UsageError, OverflowError, ValueError):  # its ends may be infinite, or no numbers
        return None


def measured_from(result: Result) -> int:
    """When the first of its runs began to measure: nanoseconds since 1970."""
    return min(instant(span.start) for span in result.spans)
