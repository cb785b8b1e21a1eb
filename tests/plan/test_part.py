"""Parts of a load for machines and their processes: which are which, when they begin, and that they are the whole."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from itertools import chain, cycle, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadkit import Endpoint, Scenario, UsageError, hold, ramp, rows
from loadkit.plan.arrivals import Spacing
from loadkit.plan.part import WHOLE, Part, part, start_instant
from loadkit.plan.units import SECOND
from loadkit.plan.workload import Closed, Open, closed, row_turns, thread_plans, workload

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
HOUR = 3600 * SECOND

RIGHT = "write it like 12:00:00Z, which is UTC, or 2030-01-31T12:00:00+01:00"
CLOCK = "and the clock of this machine shows 12:00:00Z"

machines = st.lists(st.integers(1, 4), min_size=1, max_size=5)
"""How many processes each of them has."""


def ns(instant: datetime) -> int:
    return int(instant.timestamp()) * SECOND


def parts_of(processes: list[int]) -> list[Part]:
    """The parts of all processes of all machines."""
    each = [Part(number=number, count=len(processes)).split(many) for number, many in enumerate(processes)]
    return list(chain.from_iterable(each))


def test_a_part_is_written_from_1_and_counted_from_0() -> None:
    assert part("2/5") == Part(number=1, count=5)
    assert [str(part(text)) for text in ("1/1", "2/5", "5/5")] == ["1/1", "2/5", "5/5"]
    assert part("1/1").is_whole
    assert part("1/1") == WHOLE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0/5", "parts count from 1, and '0/5' has none before the first; write it like 2/5, the second of five parts"),
        ("6/5", "there is no part 6 of 5; write it like 2/5, the second of five parts"),
        ("2 of 5", "cannot read the part '2 of 5'; write it like 2/5, the second of five parts"),
        ("2", "cannot read the part '2'; write it like 2/5, the second of five parts"),
        ("-1/5", "cannot read the part '-1/5'; write it like 2/5, the second of five parts"),
        ("1/0", "there is no part 1 of 0; write it like 2/5, the second of five parts"),
        ("²/5", "cannot read the part '²/5'; write it like 2/5, the second of five parts"),
        ("", "cannot read the part ''; write it like 2/5, the second of five parts"),
    ],
)
def test_what_is_no_part_is_refused_with_the_right_form(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        part(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12:00:01Z", ns(NOON) + SECOND),
        ("12:00:01.25Z", ns(NOON) + SECOND + SECOND // 4),
        ("12:05Z", ns(NOON) + 300 * SECOND),
        ("13:30:00+01:00", ns(NOON) + HOUR // 2),
        # tomorrow in its own zone, and an hour away
        ("00:30:00+12:00", ns(NOON) + HOUR // 2),
        ("23:59:00Z", ns(NOON) + 12 * HOUR - 60 * SECOND),
        ("2026-11-28T12:00:01Z", ns(NOON) + SECOND),
        ("2026-11-28 12:00:01+00:00", ns(NOON) + SECOND),
        ("2026-12-01T12:00:00Z", ns(NOON) + 72 * HOUR),
    ],
)
def test_all_begin_at_the_next_such_time_or_at_that_of_a_date(text: str, expected: int) -> None:
    assert start_instant(text, ns(NOON)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("11:59:00Z", f"--at 11:59:00Z passed 1m ago: it was 2026-11-28T11:59:00Z, {CLOCK}"),
        ("13:00:00+02:00", f"--at 13:00:00+02:00 passed 1h ago: it was 2026-11-28T11:00:00Z, {CLOCK}"),
        ("12:00:00Z", f"--at 12:00:00Z passed 1s ago: it was 2026-11-28T12:00:00Z, {CLOCK}"),
        ("2026-11-27T12:00:00Z", f"--at 2026-11-27T12:00:00Z passed 24h ago: it was 2026-11-27T12:00:00Z, {CLOCK}"),
        ("12:30:00", f"--at '12:30:00' says no time zone, and machines may differ in theirs; {RIGHT}"),
        (
            "2026-11-28T12:30:00",
            f"--at '2026-11-28T12:30:00' says no time zone, and machines may differ in theirs; {RIGHT}",
        ),
        ("noon", f"cannot read the time --at 'noon'; {RIGHT}"),
        ("25:00:00Z", f"cannot read the time --at '25:00:00Z'; {RIGHT}"),
        ("2026-13-01T00:00:00Z", f"cannot read the time --at '2026-13-01T00:00:00Z'; {RIGHT}"),
        ("", f"cannot read the time --at ''; {RIGHT}"),
    ],
)
def test_a_time_that_is_none_or_has_passed_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        start_instant(text, ns(NOON))
    assert str(caught.value) == message


@given(machines)
def test_parts_of_parts_have_each_thread_and_each_iteration_once(processes: list[int]) -> None:
    whole = Scenario(endpoints=[Endpoint("GET", "http://h/")], threads=7, iterations=100, think_time="1s")

    loads = [closed(whole, one) for one in parts_of(processes)]

    plans = [plan for load in loads for plan in load.thread_plans]
    assert sorted(plans, key=lambda plan: plan.number) == thread_plans(whole)
    assert sum(load.iterations or 0 for load in loads) == 100


@given(machines, st.sampled_from(["constant", "poisson"]), st.none() | st.integers(1, 60))
def test_parts_of_parts_have_each_arrival_once(processes: list[int], spacing: Spacing, iterations: int | None) -> None:
    whole = Scenario(
        endpoints=[Endpoint("GET", "http://h/")],
        arrivals=spacing,
        phases=[] if iterations else [ramp("1s", to="40/s"), hold("1s")],
        rate="40/s" if iterations else None,
        iterations=iterations,
    )

    assert dues_of(whole, parts_of(processes)) == dues_of(whole, [WHOLE])


def dues_of(scenario: Scenario, parts: list[Part]) -> list[tuple[int, int]]:
    loads = [workload(scenario, one) for one in parts]
    assert all(isinstance(load, Open) for load in loads)
    return sorted(chain.from_iterable(islice(load.arrivals.dues(), 200) for load in loads if isinstance(load, Open)))


@pytest.mark.parametrize("is_open", [True, False])
@given(processes=machines, weight=st.integers(1, 3))
def test_each_row_is_for_one_process_of_one_machine(processes: list[int], weight: int, *, is_open: bool) -> None:
    feed = rows([{"n": 1}])
    endpoints = [Endpoint("GET", "http://h/{n}", feed=feed), Endpoint("GET", "http://h/", weight=weight)]
    scenario = Scenario(endpoints=endpoints, threads=9, rate=10 if is_open else None)

    owners = [number for one in parts_of(processes) for number in rows_of(scenario, one, 600)]

    assert sorted(owners) == list(range(600))


def rows_of(scenario: Scenario, part: Part, many: int) -> list[int]:
    """The numbers of the rows that a part has, of so many."""
    feed = next(one.feed for one in scenario.plans if one.feed)
    found = list(range(many))
    for turns in row_turns(scenario, feed, part):
        found = [row for row, is_ours in zip(found, cycle(turns), strict=False) if is_ours]
    return found


def test_rows_follow_the_arrivals_that_use_them() -> None:
    feed = rows([{"n": 1}])
    fed = Endpoint("GET", "http://h/{n}", feed=feed)
    scenario = Scenario(endpoints=[fed, Endpoint("GET", "http://h/", weight=2)], rate="30/s", duration="10s")
    whole = workload(scenario)
    assert isinstance(whole, Open)
    fed_arrivals = [k for k, _ in whole.arrivals.dues() if whole.rotation[k % len(whole.rotation)] == 0]

    for one in parts_of([2, 1, 3]):
        load = workload(scenario, one)
        assert isinstance(load, Open)
        own = [fed_arrivals.index(k) for k, _ in load.arrivals.dues() if k in fed_arrivals]
        assert rows_of(scenario, one, len(fed_arrivals)) == own


def test_a_machine_has_rows_as_its_threads_use_them() -> None:
    feed = rows([{"n": 1}])
    scenario = Scenario(endpoints=[Endpoint("GET", "http://h/{n}", feed=feed)], threads=5)

    shares = Counter({number: len(rows_of(scenario, Part(number=number, count=3), 500)) for number in range(3)})

    assert shares == {0: 200, 1: 200, 2: 100}


def test_a_thread_is_of_the_same_machine_whatever_its_processes() -> None:
    scenario = Scenario(endpoints=[Endpoint("GET", "http://h/")], threads=12)
    load = workload(scenario, Part(number=1, count=3))
    assert isinstance(load, Closed)
    one = [plan.number for plan in load.thread_plans]

    several = [closed(scenario, each).thread_plans for each in Part(number=1, count=3).split(2)]

    assert one == [1, 4, 7, 10]
    assert [[plan.number for plan in plans] for plans in several] == [[1, 7], [4, 10]]
