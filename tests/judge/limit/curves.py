"""Servers that are a curve of throughput over threads, of which each trial sees a little more or less."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from loadkit.judge.limit.search import find
from loadkit.judge.limit.threads import ThreadFindings, ThreadRules, ThreadSearch
from loadkit.judge.limit.trials import NextTrial, Trial

RATE = 50.0
"""Of one thread alone, a second."""
MOST = 1024
LEAST_SHARE, MOST_SHARE = 0.93, 0.95
"""Of the best throughput: at what is recommended at least, and at three quarters of it less."""


@dataclass(frozen=True, slots=True)
class Curve:
    """What so many threads get, a second, and the share of the requests that fail with them."""

    name: str
    throughput: Callable[[int], float]
    failing: Callable[[int], float] = lambda threads: 0.0

    @property
    def best(self) -> float:
        """The best throughput of those with which none fail."""
        return max(self.throughput(threads) for threads in range(1, MOST + 1) if not self.failing(threads))

    def is_true(self, threads: int | None) -> bool:
        """True if so many threads are enough, and three quarters of them are not."""
        if threads is None or self.failing(threads) or self.throughput(threads) < LEAST_SHARE * self.best:
            return False
        fewer = int(0.75 * threads)
        return not fewer or self.throughput(fewer) < MOST_SHARE * self.best


def workers(count: int) -> Curve:
    """So many requests at once; the others wait."""
    return Curve(f"{count} workers", lambda threads: RATE * min(threads, count))


def scalability(sigma: float, kappa: float) -> Curve:
    """By the Universal Scalability Law."""
    return Curve(
        f"sigma {sigma:g}, kappa {kappa:g}",
        lambda threads: RATE * threads / (1 + sigma * (threads - 1) + kappa * threads * (threads - 1)),
    )


def soft(count: int) -> Curve:
    """Near so many workers by and by."""
    return Curve(f"softly {count}", lambda threads: RATE * count * (1 - math.exp(-threads / count)))


def collapsing(count: int) -> Curve:
    """Half of the throughput and less, beyond so many threads."""
    return Curve(
        f"collapses beyond {count}",
        lambda threads: RATE * (threads if threads <= count else 0.5 * count * count / threads),
    )


def refusing(count: int) -> Curve:
    """What is beyond so many at once is refused."""
    return Curve(
        f"refuses beyond {count}",
        lambda threads: RATE * min(threads, count),
        lambda threads: max(0.0, (threads - count) / threads),
    )


CURVES = (
    *map(workers, (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)),
    *(scalability(*one) for one in ((0.02, 5e-4), (0.1, 1e-3), (0.0, 4e-4), (0.05, 0.01), (0.01, 1e-5))),
    *(scalability(*one) for one in ((0.3, 0.0), (0.1, 0.0))),
    *map(soft, (4, 20, 40)),
    *map(collapsing, (4, 12, 24, 40)),
    *map(refusing, (4, 12, 24, 40)),
)


def searched(curve: Curve, noise: float, seed: int, budget: float = 300.0) -> ThreadFindings:
    """What a search finds; the throughput of a trial deviates by this share of it, as a standard deviation."""
    chance = random.Random(seed)

    def measure(wanted: NextTrial) -> Trial:
        threads = int(wanted.level)
        rate = max(0.0, curve.throughput(threads) * (1 + chance.gauss(0, noise)))
        share = curve.failing(threads)
        failed = round(rate * wanted.seconds * share / (1 - share))
        return Trial(
            level=threads,
            seconds=wanted.seconds,
            cost=wanted.seconds + 0.1,
            throughput=rate,
            failures={"503": failed} if failed else {},
        )

    return find(ThreadSearch(ThreadRules(budget=budget)), measure)
