"""What was asked, what an independent server saw and what the report says are the same, for each shape of load.

A case a shape runs with the suite, the whole matrix (endpoint, journey, async journey; one process, two) with the
marker `witness`. What each shape must look like is worked out by hand below, and not by the plan of loadkit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import cycle, pairwise
from pathlib import Path
from statistics import fmean, pstdev

import pytest

from loadkit import Scenario, run
from loadkit.judge.result import Result
from loadkit.plan.loader import load
from tests.witness.witness import Log, Witness

PLANS = Path(__file__).with_name("plans.py")
KINDS = ("endpoint", "journey", "tasks")
TASKS = 2
ROWS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a shape looks like to the server, worked out by hand."""

    threads: tuple[float, ...] = ()
    """Requests under way in the mean of each second, where each thread has one under way all the time."""
    active: tuple[float, ...] = ()
    """Threads in the mean of each second, where that is another number: they pause between requests."""
    arrivals: tuple[float, ...] = ()
    """Requests received in each second."""
    total: int | None = None
    """Requests in all, where the plan says so."""


# a thread has a request of 200 ms under way all the time; one with a pause has it for a part of the time
SHAPES = {
    "constant_threads": Expected(threads=(4, 4)),
    "iterations": Expected(total=30),
    "iterations_of_each_thread": Expected(total=20),
    # thread k begins at k / 2 s
    "ramp_up": Expected(threads=(1.5, 3.5, 5.5)),
    # thread k ends at 3 - k / 2 s
    "ramp_down": Expected(threads=(5.5, 3.5, 1.5)),
    # thread k begins at k / 4 s and ends at 3 - k / 4 s
    "up_hold_down": Expected(threads=(2.5, 4, 2.5)),
    # threads 1 to 4 begin at 1, 1.5, 2 and 2.5 s
    "hold_then_ramp": Expected(threads=(1, 2.5, 4.5)),
    "nobody_then_ramp": Expected(threads=(0, 1.5, 3.5)),
    "steps": Expected(threads=(1, 4, 2)),
    "down_and_up_again": Expected(threads=(4, 1, 4)),
    # 200 ms of 400 ms
    "ramp_with_think_time": Expected(threads=(0.75, 1.75, 2.75), active=(1.5, 3.5, 5.5)),
    "ramp_with_pacing": Expected(threads=(0.75, 1.75, 2.75), active=(1.5, 3.5, 5.5)),
    # 200 ms of 500 ms, in the first second spread over the first pause
    "think_time": Expected(threads=(1.6, 1.6, 1.6), active=(4, 4, 4)),
    "think_time_in_a_range": Expected(threads=(1.6, 1.6, 1.6), active=(4, 4, 4)),
    "pacing": Expected(threads=(1.6, 1.6, 1.6), active=(4, 4, 4)),
    "warm_up": Expected(threads=(4, 4)),
}
RATES = {
    "constant_rate": Expected(arrivals=(30, 30), total=60),
    "poisson": Expected(arrivals=(100, 100, 100)),
    # the k-th is due at the root of k / 10
    "rate_up": Expected(arrivals=(10, 30)),
    "rate_down": Expected(arrivals=(30, 10)),
    "rate_steps": Expected(arrivals=(10, 40, 20), total=70),
    "iterations_at_a_rate": Expected(arrivals=(40, 20), total=60),
    "warm_up_at_a_rate": Expected(arrivals=(30, 30)),
}
ORDERS = ("rows_in_order_again", "rows_in_order_once", "rows_shuffled_again", "rows_shuffled_once", "rows_at_random")
FEEDS = [f"{order}{workload}" for order in ORDERS for workload in ("", "_at_a_rate")]

TURNS = [(kind, processes) for processes in (1, 2) for kind in KINDS]
# by turns, so that the suite sees each kind on one process and on two; on two each fourth, which takes 0.5 s of CPU
IN_SUITE = [(kind, 2 if number % 4 == 3 else 1) for number, kind in enumerate(KINDS * 4)]


def cases(shapes: Iterable[str]) -> list[object]:
    """All of the matrix; of each shape one case without the marker."""
    return [
        pytest.param(
            shape, *turn, id=f"{shape}-{turn[0]}-{turn[1]}", marks=[] if turn == in_suite else [pytest.mark.witness]
        )
        for shape, in_suite in zip(shapes, cycle(IN_SUITE), strict=False)
        for turn in TURNS
    ]


on_one_or_two = pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.witness)])


@cache
def plans() -> dict[str, Scenario]:
    """The scenarios of the file by their names; it has a hundred, and is read once."""
    return {str(one.name): one for one in load(str(PLANS))}


def applied(witness: Witness, name: str, processes: int) -> tuple[Result, Log]:
    """Run a scenario of the file against the witness: what the report says, and what the witness saw."""
    witness.clear()
    result = run(plans()[name].replace(base_url=witness.url, processes=processes))
    assert result.validity != "invalid", result.caveats
    assert result.outcome == "passed", (result.thresholds, result.caveats)
    return result, witness.log()


