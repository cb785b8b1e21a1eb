"""Rounds of two versions in balanced order, and the differences between them.

In each block every version has two rounds, in the order A B B A or B A A B, so that what changes evenly with time (a
machine that warms up, a cache that fills) is in both alike. The block, and not the request, is the unit: requests of
one round share what the round was like.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from loadkit.judge.times import Times

Version: TypeAlias = Literal["old", "new"]
Order: TypeAlias = tuple[Version, ...]

ORDERS: Final[tuple[Order, Order]] = (("old", "new", "new", "old"), ("new", "old", "old", "new"))


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure that is compared: of everything, or of the row `label`.

    Differences are ratios, but for shares (`is_share`), of which 0 to 0.01 is no ratio.
    """

    name: str
    label: str | None = None

    @property
    def more_is_worse(self) -> bool:
        """True unless it counts what was done."""
        return self.name != "throughput"

    @property
    def is_share(self) -> bool:
        """True for a share of 1, compared by its difference."""
        return self.name == "error_rate"

    def limit(self, tolerance: float) -> float:
        """A tolerance (0.05 is 5 %) in the unit of `worsening`."""
        return tolerance if self.is_share else math.log1p(tolerance)

    def scaled(self, figure: float) -> float | None:
        """A figure on the scale of `worsening`; None where a ratio has nothing to stand on."""
        if self.is_share:
            return figure
        if figure <= 0:
            return None
        return math.log(figure) if self.more_is_worse else -math.log(figure)

    def worsening(self, old: Sequence[float], new: Sequence[float]) -> float | None:
        """How much worse `new` is than `old`: logarithm of the ratio, or the difference of shares; below 0 is better.

        None where a ratio has nothing to stand on.
        """
        before, after = ([scaled for one in side if (scaled := self.scaled(one)) is not None] for side in (old, new))
        return fmean(after) - fmean(before) if len(before) + len(after) == len(old) + len(new) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One short run of one version; `unsound` says why its figures are not to be used, if they are not."""

    version: Version
    figures: Mapping[Metric, float]
    unsound: str | None = None
    has_failed: bool = False
    """True if not one request came through."""
    failure: str = ""
    """Why the first reason for failures is one, with the request where it is known."""
    loss: str = ""
    """How the server that loadkit started ended under the load, if it did."""
    response_time: Times | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """Rounds of both versions that are compared with each other."""

    rounds: tuple[Round, ...]

    @property
    def order(self) -> Order:
        """Which version had which round."""
        return tuple(one.version for one in self.rounds)

    @property
    def unsound(self) -> str | None:
        """Why the block says nothing, if it does not."""
        return next((one.unsound for one in self.rounds if one.unsound), None)

    @property
    def failed(self) -> list[Version]:
        """The versions of which not one request came through, the old one first."""
        versions: tuple[Version, Version] = ("old", "new")
        return [version for version in versions if all(one.has_failed for one in self.rounds if one.version == version)]

    def failure(self, version: Version) -> str:
        """Why requests of a version failed, if some did."""
        return next((one.failure for one in self.rounds if one.version == version and one.failure), "")

    def loss(self, version: Version) -> str:
        """How the server of a version ended under the load, if it did."""
        return next((one.loss for one in self.rounds if one.version == version and one.loss), "")

    def figures(self, metric: Metric, version: Version) -> list[float]:
        """What the rounds of a version found, where they found it."""
        return [one.figures[metric] for one in self.rounds if one.version == version and metric in one.figures]

    def worsening(self, metric: Metric) -> float | None:
        """How much worse the new version was in this block; None where a round did not find it."""
        old, new = self.figures(metric, "old"), self.figures(metric, "new")
        return metric.worsening(old, new) if len(old) + len(new) == len(self.rounds) else None


def orders(seed: int) -> Iterator[Order]:
    """The order of each block in turn: of two that follow each other, one begins with either version."""
    lot = random.Random(seed)
    while True:
        yield from lot.sample(ORDERS, 2)
