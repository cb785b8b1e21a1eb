"""An open workload: due by the clock, whatever the server does. On a clock moved by hand, then on sockets."""

from __future__ import annotations

import contextlib
import gc
import os
import stat
import threading
import time
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from requests import Response

from loadkit import Endpoint, Scenario, hold, ramp, rows
from loadkit.clock import ManualClock
from loadkit.drive.director import SETTLE
from loadkit.drive.shared_iterator import SharedIterator
from loadkit.drive.stats import Driven
from loadkit.measure.histogram import Histogram
from loadkit.plan.units import MILLISECOND, SECOND
from loadkit.server.demo import Demo
from loadkit.wire.base import Failure, Request
from loadkit.wire.fake import Answer, FakeReply, FakeWire
from tests.drive.driving import on_fake, on_sockets, on_wire

URL = "http://fake/"


def by_hand(answer: Answer | FakeReply, **fields: Any) -> Driven:
    """Run an open scenario of one thread on the fake network."""
    given: dict[str, Any] = {"endpoints": [Endpoint("GET", URL)], "max_threads": 1} | fields
    return on_fake(Scenario(**given), answer)


def stalling(at: int) -> Answer:
    """A server that answers in a millisecond, and stalls for a second at one request."""

    def answer(request: Request, number: int) -> FakeReply:
        return FakeReply(after=SECOND if number == at else MILLISECOND)

    return answer


def test_a_minute_of_200_a_second_sends_12000_requests():
    done = by_hand(FakeReply(after=MILLISECOND), rate="200/s", duration="60s")

    total = done.recording.total()
    assert (total.requests, total.unsent, total.cut) == (12_000, 0, 0)
    assert total.response_time.min == total.response_time.max == MILLISECOND
    assert done.stats.stopped_at - done.stats.measured_from == 60 * SECOND


def test_a_stall_is_in_the_response_time_of_every_request_that_it_delayed_to_the_nanosecond():
    total = by_hand(stalling(at=50), rate="100/s", duration="10s").recording.total()

    # one queue, one thread: each is sent when it is due, or when the one before it is done
    expected, free = [], 0
    for number in range(1000):
        due = number * 10 * MILLISECOND
        free = max(free, due) + (SECOND if number == 50 else MILLISECOND)
        expected.append(free - due)
    assert total.response_time == Histogram.of(expected)
    assert sum(span > 2 * MILLISECOND for span in expected) > 100
    # the server is slow once, and only once
    assert total.service_time == Histogram.of([MILLISECOND] * 999 + [SECOND])


def test_in_a_closed_workload_a_stall_appears_once():
    scenario = Scenario(endpoints=[Endpoint("GET", URL)], threads=1, iterations=1000)

    total = on_fake(scenario, stalling(at=50)).recording.total()

    assert total.response_time == Histogram.of([MILLISECOND] * 999 + [SECOND])


def test_what_is_due_and_not_sent_when_time_is_up_is_unsent_and_in_no_figure():
    # each takes as long as three arrivals, so a third of them can be sent
    done = by_hand(FakeReply(after=30 * MILLISECOND), rate="100/s", duration="3s")

    total = done.recording.total()
    assert (total.requests, total.unsent) == (100, 200)
    assert total.response_time.max == 30 * MILLISECOND + 99 * 20 * MILLISECOND
    assert done.stats.stopped_at - done.stats.measured_from == 3 * SECOND


class Drowsy(ManualClock):
    """Sleeps too long when it is to wake at one instant."""

    def __init__(self, at: int, longer: int) -> None:
        super().__init__()
        self._at, self._longer = self.now() + at, longer

    def pause(self, span: int, is_over: Callable[[], bool]) -> None:
        longer = self._longer if self.now() + span == self._at else 0
        super().pause(span + longer, is_over)


@pytest.mark.parametrize(("late", "unsent"), [(49, 0), (51, 1)])
def test_what_was_due_before_the_stop_is_sent_although_its_thread_woke_after_it(late: int, unsent: int):
    clock = Drowsy(at=SETTLE + 900 * MILLISECOND, longer=(100 + late) * MILLISECOND)
    scenario = Scenario(endpoints=[Endpoint("GET", URL)], rate="10/s", duration="1s", max_threads=1)

    done = on_wire(scenario, FakeWire(clock, FakeReply(after=MILLISECOND)), clock)

    total = done.recording.total()
    assert (total.requests, total.unsent) == (10 - unsent, unsent)
    assert total.drained == 1 - unsent
    assert done.stats.stopped_at - done.stats.measured_from == SECOND


def test_unsent_requests_are_those_of_the_endpoints_whose_turn_it_was():
    endpoints = [Endpoint("GET", URL, weight=2, name="often"), Endpoint("GET", URL, name="seldom")]
    labels = by_hand(FakeReply(after=SECOND), endpoints=endpoints, rate="30/s", duration="1s").recording.labels

    assert {name: (counts.requests, counts.unsent) for name, counts in labels.items()} == {
        "often": (1, 19),
        "seldom": (0, 10),
    }