def start_of(result: Result) -> float:
    """When what is measured began, seconds since the epoch."""
    return datetime.fromisoformat(result.spans[0].start).timestamp()


def reported(result: Result, kind: str) -> int:
    """How many requests the report speaks of, those of an async journey by its timer."""
    if kind != "tasks":
        return result.requests + result.total.cut
    timer = result.timing("request")
    return timer.count + timer.cut


def left_unsent(result: Result, kind: str) -> int:
    """How many requests were due and not sent: a thread of a busy machine may wake up after the stop."""
    if kind == "endpoint":
        return result.total.unsent
    return sum(one.unsent for one in result.timings if one.kind == "journey")


def latest(result: Result, kind: str) -> float:
    """By how many seconds a request was late at the most, as the report says: its machine was busy."""
    if kind == "endpoint":
        return result.lateness.max or 0.0
    (journey,) = (one for one in result.timings if one.kind == "journey")
    # each took the shortest time at least
    return (journey.response_time.max or 0.0) - (journey.service_time.min or 0.0)


def assert_counted_alike(result: Result, log: Log, kind: str, *, warm_up: bool = False) -> None:
    """The report speaks of each request that the server saw, and of no other."""
    cut = result.total.cut if kind != "tasks" else result.timing("request").cut
    if not warm_up:
        assert reported(result, kind) - cut <= len(log) <= reported(result, kind)
        return
    measured = len(log.since(start_of(result) - 0.005))
    # those under way as the measuring began may be on either side of the instant
    assert abs(reported(result, kind) - measured) <= log.most_under_way()


def assert_seconds_alike(result: Result, log: Log, kind: str, seconds: int) -> None:
    """The report has in each second as many replies as the server wrote in it, but for those at its ends."""
    if kind == "tasks":  # its requests are no requests of loadkit's, and in no interval
        return
    seen = log.since(start_of(result) - 0.005).replied_by_second(start_of(result), seconds)
    reported_then = {int(interval.start): interval.total.requests for interval in result.intervals}
    for second, replies in enumerate(seen):
        slack = 2 + max(log.most_under_way(), replies * 0.1)
        assert abs(reported_then.get(second, 0) - replies) <= slack, (second, seen, reported_then)


def assert_threads_reported(result: Result, kind: str, levels: tuple[float, ...]) -> None:
    """The report says for each second how many threads the plan had, and that so many were seen."""
    intervals = result.intervals
    slowest = (result.timing("request") if kind == "tasks" else result).response_time.max or 0.0
    for second, level in enumerate(levels):
        assert intervals[second].asked == pytest.approx(level, abs=0.02)
        # the first request of a thread may be late on a busy machine, and its last reply long after its end
        assert 0.7 * level - 0.5 <= intervals[second].threads <= level + 0.5 * max(1, slowest / 0.2)


@pytest.mark.parametrize(("shape", "kind", "processes"), cases(SHAPES))
def test_threads_are_those_of_the_plan(witness: Witness, shape: str, kind: str, processes: int):
    asked = SHAPES[shape]
    each = TASKS if kind == "tasks" else 1

    result, log = applied(witness, f"{shape}_{kind}", processes)

    assert_counted_alike(result, log, kind, warm_up=shape == "warm_up")
    assert_seconds_alike(result, log, kind, len(asked.threads))
    assert_threads_reported(result, kind, asked.active or asked.threads)
    if asked.total is not None and kind != "tasks":
        assert reported(result, kind) == len(log) == asked.total
    seen = log.under_way_by_second(start_of(result), len(asked.threads))
    # a busy machine holds the server up, and what it is asked for is under way for longer
    slower = max(1, max(one.replied - one.received for one in log.requests) / 0.2)
    for second, level in enumerate(asked.threads):
        # what the client does between two requests takes a part of the time, more of it on a busy machine
        assert 0.65 * each * level - 0.5 <= seen[second] <= slower * (1.1 * each * level + 0.5), (second, seen)


@pytest.mark.parametrize(("shape", "kind", "processes"), cases(RATES))
def test_arrivals_are_those_of_the_plan(witness: Witness, shape: str, kind: str, processes: int):
    asked = RATES[shape]

    result, log = applied(witness, f"{shape}_{kind}", processes)

    assert_counted_alike(result, log, kind, warm_up=shape == "warm_up_at_a_rate")
    assert_seconds_alike(result, log, kind, len(asked.arrivals))
    if asked.total is not None:
        assert reported(result, kind) == len(log) == asked.total - left_unsent(result, kind)
    seen = log.received_by_second(start_of(result), len(asked.arrivals))
    for second, level in enumerate(asked.arrivals):
        slack = 3 * level**0.5 if shape == "poisson" else 0.1 * level
        # those that were due just before a second and late are received in it, and others of it in the next one
        slack += latest(result, kind) * max(asked.arrivals)
        assert abs(seen[second] - level) <= 3 + slack, (second, seen)


