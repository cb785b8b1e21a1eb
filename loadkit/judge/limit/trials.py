"""A trial of one level of load: what is measured next, what was found, and whether requests piled up in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import linear_regression
from typing import Final

from loadkit.plan.threshold import Threshold

RISING: Final = 3.0
"""How many standard errors the slope of a line is above zero for what it describes to rise."""
SHORTEST: Final = 4
"""Points of a line through which a slope says something."""
EXCESS: Final = 3.0
"""By how many deviations of a random walk more requests are under way in the end, when they pile up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextTrial:
    """What a search wants to be measured next."""

    level: float
    """Arrivals a second, or threads if it is closed."""
    seconds: float
    reason: str
    """Why this level, for whoever watches."""
    is_closed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What a trial says of one threshold."""

    threshold: Threshold
    value: float | None
    """The figure of the whole trial; None where nothing was measured."""
    counts: tuple[tuple[int, int], ...] = ()
    """Of each block of time, how many requests there were and how many were beyond the limit; empty where the figure is
    no share of the requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What was found at one level."""

    level: float
    seconds: float
    """Of load: less than was asked for where the trial was left early."""
    cost: float
    """Seconds that it took in all, until the server was ready for the next one."""
    throughput: float
    """Good replies a second (journeys, where there are only these)."""
    observed: tuple[Observed, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    """Further figures to show, such as `p50`, `p99` (seconds) and `error_rate`."""
    statuses: Mapping[int, int] = field(default_factory=dict)
    """Of good replies."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """By status, or by kind where there was none."""
    is_saturated: bool = False
    """Requests piled up."""
    is_lost: bool = False
    """The server ended, or could not be reached."""
    unsound: str | None = None
    """Why the trial says nothing of the server: the generator, or its machine, was the limit."""
    cause: str | None = None
    """What bound the trial, as a result names it."""

    @property
    def missed(self) -> list[Threshold]:
        """The thresholds that its figures miss."""
        return [one.threshold for one in self.observed if not one.threshold.passes(one.value)]

    @property
    def is_breach(self) -> bool:
        """True if the level did not hold in this trial."""
        return self.is_saturated or self.is_lost or bool(self.missed)


def piles_up(under_way: Sequence[float], times: Sequence[float], arrivals: float) -> bool:
    """True if requests under way and their response times both rise, and by more than chance explains.

    Above its capacity a server answers fewer requests than arrive, and no time is long enough for that to settle. The
    number under way is a random walk at the worst, of as many steps as there were arrivals and replies.

    Args:
        under_way: how many requests were under way at instants that are evenly spaced.
        times: the response time at these instants, in any unit.
        arrivals: how many requests arrived meanwhile.
    """
    if len(under_way) < SHORTEST or len(times) < SHORTEST:
        return False
    growth = under_way[-1] - under_way[0]
    is_beyond_chance = growth > EXCESS * math.sqrt(2 * max(arrivals, 1))
    return is_beyond_chance and _rises(under_way) and _rises(times)


def _rises(values: Sequence[float]) -> bool:
    """True if the slope of the line of least squares is surely above zero."""
    many = len(values)
    line = linear_regression(range(many), values)
    squares = sum((value - line.intercept - line.slope * k) ** 2 for k, value in enumerate(values))
    spread = sum((k - (many - 1) / 2) ** 2 for k in range(many))
    return line.slope > RISING * math.sqrt(squares / (many - 2) / spread)