def test_endpoints_are_hit_by_weight_in_the_order_of_arrival():
    seen: list[str] = []

    def answer(request: Request, number: int) -> FakeReply:
        seen.append(request.url[-1])
        return FakeReply(after=MILLISECOND)

    endpoints = [Endpoint("GET", "http://fake/a", weight=2), Endpoint("GET", "http://fake/b")]
    by_hand(answer, endpoints=endpoints, rate="9/s", duration="1s")

    assert "".join(seen) == "abaabaaba"


def test_the_warm_up_is_sent_at_the_same_rate_and_not_counted():
    sent: list[int] = []

    def answer(request: Request, number: int) -> FakeReply:
        sent.append(number)
        return FakeReply(after=MILLISECOND)

    total = by_hand(answer, rate="10/s", warmup="2s", duration="3s").recording.total()

    assert (len(sent), total.requests) == (50, 30)


@pytest.mark.parametrize("arrivals", ["constant", "poisson"])
@pytest.mark.parametrize(("iterations", "ends"), [(20, True), (1000, False)])
def test_an_open_run_lasts_until_its_iterations_or_its_time_are_over_whichever_is_first(
    arrivals: str, iterations: int, ends: bool
):
    plan = {"rate": "100/s", "arrivals": arrivals, "iterations": iterations, "duration": "2s"}
    done = by_hand(FakeReply(after=MILLISECOND), **plan)

    lasted = (done.stats.stopped_at - done.stats.measured_from) / SECOND
    assert (lasted < 1) == ends
    assert ends or lasted == 2


def test_a_number_of_iterations_ends_an_open_run():
    done = by_hand(FakeReply(after=MILLISECOND), rate="10/s", iterations=25)

    assert done.recording.total().requests == 25
    assert done.stats.stopped_at - done.stats.measured_from == 2400 * MILLISECOND + MILLISECOND


def test_a_request_belongs_to_the_phase_in_which_it_was_due():
    # the last of the first phase stalls for a second: it and those it delays are of the phases of their due instants
    done = by_hand(stalling(at=9), phases=[hold("1s", at="10/s"), hold("2s", at="20/s")])

    first, second = done.recording.phases
    assert (first["GET http://fake/"].requests, second["GET http://fake/"].requests) == (10, 40)
    assert first["GET http://fake/"].response_time.max == SECOND
    assert second["GET http://fake/"].service_time.max == MILLISECOND
    assert second["GET http://fake/"].response_time.max == 900 * MILLISECOND + MILLISECOND


def test_what_was_unsent_is_counted_in_its_phase_too():
    done = by_hand(FakeReply(after=SECOND), phases=[hold("1s", at="10/s"), hold("1s", at="20/s")])

    label = "GET http://fake/"
    assert [(phase[label].requests, phase[label].unsent) for phase in done.recording.phases] == [(2, 8), (0, 20)]
    assert done.recording.total().unsent == 28


def test_a_phase_without_any_rate_is_a_pause():
    done = by_hand(
        FakeReply(), phases=[hold("1s", at="10/s"), ramp(0, to=0), hold("5s"), ramp(0, to="1/s"), hold("2s")]
    )

    assert [phase["GET http://fake/"].requests for phase in done.recording.phases if phase] == [10, 2]
    assert done.stats.stopped_at - done.stats.measured_from == 8 * SECOND


def test_a_stall_that_outlasts_the_timeout_is_a_failure_and_delays_the_others_all_the_same():
    late = Failure("timeout", "no whole reply within 1 s")

    def answer(request: Request, number: int) -> FakeReply:
        return FakeReply(after=SECOND, failure=late) if number == 5 else FakeReply(after=MILLISECOND)

    total = by_hand(answer, rate="10/s", duration="2s").recording.total()

    assert total.failures.kinds == {"timeout": 1}
    assert total.statuses == {200: 19}
    assert total.response_time.max == 900 * MILLISECOND + MILLISECOND


@pytest.mark.parametrize("threads", [1, 8])
def test_a_supply_hands_out_each_item_once_and_in_order(threads: int):
    arrivals = SharedIterator(iter(range(20_000)), chunk=7)
    taken: list[list[int]] = [[] for _ in range(threads)]

    def take(mine: list[int]) -> None:
        while (item := arrivals.take()) is not None:
            mine.append(item)

    takers = [threading.Thread(target=take, args=(mine,)) for mine in taken]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join()

    assert sorted(item for mine in taken for item in mine) == list(range(20_000))
    assert all(mine == sorted(mine) for mine in taken)
    assert arrivals.take() is None


# -- on sockets


