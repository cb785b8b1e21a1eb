"""Searches for the limit of simulated servers whose truth is known: what is said of them, and why."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from loadkit.judge.limit.rate_search import RateSearch
from loadkit.judge.limit.search import SearchMoment, find
from loadkit.judge.limit.time_budget import SearchRules
from loadkit.judge.limit.trials import NextTrial
from tests.judge.limit.servers import SERVERS, beside_truth, searched
from tests.judge.limit.simulated import Simulated, exponential, fixed, limit_of_exponential


@pytest.mark.parametrize("server", SERVERS[2::6], ids=lambda one: one.name)
def test_the_true_rate_lies_between_the_highest_that_holds_and_the_lowest_that_does_not(server):
    found = beside_truth(server, 1)
    assert found.is_true, found
    assert found.findings.elapsed <= 300 + 2, "but for the last replies"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_of_20_intervals_at_most_one_misses_the_true_rate_and_never_is_the_answer_a_tenth_above_it():
    found = [(one.name, seed, beside_truth(one, seed)) for one in SERVERS for seed in range(100, 106)]
    assert [(name, seed) for name, seed, one in found if one.answer > 1.1] == []
    missed = [(name, seed) for name, seed, one in found if not one.is_true]
    assert len(missed) <= 0.05 * len(found), missed


def test_an_answer_is_as_narrow_as_the_resolution_where_the_budget_lasts():
    found = searched(Simulated(fixed(0.01), 4, limits=["p99 < 50ms"]))
    assert found.ending == "found"
    assert found.failed <= found.confirmed * 1.1
    assert [one.holding for one in found.levels if one.level == found.failed] == ["missed"]
    assert all(one.leans_to_hold for one in found.levels if one.level <= found.confirmed)


def test_every_level_has_two_trials_and_the_answer_a_longer_one():
    server = Simulated(exponential(0.01), 4)
    found = searched(server)
    assert all(len(one.trials) >= 2 for one in found.levels)
    answer = [one.seconds for one in server.trials if one.level == found.confirmed and not one.is_closed]
    assert max(answer) >= 2 * min(answer)


def test_a_machine_that_sends_no_more_is_never_the_limit_of_the_server():
    found = searched(Simulated(exponential(0.004), 8, most=700))
    assert found.ending == "at least"
    assert "no more than 700/s" in found.reason
    assert 600 < found.confirmed <= 700
    assert found.failed is None


def test_a_machine_that_sends_nothing_tells_nothing():
    found = searched(Simulated(exponential(0.004), 8, most=0))
    assert (found.ending, found.confirmed) == ("cannot tell", None)


def test_a_server_that_dies_and_comes_back_fails_the_level_at_which_it_died():
    server = Simulated(exponential(0.01), 4)

    def dies_beyond_300(wanted: NextTrial):
        trial = server.measure(wanted)
        if wanted.is_closed or wanted.level < 300:
            return trial
        return replace(trial, cost=trial.cost + 5, throughput=0.0, is_lost=True)

    found = find(RateSearch(SearchRules(budget=300, replies=459, longest=0.1)), dies_beyond_300)
    assert found.ending == "found"
    assert 270 < found.confirmed < 300 <= found.failed < 1.15 * found.confirmed
    lost = [one for one in found.levels if any(trial.is_lost for trial in one.trials)]
    assert {one.holding for one in lost} == {"missed"}


def test_a_server_that_dies_once_by_chance_is_not_thought_to_have_its_limit_there():
    server = Simulated(exponential(0.01), 4)
    count = 0

    def dies_once(wanted: NextTrial):
        nonlocal count
        trial = server.measure(wanted)
        count += not wanted.is_closed
        return replace(trial, cost=trial.cost + 5, throughput=0.0, is_lost=True) if count == 1 else trial

    assert find(RateSearch(SearchRules(budget=300, replies=459, longest=0.1)), dies_once).confirmed > 300


def test_a_server_that_is_slow_at_first_is_looked_at_again():
    server = Simulated(exponential(0.01), 4, slower=lambda now, waiting: 2.0 if now < 40 else 1.0)
    found = searched(server)
    assert found.ending == "found"
    assert 0.9 * limit_of_exponential(4, 0.01, 0.1) < found.confirmed
    assert any(one.reason.startswith("again") for one in server.trials)


def test_what_is_missed_at_the_lowest_rate_is_missed():
    found = searched(Simulated(fixed(0.05), 4, limits=["p99 < 20ms"]), budget=600)
    assert found.ending == "missed"
    assert "lowest rate" in found.reason
    lowest = found.levels[0]
    assert lowest.holding == "missed"
    assert lowest.trials[0].figures["p99"] == pytest.approx(0.05)


def test_where_a_rate_is_too_low_for_the_budget_the_budget_is_said():
    found = searched(Simulated(fixed(2.0), 2, limits=["p99 < 10s"]))
    assert found.ending == "cannot tell"
    assert "459 replies" in found.reason
    assert "a search 2h23m" in found.reason


def test_a_budget_that_is_too_short_is_said_before_a_rate_is_tried():
    found = searched(Simulated(exponential(0.01), 4), budget=20)
    assert found.ending == "cannot tell"
    assert found.reason.startswith("the budget of 20s is too short: closed threads get 4")
    assert found.reason.endswith("a level needs 459 replies, and a search 1m or more")
    assert (found.levels, found.elapsed < 10) == ((), True)


def test_a_budget_that_is_used_up_leaves_what_is_known():
    found = searched(Simulated(exponential(0.01), 4), budget=60)
    assert found.ending in ("at least", "cannot tell")
    assert found.reason == "the budget of 1m is used up; 5m are better here"
    assert found.elapsed <= 60 + 2, "but for the last replies"
    assert found.levels


def test_what_does_not_hold_even_at_the_lowest_rate_at_first_is_looked_at_again():
    server = Simulated(exponential(0.01), 4, slower=lambda now, waiting: 20.0 if now < 30 else 1.0)
    assert searched(server).confirmed > 300


def test_the_median_of_a_fast_server_is_searched_in_75_seconds():
    found = searched(Simulated(exponential(0.002), 8, limits=["p50 < 10ms"]), budget=75)
    assert found.ending == "found"
    assert found.confirmed / 1.05 <= limit_of_exponential(8, 0.002, 0.01, 0.5) <= found.failed * 1.05


def test_an_interrupted_search_keeps_its_bracket():
    server = Simulated(exponential(0.01), 4)
    found = searched(server, stops=lambda: len(server.trials) > 14)
    assert found.ending == "interrupted"
    assert [one.holding for one in found.levels if len(one.trials) > 1]


def test_one_bad_trial_is_not_believed():
    server = Simulated(exponential(0.01), 4)
    count = 0

    def once_bad(wanted: NextTrial):
        nonlocal count
        trial = server.measure(wanted)
        count += not wanted.is_closed
        return replace(trial, is_saturated=True) if count == 1 and not wanted.is_closed else trial

    found = find(RateSearch(SearchRules(budget=300, replies=459, longest=0.1)), once_bad)
    assert found.confirmed > 300


def test_trials_that_contradict_each_other_tell_nothing():
    server = Simulated(exponential(0.01), 4)

    def long_ones_fail(wanted: NextTrial):
        return replace(server.measure(wanted), is_saturated=wanted.seconds > 10 and not wanted.is_closed)

    found = find(RateSearch(SearchRules(budget=3000, replies=459, longest=0.1)), long_ones_fail)
    assert (found.ending, found.confirmed) == ("cannot tell", None)
    low, high = (float(word.rstrip("/s")) for word in found.reason.split()[1:4:2])
    assert found.reason.startswith("between ")
    assert "contradicts" in found.reason
    assert low < high
    assert {one.level: one.holding for one in found.levels}[low] == "holds"


def test_the_same_seed_finds_the_same():
    assert searched(Simulated(exponential(0.01), 4, seed=3)) == searched(Simulated(exponential(0.01), 4, seed=3))


def test_whoever_watches_is_told_each_level_and_why():
    moments: list[SearchMoment] = []
    server = Simulated(exponential(0.01), 4)
    find(RateSearch(SearchRules(budget=300, replies=459, longest=0.1)), server.measure, watch=moments.append)
    assert [one.next_trial for one in moments if one.trial is None] == server.trials
    assert [one.next_trial for one in moments if one.trial] == server.trials
    assert moments[0].next_trial.reason
    assert moments[-1].confirmed is not None
    assert all(before.elapsed <= after.elapsed for before, after in pairwise(moments))
