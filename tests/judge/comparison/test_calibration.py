"""How small a change can be seen: held against comparisons whose truth is known, by the procedure that judges them."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable
from types import ModuleType

import pytest

from loadkit.judge.comparison.blocks import Block, Metric, Order, Round, Version, orders
from loadkit.judge.comparison.calibration import CalibratedFigure, bias, calibrated, smallest_change, spread_of
from loadkit.judge.comparison.procedure import Rules, conclude

P50, P99, ERRORS = Metric("p50"), Metric("p99"), Metric("error_rate")
SECONDS = 4.0
"""Of a block."""
BUDGET = 120.0


class Service:
    """A service whose new version is slower by `change`; each round is off by `noise`, and one in ten by more."""

    def __init__(self, seed: int, *, noise: float, change: float = 0.0, heavy: float = 1.0) -> None:
        self._lot = random.Random(seed)
        self._noise = noise
        self._heavy = heavy
        self._change = math.log1p(change)
        self.seconds = 0.0

    def block(self, order: Order) -> Block:
        self.seconds += SECONDS
        return Block(tuple(self._round(version) for version in order))

    def _round(self, version: Version) -> Round:
        off = self._lot.gauss(0, self._noise) * (self._heavy if self._lot.random() < 0.1 else 1)
        p50 = 0.01 * math.exp(off + self._change * (version == "new"))
        return Round(version=version, figures={P50: p50, P99: 0.02, ERRORS: 0.0})

    def elapsed(self) -> float:
        return self.seconds


def blocks_of(service: Service, count: int = 30) -> list[Block]:
    drawn = orders(1)
    return [service.block(next(drawn)) for _ in range(count)]


@pytest.mark.parametrize("heavy", [1.0, 3.0], ids=["normal noise", "a tenth of it three times as large"])
def test_a_change_of_the_size_that_is_said_is_found_and_half_of_it_is_not(heavy: float):
    verdicts: dict[str, Counter[str]] = {"whole": Counter(), "half": Counter(), "nothing": Counter()}
    for trial in range(80):
        figure = calibrated(blocks_of(Service(trial, noise=0.06, heavy=heavy)), [P50])[0]
        resolution = figure.resolution(30, deciding=2)
        tolerance = max(0.05, resolution)
        seen = (1 + tolerance) * (1 + resolution) - 1
        for name, change in (("whole", seen), ("half", seen / 2), ("nothing", 0.0)):
            service = Service(1000 + trial, noise=0.06, change=change, heavy=heavy)
            rules = Rules(tolerances={P50: tolerance, ERRORS: 0.001}, budget=BUDGET, seed=trial)
            verdicts[name][conclude(rules, service.block, service.elapsed).verdict] += 1

    assert verdicts["whole"]["worse"] >= 72
    assert verdicts["half"]["worse"] <= 8
    assert verdicts["nothing"]["no worse"] >= 72


@pytest.mark.parametrize(
    ("draw", "true"),
    [
        (lambda lot: lot.gauss(0, 1), 1.0),
        # of uniform noise ranks know as much as means
        (lambda lot: lot.uniform(-math.sqrt(3), math.sqrt(3)), 1.0),
        # one in twenty is far off, which makes the standard deviation 4.6
        (lambda lot: lot.gauss(0, 20 if lot.random() < 0.05 else 1), 1.2),
    ],
    ids=["normal", "uniform", "with some far off"],
)
def test_the_spread_is_that_of_the_middle(draw: Callable[[random.Random], float], true: float):
    lot = random.Random(1)
    assert spread_of([draw(lot) for _ in range(120)]) == pytest.approx(true, rel=0.25)


@pytest.mark.parametrize("deciding", [2, 5, 20])
def test_quantiles_of_few_blocks_are_those_of_student(stats: ModuleType, deciding: int):
    # what is left of the formula where there is one look
    expected = (stats.t.isf(0.1 / deciding, 7) + stats.norm.isf(0.05)) / math.sqrt(8)
    assert smallest_change(1.0, 8, deciding) == pytest.approx(expected, rel=0.05)


def test_more_room_makes_smaller_changes_visible_and_more_figures_larger_ones():
    room = [smallest_change(0.1, blocks, 3) for blocks in (10, 20, 40, 80)]
    assert sorted(room, reverse=True) == room
    assert smallest_change(0.1, 40, 3) < smallest_change(0.1, 40, 30)
    assert smallest_change(0.1, 7, 3) == math.inf
    assert smallest_change(0.0, 40, 3) == 0.0


def test_a_resolution_is_a_share_or_a_difference_of_error_rates():
    p50, errors = (CalibratedFigure(metric=name, label=None, spread=0.3, blocks=30) for name in ("p50", "error_rate"))
    beyond = smallest_change(0.3, 30, 2)
    assert (p50.resolution(30, 2), errors.resolution(30, 2)) == (math.expm1(beyond), beyond)


def test_a_figure_that_few_blocks_have_is_not_calibrated():
    blocks = blocks_of(Service(1, noise=0.01))
    bare = [Block(tuple(Round(version=one.version, figures={}) for one in block.rounds)) for block in blocks[:24]]

    assert [one.key for one in calibrated([*bare, *blocks[24:]], [P50])] == []
    assert [(one.key, one.blocks) for one in calibrated([*bare, *blocks], [P50, P99])] == [(P50, 30), (P99, 30)]


@pytest.mark.parametrize(
    ("change", "biased"),
    [(0.03, [P50]), (-0.03, [P50]), (0.0, []), (0.005, [])],
    ids=["slower than itself", "faster than itself", "alike", "alike but for less than matters"],
)
def test_a_version_that_differs_from_itself_is_found(change: float, biased: list[Metric]):
    blocks = blocks_of(Service(1, noise=0.01, change=change), 40)
    assert bias(blocks, {P50: 0.05, P99: 0.05, ERRORS: 0.001}) == biased
