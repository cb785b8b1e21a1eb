"""The middle of paired differences, and how far it can be known: Hodges-Lehmann estimate and its exact bounds.

The estimate is the median of the means of all pairs of differences (each also with itself), the Walsh averages. How
many of them lie below the true middle is distributed as Wilcoxon's signed-rank statistic, whatever the distribution of
the differences, if only it is symmetric; so order statistics of the Walsh averages bound the middle exactly. Sources:
J. L. Hodges and E. L. Lehmann, Estimates of Location Based on Rank Tests (Annals of Mathematical Statistics, 1963);
M. Hollander, D. A. Wolfe and E. Chicken, Nonparametric Statistical Methods (3rd edition), sections 3.1 to 3.3.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Differences:
    """Paired differences, one a block, as what their middle can be."""

    __slots__ = ("_averages", "_below", "count")

    def __init__(self, differences: Sequence[float]) -> None:
        self.count = len(differences)
        self._averages = sorted((one + other) / 2 for k, one in enumerate(differences) for other in differences[k:])
        self._below = _cumulative(self.count)

    @property
    def middle(self) -> float:
        """The estimate; NaN where there is no difference."""
        return median(self._averages) if self._averages else math.nan

    def at_least(self, alpha: float) -> float:
        """What the middle exceeds, but for a chance of `alpha`; minus infinity where there are too few to say."""
        rank = bisect_right(self._below, alpha)
        return self._averages[rank - 1] if rank else -math.inf

    def at_most(self, alpha: float) -> float:
        """What the middle does not exceed, but for a chance of `alpha`; infinity where there are too few to say."""
        rank = bisect_right(self._below, alpha)
        return self._averages[-rank] if rank else math.inf

    def chance_of_no_more_than(self, limit: float) -> float:
        """How likely differences as large as these are (the one-sided p-value) if the middle is `limit` or less."""
        if not self.count:
            return 1.0
        return self._below[bisect_right(self._averages, limit)]


@lru_cache(maxsize=256)
def _cumulative(count: int) -> tuple[float, ...]:
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
