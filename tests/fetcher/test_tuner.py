"""How many threads a fetch needs: on servers that are formulas, with time that is a number."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from loadkit.fetcher.tuner import FIRST, TOO_SHORT, ThreadTuner, Work
from loadkit.plan.units import SECOND


def never(threads: int) -> float:
    return 0.0


def tuned(
    rate: Callable[[int], float], refused: Callable[[int], float] = never, noise: float = 0.0, most: int = 256
) -> tuple[ThreadTuner, list[int]]:
    """Let it work on a server that does `rate(threads)` a second and refuses a share of what it is asked, until it has
    found the number; and the numbers that were tried."""
    chance = random.Random(7)
    tuner, now, done, turned_away, tried = ThreadTuner(most), 0, 0.0, 0.0, []
    while not tuner.is_over:
        assert now < 1000 * SECOND, "it never ended"
        now += SECOND // 10
        more = rate(tuner.threads) / 10 * (1 + chance.gauss(0, noise))
        done += more
        turned_away += more * refused(tuner.threads) / (1 - refused(tuner.threads))
        tried.append(tuner.threads)
        network_time = round(now * 0.9)
        tuner.observe(Work(now, round(done), round(turned_away), network_time), running=tuner.threads)
    return tuner, list(dict.fromkeys(tried))


@pytest.mark.parametrize(
    ("rate", "least", "most"),
    [
        (lambda threads: min(threads, 20) * 50.0, 19, 24),
        (lambda threads: min(threads, 2) * 50.0, 2, 2),
        (lambda threads: 400.0, 1, 1),
        (lambda threads: 50 * threads / (1 + 0.05 * (threads - 1) + 0.001 * threads * (threads - 1)), 15, 25),
        (lambda threads: 95.0 * threads if threads <= 10 else 900.0 / threads, 9, 10),
    ],
    ids=["workers", "fewer than at first", "one is enough", "contention", "it collapses"],
)
def test_the_smallest_number_that_is_enough_is_found(rate, least, most):
    tuner, _ = tuned(rate)

    assert tuner.findings().ending == "found"
    assert least <= tuner.threads <= most
    assert tuner.threads == tuner.findings().enough


def test_as_many_as_may_be_tried_are_no_knee():
    tuner, tried = tuned(lambda threads: threads * 50.0, most=100)

    assert max(tried) == 100
    assert tuner.findings().reason == "no more than 100 threads are tried"
    assert tuner.threads >= 90


def test_noise_is_not_taken_for_a_gain():
    assert tuned(lambda threads: 500.0, noise=0.1)[0].threads <= FIRST * 3


def test_no_number_is_tried_above_one_that_is_refused_and_none_refused_twice():
    tuner, tried = tuned(lambda threads: threads * 50.0, lambda threads: 0.0 if threads <= 12 else 0.2)

    assert tuner.findings().failing == 16
    assert max(tried) == 16
    assert tried.count(16) == 1
    assert tuner.threads == 8


def test_what_fails_with_any_number_does_not_keep_it_from_more():
    tuner, _ = tuned(lambda threads: min(threads, 20) * 50.0, lambda threads: 0.3)

    assert 19 <= tuner.threads <= 24
    assert tuner.findings().failing is None


@pytest.mark.parametrize("most", [1, 3])
def test_it_never_asks_for_more_than_there_may_be(most: int):
    tuner, tried = tuned(lambda threads: threads * 50.0, most=most)

    assert max(tried) == most
    assert tuner.threads == most


def test_a_trial_begins_when_as_many_run_as_are_wanted_and_a_reply_came():
    tuner, work = ThreadTuner(most=64), Work(0)

    def after(seconds: float, done: int, running: int) -> None:
        nonlocal work
        work = Work(work.now + round(seconds * SECOND), work.done + done)
        tuner.observe(work, running=running)

    after(5, 100, running=2)  # not all of them have begun
    after(1, 0, running=FIRST)
    after(5, 0, running=FIRST)  # and the host asked for a pause
    after(1, 1, running=FIRST)
    after(1, 40, running=FIRST)
    after(1, 40, running=FIRST)

    (level,) = tuner.findings().levels
    assert [trial.throughput for trial in level.trials] == [40, 40]


def test_a_list_that_ends_before_says_so():
    tuner = ThreadTuner(most=64)

    assert (tuner.findings().ending, tuner.findings().reason) == ("cannot tell", TOO_SHORT)
    tuner.end("interrupted", "it was interrupted")
    assert tuner.findings().ending == "interrupted"
