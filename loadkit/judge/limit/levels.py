"""Whether a level of load holds, from all trials of it.

A level holds a percentile by the binomial rule of MLPerf LoadGen (early stopping): as many requests were beyond the
limit as would be so in less than 1 % of the cases, if the true percentile were at the limit. It is missed by the same
rule the other way round. Requests of one server share its queue, so they are no independent witnesses: they are counted
for as many as the scatter of the blocks of time allows (the design effect of cluster sampling).

Source: https://github.com/mlcommons/inference/blob/master/loadgen/early_stopping.cc; L. Kish, Survey Sampling (1965),
section 5.4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from loadkit.judge.confidence import order_ranks
from loadkit.judge.limit.trials import Observed, Trial
from loadkit.plan.threshold import Threshold

Holding: TypeAlias = Literal["holds", "missed", "unclear", "inconclusive"]
"""What is known of a level. `unclear`: its trials lie on both sides of the limit, as those near it do. `inconclusive`:
the generator or its machine was the limit, and nothing is known of the server."""

SURE: Final = 0.98
"""Confidence of an interval of which either end alone is wrong in 1 % of the cases."""
BREACHES: Final = 2
"""Trials that must miss before a level is missed, and at least as many are made of each."""
MOST_TRIALS: Final = 3
BLOCKS: Final = (1, 2, 4)
"""Blocks of time that are counted as one for the scatter between them."""


@dataclass(frozen=True, slots=True)
class TriedLevel:
    """A level of load and its trials."""

    level: float
    trials: tuple[Trial, ...]

    @property
    def holding(self) -> Holding:
        """What its trials say."""
        if len(self._unsound) >= BREACHES > len(self._sound):
            return "inconclusive"
        if len(self._sound) < BREACHES:
            return "unclear"
        return self.holding_so_far

    @property
    def holding_so_far(self) -> Holding:
        """The same of however few trials there are."""
        found = [judged(series) for series in self._series]
        breaches = sum(one.is_breach for one in self._sound)
        if breaches >= min(BREACHES, len(self._sound)) > 0 and ("missed" in found or self._failed_outright):
            return "missed"
        if self._sound and all(one == "holds" for one in found) and not self._failed_outright:
            return "holds"
        return "unclear"

    @property
    def is_settled(self) -> bool:
        """True if further trials are not worth their time."""
        return self.holding != "unclear" or len(self._sound) >= MOST_TRIALS

    @property
    def leans_to_hold(self) -> bool:
        """On which side of the limit the trials lie in the mean, where they do not tell surely."""
        if self.holding_so_far in ("holds", "missed"):
            return self.holding_so_far == "holds"
        return 2 * self._failed_outright < len(self._sound) and all(_is_within(series) for series in self._series)

    @property
    def missed(self) -> list[Threshold]:
        """The thresholds that most of its trials miss, or any where none is."""
        missed = [limit for one in self._sound for limit in one.missed]
        often = [limit for limit in dict.fromkeys(missed) if 2 * missed.count(limit) > len(self._sound)]
        return often or list(dict.fromkeys(missed))

    @property
    def _sound(self) -> list[Trial]:
        return [one for one in self.trials if one.unsound is None]

    @property
    def _unsound(self) -> list[Trial]:
        return [one for one in self.trials if one.unsound is not None]

    @property
    def _failed_outright(self) -> int:
        """How many trials need no statistics."""
        return sum(one.is_saturated or one.is_lost for one in self._sound)

    @property
    def _series(self) -> list[list[Observed]]:
        """What each threshold came to, trial by trial."""
        return [list(series) for series in zip(*(one.observed for one in self._sound), strict=True)]


def judged(series: Sequence[Observed]) -> Holding:
    """What several trials say of one threshold."""
    limit = series[0].threshold
    share = allowed(limit)
    counts = [pair for one in series for pair in one.counts]
    requests, beyond = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0)
    if share is None or not requests:
        passing = [limit.passes(one.value) for one in series]
        return "unclear" if len(set(passing)) > 1 else "holds" if passing[0] else "missed"
    if not share or (limit.limits_errors and not beyond):
        # a server that refuses does so beyond its capacity and not before it, and thousands of requests would be
        # needed to be sure of what none of them shows
        return "missed" if beyond else "holds"
    # a queue near its limit is long for seconds: that it holds, longer blocks have to say, too; that it is missed, two
    # trials have to
    effect = max(design_effect(_merged(counts, size)) for size in BLOCKS)
    count = max(1, math.floor(requests / effect))
    _, high = order_ranks(count, 100 * (1 - share), SURE)
    if high is not None and count - math.ceil(beyond / effect) >= high:
        return "holds"
    effect = design_effect(counts)
    count = max(1, math.floor(requests / effect))
    low, _ = order_ranks(count, 100 * (1 - share), SURE)
    return "missed" if low is not None and count - math.floor(beyond / effect) < low else "unclear"


def allowed(limit: Threshold) -> float | None:
    """The share of the requests that may be beyond a limit; None where it is not one on a share of them."""
    if limit.percentile is not None:
        return 1 - limit.percentile / 100
    return limit.limit if limit.metric == "error_rate" else None


def replies_needed(limit: Threshold) -> int:
    """How many replies, none of them beyond the limit, are enough for it to hold.

    >>> replies_needed(threshold("p99 < 100ms"))
    459
    """
    share = None if limit.percentile is None else allowed(limit)
    return math.ceil(math.log((1 - SURE) / 2) / math.log(1 - share)) if share else 1


def design_effect(counts: Sequence[tuple[int, int]]) -> float:
    """How many times the share varies from block to block as that of independent requests would; at least 1."""
    counts = [pair for pair in counts if pair[0]]
    requests, beyond = sum(one for one, _ in counts), sum(one for _, one in counts)
    share = beyond / requests if requests else 0.0
    if not 0 < share < 1 or len(counts) < 2:
        return 1.0
    scatter = sum((beyond - count * share) ** 2 / count for count, beyond in counts)
    return max(1.0, scatter / (share * (1 - share)) / (len(counts) - 1))


def _merged(counts: Sequence[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    """So many blocks as one."""
    return [
        (sum(requests for requests, _ in counts[at : at + size]), sum(beyond for _, beyond in counts[at : at + size]))
        for at in range(0, len(counts), size)
    ]


def _is_within(series: Sequence[Observed]) -> bool:
    share = allowed(series[0].threshold)
    counts = [pair for one in series for pair in one.counts]
    if share is None or not counts:
        passing = sum(one.threshold.passes(one.value) for one in series)
        return 2 * passing > len(series)
    return sum(beyond for _, beyond in counts) <= share * sum(requests for requests, _ in counts)
