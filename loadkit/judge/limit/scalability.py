"""Throughput over the number of threads as a curve: the Universal Scalability Law.

    X(n) = rate n / (1 + sigma (n - 1) + kappa n (n - 1))

`sigma` (contention) is the share of the work that is done one after the other, `kappa` (coherency) what each thread
costs each other one, for which throughput falls beyond a peak. It describes what was measured; no answer is concluded
from it. The law is linear in its figures for n / X(n), so they are found by linear least squares.

Source: N. J. Gunther, "A General Theory of Computational Scalability Based on Rational Functions" (2008),
arXiv:0808.1431; Guerrilla Capacity Planning (2007), chapters 4 to 6. Intervals: B. Efron and R. J. Tibshirani, An
Introduction to the Bootstrap (1993), sections 9.5 and 13.3 (residuals, percentiles).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from statistics import median
from typing import Annotated, Final, NamedTuple, TypeAlias

import msgspec

from loadkit.plan.units import show_percent

Levels: TypeAlias = Sequence[tuple[int, Sequence[float]]]
"""Numbers of threads, each with the throughput of its trials."""

Amount: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
"""A figure that is stored."""

LEAST: Final = 6
"""Levels to which the law is fitted at least."""
NEAR: Final = 0.05
"""How far a level may be off the curve, as a share of its throughput."""
SURE: Final = 3.5
"""By how many standard errors of its own a level may be off, where that is more."""
BEYOND: Final = 2
"""The curve ends at so many times the largest level."""
RESAMPLES: Final = 400
OUTSIDE: Final = 0.05
"""The share of the resamples that is outside of an interval."""
POINTS: Final = 60
"""Of the curve."""
ROUNDING: Final = 1e-12
"""A kappa below this is the error of the arithmetic."""


class Scalability(msgspec.Struct, frozen=True, kw_only=True):
    """The Universal Scalability Law as it was fitted, and the intervals of its figures (95 %, by the bootstrap)."""

    rate: Amount
    """Throughput of one thread, a second."""
    sigma: Amount
    sigma_interval: tuple[Amount, Amount]
    kappa: Amount
    kappa_interval: tuple[Amount, Amount]
    peak: Amount | None
    """Threads with the highest throughput; None beyond the end of the curve."""
    peak_interval: tuple[Amount | None, Amount | None]
    off: Amount
    """How far levels are off the curve at most, as a share of their throughput."""
    curve: Annotated[list[tuple[Amount, Amount]], msgspec.Meta(min_length=2)]
    """Threads and throughput, up to twice the largest level."""


def describe_scalability(law: Scalability) -> str:
    """The law in a sentence."""
    low, high = law.peak_interval
    span = f"{'?' if low is None else f'{low:.0f}'} to {'?' if high is None else f'{high:.0f}'}"
    end = law.curve[-1][0]
    peak = f"highest at {law.peak:.0f} threads ({span})" if law.peak else f"no peak up to {end:g} threads"
    return (
        f"Universal Scalability Law: sigma {law.sigma:.2g} ({_span(law.sigma_interval)}), kappa {law.kappa:.2g} "
        f"({_span(law.kappa_interval)}), {peak}; within {show_percent(law.off)} of all levels"
    )


def _span(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.2g} to {interval[1]:.2g}"


class _Law(NamedTuple):
    rate: float
    sigma: float
    kappa: float

    def throughput(self, threads: float) -> float:
        return self.rate * threads / (1 + self.sigma * (threads - 1) + self.kappa * threads * (threads - 1))

    @property
    def peak(self) -> float:
        return max(1.0, math.sqrt(max(0.0, 1 - self.sigma) / self.kappa)) if self.kappa > ROUNDING else math.inf


def fit(levels: Levels) -> Scalability | str:
    """The law of these levels, or why there is none: they are too few, or it does not describe them."""
    levels = [(threads, rates) for threads, rates in levels if rates and median(rates) > 0]
    if len(levels) < LEAST:
        return f"the Universal Scalability Law is fitted to {LEAST} numbers of threads or more"
    measured = [(threads, median(rates)) for threads, rates in levels]
    law = _fit(measured)
    off = [abs(law.throughput(threads) / rate - 1) for threads, rate in measured]
    noise = scatter(levels)
    allowed = [max(NEAR, SURE * noise / math.sqrt(len(rates))) for _, rates in levels]
    worst = max(range(len(levels)), key=lambda k: off[k] / allowed[k])
    if off[worst] > allowed[worst]:
        threads = levels[worst][0]
        what = f"{threads} thread{'s' * (threads != 1)}"
        share = show_percent(off[worst])
        return f"the Universal Scalability Law does not describe these levels: it is {share} off at {what}"
    return _scalability(law, levels, max(off))


def scatter(levels: Levels) -> float:
    """The standard deviation of the trials of a level as a share of its throughput, from all levels together."""
    squares = [(rate / median(rates) - 1) ** 2 for _, rates in levels if median(rates) for rate in rates]
    freedom = sum(len(rates) - 1 for _, rates in levels if median(rates))
    return math.sqrt(sum(squares) / freedom) if freedom > 0 else 0.0


def _scalability(law: _Law, levels: Levels, off: float) -> Scalability:
    deviations, chance = _deviations(levels), random.Random(0)
    again = [
        _fit([(n, median(rates) * (1 + median(chance.choices(deviations, k=len(rates))))) for n, rates in levels])
        for _ in range(RESAMPLES)
    ]
    end = BEYOND * max(threads for threads, _ in levels)
    peak, low, high = (one if one <= end else None for one in (law.peak, *_interval([one.peak for one in again])))
    return Scalability(
        rate=law.rate,
        sigma=law.sigma,
        sigma_interval=_interval([one.sigma for one in again]),
        kappa=law.kappa,
        kappa_interval=_interval([one.kappa for one in again]),
        peak=peak,
        peak_interval=(low, high),
        off=off,
        curve=[(threads, law.throughput(threads)) for threads in (end ** (k / POINTS) for k in range(POINTS + 1))],
    )


def _deviations(levels: Levels) -> list[float]:
    """Of each trial from its level; from a level of k trials they are too small by a factor, which is undone."""
    return [
        (rate / median(rates) - 1) * math.sqrt(len(rates) / (len(rates) - 1))
        for _, rates in levels
        for rate in rates
        if len(rates) > 1
    ] or [0.0]


def _interval(values: Sequence[float]) -> tuple[float, float]:
    ordered = sorted(values)
    tail = round(OUTSIDE / 2 * len(ordered))
    return ordered[tail], ordered[-1 - tail]


def _fit(levels: Sequence[tuple[int, float]]) -> _Law:
    """The law with the least squares of relative errors, of those without a figure below zero."""
    largest = max(threads for threads, _ in levels)
    # n / X(n) = a + b (n - 1) + c n (n - 1), divided by the n / X(n) that was measured
    rows = [(rate / n, rate / n * (n - 1) / largest, rate * (n - 1) / largest**2, 1.0) for n, rate in levels]
    products = [[sum(row[j] * row[k] for row in rows) for k in range(4)] for j in range(3)]
    fits = []
    for used in ((0, 1, 2), (0, 1), (0, 2), (0,)):
        solved = _solve([[products[j][k] for k in (*used, 3)] for j in used])
        if min(solved) >= 0:
            explained = sum(factor * products[j][3] for j, factor in zip(used, solved, strict=True))
            fits.append((explained, dict(zip(used, solved, strict=True))))
    factors = max(fits, key=lambda one: one[0])[1]
    first = factors[0]
    return _Law(1 / first, factors.get(1, 0.0) / first / largest, factors.get(2, 0.0) / first / largest**2)


def _solve(rows: list[list[float]]) -> list[float]:
    """The solution of linear equations, whose right sides are the last column (Gauss and Jordan)."""
    for k in range(len(rows)):
        rows[k] = [value / rows[k][k] for value in rows[k]]
        for j in range(len(rows)):
            if j != k:
                rows[j] = [value - rows[j][k] * pivot for value, pivot in zip(rows[j], rows[k], strict=True)]
    return [row[-1] for row in rows]
