"""Comparisons of made-up versions whose truth is known: what is said of them, after how many blocks, and why."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping

import pytest

from loadkit.judge.comparison.blocks import Block, Metric, Order, Round, Version, orders
from loadkit.judge.comparison.procedure import Conclusion, Rules, conclude

P50, P99, THROUGHPUT, ERRORS = Metric("p50"), Metric("p99"), Metric("throughput"), Metric("error_rate")
CONTROL = Metric("p50", "control")
TOLERANCES = {P50: 0.05, THROUGHPUT: 0.05, ERRORS: 0.001}


class Versions:
    """A machine on which a block takes 4 s; each round is off by about 3 %."""

    def __init__(self, *, noise: float = 0.03, new: Mapping[Metric, float] | None = None, seed: int = 1) -> None:
        self._lot = random.Random(seed)
        self._noise = noise
        self._new = new or {}
        self.seconds = 0.0
        self.unsound: Callable[[int], str | None] = lambda _: None
        self.failing: tuple[Version, ...] = ()
        self.lost: Callable[[int], tuple[Version, ...]] = lambda _: ()
        self.blocks = 0

    def block(self, order: Order) -> Block:
        self.seconds += 4
        self.blocks += 1
        return Block(tuple(self._round(version) for version in order))

    def _round(self, version: Version) -> Round:
        level = math.exp(self._lot.gauss(0, self._noise))
        change = {
            metric: 1.0 + (self._new.get(metric, 0.0) if version == "new" else 0.0) for metric in (P50, P99, CONTROL)
        }
        figures = {metric: 0.010 * level * factor for metric, factor in change.items()}
        figures |= {THROUGHPUT: 1000 / level, ERRORS: self._new.get(ERRORS, 0.0) if version == "new" else 0.0}
        return Round(
            version=version,
            figures={} if version in self.failing else figures,
            unsound="killed" if version in self.lost(self.blocks) else self.unsound(self.blocks),
            has_failed=version in self.failing,
            loss="killed" if version in self.lost(self.blocks) else "",
        )

    def elapsed(self) -> float:
        return self.seconds


def compared(
    versions: Versions, *, budget: float = 300, stops: Callable[[], bool] = lambda: False, **rules
) -> Conclusion:
    given = {"tolerances": TOLERANCES, "budget": budget, **rules}
    return conclude(Rules(**given), versions.block, versions.elapsed, stops)


def verdicts(conclusion: Conclusion) -> dict[str, str]:
    return {one.metric.name: one.verdict for one in conclusion.changes}


def test_what_did_not_change_is_no_worse_after_few_blocks():
    found = compared(Versions())

    assert found.verdict == "no worse"
    assert verdicts(found) == {"p50": "no worse", "throughput": "no worse", "error_rate": "no worse"}
    assert len(found.blocks) < 20
    assert found.reason == ""


def test_what_is_slower_is_worse_in_that_figure_alone_and_confirmed_by_blocks_of_their_own():
    found = compared(Versions(new={P50: 0.12}))

    assert found.verdict == "worse"
    assert verdicts(found)["p50"] == "worse"
    assert verdicts(found)["error_rate"] == "no worse"
    assert 4 <= len(found.confirming) <= 10
    change = found.changes[0]
    assert change.low < 0.12 < change.high
    assert change.low > 0.05
    assert change.after / change.before == pytest.approx(1.12, rel=0.05)


def test_what_is_faster_is_better():
    found = compared(Versions(new={P50: -0.2}))

    assert (found.verdict, verdicts(found)["p50"]) == ("better", "better")


def test_a_figure_that_grew_without_being_named_decides_nothing():
    assert compared(Versions(new={P99: 1.0})).verdict == "no worse"
    assert compared(Versions(new={P99: 1.0}), tolerances={**TOLERANCES, P99: 0.1}).verdict == "worse"


def test_errors_are_compared_by_their_difference():
    assert compared(Versions(new={ERRORS: 0.0005})).verdict == "no worse"
    found = compared(Versions(new={ERRORS: 0.02}))
    assert (found.verdict, verdicts(found)["error_rate"]) == ("worse", "worse")


def test_a_change_about_as_large_as_is_tolerated_takes_all_of_the_budget():
    versions = Versions(noise=0.1, new={P50: 0.05})
    found = compared(versions, budget=120)

    assert found.verdict == "cannot tell"
    assert found.reason == "the budget of 2m is used up"
    assert 116 <= versions.seconds <= 120


def test_fewer_blocks_than_8_tell_nothing():
    found = compared(Versions(), budget=20)

    assert (found.verdict, len(found.blocks)) == ("cannot tell", 5)
    assert found.reason == ("the budget of 20s is used up after 5 of at least 8 blocks, which take about 32s here")


def test_blocks_that_are_not_sound_are_left_out_and_never_the_reason_for_a_verdict():
    versions = Versions(new={P50: 0.5})
    versions.unsound = lambda block: "the generator was late"

    found = compared(versions, budget=100)

    assert found.verdict == "cannot tell"
    assert found.reason == "25 of 25 blocks were not sound: the generator was late"


def test_a_few_blocks_that_are_not_sound_cost_only_themselves():
    versions = Versions()
    versions.unsound = lambda block: "the machine was asleep" if block % 3 == 0 else None

    found = compared(versions)

    assert found.verdict == "no worse"
    assert found.changes[0].blocks == sum(block.unsound is None for block in found.blocks) >= 8


def test_a_control_that_changed_makes_it_impossible_to_tell():
    found = compared(Versions(new={P50: 0.3, CONTROL: 0.3}), control=CONTROL)

    assert found.verdict == "cannot tell"
    assert found.reason == "the control changed, in which nothing was changed"


def test_a_control_that_moves_less_than_what_decides_is_found_to_have_moved():
    # the machine was 5 % slower for the new version, and made it seem worse
    found = compared(Versions(noise=0.02, new={P50: 0.09, CONTROL: 0.05}), control=CONTROL, tolerances={P50: 0.07})

    assert (found.verdict, found.reason) == ("cannot tell", "the control changed, in which nothing was changed")
    assert found.control.low > 0.02
    assert not found.control.decides


def test_a_control_that_nobody_requested_is_said():
    found = compared(Versions(), control=Metric("p50", "GET /nowhere"))

    assert (found.verdict, found.reason) == ("cannot tell", "the control GET /nowhere was not measured")


def test_a_machine_that_is_slower_for_one_version_makes_nothing_obvious():
    found = compared(Versions(new={P50: 2.5, CONTROL: 2.5}), control=CONTROL)

    assert (found.verdict, found.reason) == ("cannot tell", "the control changed, in which nothing was changed")
    assert len(found.blocks) == 8


def test_a_control_seldom_moves_by_chance():
    found = [compared(Versions(noise=0.06, seed=seed), control=CONTROL).verdict for seed in range(60)]

    assert found.count("cannot tell") <= 6


def test_a_control_that_stays_is_in_the_way_of_nothing():
    assert compared(Versions(new={P50: 0.3}), control=CONTROL).verdict == "worse"


OBVIOUS = [
    (("new",), {}, "worse", "the new version failed all requests", 1),
    (("old",), {}, "cannot tell", "the old version failed all requests", 1),
    (("old", "new"), {}, "cannot tell", "both versions failed all requests", 1),
    ((), {P50: 2.5}, "worse", "three times slower or more in 2 blocks", 2),
    ((), {P50: -0.75}, "better", "three times faster or more in 2 blocks", 2),
]


@pytest.mark.parametrize(
    ("failing", "new", "verdict", "reason", "blocks"), OBVIOUS, ids=[row[3] + str(row[0]) for row in OBVIOUS]
)
def test_what_is_obvious_needs_no_statistics(failing, new, verdict: str, reason: str, blocks: int):
    versions = Versions(new=new)
    versions.failing = failing

    found = compared(versions)

    assert (found.verdict, found.reason, len(found.blocks)) == (verdict, reason, blocks)


LOST = [
    (("new",), (1, 2), "worse", "the new version ended in both blocks: killed", 2),
    (("old",), (1, 2), "cannot tell", "the old version ended in both blocks: killed", 2),
    (("old", "new"), (1, 2), "cannot tell", "the old version ended in both blocks: killed", 2),
    (("new",), (1,), "no worse", "", 12),
]


@pytest.mark.parametrize(
    ("lost", "blocks", "verdict", "reason", "most"), LOST, ids=[f"{row[0]} in {row[1]}" for row in LOST]
)
def test_a_version_whose_server_ends_under_the_load_again_needs_no_more_blocks(
    lost: tuple[Version, ...], blocks: tuple[int, ...], verdict: str, reason: str, most: int
):
    versions = Versions()
    versions.lost = lambda block: lost if block in blocks else ()

    found = compared(versions)

    assert (found.verdict, found.reason) == (verdict, reason)
    assert len(found.blocks) <= most


def test_a_version_that_is_three_times_faster_because_it_fails_is_worse():
    found = compared(Versions(new={P50: -0.75, ERRORS: 0.5}))

    assert found.verdict == "worse"
    assert verdicts(found)["error_rate"] == "worse"


def test_asked_to_stop_it_says_what_is_known():
    versions = Versions(noise=0.1)
    found = compared(versions, stops=lambda: versions.blocks >= 9)

    assert (found.verdict, found.reason, len(found.blocks)) == ("cannot tell", "interrupted", 8)
    assert found.changes[0].blocks == 8


def test_each_version_begins_as_often_in_an_order_that_the_seed_decides():
    def first(seed: int) -> list[str]:
        drawn = orders(seed)
        return [next(drawn)[0] for _ in range(20)]

    assert first(1) == first(1) != first(2)
    assert all(sorted(first(1)[k : k + 2]) == ["new", "old"] for k in range(0, 20, 2))


def test_what_changes_evenly_with_time_is_in_both_versions_alike():
    now = 0.0

    def block(order: Order) -> Block:
        nonlocal now
        rounds = []
        for version in order:
            now += 1
            rounds.append(Round(version=version, figures={P50: math.exp(0.2 * now)}))
        return Block(tuple(rounds))

    found = conclude(Rules(tolerances={P50: 0.05}, budget=100), block, lambda: now)

    assert found.verdict == "no worse"
    assert found.changes[0].change == pytest.approx(0, abs=1e-9)


def test_an_advantage_of_the_version_that_begins_widens_the_bounds():
    def block(order: Order) -> Block:
        first = order[0]
        lot = random.Random(len(order))
        return Block(
            tuple(
                Round(version=version, figures={P50: 1.0 * (0.9 if version == first else 1.0) + lot.uniform(0, 1e-3)})
                for version in order
            )
        )

    seconds = iter(range(4, 10_000, 2))
    found = conclude(Rules(tolerances={P50: 0.05}, budget=200), block, lambda: float(next(seconds)))

    assert found.verdict == "cannot tell"
    assert found.changes[0].order_effect == pytest.approx(math.log(1 / 0.9), rel=0.05)
