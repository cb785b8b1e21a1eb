"""Change points in series whose truth is known: a step is found within a few runs, and where there is none, none is."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from loadkit.judge.history.change_points import change_points

Noise = Callable[[random.Random], float]

STEADY: dict[str, Noise] = {
    "2 % of noise": lambda chance: chance.gauss(1, 0.02),
    "one run in twenty half as slow again": lambda chance: (
        chance.gauss(1, 0.02) * (1.5 if chance.random() < 0.05 else 1)
    ),
    "skewed": lambda chance: chance.lognormvariate(0, 0.15),
}


def drawn(seed: int, levels: Sequence[float], noise: Noise = STEADY["2 % of noise"]) -> list[float]:
    chance = random.Random(seed)
    return [level * noise(chance) for level in levels]


@pytest.mark.parametrize("noise", STEADY.values(), ids=STEADY)
@pytest.mark.parametrize("count", [8, 30])
def test_hardly_any_series_that_never_changed_is_marked(noise: Noise, count: int) -> None:
    marked = [seed for seed in range(100) if change_points(drawn(seed, [1.0] * count, noise))]
    assert len(marked) <= 4


@pytest.mark.parametrize(
    ("levels", "least"),
    [
        ([1.0] * 10 + [1.1] * 4, 0.9),
        ([1.0] * 20 + [1.1] * 3, 0.9),
        ([1.0] * 8 + [1.1] * 5, 0.9),
        ([1.0] * 20 + [0.9] * 5, 0.9),
    ],
    ids=["10 before, 4 after", "20 before, 3 after", "8 before, 5 after", "20 before, 5 faster ones after"],
)
def test_a_step_of_a_tenth_is_found_within_a_few_runs(levels: list[float], least: float) -> None:
    step = levels.index(levels[-1])
    found = [change_points(drawn(seed, levels)) for seed in range(20)]
    assert sum(any(abs(at - step) <= 1 for at in one) for one in found) >= least * 20


def test_a_level_to_which_the_series_did_not_stay_has_two_ends() -> None:
    levels = [1.0] * 18 + [1.1] * 5 + [1.0] * 17
    found = [change_points(drawn(seed, levels)) for seed in range(10)]
    assert found.count([18, 23]) >= 8


def test_a_step_is_found_beside_runs_that_are_far_off() -> None:
    values = drawn(1, [1.0] * 24 + [1.1] * 6)
    values[3] *= 3
    values[15] *= 5
    assert change_points(values) == [24]


@pytest.mark.parametrize(
    "values",
    [[], [1.0], [1.0] * 40, [0.1 + 0.2] * 7 + [0.3] * 7, [1.0] * 20 + [1.5] * 2, [0.0] * 9 + [5.0] + [0.0] * 9],
    ids=["nothing", "one run", "all alike", "alike but for rounding", "two runs", "one run far off"],
)
def test_there_is_no_change_in(values: list[float]) -> None:
    assert change_points(values) == []


def test_a_step_from_nothing_is_a_change() -> None:
    """As an error rate that was 0 in most runs, of which there is no deviation."""
    assert change_points([0.0] * 12 + [0.01, 0.02, 0.015, 0.012]) == [12]
