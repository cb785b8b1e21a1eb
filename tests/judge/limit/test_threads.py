"""Searches for the number of threads that is enough, of simulated servers whose knee is known."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Mapping

import pytest

from loadkit.judge.limit.limit import describe_limit, threads_of
from loadkit.judge.limit.search import find
from loadkit.judge.limit.threads import ThreadFindings, ThreadRules, ThreadSearch
from loadkit.judge.limit.trials import NextTrial, Trial
from loadkit.plan.units import show_span
from tests.judge.limit.curves import CURVES
from tests.judge.limit.curves import searched as searched_curve
from tests.judge.limit.simulated import Simulated, exponential, fixed, room


def searched(server: Simulated, **rules) -> ThreadFindings:
    return find(ThreadSearch(ThreadRules(**{"budget": 300, **rules})), server.measure)


@pytest.mark.parametrize("workers", [1, 3, 12, 32])
def test_as_many_threads_as_a_server_has_workers_are_enough(workers):
    found = searched(Simulated(fixed(0.02), workers))
    assert found.ending == "found"
    assert 0.93 * workers <= found.enough <= workers
    assert found.best == pytest.approx(workers * 50, rel=0.03)


def test_what_is_enough_gets_nearly_the_best_and_three_quarters_of_it_do_not():
    server = Simulated(exponential(0.02), 16)
    found = searched(server)

    def throughput(threads: int) -> float:
        return sum(not due + span > server.now + 40 for due, span, _ in server.closed(threads, 40)) / 40

    enough = found.enough or 0
    assert throughput(enough) >= 0.93 * found.best
    assert throughput(round(0.75 * enough)) < 0.95 * found.best


def test_a_server_that_takes_more_threads_than_are_tried_has_no_knee_yet():
    found = searched(Simulated(fixed(0.2), 64), most=16)
    assert (found.ending, found.enough) == ("at least", 16)
    assert found.reason == "no more than 16 threads are tried"


def test_a_budget_that_is_used_up_leaves_what_is_known():
    found = searched(Simulated(fixed(0.02), 16), budget=5)
    assert (found.ending, found.reason) == ("at least", "the budget of 5s is used up")
    assert found.enough > 1


def test_the_answer_is_a_sentence_with_what_it_costs():
    answer = describe_limit(threads_of(searched(Simulated(fixed(0.02), 4))))
    words = r"4 threads are enough: (199|200)/s, (99|100) % of the best throughput \(200/s\), p50 20 ms, p99 20 ms"
    assert re.fullmatch(words, answer)


def test_requests_that_begin_to_fail_are_the_limit():
    found = threads_of(searched(Simulated(fixed(0.02), 12, admits=room(1), refusal="429")))
    assert 11 <= found.threads <= 13
    assert re.fullmatch(r"with 1[45678] threads more requests fail \([\d,]+ x 429\)", found.gave_way)


def test_a_peak_between_two_doublings_is_found():
    def collapsing(wanted: NextTrial) -> Trial:
        rate = 50 * wanted.level if wanted.level <= 23 else 500
        return Trial(level=wanted.level, seconds=wanted.seconds, cost=wanted.seconds, throughput=rate)

    found = find(ThreadSearch(ThreadRules(budget=300)), collapsing)
    assert found.best == 50 * 23
    assert found.enough == 22


def test_a_server_that_is_slow_at_first_is_measured_again():
    server = Simulated(fixed(0.02), 2, slower=lambda now, waiting: 4.0 if now < 8 else 1.0)
    assert searched(server).enough == 2


def test_trials_that_scatter_tell_nothing():
    chance = random.Random(1)

    def scattered(wanted: NextTrial) -> Trial:
        rate = 100 * min(wanted.level, 8) * chance.uniform(0.5, 1.5)
        return Trial(level=wanted.level, seconds=wanted.seconds, cost=wanted.seconds, throughput=rate)

    found = find(ThreadSearch(ThreadRules(budget=500)), scattered)
    assert found.ending == "cannot tell"
    assert found.reason.startswith("trials of one number of threads scatter by ")


def burdened(burdens: Mapping[int, float], *, workers: int, noise: float = 0.0) -> Callable[[NextTrial], Trial]:
    """A server of so many workers, whose machine is also busy with something else: by the count of a trial, which share
    of its throughput is left then."""
    chance, made = random.Random(1), itertools.count()

    def measure(wanted: NextTrial) -> Trial:
        rate = 100 * min(wanted.level, workers) * burdens.get(next(made), 1.0) * (1 + chance.gauss(0, noise))
        return Trial(level=wanted.level, seconds=wanted.seconds, cost=wanted.seconds, throughput=max(0.0, rate))

    return measure


@pytest.mark.parametrize("length", [2, 3, 4])
@pytest.mark.parametrize("start", [6, 7, 8, 9])
def test_numbers_that_get_less_for_some_seconds_do_not_end_the_doubling(start, length):
    burdens = dict.fromkeys(range(start, start + length), 0.35)
    found = find(ThreadSearch(ThreadRules(budget=300)), burdened(burdens, workers=48))
    assert max(one.level for one in found.levels) >= 64
    assert found.best == 4800


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("budget", [30, 60, 90])
def test_scatter_is_no_number_when_the_budget_is_used_up(budget, seed):
    chance = random.Random(seed)
    burdens = {trial: chance.uniform(0.3, 1.0) for trial in range(1000)}
    found = threads_of(find(ThreadSearch(ThreadRules(budget=budget)), burdened(burdens, workers=16)))
    assert (found.ending, found.threads, found.best, found.knee) == ("cannot tell", None, None, None)
    words = rf"trials of one number of threads scatter by \d\d %: too much for the budget of {show_span(budget)}"
    assert re.fullmatch(words, describe_limit(found))


def test_a_budget_that_is_used_up_once_more_threads_bring_no_more_says_that_fewer_may_be_enough():
    found = searched(Simulated(fixed(0.02), 12), budget=9)
    assert (found.ending, found.enough) == ("found", 16)
    assert found.reason == "fewer may be, too: the budget of 9s is used up"


@pytest.mark.parametrize(
    ("most", "words"),
    [
        (16, r"more than 15 threads are needed; 16 threads get [\d,]+/s, (99|100) % of the best throughput so far .*"),
        (1, r"1 thread gets (49|50)/s, 100 % of the best throughput so far .*; no more than 1 thread is tried"),
    ],
)
def test_that_more_threads_may_get_more_is_said_in_plain_words(most, words):
    answer = describe_limit(threads_of(searched(Simulated(fixed(0.02), 64), most=most)))
    assert re.fullmatch(words, answer)


def test_a_server_that_answers_slowly_has_longer_trials():
    server = Simulated(fixed(4.0), 4)
    found = searched(server)
    assert {trial.seconds for trial in server.trials} == {3.0, 15.0}
    assert found.enough == 4


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_what_is_recommended_is_enough_and_three_quarters_of_it_are_not():
    found = [(curve, searched_curve(curve, noise=0.02, seed=seed)) for curve in CURVES for seed in range(2)]
    wrong = [(curve.name, one.enough) for curve, one in found if not curve.is_true(one.enough)]
    assert len(wrong) <= 0.05 * len(found), wrong


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_without_noise_it_always_is(curve):
    assert curve.is_true(searched_curve(curve, noise=0.0, seed=1).enough)
