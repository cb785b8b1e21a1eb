"""How sure a percentile is: between which values of the sample the true one lies.

The number of samples that are not above the true p-quantile is binomial (n, p), whatever the distribution. So the l-th
and the u-th smallest sample enclose it with the probability P(l <= B < u): no model, no resampling, exact but for the
width of the histogram's buckets. Source: H. A. David and H. N. Nagaraja, Order Statistics (3rd edition), section 7.1;
G. J. Hahn and W. Q. Meeker, Statistical Intervals, section 5.2.

The samples are taken to be independent. Those of a server that is slow for a while are not, and then the truth is less
sure than this says.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate, takewhile
from operator import mul
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadkit.measure.histogram import Histogram

CONFIDENCE: Final = 0.95

_NOTHING: Final = 1e-20
"""A weight beside that of the most likely count below which the rest of a tail adds nothing to a float."""


def percentile_interval(
    histogram: Histogram, percent: float, confidence: float = CONFIDENCE
) -> tuple[int | None, int | None]:
    """Between which values (nanoseconds) the true percentile lies, as surely as `confidence`.

    None on a side where the sample is too small to say: of 100 values none is surely above the true p99.
    The values are those of the bucket's outer edge, within the exact minimum and maximum.
    """
    low, high = order_ranks(histogram.count, percent, confidence)
    return (
        None if low is None else max(_at(histogram, low)[0], histogram.min),
        None if high is None else min(_at(histogram, high)[1], histogram.max),
    )


def order_ranks(count: int, percent: float, confidence: float = CONFIDENCE) -> tuple[int | None, int | None]:
    """Which of `count` sorted values, counted from 1, enclose the true percentile; None where none does.

    >>> order_ranks(1000, 99)
    (983, 997)

    At most half of the doubt is left on each side. Raises `ValueError` for a percentile or confidence that is none.
    """
    if not 0 < percent <= 100:
        raise ValueError(f"a percentile is above 0 and at most 100, not {percent!r}")
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence is between 0 and 1, like 0.95, not {confidence!r}")
    if not count:
        return None, None
    if percent == 100:
        # the largest there can be is at least the largest there was
        return count, None
    share = float(Fraction(str(percent)) / 100)
    tail = (1 - confidence) / 2
    first, weights = _binomial(count, share)
    whole = sum(weights)
    # the most values that are surely not above it, and the fewest that surely are not all below it
    low = first + _within(weights, tail * whole)
    high = first + len(weights) - _within(reversed(weights), tail * whole)
    return low or None, high if high <= count else None


def _within(weights: Iterable[float], limit: float) -> int:
    """How many of the weights, from the first, come to no more than the limit."""
    return next((k for k, so_far in enumerate(accumulate(weights)) if so_far > limit), 0)


def _binomial(count: int, share: float) -> tuple[int, list[float]]:
    """The first count that is at all likely, and from it on the likelihoods, relative to that of the likeliest."""
    mode = min(int((count + 1) * share), count)
    below = _falling(k / (count - k + 1) * ((1 - share) / share) for k in range(mode, 0, -1))
    above = _falling((count - k) / (k + 1) * (share / (1 - share)) for k in range(mode, count))
    return mode - len(below), [*reversed(below), 1.0, *above]


def _falling(ratios: Iterable[float]) -> list[float]:
    """Likelihoods from the ratio of each to the one before, as far as they add anything."""
    return list(takewhile(lambda weight: weight >= _NOTHING, accumulate(ratios, mul)))


def _at(histogram: Histogram, rank: int) -> tuple[int, int]:
    """The bucket in which the value of that rank is."""
    seen = 0
    for low, high, count in histogram.buckets():
        seen += count
        if seen >= rank:
            return low, high
    raise AssertionError("a rank is at most the count")