def test_one_slow_reply_holds_up_no_other_request(demo: Demo):
    endpoints = [Endpoint("GET", "/delay/1.5", name="slow"), Endpoint("GET", "/", weight=19, name="fast")]
    scenario = Scenario(base_url=demo.url, endpoints=endpoints, rate="100/s", duration="2s", threads=2)

    done = on_sockets(scenario)

    labels = done.recording.labels
    assert labels["slow"].requests + labels["fast"].requests == 200
    assert labels["slow"].requests == 10
    # had one of them waited for a slow one, it would have waited for over a second
    assert labels["fast"].response_time.max < SECOND
    # a slow one begins each 0.2 s
    assert done.stats.threads > 8, "the pool has grown to what is under way at once"
    assert not done.stats.was_short


def test_threads_that_a_slow_server_called_for_stand_by_when_it_is_fast_until_it_is_slow_again(demo: Demo):
    lock, fast, after = threading.Lock(), list[int](), list[int]()

    def see(reply: Response) -> None:
        with lock:
            if reply.url.endswith("/0"):
                fast.append(threading.get_ident())
            elif reply.url.endswith("/0.001"):
                after.append(time.monotonic_ns())

    # in 0.5 s 150 arrivals; 450 that are answered at once; 100 that take longer than what is left of the run
    seconds = [{"s": 0.5}] * 150 + [{"s": 0}] * 450 + [{"s": 1.5}] * 100 + [{"s": 0.001}] * 200
    fed = Endpoint("GET", "/delay/{s}", feed=rows(seconds), check=see)
    done = on_sockets(Scenario(base_url=demo.url, endpoints=[fed], rate="300/s", duration="3s", threads=1))

    total = done.recording.total()
    assert total.requests + total.unsent == 900
    assert done.stats.threads > 130
    # each of 200 arrivals would have found another thread
    assert len(set(fast[-200:])) < 100
    # those who held an arrival when the slow ones came wait for their replies beyond the stop
    assert sum(at < done.stats.stopped_at for at in after) > 20


def test_the_pool_grows_no_further_than_it_may(demo: Demo):
    scenario = Scenario(
        base_url=demo.url,
        endpoints=[Endpoint("GET", "/delay/0.5")],
        rate="100/s",
        duration="1s",
        threads=1,
        max_threads=4,
    )

    done = on_sockets(scenario)

    total = done.recording.total()
    assert done.stats.threads == 4
    assert done.stats.was_short
    assert total.requests + total.unsent == 100
    assert total.requests == 8
    assert total.connections.made == 4
    assert total.lateness.max > 0.4 * SECOND


def test_an_interrupt_ends_an_open_run_and_what_was_not_due_yet_is_not_unsent(demo: Demo):
    started = threading.Event()

    def asked() -> int:
        return int(started.is_set())

    def see(reply: object) -> None:
        started.set()

    endpoint = Endpoint("GET", "/", check=see)
    done = on_sockets(Scenario(base_url=demo.url, endpoints=[endpoint], rate="50/s", duration="1h"), interrupts=asked)

    total = done.recording.total()
    assert done.stats.interrupted
    assert 1 <= total.requests < 500
    assert total.unsent <= 1
    assert done.stats.stopped_at - done.stats.measured_from < 10 * SECOND


def test_a_think_time_that_fails_in_mid_run_costs_nothing_that_was_measured(demo: Demo):
    calls: list[None] = []

    def patience(source: Random) -> float:
        calls.append(None)
        if len(calls) > 20:
            raise RuntimeError("out of patience")
        return 0.0

    scenario = Scenario(
        base_url=demo.url, endpoints=[Endpoint("GET", "/")], threads=1, duration="1h", think_time=patience
    )

    done = on_sockets(scenario)

    assert done.recording.total().requests == 21
    assert done.stats.halted.startswith("think_time: patience raised RuntimeError: out of patience at test_open.py:")
    assert done.stats.is_fault
    assert done.stats.stopped_at - done.stats.measured_from < 60 * SECOND


def pipes() -> set[int]:
    """The file descriptors of this process, of the first thousand, that are ends of pipes."""
    found = set()
    for handle in range(1000):
        with contextlib.suppress(OSError):
            if stat.S_ISFIFO(os.fstat(handle).st_mode):
                found.add(handle)
    return found


def test_pipes_of_a_run_are_closed_with_its_last_thread_also_where_that_outlives_it(demo: Demo) -> None:
    may_go = threading.Event()

    def hold_up(reply: object) -> None:
        may_go.wait(30)

    endpoint = Endpoint("GET", "/", check=hold_up)
    before, threads = pipes(), set(threading.enumerate())
    ends: dict[str, Any] = {"rate": "50/s", "max_threads": 1, "duration": "100ms", "graceful_stop": 0}
    done = on_sockets(Scenario(base_url=demo.url, endpoints=[endpoint], **ends))

    assert done.stats.stuck
    opened = pipes() - before
    assert opened, "the thread may still be called"
    may_go.set()
    for thread in set(threading.enumerate()) - threads:
        thread.join(20)
    gc.collect()
    assert not pipes() & opened