@pytest.mark.parametrize(("kind", "processes"), [pytest.param(*turn, marks=pytest.mark.witness) for turn in TURNS])
def test_poisson_arrivals_have_gaps_that_vary_as_much_as_they_are_long(witness: Witness, kind: str, processes: int):
    result, log = applied(witness, f"poisson_{kind}", processes)

    instants = sorted(one.received for one in log.requests)
    gaps = [after - before for before, after in pairwise(instants)]
    # the coefficient of variation of an exponential distribution is 1; of 300 gaps it is seldom 0.2 beside it
    variation = pstdev(gaps) / fmean(gaps)
    assert variation > 0.75
    # those that a busy machine held up come together
    assert variation < 1.25 or latest(result, kind) > 0.02


@on_one_or_two
def test_a_thread_thinks_between_its_requests(witness: Witness, processes: int):
    _, log = applied(witness, "think_time_endpoint", processes)

    assert min(log.gaps()) >= 0.298
    assert sorted(log.gaps())[len(log.gaps()) // 2] < 0.4


@pytest.mark.witness
@pytest.mark.parametrize("processes", [1, 2])
def test_think_time_in_a_range_uses_the_range(witness: Witness, processes: int):
    _, log = applied(witness, "think_time_in_a_range_endpoint", processes)

    assert min(log.gaps()) >= 0.098
    assert max(log.gaps()) - min(log.gaps()) > 0.15


@on_one_or_two
def test_a_thread_keeps_its_pace(witness: Witness, processes: int):
    _, log = applied(witness, "pacing_endpoint", processes)

    # from each request to the next one; a late one does not make the following ones late
    assert sorted(log.paces())[len(log.paces()) // 2] == pytest.approx(0.5, abs=0.05)


@on_one_or_two
def test_each_thread_keeps_one_connection_and_does_its_share(witness: Witness, processes: int):
    _, log = applied(witness, "iterations_of_each_thread_endpoint", processes)

    assert [len(one) for one in log.by_connection()] == [5, 5, 5, 5]


@pytest.mark.parametrize(
    ("name", "processes"),
    [
        ("weights_endpoint", 1),
        pytest.param("weights_endpoint", 2, marks=pytest.mark.witness),
        pytest.param("weights_journey", 1, marks=pytest.mark.witness),
        ("weights_journey", 2),
        pytest.param("weights_at_a_rate_endpoint", 1, marks=pytest.mark.witness),
        pytest.param("weights_at_a_rate_endpoint", 2, marks=pytest.mark.witness),
    ],
)
def test_weights_are_shares(witness: Witness, name: str, processes: int):
    result, log = applied(witness, name, processes)

    assert len(log) == result.requests == 200 - left_unsent(result, "endpoint")
    seen = Counter(one.path for one in log.requests)
    assert seen["/often"] == pytest.approx(150, abs=4)
    assert {path: result[f"GET {path}"].requests for path in seen} == seen


@on_one_or_two
def test_threads_of_its_own_go_to_their_endpoint_alone(witness: Witness, processes: int):
    result, log = applied(witness, "own_threads_endpoint", processes)

    start = start_of(result)
    for path, threads in {"/shared": 2, "/own": 3}.items():
        assert log.of(path).most_under_way() == threads
        for seen in log.of(path).under_way_by_second(start, 2):
            assert 0.65 * threads <= seen <= threads + 0.1
        assert result[f"GET {path}"].requests == len(log.of(path))


@pytest.mark.parametrize(("shape", "kind", "processes"), cases(FEEDS))
def test_rows_are_handed_out_as_asked(witness: Witness, shape: str, kind: str, processes: int):
    result, log = applied(witness, f"{shape}_{kind}", processes)

    assert reported(result, kind) == len(log)
    ids, many = log.ids(), Counter(log.ids())
    if "once" in shape:
        assert sorted(ids) == list(range(ROWS)), "each row exactly once"
        return
    assert len(log) == 400
    if "random" in shape:
        # of 400 draws from 300 rows 3 in 4 are seen at least once, and nobody is sure to be
        assert 190 < len(many) < 250
        assert set(ids) <= set(range(ROWS))
        return
    # all of them once before any of them comes again; then a hundred of them once more
    assert Counter(many.values()) == {1: 200, 2: 100}
    if "in_order" in shape:
        assert {row for row, count in many.items() if count == 2} == set(range(100))
        moved = [abs(place % ROWS - row) for place, row in enumerate(ids)]
        # shuffled, half of them would be 88 places away or more; of two processes one may be ahead on a busy machine
        assert sorted(moved)[len(moved) // 2] < 70, "in order but for what was under way at once"
    else:
        assert sum(after > before for before, after in pairwise(ids)) < 0.7 * len(ids), "not in order"
