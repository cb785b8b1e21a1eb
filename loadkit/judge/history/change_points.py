"""When the level of a series of figures changed: E-divisive with means, and a permutation test.

A series is divided where the means on both sides differ most, in relation to how many figures each has: the measure of
D. S. Matteson and N. A. James, A Nonparametric Approach for Multiple Change Point Analysis of Multivariate Data
(Journal of the American Statistical Association, 2014), with the exponent 2, for which it is a measure of means. What
is on the right may end before the series does, so that a level is found to which the series did not stay. A division
counts if hardly any shuffling of the same figures has one that is as large; then both parts are looked at in the same
way. That finds the changes in the performance of software has been shown by D. Daly and others, The Use of Change Point
Detection to Identify Software Performance Regressions in a Continuous Integration System (ICPE 2020), and by M. Fleming
and others, Hunter: Using Change Point Detection to Hunt for Performance Regressions (ICPE 2023), who put a t-test in
the place of the shuffling, for long series.
"""

from __future__ import annotations

import random
from itertools import accumulate
from math import inf
from statistics import median
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LEAST: Final = 3
"""Runs that a level has at least: less are outliers."""

_CHANCE: Final = 0.02
"""How likely a change is found where there is none."""
_SHUFFLES: Final = 199
_FAR: Final = 4.0
"""Standard deviations from the median beyond which a run is an outlier."""


def change_points(values: Sequence[float]) -> list[int]:
    """Where each new level begins; the same for the same values."""
    return list(_changes(values, 0))


def _changes(values: Sequence[float], start: int) -> Iterator[int]:
    kept = _without_outliers(values)
    divergence, at = max(_divisions(kept), default=(0.0, 0))
    if not _is_beyond_chance(kept, divergence):
        return
    yield from _changes(values[:at], start)
    yield start + at
    yield from _changes(values[at:], start + at)


def _without_outliers(values: Sequence[float]) -> list[float]:
    """The same with those that are far from the median only as far as that, whatever their order."""
    if not values:
        return []
    middle = median(values)
    # the factor is for a normal distribution; where most values are alike, none is an outlier
    reach = _FAR * 1.4826 * median(abs(one - middle) for one in values) or inf
    return [min(max(one, middle - reach), middle + reach) for one in values]


def _divisions(values: Sequence[float]) -> Iterator[tuple[float, int]]:
    """For each end of the right part, the largest divergence and where its right part begins."""
    sums = [0.0, *accumulate(values)]
    for end in range(2 * LEAST, len(values) + 1):
        mean = sums[end] / end
        # the squared difference of the means, times the product of the counts by their sum
        yield max(((sums[at] - at * mean) ** 2 * end / (at * (end - at)), at) for at in range(LEAST, end - LEAST + 1))


def _is_beyond_chance(values: Sequence[float], divergence: float) -> bool:
    # less than this is what rounding leaves of values that are all alike
    if divergence <= 1e-18 * sum(one * one for one in values):
        return False
    chance, shuffled, as_large = random.Random(0), list(values), 1
    for _ in range(_SHUFFLES):
        chance.shuffle(shuffled)
        # a little less is the same but for rounding
        as_large += max(_divisions(shuffled))[0] >= divergence * (1 - 1e-9)
        if as_large > _CHANCE * (_SHUFFLES + 1):
            return False
    return True
