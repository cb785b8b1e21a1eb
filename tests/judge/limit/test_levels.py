"""What the trials of one level say: the binomial rule, counted for as many as the scatter of blocks allows."""

from __future__ import annotations

import pytest

from loadkit.judge.limit.levels import TriedLevel, design_effect, judged, replies_needed
from loadkit.judge.limit.trials import Observed, Trial, piles_up
from loadkit.plan.threshold import threshold

P99 = "p99 < 100ms"


def trial(*counts: tuple[int, int], limit: str = P99, value: float | None = None, **fields) -> Trial:
    read = threshold(limit)
    if value is None:
        requests, beyond = sum(one for one, _ in counts), sum(one for _, one in counts)
        allowed = 0.01 if read.percentile else read.limit
        value = beyond / requests if read.limits_errors else 0.05 if beyond <= allowed * requests else 0.2
    observed = Observed(threshold=read, value=value, counts=counts)
    return Trial(level=100, seconds=4, cost=4, throughput=100, observed=(observed,), **fields)


@pytest.mark.parametrize(
    ("trials", "holding", "why"),
    [
        ([[(230, 0)], [(229, 0)]], "holds", "459 replies of which none is late"),
        ([[(229, 0)], [(229, 0)]], "unclear", "458 are one too few"),
        ([[(5000, 10)], [(5000, 12)]], "holds", "a fifth of what may be late"),
        ([[(5000, 49)], [(5000, 50)]], "unclear", "just as many as may be late"),
        ([[(5000, 100)], [(5000, 110)]], "missed", "twice as many"),
        ([[(5000, 500)], [(5000, 0)]], "unclear", "only one of the two missed"),
        ([[(5000, 500)]], "unclear", "one alone is not believed"),
        ([[(1000, 0)] * 4 + [(1000, 35)], [(1000, 0)] * 5], "unclear", "late ones come in a bunch, and count for few"),
    ],
)
def test_a_level_holds_a_percentile_by_the_binomial_rule(trials, holding, why):
    level = TriedLevel(100, tuple(trial(*counts) for counts in trials))
    assert level.holding == holding, why


@pytest.mark.parametrize(
    ("fields", "holding"),
    [
        ({"is_saturated": True}, "missed"),
        ({"is_lost": True}, "missed"),
        ({"unsound": "the generator"}, "inconclusive"),
    ],
)
def test_a_level_in_which_requests_pile_up_or_that_is_not_sound_needs_no_statistics(fields, holding):
    assert TriedLevel(100, (trial((9000, 0), **fields),) * 2).holding == holding
    assert TriedLevel(100, (trial((9000, 0), **fields),)).holding == "unclear"


def test_a_trial_that_is_not_sound_counts_for_nothing_beside_those_that_are():
    good, bad = trial((9000, 0)), trial((9000, 9000), unsound="the generator")
    assert TriedLevel(100, (bad, good, good, bad)).holding == "holds"


@pytest.mark.parametrize(
    ("limit", "counts", "holding"),
    [
        ("error_rate < 1%", (1000, 0), "holds"),
        ("error_rate < 1%", (5000, 10), "holds"),
        ("error_rate < 1%", (5000, 200), "missed"),
        ("error_rate == 0%", (5000, 1), "missed"),
        ("error_rate == 0%", (50, 0), "holds"),
    ],
)
def test_an_error_rate_holds_where_nothing_fails_or_surely_few_enough(limit, counts, holding):
    assert TriedLevel(100, (trial(counts, limit=limit),) * 2).holding == holding


def test_a_figure_that_is_no_share_holds_where_all_trials_say_so():
    limit = threshold("mean < 50ms")
    low, high = (Observed(threshold=limit, value=value) for value in (0.04, 0.06))
    assert [judged(series) for series in ([low, low], [high, high], [low, high])] == ["holds", "missed", "unclear"]


def test_replies_that_none_may_be_beyond_are_as_many_as_in_the_literature():
    assert [replies_needed(threshold(text)) for text in (P99, "p95 < 1s", "p50 < 1s", "error_rate < 1%")] == [
        459,
        90,
        7,
        1,
    ]


def test_late_replies_that_come_in_bunches_count_for_fewer():
    assert design_effect([(100, 1), (100, 1), (100, 1), (100, 1)]) == 1
    assert design_effect([(100, 0), (100, 0), (100, 0), (100, 40)]) > 30


@pytest.mark.parametrize(
    ("under_way", "times", "arrivals", "does", "why"),
    [
        ([100, 200, 300, 400, 500, 600], [1, 2, 3, 4, 5, 6], 2000, True, "both rise"),
        ([100, 200, 300, 400, 500, 600], [3, 3, 3, 3, 3, 3], 2000, False, "replies take no longer"),
        ([300, 290, 310, 300, 305, 298], [1, 2, 3, 4, 5, 6], 2000, False, "no more are under way"),
        ([10, 12, 14, 16, 18, 20], [1, 2, 3, 4, 5, 6], 2000, False, "so few more are chance"),
        ([100, 900], [1, 9], 2000, False, "two points are no line"),
    ],
)
def test_requests_pile_up_where_more_are_under_way_and_take_longer(under_way, times, arrivals, does, why):
    assert piles_up(under_way, times, arrivals) is does, why
