"""Who is next: by a clock that is moved by hand."""

from __future__ import annotations

from loadkit.clock import ManualClock
from loadkit.fetcher.hosts import CHANCES, GIVEN_UP, HOSTS, TRIP, HostTable
from loadkit.fetcher.schedule import MAX_WAITING, Schedule
from loadkit.fetcher.task import FetchRequest, Task
from loadkit.fetcher.url import parse_url
from loadkit.plan.units import SECOND
from loadkit.wire.base import Failure

HOST = "http://h"
REFUSED = Failure("connect", "connection refused")


def item(position: int, url: str = "http://h/x") -> Task:
    there = parse_url(url)
    return Task(FetchRequest(position, there, "GET", None, None, position), there)


def schedule(count: int = 0, *, per_host: int | None = None, rate: float | None = None) -> tuple[Schedule, ManualClock]:
    clock = ManualClock()
    made = Schedule(clock, HostTable(per_host=per_host, first_wait=SECOND // 2, first_pause=SECOND), rate=rate)
    made.set_limit(100)
    for position in range(count):
        made.add(item(position))
    return made, clock


def taken(made: Schedule, count: int) -> list[int]:
    """The positions of the next so many."""
    found = [made.take(0) for _ in range(count)]
    return [one[0].request.position for one in found if one]


def test_all_are_handed_out_in_order_and_then_it_is_over():
    made, _ = schedule(3)
    made.close()

    assert taken(made, 3) == [0, 1, 2]
    for _ in range(3):
        made.succeeded(HOST)
        made.task_done()
    assert made.take(0) is None


def test_a_retry_waits_for_its_time_while_others_go_on():
    made, clock = schedule(3)
    first = made.take(0)
    assert first
    made.succeeded(HOST)
    made.retry_at(first[0], clock.now() + SECOND)

    assert taken(made, 2) == [1, 2]
    clock.advance(SECOND)
    assert taken(made, 1) == [0]


def test_a_host_has_so_many_at_once_and_the_next_when_one_is_done():
    made, _ = schedule(3, per_host=2)
    made.add(item(9, "http://other/"))

    assert taken(made, 3) == [0, 1, 9]
    made.succeeded(HOST)
    assert taken(made, 1) == [2]


def test_a_host_that_asks_for_a_pause_gets_it_and_half_of_what_it_had_after():
    made, clock = schedule(12)
    assert taken(made, 8) == list(range(8))
    made.throttled(HOST, 2 * SECOND)
    for _ in range(7):
        made.succeeded(HOST)
    made.add(item(99, "http://other/"))

    assert taken(made, 1) == [99]
    clock.advance(2 * SECOND)
    assert taken(made, 4) == [8, 9, 10, 11]
    made.add(item(50))
    made.add(item(98, "http://other/"))
    assert taken(made, 1) == [98]


def test_an_open_circuit_lets_one_probe_through():
    made, clock = schedule(TRIP + 5)
    assert len(taken(made, TRIP)) == TRIP
    for _ in range(TRIP):
        made.failed(HOST, REFUSED)
    made.add(item(99, "http://other/"))
    assert taken(made, 1) == [99]

    clock.advance(SECOND)
    assert taken(made, 1) == [TRIP]
    made.add(item(98, "http://other/"))
    assert taken(made, 1) == [98]

    made.succeeded(HOST)
    assert len(taken(made, 4)) == 4


def test_a_host_whose_probes_all_fail_is_given_up_for_a_while():
    made, clock = schedule(TRIP + CHANCES + 20)
    taken(made, TRIP)
    for _ in range(TRIP):
        made.failed(HOST, REFUSED)
    for _ in range(CHANCES):
        clock.advance(60 * SECOND)
        assert len(taken(made, 1)) == 1
        made.failed(HOST, REFUSED)

    found = [made.take(0) for _ in range(5)]
    assert all(one and made.host_failure(one[0]) == REFUSED for one in found)
    for _ in found:
        made.release(HOST)
    clock.advance(GIVEN_UP)
    probe = made.take(0)
    assert probe
    assert made.host_failure(probe[0]) is None


def test_a_rate_spreads_what_is_due():
    made, clock = schedule(5, rate=10)

    found = [made.take(0) for _ in range(5)]

    assert [one[1] - clock.now() for one in found if one] == [
        0,
        SECOND // 10,
        SECOND // 5,
        SECOND * 3 // 10,
        SECOND * 2 // 5,
    ]


def test_what_waits_under_a_rate_is_given_back_when_its_host_asks_for_a_pause():
    made, clock = schedule(2, rate=1)
    first, second = made.take(0), made.take(0)
    assert first
    assert second
    made.throttled(HOST, 5 * SECOND)

    assert not made.reclaim(second[0])
    clock.advance(5 * SECOND)
    assert taken(made, 1) == [1]


def test_stopped_it_hands_out_nothing_and_takes_nothing_in():
    made, clock = schedule(5, per_host=1)
    one = made.take(0)
    assert one
    made.succeeded(HOST)
    made.retry_at(one[0], clock.now() + SECOND)

    made.stop()
    assert made.take(0) is None
    assert not made.add(item(7))


def test_the_source_is_left_alone_while_too_much_waits():
    made, clock = schedule()
    for position in range(MAX_WAITING):
        made.add(item(position))
        one = made.take(0)
        assert one
        made.succeeded(HOST)
        made.retry_at(one[0], clock.now() + SECOND)
    made.add(item(10**6))
    clock.advance(SECOND)

    assert taken(made, 1) == [0]


def test_of_many_hosts_only_those_with_a_history_are_remembered():
    made, _ = schedule()
    for number in range(HOSTS * 2):
        made.add(item(number, f"http://h{number}/"))
        made.take(0)
        if number % 3:
            made.succeeded(f"http://h{number}")
        else:
            made.failed(f"http://h{number}", REFUSED)

    assert HOSTS * 2 // 3 <= len(made.hosts.by_site) <= HOSTS


def test_a_thread_beyond_the_limit_is_handed_nothing_and_ends():
    made, _ = schedule(3)
    made.set_limit(2)

    assert made.take(1) is not None
    assert made.take(2) is None
    made.set_limit(3)
    assert made.take(2) is not None
