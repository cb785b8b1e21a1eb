"""Searches for the number of threads that is enough, of simulated servers whose knee is known."""

from __future__ import annotations

import pytest

from loadkit.judge.limit.limit import describe_limit, threads_of
from loadkit.judge.limit.search import find
from loadkit.judge.limit.threads import ThreadFindings, ThreadRules, ThreadSearch
from tests.judge.limit.simulated import Simulated, exponential, fixed


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
    assert answer.startswith("4 threads are enough: 200/s, 100% of the best throughput (200/s), p50 20 ms, p99 20")
