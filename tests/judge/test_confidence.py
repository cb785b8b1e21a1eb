"""How sure a percentile is: the published table, exact sums of binomials, and what a thousand samples do."""

from __future__ import annotations

import random
from itertools import accumulate
from math import comb

import pytest

from loadkit.judge.confidence import order_ranks, percentile_interval
from loadkit.measure.histogram import Histogram


def exact(count: int, share: float, confidence: float = 0.95) -> tuple[int | None, int | None]:
    """The same ranks from whole binomial coefficients."""
    tail = (1 - confidence) / 2
    below = list(accumulate(comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(count + 1)))
    low = next((k for k in range(count + 1) if below[k] > tail), 0)
    high = next((k for k in range(1, count + 1) if 1 - below[k - 1] <= tail), None)
    return low or None, high


# the 95 % intervals of the median, by the number of values: W. J. Conover, Practical Nonparametric Statistics, table A3
@pytest.mark.parametrize(("count", "low", "high"), [(6, 1, 6), (10, 2, 9), (15, 4, 12), (20, 6, 15)])
def test_the_ranks_around_a_median_are_those_of_the_tables(count: int, low: int, high: int):
    assert order_ranks(count, 50) == (low, high)


@pytest.mark.parametrize("percent", [1, 50, 90, 95, 99])
@pytest.mark.parametrize("count", [1, 5, 40, 368, 369, 900])
def test_the_ranks_are_those_of_the_exact_binomial(count: int, percent: float):
    assert order_ranks(count, percent) == exact(count, percent / 100)
    assert order_ranks(count, percent, 0.5) == exact(count, percent / 100, 0.5)


@pytest.mark.parametrize(
    ("count", "percent", "found"),
    [
        (0, 99, (None, None)),
        (1, 50, (None, None)),
        # 0.99 ** 367 is 2.5004 %, and 0.99 ** 368 is 2.475 %
        (367, 99, (359, None)),
        (368, 99, (360, 368)),
        (100, 1, (None, 4)),
        (100, 100, (100, None)),
    ],
)
def test_too_few_values_bound_no_percentile(count: int, percent: float, found: tuple[int | None, int | None]):
    assert order_ranks(count, percent) == found


def test_many_values_take_the_normal_approximation_as_it_should_be():
    low, high = order_ranks(100_000_000, 50)

    assert low is not None
    assert high is not None
    # 1.95996 standard deviations, 5,000 ranks each
    assert (50_000_000 - low, high - 50_000_000) == pytest.approx((9800, 9800), abs=2)


def test_the_interval_holds_the_values_of_its_ranks():
    values = [k * 1_000_000 for k in range(1, 1001)]

    low, high = percentile_interval(Histogram.of(values), 99)

    assert low == pytest.approx(983_000_000, rel=0.001)
    assert high == pytest.approx(997_000_000, rel=0.001)
    assert low <= 983_000_000
    assert high >= 997_000_000


def test_the_interval_never_leaves_what_was_measured():
    assert percentile_interval(Histogram.of([7_777_777] * 1000), 50) == (7_777_777, 7_777_777)


def test_the_truth_is_within_as_often_as_is_said():
    chance = random.Random(1)
    # the 90th percentile of uniform 0 to 1 s is 0.9 s
    hits = 0
    for _ in range(400):
        low, high = percentile_interval(Histogram.of([int(chance.random() * 1e9) for _ in range(200)]), 90)
        assert low is not None
        assert high is not None
        hits += low <= 900_000_000 <= high
    # at least 95 %; by the rounding to whole ranks it is 95.7 %, and 400 tries know it to 3 %
    assert 371 <= hits <= 395
