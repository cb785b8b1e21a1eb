"""The Universal Scalability Law, fitted to levels of which the law is known, or known to be another."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from loadkit.judge.limit.scalability import Scalability, describe_scalability, fit

THREADS = (1, 2, 4, 8, 11, 13, 16, 19, 23, 32, 64)


def law(sigma: float, kappa: float, rate: float = 100.0) -> Callable[[int], float]:
    return lambda n: rate * n / (1 + sigma * (n - 1) + kappa * n * (n - 1))


def levels(throughput: Callable[[int], float], noise: float = 0.0, seed: int = 1, trials: int = 3):
    chance = random.Random(seed)
    return [(n, [throughput(n) * (1 + chance.gauss(0, noise)) for _ in range(trials)]) for n in THREADS]


@pytest.mark.parametrize(
    ("sigma", "kappa", "peak"),
    [(0.05, 0.001, 30.8), (0.0, 0.0005, 44.7), (0.3, 0.0, None), (0.02, 0.00001, None), (1.0, 0.0, None)],
)
def test_the_figures_of_the_law_are_found(sigma, kappa, peak):
    found = fit(levels(law(sigma, kappa)))
    assert isinstance(found, Scalability)
    assert (found.rate, found.sigma, found.kappa) == pytest.approx((100, sigma, kappa), rel=1e-6, abs=1e-9)
    assert found.peak == (peak if peak is None else pytest.approx(peak, abs=0.1))
    assert found.off < 1e-9


def test_the_curve_ends_at_twice_the_largest_level():
    found = fit(levels(law(0.02, 0.0001)))
    assert found.curve[0] == (1, pytest.approx(100))
    assert found.curve[-1] == (pytest.approx(128), pytest.approx(law(0.02, 0.0001)(128)))
    assert found.peak == pytest.approx(99, abs=0.1)
    assert fit(levels(law(0.02, 0.00002))).peak is None  # it would be at 221 threads


@pytest.mark.parametrize("workers", [2, 4, 16, 32])
def test_a_plateau_of_workers_is_not_described_and_how_far_it_is_off_is_said(workers):
    found = fit(levels(lambda n: 100.0 * min(n, workers), noise=0.02))
    assert found.startswith("the Universal Scalability Law does not describe these levels: it is ")
    assert 10 < int(found.partition("it is ")[2].partition("%")[0]) < 40


def test_six_levels_are_needed():
    assert "is fitted to 6 numbers of threads or more" in fit(levels(law(0.1, 0.001))[:5])
    assert isinstance(fit(levels(law(0.1, 0.001))[:6]), Scalability)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.01, 0.03, 0.06])
def test_the_intervals_hold_the_truth_in_nine_of_ten_cases(noise):
    found = [fit(levels(law(0.05, 0.001), noise, seed)) for seed in range(50)]
    fits = [one for one in found if isinstance(one, Scalability)]
    assert len(fits) > 46
    for interval, truth in (("sigma_interval", 0.05), ("kappa_interval", 0.001), ("peak_interval", 30.82)):
        held = sum(low <= truth <= high for low, high in (getattr(one, interval) for one in fits))
        assert held >= 0.9 * len(fits) - 2, interval


@pytest.mark.parametrize(
    ("sigma", "kappa", "words"),
    [
        (0.05, 0.001, "sigma 0.05 (0.05 to 0.05), kappa 0.001 (0.001 to 0.001), highest at 31 threads (31 to 31)"),
        (0.3, 0.0, "sigma 0.3 (0.3 to 0.3), kappa 0 (0 to 0), no peak up to 128 threads"),
    ],
)
def test_the_law_is_told_in_a_sentence(sigma, kappa, words):
    found = fit(levels(law(sigma, kappa)))
    assert isinstance(found, Scalability)
    assert describe_scalability(found) == f"Universal Scalability Law: {words}; within 0 % of all levels"
