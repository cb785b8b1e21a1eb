"""How long trials are, and whether the budget of a search lasts for them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from loadkit.judge.limit.levels import BREACHES
from loadkit.plan.units import show_rate, show_span

RESOLUTION: Final = 0.05
SHORTEST: Final = 2.0
USUAL: Final = 4.0
"""Seconds of a trial at least; and where the budget is as long as usual."""
CONFIRMING: Final = 8
"""How many times as long the trial is that confirms an answer."""
CLOSED_TRIAL: Final = 1.0
"""Seconds of a trial with closed threads."""
PATIENCE: Final = 10
"""A trial lasts so many times as long as the time that is limited: a queue must have the time to become so long."""
FAR_BELOW: Final = 0.6
"""The share of what closed threads got up to which no queue becomes long, however long one waits."""
PARTS: Final = 30
"""A search takes as long as so many trials near the limit at least: two of each of 7 levels, and two that confirm."""
LONG_PARTS: Final = 8
"""A trial that confirms takes no larger part of the budget than one in so many, and no trial a larger one than half of
that."""
USUAL_PARTS: Final = 75
"""The budget over the length of a trial, in a usual search."""
CLOSED_PARTS: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRules:
    """What a search has to find, and within which bounds."""

    budget: float
    """Seconds."""
    replies: int = 1
    """How many replies a level needs for its thresholds to hold surely, if none is beyond the limit."""
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
        self._between = 0.0
        self._trials = 0
        self._best = 0.0

    def spend(self, seconds: float, cost: float) -> None:
        """Count a trial of so many seconds, which cost so many in all."""
        self.elapsed += cost
        self._between += max(0.0, cost - seconds)
        self._trials += 1

    def expect(self, best: float) -> None:
        """Take in what closed threads got, requests a second."""
        self._best = max(self._best, best)

    @property
    def lowest(self) -> float:
        """The lowest rate at which this budget brings as many replies as the thresholds need."""
        return max(self._rules.lowest, self._rules.replies / BREACHES / self._longest)

    @property
    def too_short(self) -> str:
        """Why a search cannot find what closed threads lead one to expect; empty if it can."""
        needed = math.ceil(PARTS * max(SHORTEST, self._wanted(self._best)))
        if needed <= self._rules.budget:
            return ""
        return (
            f"the budget of {show_span(self._rules.budget)} is too short: closed threads get {show_rate(self._best)}, "
            f"a level needs {self._rules.replies} replies, and a search {show_span(needed)} or more"
        )

    @property
    def used_up(self) -> str:
        """That it is, and with which budget a search has trials of the usual length."""
        usual = math.ceil(USUAL_PARTS * max(USUAL, self._wanted(self._best))) if self._best else 0
        better = f"; {show_span(usual)} are better here" if usual > self._rules.budget else ""
        return f"the budget of {show_span(self._rules.budget)} is used up{better}"

    @property
    def closed_seconds(self) -> float:
        """How long a trial with closed threads is."""
        return min(CLOSED_TRIAL, self._rules.budget / CLOSED_PARTS)

    def seconds(self, level: float) -> float:
        """How long a trial is."""
        usual = min(USUAL, max(SHORTEST, self._rules.budget / USUAL_PARTS))
        return min(self._longest, max(usual, self._wanted(level)))

    def long_seconds(self, level: float) -> float:
        """How long a trial is that confirms: where the time does not last, half as long."""
        longest = CONFIRMING * self.seconds(level)
        left = self._rules.budget - self.elapsed - self._overhead - 2 * self._rules.longest
        return min(max(CONFIRMING * SHORTEST, self._rules.budget / LONG_PARTS), longest, max(longest / 2, left))

    def has_time_to_bisect(self, level: float) -> bool:
        """True if there is time for another level, and to verify the answer after it."""
        return self.has_time(*[self.seconds(level)] * 2 * BREACHES, self.long_seconds(level))

    def has_time(self, *trials: float) -> bool:
        """True if there is time for trials of so many seconds, for what goes by between them, and the last replies."""
        needed = sum(trials) + len(trials) * self._overhead + 2 * self._rules.longest
        return self.elapsed + needed <= self._rules.budget

    @property
    def _overhead(self) -> float:
        return self._between / self._trials if self._trials else 0.0

    @property
    def _longest(self) -> float:
        return self._rules.budget / LONG_PARTS / 2

    def _wanted(self, level: float) -> float:
        """How long a queue takes to become as long as the limit, and so many replies to come in."""
        patience = PATIENCE * self._rules.longest if level > FAR_BELOW * self._best else 0.0
        return max(patience, self._rules.replies / BREACHES / (level or self._rules.lowest))
