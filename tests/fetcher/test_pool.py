"""How many threads: on servers that are formulas, with time that is a number."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from loadkit.fetcher.pool import FIRST, ThreadTuner
from loadkit.plan.units import SECOND


def settled_on(
    rate: Callable[[int], float], bad: Callable[[int], float] = lambda _: 0.0, noise: float = 0.0
) -> ThreadTuner:
    """Let it work on a server that does `rate(threads)` a second, of which a share is bad, until it is sure."""
    chance = random.Random(7)
    auto, now, done, failed = ThreadTuner(most=256), SECOND, 0.0, 0.0
    for _ in range(4000):
        now += SECOND // 10
        more = rate(auto.threads) / 10 * (1 + chance.gauss(0, noise))
        done += more
        failed += more * bad(auto.threads)
        auto.observe(now, round(done), round(failed))
        if auto.verdict:
            return auto
    raise AssertionError("it never settled")


def test_it_stops_where_more_threads_bring_nothing():
    auto = settled_on(lambda threads: min(threads, 20) * 50.0)

    assert 18 <= auto.threads <= 30
    assert "would be more than noise" in auto.summary


def test_it_goes_on_as_long_as_it_helps():
    assert settled_on(lambda threads: threads * 50.0).threads == 256


def test_noise_is_not_taken_for_a_gain():
    auto = settled_on(lambda threads: 500.0, noise=0.1)

    assert auto.threads <= FIRST * 3


def test_it_goes_back_when_the_server_begins_to_refuse():
    auto = settled_on(lambda threads: threads * 50.0, bad=lambda threads: 0.0 if threads <= 12 else 0.2)

    assert auto.threads <= 12
    assert "the share of bad replies rose from 0.0% to 20.0%" in auto.summary


def test_more_than_the_server_bears_is_seen_as_worse():
    assert settled_on(lambda threads: 1000.0 - 5 * threads if threads > 10 else 95.0 * threads).threads <= 16


@pytest.mark.parametrize("most", [1, 3])
def test_it_never_asks_for_more_than_there_may_be(most: int):
    assert ThreadTuner(most=most).threads == most


def test_a_short_fetch_settles_nothing_and_says_so():
    assert ThreadTuner().summary == f"{FIRST} threads when the list ended: too short a fetch to settle"
