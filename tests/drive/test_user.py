"""The loop of a virtual user, on a fake network and a clock moved by hand."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from loadkit import Endpoint, Scenario
from loadkit.drive.threads import Driven, drive
from loadkit.measure.clock import ManualClock
from loadkit.plan.units import MILLISECOND, SECOND
from loadkit.wire.base import Failure, Request
from loadkit.wire.encode import encode
from loadkit.wire.fake import FakeReply, FakeWire

URL = "http://fake/"


def driven(scenario: Scenario, answer: Callable[[Request, int], FakeReply] | FakeReply | None = None) -> Driven:
    """Run a scenario on the fake network."""
    clock = ManualClock()
    wire = FakeWire(clock, answer)
    requests = [encode(endpoint, scenario) for endpoint in scenario.endpoints]
    return drive(scenario, requests, wire, clock)


def one_thread(**changes: object) -> Scenario:
    """A scenario of one thread on one endpoint."""
    return Scenario(endpoints=[Endpoint("GET", URL)], threads=1).replace(**changes)


def test_a_closed_run_sends_the_next_request_when_the_last_reply_is_in():
    done = driven(one_thread(duration=1), FakeReply(after=10 * MILLISECOND))

    total = done.recording.total()
    assert total.requests == 100
    assert total.response_time.min == total.response_time.max == 10 * MILLISECOND
    assert total.lateness.max == 0


def test_the_request_under_way_at_the_stop_is_counted_and_not_in_the_throughput():
    # sent at 0, 300, 600 and 900 ms; the last reply comes at 1200
    done = driven(one_thread(duration=1), FakeReply(after=300 * MILLISECOND))

    total = done.recording.total()
    assert (total.requests, total.drained) == (4, 1)
    assert done.stopped_at - done.measured_from == SECOND


def test_a_number_of_iterations_is_sent_exactly_and_the_run_ends_with_the_last_reply():
    done = driven(one_thread(iterations=1234), FakeReply(after=MILLISECOND))

    assert done.recording.total().requests == 1234
    assert done.stopped_at - done.measured_from == 1234 * MILLISECOND


def test_iterations_that_the_duration_leaves_no_time_for_are_unsent():
    done = driven(one_thread(iterations=1000, duration=1), FakeReply(after=10 * MILLISECOND))

    total = done.recording.total()
    assert (total.requests, total.unsent) == (100, 900)


def test_warm_up_requests_are_sent_and_not_counted():
    wire_answers: list[int] = []

    def answer(request: Request, number: int) -> FakeReply:
        wire_answers.append(number)
        # slow while it is cold
        return FakeReply(after=100 * MILLISECOND if number < 10 else 10 * MILLISECOND)

    done = driven(one_thread(duration=1, warmup=1), answer)

    total = done.recording.total()
    assert total.requests == 100
    assert total.response_time.max == 10 * MILLISECOND
    assert len(wire_answers) == 110


def test_think_time_lies_between_a_reply_and_the_next_request():
    done = driven(one_thread(duration=10, think_time="90ms"), FakeReply(after=10 * MILLISECOND))

    total = done.recording.total()
    assert total.requests == 100
    assert total.response_time.max == 10 * MILLISECOND


def test_pickup_is_the_generators_own_and_in_neither_response_nor_service_time():
    done = driven(one_thread(iterations=10), FakeReply(after=MILLISECOND, picked_up_after=7 * MILLISECOND))

    total = done.recording.total()
    assert total.service_time.max == total.response_time.max == MILLISECOND
    assert total.pickup.min == 7 * MILLISECOND


def test_a_failure_is_counted_by_kind_with_its_time_apart():
    refused = Failure("disconnect", "connection closed before any reply")

    def answer(request: Request, number: int) -> FakeReply:
        return FakeReply(after=5 * MILLISECOND, failure=refused if number % 4 == 3 else None)

    total = driven(one_thread(iterations=100), answer).recording.total()

    assert total.statuses == {200: 75}
    assert total.failures == {"disconnect": 25}
    assert total.reasons[refused][0] == 25
    assert total.failure_time.count == 25
    assert total.response_time.count == 75


def test_an_unexpected_status_fails_the_request_and_is_kept_beside_it():
    total = driven(one_thread(iterations=3), FakeReply(status=404)).recording.total()

    assert total.statuses == {}
    assert total.failures == {"check": 3}
    assert total.failed_statuses == {404: 3}
    assert [failure.message for failure in total.reasons] == ["status 404, expected 200-399"]


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda reply: reply.json()["items"], None),
        (lambda reply: "nothing" in reply.text, "<lambda> returned False"),
        (lambda reply: reply.json()["missing"], "KeyError: 'missing' at test_user.py"),
        (lambda reply: sys.exit(3), "SystemExit: 3 at"),
    ],
    ids=["a value that is not False passes", "False fails", "an exception fails", "sys.exit ends one request only"],
)
def test_a_check_decides_over_each_reply(check: Callable[[object], object], message: str | None):
    scenario = one_thread(endpoints=[Endpoint("GET", URL, check=check)], iterations=5)

    total = driven(scenario, FakeReply(body=b'{"items": [1]}')).recording.total()

    assert total.requests == 5
    if message is None:
        assert total.failures == {}
    else:
        (failure,) = total.reasons
        assert failure.message.startswith(message)
        assert total.failures == {"check": 5}


def test_endpoints_share_the_threads_by_weight():
    endpoints = [Endpoint("GET", f"{URL}home", weight=3), Endpoint("GET", f"{URL}search")]
    scenario = Scenario(endpoints=endpoints, threads=4, iterations=400)

    done = driven(scenario, FakeReply(after=MILLISECOND))

    requests = {label: counts.requests for label, counts in done.recording.labels.items()}
    assert requests == {f"GET {URL}home": 300, f"GET {URL}search": 100}


def test_an_endpoint_can_have_threads_of_its_own():
    endpoints = [Endpoint("GET", f"{URL}home", threads=1), Endpoint("GET", f"{URL}search")]
    scenario = Scenario(endpoints=endpoints, threads=3, iterations=400)

    done = driven(scenario, FakeReply(after=MILLISECOND))

    assert done.recording.labels[f"GET {URL}home"].requests == 100


def test_a_target_that_never_connects_ends_the_run_early():
    refused = Failure("connect", "connection refused fake:80")

    done = driven(Scenario(endpoints=[Endpoint("GET", URL)], threads=2, duration="1h"), FakeReply(failure=refused))

    assert done.unreachable
    assert set(done.recording.total().failures) == {"connect"}


def test_a_stalled_reply_in_a_closed_run_is_one_slow_request():
    def answer(request: Request, number: int) -> FakeReply:
        return FakeReply(after=SECOND if number == 50 else MILLISECOND)

    total = driven(one_thread(iterations=100), answer).recording.total()

    assert total.response_time.max == SECOND
    # the top of the 512 ns bucket that 1 ms lies in
    assert total.response_time.percentile(99) == 1954 * 512 - 1
