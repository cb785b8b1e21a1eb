"""The middle of differences, and how far it can be known: Hodges-Lehmann estimates and their exact bounds.

Of paired differences it is the median of the means of all pairs of them (each also with itself), the Walsh averages; of
two samples that are not paired the median of all differences between a value of one and a value of the other. How many
of these candidates lie below the truth is distributed as Wilcoxon's signed-rank statistic, if the differences scatter
evenly to both sides; and as his rank-sum statistic (that of Mann and Whitney), if both samples scatter alike. So order
statistics of the candidates bound the truth exactly. Sources: J. L. Hodges and E. L. Lehmann, Estimates of Location
Based on Rank Tests (Annals of Mathematical Statistics, 1963); M. Hollander, D. A. Wolfe and E. Chicken, Nonparametric
Statistical Methods (3rd edition), sections 3.1 to 3.3 and 4.1 to 4.3.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Differences:
    """What the middle of differences can be; made by `paired` and `unpaired`.

    Args:
        candidates: of which the median is the estimate.
        below: how likely 0 of them or fewer are below the truth, 1 or fewer, and so on.
        count: how many differences, or of two samples values of the smaller one, it rests on.
    """

    __slots__ = ("_below", "_candidates", "count")

    def __init__(self, candidates: Iterable[float], below: Sequence[float], count: int) -> None:
        self.count = count
        self._candidates = sorted(candidates)
        self._below = below

    @property
    def middle(self) -> float:
        """The estimate; NaN where there is no difference."""
        return median(self._candidates) if self._candidates else math.nan

    def at_least(self, alpha: float) -> float:
        """What the middle exceeds, but for a chance of `alpha`; minus infinity where there are too few to say."""
        rank = bisect_right(self._below, alpha)
        return self._candidates[rank - 1] if rank else -math.inf

    def at_most(self, alpha: float) -> float:
        """What the middle does not exceed, but for a chance of `alpha`; infinity where there are too few to say."""
        rank = bisect_right(self._below, alpha)
        return self._candidates[-rank] if rank else math.inf

    def chance_of_no_more_than(self, limit: float) -> float:
        """How likely differences as large as these are (the one-sided p-value) if the middle is `limit` or less."""
        return self._below[bisect_right(self._candidates, limit)]


def paired(differences: Sequence[float]) -> Differences:
    """Differences of one block each."""
    averages = ((one + other) / 2 for k, one in enumerate(differences) for other in differences[k:])
    return Differences(averages, _signed_ranks(len(differences)), len(differences))


def unpaired(old: Sequence[float], new: Sequence[float]) -> Differences:
    """Differences `new - old` of two samples."""
    differences = (after - before for before in old for after in new)
    return Differences(differences, _rank_sums(len(old), len(new)), min(len(old), len(new)))


@lru_cache(maxsize=256)
def _signed_ranks(count: int) -> tuple[float, ...]:
    """How likely a signed-rank statistic of so many differences is 0 or less, 1 or less, and so on.

    Each rank is in the sum or not, with even chances, so the distribution is built rank by rank.
    """
    chances = [1.0]
    for rank in range(1, count + 1):
        longer = [*chances, *[0.0] * rank]
        for value, chance in enumerate(chances):
            longer[value + rank] += chance
        chances = [chance / 2 for chance in longer]
    return tuple(accumulate(chances))


@lru_cache(maxsize=256)
def _rank_sums(old: int, new: int) -> tuple[float, ...]:
    """How likely 0 or fewer of the pairs of two such samples are in one order, 1 or fewer, and so on.

    How many arrangements have so many pairs in that order are the coefficients of a Gaussian binomial, the product of
    (1 - q^(old + k)) / (1 - q^k) for k from 1 to `new`.
    """
    ways = [1, *[0] * (old * new)]
    for k in range(1, new + 1):
        for pairs in reversed(range(old + k, len(ways))):
            ways[pairs] -= ways[pairs - old - k]
        for pairs in range(k, len(ways)):
            ways[pairs] += ways[pairs - k]
    return tuple(sum_ / math.comb(old + new, new) for sum_ in accumulate(ways))
