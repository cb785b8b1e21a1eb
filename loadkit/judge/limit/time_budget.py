"""How long trials are, and whether the budget of a search lasts for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from loadkit.judge.limit.levels import BREACHES

RESOLUTION: Final = 0.05
SHORTEST: Final = 4.0
LONGEST: Final = 20.0
"""Seconds of a trial, of those that confirm apart."""
CONFIRMING: Final = 8
"""How many times as long the trial is that confirms an answer."""
CLOSED_TRIAL: Final = 1.0
"""Seconds of a trial with closed threads."""
PATIENCE: Final = 20
"""A trial lasts so many times as long as the time that is limited: a queue must have the time to become so long."""
FAR_BELOW: Final = 0.6
"""The share of what closed threads got up to which no queue becomes long, however long one waits."""
PARTS: Final = 30
"""A trial takes no larger part of the budget than one in so many; one that confirms, one in `LONG_PARTS`."""
LONG_PARTS: Final = 8
LOWEST_PARTS: Final = 8
"""At the lowest rate that is tried, this part of the budget brings as many replies as the thresholds need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRules:
    """What a search has to find, and within which bounds."""

    budget: float
    """Seconds."""
    replies: int = 1
    """How many replies a trial needs for its thresholds to hold surely, if none is beyond the limit."""
    longest: float = 0.0
    """The longest response time that a threshold allows, seconds."""
    resolution: float = RESOLUTION
    lowest: float = 1.0
    """No lower rate is tried."""
    highest: float = 1e6
    first: float | None = None
    """The rate that is tried first, such as one that is asked for; None for half of what closed threads got."""


class TimeBudget:
    """The time of a search: what was spent, and how long the next trial is."""

    def __init__(self, rules: SearchRules) -> None:
        self._rules = rules
        self.elapsed = 0.0
        """Seconds, with what goes by between trials."""
        self._tried = 0.0
        self._best = 0.0

    def spend(self, seconds: float, cost: float) -> None:
        """Count a trial of so many seconds, which cost so many in all."""
        self.elapsed += cost
        self._tried += seconds

    def expect(self, best: float) -> None:
        """Take in what closed threads got, requests a second."""
        self._best = max(self._best, best)

    @property
    def closed_seconds(self) -> float:
        """How long a trial with closed threads is."""
        return min(CLOSED_TRIAL, self._rules.budget / PARTS)

    def seconds(self, level: float) -> float:
        """How long a trial is."""
        patience = PATIENCE * self._rules.longest if level > FAR_BELOW * self._best else 0.0
        wanted = max(SHORTEST, patience, self._rules.replies / level)
        return min(wanted, LONGEST, self._rules.budget / PARTS)

    def long_seconds(self, level: float) -> float:
        """How long a trial is that confirms: where the time does not last, only twice as long as others."""
        short = self.seconds(level)
        left = self._rules.budget - self.elapsed
        return min(CONFIRMING * short, self._rules.budget / LONG_PARTS, max(2 * short, left))

    def has_time_to_bisect(self, level: float) -> bool:
        """True if there is time for another level, and to verify the answer after it."""
        return self.has_time(2 * BREACHES * self.seconds(level) + self.long_seconds(level))

    def has_time(self, seconds: float) -> bool:
        """True if there is time for so many seconds of trials, and what goes by between these."""
        per_second = self.elapsed / self._tried if self._tried else 1.0
        return self.elapsed + seconds * per_second <= self._rules.budget
