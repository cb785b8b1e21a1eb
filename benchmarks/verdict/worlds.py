"""Simulated machines and servers: what rounds of two versions would find, where the truth is known."""

from __future__ import annotations

import math
import random
from statistics import median
from typing import TYPE_CHECKING, Final

from loadkit.judge.comparison.blocks import Block, Metric, Round

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadkit.judge.comparison.blocks import Order, Version

P50, P99 = Metric("p50"), Metric("p99")
THROUGHPUT, ERRORS = Metric("throughput"), Metric("error_rate")

NOISES: Final = ("independent", "drift within a run", "rare slow seconds")

SD_OF_ROUNDS: Final = 0.06
"""How much rounds of the same code differ, as a share."""
BLOCK_SECONDS: Final = 4.4
"""Four rounds of 0.9 s, and the start of both servers."""
WINDOWS: Final = 3
REQUESTS: Final = 300
"""Of one window."""
SLOW: Final = 0.03
"""Of the windows that are slow, in which all takes three times as long."""

_SPREADS: Final = {P50: 1.44, P99: 2.16, THROUGHPUT: 1.0}
"""How much a figure of n exponential times is off: so much, as a share of it, over the root of n (the asymptotic
standard deviation of a sample quantile: H. A. David and H. N. Nagaraja, Order Statistics, section 10.2)."""


class World:
    """A machine on which a comparison runs; `effects` are true changes of the new version, as shares."""

    def __init__(self, noise: str, effects: Mapping[Metric, float], seed: int, budget: float) -> None:
        self._noise = noise
        self._effects = effects
        self._lot = random.Random(seed)
        self._drift = self._lot.uniform(-0.3, 0.3) / budget
        self._walk = 0.0
        self.now = 0.0

    def block(self, order: Order) -> Block:
        """Run a block."""
        return Block(tuple(self._round(version) for version in order))

    def elapsed(self) -> float:
        """Seconds since its start."""
        return self.now

    def _round(self, version: Version) -> Round:
        level = self._lot.gauss(0, SD_OF_ROUNDS) + self._background()
        windows = [level + self._slowness() for _ in range(WINDOWS)]
        figures = {metric: self._figure(metric, version, windows) for metric in _SPREADS}
        self.now += BLOCK_SECONDS / 4
        return Round(version=version, figures={**figures, ERRORS: 0.0})

    def _background(self) -> float:
        """How much slower the machine is by now than at the start."""
        if self._noise != "drift within a run":
            return 0.0
        self._walk += self._lot.gauss(0, 0.01)
        return self._drift * self.now + self._walk

    def _slowness(self) -> float:
        return math.log(3) if self._noise == "rare slow seconds" and self._lot.random() < SLOW else 0.0

    def _figure(self, metric: Metric, version: Version, windows: list[float]) -> float:
        change = math.log1p(self._effects.get(metric, 0.0)) if version == "new" else 0.0
        off = _SPREADS[metric] / math.sqrt(REQUESTS)
        level = median(window + self._lot.gauss(0, off) for window in windows) + change
        return math.exp(level if metric.more_is_worse else -level)
