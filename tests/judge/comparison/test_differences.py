"""The estimate and its bounds, held against scipy's own and against what is enumerated by hand."""

from __future__ import annotations

import math
import random
from itertools import product
from statistics import median
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadkit.judge.comparison.differences import paired, unpaired

LOT = random.Random(1)
SAMPLES = [[LOT.gauss(0.3, 1) for _ in range(size)] for size in (1, 2, 5, 8, 12, 25)]
FEW = st.lists(st.floats(-1e6, 1e6).filter(bool), min_size=1, max_size=12, unique_by=abs)


@pytest.mark.parametrize("sample", SAMPLES, ids=len)
@pytest.mark.parametrize("limit", [0.0, 0.3, -0.7])
def test_the_chance_is_that_of_scipy_s_exact_test(stats: ModuleType, sample: list[float], limit: float) -> None:
    expected = stats.wilcoxon([one - limit for one in sample], alternative="greater", method="exact").pvalue
    assert paired(sample).chance_of_no_more_than(limit) == pytest.approx(expected, rel=1e-9)


@given(sample=FEW)
def test_the_chance_is_the_share_of_signs_that_rank_as_high(stats: ModuleType, sample: list[float]) -> None:
    sample = sample[:8]
    ranks = stats.rankdata([abs(one) for one in sample])
    found = sum(rank for rank, one in zip(ranks, sample, strict=True) if one > 0)
    sums = [sum(rank for rank, is_above in zip(ranks, signs, strict=True) if is_above) for signs in _signs(len(sample))]
    assert paired(sample).chance_of_no_more_than(0) == pytest.approx(sum(one >= found for one in sums) / len(sums))


def _signs(count: int) -> list[tuple[bool, ...]]:
    return list(product((False, True), repeat=count))


@given(FEW, st.floats(0.001, 0.4))
def test_a_bound_is_where_the_test_turns(sample: list[float], alpha: float) -> None:
    found = paired(sample)
    bound = found.at_least(alpha)
    if bound == -math.inf:
        # not even the surest outcome of so few would be sure enough
        assert 0.5 ** len(sample) > alpha
        return
    below, above = math.nextafter(bound, -math.inf), bound
    assert found.chance_of_no_more_than(below) <= alpha < found.chance_of_no_more_than(above)


@given(FEW, st.floats(0.001, 0.4))
def test_the_upper_bound_mirrors_the_lower_one(sample: list[float], alpha: float) -> None:
    assert paired(sample).at_most(alpha) == -paired([-one for one in sample]).at_least(alpha)


@given(FEW)
def test_the_estimate_is_the_median_of_all_pairs(sample: list[float]) -> None:
    pairs = [(one + other) / 2 for k, one in enumerate(sample) for other in sample[k:]]
    assert paired(sample).middle == median(pairs)


@pytest.mark.parametrize("alpha", [0.05, 0.01])
@pytest.mark.parametrize("size", [8, 20])
def test_the_truth_is_beyond_a_bound_as_rarely_as_is_said(size: int, alpha: float) -> None:
    lot = random.Random(size)
    outside = sum(paired([lot.gauss(1, 3) for _ in range(size)]).at_least(alpha) > 1 for _ in range(2000))
    # four standard deviations of a binomial
    assert outside / 2000 <= alpha + 4 * math.sqrt(alpha * (1 - alpha) / 2000)
    assert outside / 2000 >= alpha / 2 - 4 * math.sqrt(alpha / 2000)


def test_of_nothing_nothing_is_known() -> None:
    nothing = paired([])
    assert math.isnan(nothing.middle)
    assert nothing.at_least(0.05) == -math.inf
    assert nothing.at_most(0.05) == math.inf
    assert nothing.chance_of_no_more_than(0) == 1


# -- samples that are not paired

TWO = [
    ([LOT.gauss(0, 1) for _ in range(old)], [LOT.gauss(0.5, 1) for _ in range(new)])
    for old, new in ((1, 1), (1, 8), (3, 3), (5, 5), (8, 5), (20, 12))
]
VALUES = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=8, unique=True)


@pytest.mark.parametrize(("old", "new"), TWO, ids=[f"{len(old)} and {len(new)}" for old, new in TWO])
@pytest.mark.parametrize("limit", [0.0, 0.3, -0.7])
def test_the_chance_of_two_samples_is_that_of_scipy_s_exact_test(
    stats: ModuleType, old: list[float], new: list[float], limit: float
) -> None:
    expected = stats.mannwhitneyu([one - limit for one in new], old, alternative="greater", method="exact").pvalue
    assert unpaired(old, new).chance_of_no_more_than(limit) == pytest.approx(expected, rel=1e-9)


@given(VALUES, VALUES, st.floats(0.001, 0.4))
def test_a_bound_of_two_samples_is_where_the_test_turns(old: list[float], new: list[float], alpha: float) -> None:
    found = unpaired(old, new)
    bound = found.at_least(alpha)
    if bound == -math.inf:
        assert 1 / math.comb(len(old) + len(new), len(old)) > alpha
        return
    assert found.chance_of_no_more_than(math.nextafter(bound, -math.inf)) <= alpha < found.chance_of_no_more_than(bound)


@given(VALUES, VALUES, st.floats(0.001, 0.4))
def test_two_samples_the_other_way_round_are_mirrored(old: list[float], new: list[float], alpha: float) -> None:
    found, mirrored = unpaired(old, new), unpaired(new, old)
    assert found.at_most(alpha) == -mirrored.at_least(alpha)
    assert found.middle == -mirrored.middle == median(after - before for before in old for after in new)


def test_values_that_are_all_alike_differ_by_nothing() -> None:
    found = unpaired([0.0] * 5, [0.0] * 5)
    assert (found.at_least(0.05), found.middle, found.at_most(0.05)) == (0, 0, 0)
    assert found.chance_of_no_more_than(0) == 1


@pytest.mark.parametrize("alpha", [0.05, 0.01])
@pytest.mark.parametrize(("old", "new"), [(5, 5), (8, 5), (12, 12)])
def test_the_true_shift_is_beyond_a_bound_as_rarely_as_is_said(old: int, new: int, alpha: float) -> None:
    lot = random.Random(old)

    def sample(size: int, middle: float) -> list[float]:
        return [lot.gauss(middle, 3) for _ in range(size)]

    outside = sum(unpaired(sample(old, 0), sample(new, 1)).at_least(alpha) > 1 for _ in range(2000))
    assert outside / 2000 <= alpha + 4 * math.sqrt(alpha * (1 - alpha) / 2000)
    assert outside / 2000 >= alpha / 3 - 4 * math.sqrt(alpha / 2000)


@pytest.mark.parametrize(("old", "new"), [([], []), ([1.0], []), ([], [1.0])])
def test_of_one_sample_alone_nothing_is_known(old: list[float], new: list[float]) -> None:
    nothing = unpaired(old, new)
    assert math.isnan(nothing.middle)
    assert (nothing.at_least(0.05), nothing.at_most(0.05)) == (-math.inf, math.inf)
    assert nothing.chance_of_no_more_than(0) == 1
