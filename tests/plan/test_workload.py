"""Who sends what, and how often: exact in whole numbers, near the weights at any instant."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadkit.plan.endpoint import Endpoint
from loadkit.plan.part import Part
from loadkit.plan.phases import Phase, hold, ramp
from loadkit.plan.scenario import Scenario
from loadkit.plan.units import SECOND
from loadkit.plan.workload import ALWAYS, MAX_ROTATION, Closed, Open, closed, opened, thread_plans, workload


def scenario(*weights: float, **fields: Any) -> Scenario:
    """A scenario whose endpoints share its threads by these weights."""
    endpoints = [Endpoint("GET", f"http://h/{k}", weight=weight) for k, weight in enumerate(weights)]
    given: dict[str, Any] = {"endpoints": endpoints, "threads": 1} | fields
    return Scenario(**given)


def rotation(*weights: float) -> list[int]:
    return list(thread_plans(scenario(*weights))[0].rotation)


@pytest.mark.parametrize(
    ("weights", "order"),
    [
        ([1], [0]),
        ([7], [0]),  # alone, whatever its weight
        ([1, 1], [0, 1]),
        ([2, 1], [0, 1, 0]),
        ([20, 10], [0, 1, 0]),  # in the smallest numbers
        ([5, 1, 1], [0, 0, 1, 0, 2, 0, 0]),  # the example of nginx's smooth round-robin
        ([0.5, 0.25], [0, 1, 0]),
        ([0.1, 0.2], [1, 0, 1]),  # a tenth, and not its nearest binary float
        ([1 / 3, 2 / 3], [1, 0, 1]),  # not a decimal at all
        ([1e-9, 3e-9], [1, 0, 1, 1]),  # were 1:1: small weights are weights
        ([10**30, 10**30], [0, 1]),
    ],
)
def test_turns_are_as_often_as_the_weights_and_evenly_spread(weights: list[float], order: list[int]) -> None:
    assert rotation(*weights) == order


@given(st.lists(st.integers(1, 60), min_size=1, max_size=16))
def test_whole_weights_are_kept_exactly(weights: list[int]) -> None:
    count = Counter(rotation(*weights))
    assert all(count[k] * sum(weights) == weight * count.total() for k, weight in enumerate(weights))


@given(st.lists(st.floats(1e-12, 1e12) | st.integers(1, 10**12), min_size=1, max_size=20))
def test_any_weights_are_kept_to_a_turn_in_the_most_there_are(weights: list[float]) -> None:
    order = rotation(*weights)
    count = Counter(order)
    assert len(order) <= MAX_ROTATION + len(weights)
    assert set(order) == set(range(len(weights))), "everyone has a turn"
    for k, weight in enumerate(weights):
        # those that weigh next to nothing have one turn each, which the others pay for
        assert count[k] / len(order) == pytest.approx(weight / sum(weights), abs=(1 + len(weights)) / MAX_ROTATION)


@given(st.lists(st.integers(1, 30), min_size=2, max_size=6))
def test_any_stretch_of_turns_is_near_the_weights(weights: list[int]) -> None:
    order = rotation(*weights)
    for length in range(1, len(order) + 1):
        count = Counter(order[:length])
        for k, weight in enumerate(weights):
            # the bound of smooth weighted round-robin: fewer than one turn for each of the others
            assert abs(count[k] - length * weight / sum(weights)) < len(weights)


def test_five_thousand_endpoints_of_one_weight_take_their_turns() -> None:
    assert rotation(*[1] * 5000) == list(range(5000))


def test_more_different_endpoints_than_turns_have_one_each() -> None:
    assert set(rotation(*range(1, MAX_ROTATION + 200))) == set(range(MAX_ROTATION + 199))


def test_threads_that_share_begin_at_different_places() -> None:
    rows = [plan.rotation for plan in thread_plans(scenario(2, 1, 1, threads=4))]
    assert rows == [(0, 1, 2, 0), (1, 2, 0, 0), (2, 0, 0, 1), (0, 0, 1, 2)]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 50))
def test_the_first_requests_of_all_threads_are_near_the_weights(weights: list[int], threads: int) -> None:
    first = Counter(plan.rotation[0] for plan in thread_plans(scenario(*weights, threads=threads)))
    for k, weight in enumerate(weights):
        assert abs(first[k] - threads * weight / sum(weights)) < len(weights) + 1


def test_an_endpoint_with_threads_of_its_own_has_them_beside_the_others() -> None:
    endpoints = [
        Endpoint("GET", "http://h/a", threads=2, weight=9),  # its weight counts for nothing then
        Endpoint("GET", "http://h/b"),
        Endpoint("GET", "http://h/c"),
    ]
    rows = [plan.rotation for plan in thread_plans(Scenario(endpoints=endpoints, threads=2))]
    assert rows == [(1, 2), (2, 1), (0,), (0,)]


def test_nobody_shares_where_every_endpoint_has_its_own() -> None:
    endpoints = [Endpoint("GET", "http://h/a", threads=1), Endpoint("GET", "http://h/b", threads=2)]
    assert [plan.rotation for plan in thread_plans(Scenario(endpoints=endpoints, threads=9))] == [(0,), (1,), (1,)]


@given(st.integers(1, 10_000), st.integers(1, 300))
def test_iterations_are_shared_out_to_the_last(iterations: int, threads: int) -> None:
    quotas = [plan.iterations for plan in thread_plans(scenario(1, threads=threads, iterations=iterations))]
    assert sum(quota for quota in quotas if quota is not None) == iterations
    assert {iterations // threads, -(-iterations // threads)} >= set(quotas)


def test_without_iterations_nobody_has_a_quota() -> None:
    assert {plan.iterations for plan in thread_plans(scenario(1, threads=3))} == {None}


@pytest.mark.parametrize(
    ("fields", "duration"),
    [
        ({}, 10 * SECOND),  # bounded by default: nobody means to send forever
        ({"duration": "1.5s"}, 1_500_000_000),
        ({"iterations": 5}, None),  # they end it
        ({"iterations": 5, "duration": 2}, 2 * SECOND),
    ],
)
def test_a_workload_has_an_end(fields: dict[str, Any], duration: int | None) -> None:
    assert closed(scenario(1, **fields)).duration == duration


def test_a_workload_is_in_nanoseconds() -> None:
    plan = scenario(1, duration="1m", iterations=7, warmup="2s", think_time="1ms", graceful_stop=0)
    assert closed(plan) == Closed(
        duration=60 * SECOND,
        iterations=7,
        warmup=2 * SECOND,
        think_time=0.001,
        pacing=0,
        seed=0,
        graceful_stop=0,
        thread_plans=tuple(thread_plans(plan)),
    )


def windows(*phases: Phase, threads: int = 1) -> list[list[tuple[float, float]]]:
    """When each thread sends, seconds."""
    plan = scenario(1, phases=phases, threads=threads)
    return [[(start / SECOND, end / SECOND) for start, end in plan.windows] for plan in thread_plans(plan)]


def test_on_a_ramp_threads_come_and_go_one_after_the_other() -> None:
    assert windows(ramp("4s", to=4), hold("2s"), ramp("4s", to=0)) == [
        [(0, 10)],
        [(1, 9)],
        [(2, 8)],
        [(3, 7)],
    ]


def test_a_thread_may_come_back() -> None:
    assert windows(hold("1s"), ramp(0, to=3), hold("1s"), ramp(0, to=1), hold("1s"), ramp("2s", to=3), threads=2) == [
        [(0, 5)],
        [(0, 2), (3, 5)],
        [(1, 2), (4, 5)],
    ]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 20)), min_size=1, max_size=6))
def test_there_are_as_many_threads_as_the_phase_asks_for(drawn: list[tuple[int, int]]) -> None:
    phases = [ramp(length, to=level) for length, level in drawn]
    if not any(level for _, level in drawn) or not any(length for length, _ in drawn):
        return
    plan = scenario(1, phases=phases)
    for one in plan.segments:
        for tenth in range(1, 10):
            instant = one.start + one.length * tenth // 10
            if one.length:
                at = sum(start <= instant < end for plan in thread_plans(plan) for start, end in plan.windows)
                assert abs(at - one.level(instant)) <= 1


def test_without_phases_threads_send_from_beginning_to_end() -> None:
    assert {plan.windows for plan in thread_plans(scenario(1, threads=3))} == {((0, ALWAYS),)}


def test_threads_that_think_begin_spread_over_it() -> None:
    assert [plan.delay / SECOND for plan in thread_plans(scenario(1, threads=4, think_time="2s"))] == [0, 0.5, 1, 1.5]
    assert [plan.delay / SECOND for plan in thread_plans(scenario(1, threads=2, pacing="1s"))] == [0, 0.5]


def test_iterations_of_each_thread() -> None:
    assert [plan.iterations for plan in thread_plans(scenario(1, threads=3, iterations_per_thread=7))] == [7, 7, 7]


def test_a_rate_makes_it_open() -> None:
    assert isinstance(workload(scenario(1)), Closed)
    assert isinstance(workload(scenario(1, rate="200/s")), Open)
    assert isinstance(workload(scenario(1, phases=[ramp("1s", to="200/s")])), Open)


@pytest.mark.parametrize(
    ("fields", "most"),
    [
        ({"rate": "200/s"}, 400),
        ({"rate": 3}, 100),
        ({"rate": 50_000}, 5000),
        ({"rate": 50_000, "max_threads": 7}, 7),
        ({"phases": [ramp("1s", to="300/s"), ramp("1s", to="10/s")]}, 600),
    ],
)
def test_an_open_workload_may_grow_to_two_seconds_of_arrivals(fields: dict[str, Any], most: int) -> None:
    assert opened(scenario(1, **fields)).max_threads == most


def test_the_warm_up_has_the_rate_with_which_the_run_begins() -> None:
    load = opened(scenario(1, rate="10/s", warmup="2s"))

    assert len(list(load.warming.dues())) == 20
    assert opened(scenario(1, rate="10/s")).warming.segments[0].length == 0


@given(threads=st.integers(1, 300), parts=st.integers(1, 40), most=st.integers(40, 300))
def test_the_parts_of_an_open_workload_have_its_threads_together(threads: int, parts: int, most: int) -> None:
    whole = scenario(1, threads=threads, rate=10, max_threads=max(threads, most))

    loads = [opened(whole, Part(number=k, count=parts)) for k in range(parts)]

    assert sum(load.max_threads for load in loads) == max(threads, most)
    assert sum(load.threads for load in loads) == max(threads, parts), "each has one, to begin with"
    assert all(load.threads <= load.max_threads for load in loads)


@given(threads=st.integers(1, 20), parts=st.integers(1, 6), iterations=st.integers(1, 1000))
def test_the_parts_of_a_closed_workload_are_the_whole(threads: int, parts: int, iterations: int) -> None:
    whole = scenario(3, 1, threads=threads, iterations=iterations, think_time="1s", processes=1)

    loads = [closed(whole, Part(number=k, count=parts)) for k in range(parts)]

    assert sorted((plan for load in loads for plan in load.thread_plans), key=lambda plan: plan.number) == thread_plans(
        whole
    )
    assert sum(load.iterations or 0 for load in loads) == iterations
