"""The distribution of the response times as text: a bar a range, and beside it the percentiles that fall there."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from loadkit.judge.times import Times
from loadkit.plan.units import SECOND
from loadkit.report.figures import BRIEF, histogram_of, show_time
from loadkit.report.layout import Layout, rjust

BARS = 11
"""At most, where there is room."""

_LONGEST = 50

_Bucket = tuple[int, int, int]


def histogram_lines(layout: Layout, times: Times, bars: int) -> list[str]:
    """A histogram of at most so many bars, whose ranges grow by a constant factor.

    Ranges of one size, as hey has them, put all but the tail into a single bar as soon as the slowest reply took
    a hundred times the median. With a constant factor the body, a second hump and the tail all show, and where
    the spread is small the ranges are of nearly one size anyway.
    """
    found, low, high = histogram_of(times), times.min, times.max
    buckets = found.buckets() if found else []
    if not buckets or low is None or high is None or not low < high < math.inf:
        return []
    first, last, _ = buckets[0]
    tops = _tops(max(low, 1 / SECOND), high, (last - first + 1) / SECOND, bars)
    counts = _counts(buckets, tops)
    title, *heads = _heads(tops, counts)
    marks = _marks(counts)
    room = min(_LONGEST, layout.width - len(heads[0]) - max(map(len, marks)) - 3)
    drawn = [_bar(layout, count / max(counts), room) for count in counts]
    lines = [
        f"{head}  {layout.style(bar, 'blue')} {layout.style(mark, 'bold')}".rstrip()
        for head, bar, mark in zip(heads, drawn, marks, strict=True)
    ]
    return [layout.style(title, "bold"), *lines]


def _tops(low: float, high: float, bucket: float, most: int) -> list[float]:
    """The upper ends of the ranges: even steps of a factor, rounded to what is shown, the last one exact.

    The first, the smallest, has room for two buckets of the histogram, or else the bars would be a comb.
    """
    bars = max(1, min(most, int(math.log(high / low) / math.log(1 + 2 * bucket / low))))
    digits = 2 if high > 3 * low else 3
    steps = (_rounded(low * (high / low) ** (k / bars), digits) for k in range(1, bars))
    return [*sorted({step for step in steps if low < step < high}), high]


def _rounded(number: float, digits: int) -> float:
    return round(number, digits - 1 - math.floor(math.log10(number)))


def _counts(buckets: Sequence[_Bucket], tops: Sequence[float]) -> list[int]:
    counts = [0] * len(tops)
    for low, _, count in buckets:
        # by the low end: times of a round 10 ms are in the bucket that starts just below it
        counts[min(bisect_left(tops, low / SECOND), len(tops) - 1)] += count
    return counts


def _heads(tops: Sequence[float], counts: Sequence[int]) -> list[str]:
    total = sum(counts)
    columns = [
        ["response time up to", *(show_time(top) for top in tops)],
        ["replies", *(f"{count:,}" for count in counts)],
        ["%", *(f"{100 * count / total:.2f}" for count in counts)],
    ]
    aligned = [[rjust(cell, max(map(len, column))) for cell in column] for column in columns]
    return ["  ".join(cells) for cells in zip(*aligned, strict=True)]


def _marks(counts: Sequence[int]) -> list[str]:
    """The percentiles that are reached with each bar."""
    reached = list(accumulate(counts))
    marks: list[list[str]] = [[] for _ in counts]
    for one in BRIEF:
        # to the 9th digit: 99.9 % of 1000 is 999, and not the 1000 that binary floats make of it
        rank = math.ceil(round(one.percent * reached[-1] / 100, 9))
        marks[bisect_left(reached, rank)].append(one.name)
    return [" ".join(names) for names in marks]


def _bar(layout: Layout, share: float, room: int) -> str:
    """A bar in eighths of a cell; any share above 0 is visible."""
    if layout.ascii:
        return "#" * round(share * room) or "." * (share > 0)
    eighths = round(share * room * 8)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip() or "▏" * (share > 0)
