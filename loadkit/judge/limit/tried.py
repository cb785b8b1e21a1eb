"""The levels that a search has tried."""

from __future__ import annotations

from collections.abc import Iterator

from loadkit.judge.limit.levels import TriedLevel
from loadkit.judge.limit.trials import Trial


class TriedLevels:
    """Trials by their level."""

    def __init__(self) -> None:
        self._trials: dict[float, tuple[Trial, ...]] = {}

    def __getitem__(self, level: float) -> TriedLevel:
        return TriedLevel(level, self._trials.get(level, ()))

    def __iter__(self) -> Iterator[TriedLevel]:
        """From low to high."""
        return (self[level] for level in sorted(self._trials))

    def add(self, level: float, *trials: Trial) -> None:
        """Count trials of a level."""
        self._trials[level] = (*self._trials.get(level, ()), *trials)

    def replace(self, level: float, *trials: Trial) -> None:
        """Forget what was found at a level before these trials."""
        self._trials[level] = trials

    @property
    def sure(self) -> tuple[float, float]:
        """The highest level that surely holds, and the lowest above it that is surely missed, or the ends of all."""
        levels = list(self)
        low = max((one.level for one in levels if one.holding == "holds"), default=levels[0].level)
        return low, self.lowest_missed(low) or levels[-1].level

    def highest_that_holds(self, below: float) -> float | None:
        """The highest level below another that holds, as far as its trials tell; None if there is none."""
        return max((one.level for one in self if one.level < below and one.leans_to_hold), default=None)

    def lowest_missed(self, above: float) -> float | None:
        """The lowest level above another that is surely missed; None if there is none."""
        return next((one.level for one in self if one.level > above and one.holding == "missed"), None)

    def lowest_doubt(self, above: float) -> float | None:
        """The lowest level above another that does not hold, as far as its trials tell; None if there is none."""
        return next((one.level for one in self if one.level > above and not one.leans_to_hold), None)
