"""When the requests of an open workload are due: computed from the plan, never from what a server does.

Arrival k of a constant rate is due at `round(k * SECOND / rate)`, never at the one before plus a gap. Where the rate
changes, it is due when the area under the rate has grown to k. Poisson arrivals are those of a rate of 1 (gaps that are
exponential, with mean 1), stretched over the same area (Cinlar's inversion; see Law, Simulation Modeling and Analysis,
section 8.6.2).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from random import Random
from typing import Final, Literal, TypeAlias

from loadkit.plan.part import WHOLE, Part
from loadkit.plan.phases import Segment, as_fraction
from loadkit.plan.units import SECOND

Spacing: TypeAlias = Literal["constant", "poisson"]
SPACINGS: Final = ("constant", "poisson")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """The instants of an open workload.

    `segments` say the rate over time, nanoseconds from the start; `iterations` how many arrivals there are at most.
    A part of them has each of its numbers, so that all parts together are the whole.
    """

    segments: Sequence[Segment]
    spacing: Spacing = "constant"
    seed: int = 0
    iterations: int | None = None
    part: Part = WHOLE

    def dues(self) -> Iterator[tuple[int, int]]:
        """The number and the instant (nanoseconds) of each arrival, in order; new for each call."""
        amounts = self._amounts()
        number, amount = next(amounts, (0, None))
        before = Fraction(0)
        for segment in self.segments:
            after = before + segment.amount()
            many, divisor, shift = _steady(segment, before)
            base = float(before)
            limit = math.ceil(after) if self.spacing == "constant" else float(after)
            while amount is not None and amount < limit:
                if divisor and isinstance(amount, int):
                    due = min((amount * many + shift) // divisor, segment.end - 1)
                else:
                    due = segment.reached(amount - base)
                yield number, due
                number, amount = next(amounts, (0, None))
            before = after

    @property
    def is_cut_short(self) -> bool:
        """The number of iterations ends it, and not the time."""
        if self.iterations is None:
            return False
        area = sum((segment.amount() for segment in self.segments), Fraction(0))
        if self.spacing == "constant":
            return self.iterations < area
        draw = Random(f"arrivals:{self.seed}")
        return sum(draw.expovariate(1.0) for _ in range(self.iterations + 1)) < area

    def _amounts(self) -> Iterator[tuple[int, int | float]]:
        """The number of each arrival of this part, and the area at which it is due."""
        if self.spacing == "constant":
            for number in count(self.part.first, self.part.step):
                if self.iterations is not None and number >= self.iterations:
                    return
                yield number, number
        else:
            first, step = self.part.first, self.part.step
            draw, reached = Random(f"arrivals:{self.seed}"), 0.0
            for number in count():
                if self.iterations is not None and number >= self.iterations:
                    return
                reached += draw.expovariate(1.0)
                if number % step == first:
                    yield number, reached


def _steady(segment: Segment, before: Fraction) -> tuple[int, int, int]:
    """`many, divisor, shift`, so that arrival k of a constant rate is due at `(k * many + shift) // divisor`.

    That is `start + round((k - before) * SECOND / rate)` in whole numbers only. The divisor is 0 where the rate
    changes, or nothing arrives.
    """
    rate = as_fraction(segment.first)
    if segment.first != segment.last or not rate:
        return 0, 0, 0
    divisor = rate.numerator * before.denominator
    many = SECOND * rate.denominator * before.denominator
    shift = segment.start * divisor - before.numerator * SECOND * rate.denominator
    return many, divisor, shift + divisor // 2
