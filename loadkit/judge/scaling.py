"""How throughput grows with the threads of a run whose phases have fewer and more of them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, linear_regression
from typing import Final, NamedTuple

from loadkit.judge.activity import placed
from loadkit.judge.description import PhasePlan
from loadkit.judge.rows import Interval

FEW, MANY = 0.5, 0.9
"""Threads, as shares of the most there were, that count as few and as many; fewer than a tenth say nothing."""

ENOUGH: Final = 3
"""Intervals needed with few and with many threads."""

GROWN, FLAT = 0.75, 0.25
"""The share of its threads' growth by which throughput grows at least to be bound by them, or at most to be not."""

NEAR_THE_TOP: Final = (0.6, 0.4)
"""Threads, as shares of the most there were, from which on throughput is looked at where few and many do not tell."""

RISING, STANDING = 0.6, 0.3
"""The same as `GROWN` and `FLAT`, of the line through all intervals there."""


class Throughput(NamedTuple):
    """Threads, and requests a second."""

    threads: float
    rate: float


def scaling(intervals: Sequence[Interval], phases: Sequence[PhasePlan]) -> tuple[Throughput, Throughput, bool] | None:
    """The throughput of fewer and of more threads, and whether it has grown with them or stands still.

    None where that cannot be told.
    """
    levels = [level for one in intervals if (level := _level(one, phases))]
    if not levels:
        return None
    few, many = _few_and_many(levels)
    near, gained_near = _near_the_top(levels)
    if few and many and few.rate:
        gained = (many.rate / few.rate - 1) / (many.threads / few.threads - 1)
        # it may have grown at first and stand still where there are most threads
        has_grown = gained >= GROWN and not (near and gained_near < RISING)
        if has_grown or gained <= FLAT:
            return few, many, has_grown
    if not near or STANDING < gained_near < RISING:
        return None
    third = len(near) // 3
    return _mean(near[:third]), _mean(near[-third:]), gained_near >= RISING


def _few_and_many(levels: Sequence[Throughput]) -> tuple[Throughput | None, Throughput | None]:
    top = max(level.threads for level in levels)
    few = [level for level in levels if top / 10 <= level.threads <= FEW * top]
    many = [level for level in levels if level.threads >= MANY * top]
    return (_mean(few), _mean(many)) if min(len(few), len(many)) >= ENOUGH else (None, None)


def _near_the_top(levels: Sequence[Throughput]) -> tuple[list[Throughput], float]:
    """The intervals with the most threads, as few of them as tell, and by which share throughput grew there."""
    top = max(level.threads for level in levels)
    for share in NEAR_THE_TOP:
        near = sorted(level for level in levels if level.threads >= share * top)
        if len(near) > ENOUGH and near[-1].threads >= 1.25 * near[0].threads:
            return near, _gained(near)
    return [], 0.0


def _gained(levels: Sequence[Throughput]) -> float:
    """By which share of their growth throughput grows with threads: the slope of the line of least squares."""
    threads, rate = _mean(levels)
    slope = linear_regression([one.threads for one in levels], [one.rate for one in levels]).slope
    return slope * threads / rate if rate else 0.0


def _level(interval: Interval, phases: Sequence[PhasePlan]) -> Throughput | None:
    """Threads and requests a second in an interval that lies wholly within a phase."""
    for begins, phase in placed(phases):
        if begins <= interval.start and interval.start + interval.length <= begins + phase.duration:
            middle = (interval.start + interval.length / 2 - begins) / phase.duration
            planned = phase.start + (phase.end - phase.start) * middle
            threads = planned if interval.threads is None else interval.threads
            return Throughput(threads, interval.total.requests / interval.length)
    return None


def _mean(levels: Sequence[Throughput]) -> Throughput:
    return Throughput(fmean(one.threads for one in levels), fmean(one.rate for one in levels))
