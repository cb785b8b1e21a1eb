"""Caveats that rest on the figures alone: merging may settle them, so they are asked again of the whole."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from loadkit.judge.rows import Phase, Row, Timing
from loadkit.judge.threshold_results import by_name
from loadkit.judge.validity import Caveat, Level
from loadkit.plan.units import show_count

if TYPE_CHECKING:
    from loadkit.plan.threshold import Threshold

OF_FIGURES = ("few-samples", "too-short")

SLOWEST = 10
"""Replies that must lie beyond a percentile for it to be a number: with fewer, one more or less moves it."""


def of_figures(
    total: Row,
    endpoints: Sequence[Row] = (),
    phases: Sequence[Phase] = (),
    timings: Sequence[Timing] = (),
    *,
    limits: Sequence[Threshold] = (),
) -> list[Caveat]:
    """The doubts (`OF_FIGURES`) that rest on the figures alone."""
    return [*_few_samples(total, by_name(endpoints, phases, timings), limits), *_late_replies(total)]


def needed(percentile: float) -> int:
    """How many replies a percentile needs.

    >>> needed(99), needed(99.9), needed(50)
    (1000, 10000, 20)
    """
    return math.ceil(round(SLOWEST / (1 - percentile / 100), 6))


def _few_samples(total: Row, rows: Mapping[str, Row | Timing], limits: Sequence[Threshold]) -> Iterator[Caveat]:
    """Percentiles that thresholds limit, which decide; else one of those that are shown, which is only to be known."""
    named: dict[str | None, Row | Timing] = {None: total}
    named.update(rows)
    # what holds over a time is judged by as many replies as it needs
    of_all = [one for one in limits if one.over is None and one.label in named]
    limited = [(one.label, one.percentile) for one in of_all if one.percentile is not None]
    doubted = dict.fromkeys((name, percentile) for name, percentile in limited if _is_of_few(named[name], percentile))
    for name, percentile in doubted:
        yield _few(name, percentile, named[name], "doubt")
    shown = [percentile for percentile in (99, 99.9) if _is_of_few(total, percentile)]
    if shown and not doubted:
        yield _few(None, shown[0], total, "note")


def _is_of_few(row: Row | Timing, percentile: float) -> bool:
    # p100 is the maximum, and exact
    return percentile < 100 and 0 < row.response_time.count < needed(percentile)


def _few(name: str | None, percentile: float, row: Row | Timing, level: Level) -> Caveat:
    count, many = row.response_time.count, needed(percentile)
    beyond = max(1, round(count * (1 - percentile / 100)))
    of = "" if name is None else f" of {name!r}"
    limited = ", which a threshold limits," if level == "doubt" else ""
    rests = f"rests on the slowest {beyond:,} of {show_count(count, 'reply', 'replies')}"
    message = f"p{percentile:g}{of}{limited} {rests}; send at least {many:,} requests to believe it"
    return Caveat("few-samples", message, level)


def _late_replies(total: Row) -> Iterator[Caveat]:
    good = total.response_time.count
    if total.requests and total.drained > good // 2:
        message = f"{total.drained:,} of {good:,} good replies came after the stop and are not in the throughput"
        yield Caveat("too-short", f"{message}; run longer")
