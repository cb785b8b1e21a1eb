"""Arrivals that were recorded: due when they came then, each for the endpoint that it was for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from loadkit.plan.part import WHOLE, Part
from loadkit.plan.phases import Segment
from loadkit.plan.units import SECOND

RECORDED: Final = "recorded"
"""How a result calls such arrivals, of which it has the mean rate alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedArrivals:
    """The arrivals of an open workload, as somebody wrote them down.

    `read` gives those of a part in their order, anew for each call: nanoseconds from the start, all before `duration`
    (nanoseconds, too), and the position of the scenario's endpoint. There are `count` of them, `most` in any second.
    A part has each arrival with one of its numbers, so that all parts together are the whole.
    """

    digest: str
    """The same for the same arrivals."""
    count: int
    most: int
    duration: int
    endpoints: int
    read: Callable[[Part], Iterator[tuple[int, int]]] = field(repr=False, compare=False)
    part: Part = field(default=WHOLE, repr=False)

    def dues(self) -> Iterator[tuple[int, int]]:
        """The number and the instant of each arrival; the number modulo the endpoints is the position of its own."""
        for turn, (due, position) in enumerate(self.read(self.part)):
            yield (self.part.first + turn * self.part.step) * self.endpoints + position, due

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The mean rate, over all of it."""
        rate = self.count * SECOND / self.duration
        return (Segment("", 0, self.duration, rate, rate),)

    @property
    def is_cut_short(self) -> bool:
        """False: the time ends it."""
        return False
