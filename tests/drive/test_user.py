"""The loop of a virtual user, on a fake network and a clock moved by hand."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from loadkit import Endpoint, Scenario, hold, ramp
from loadkit.clock import ManualClock
from loadkit.drive.closed import Pace, closed_loop
from loadkit.drive.pauses import Pauses
from loadkit.drive.recorder import BoundRequest, Recorder
from loadkit.drive.state import NEVER, RunState
from loadkit.drive.user import User
from loadkit.measure.recording import RowRecorder
from loadkit.plan.units import MILLISECOND, SECOND
from loadkit.plan.workload import ThreadPlan
from loadkit.wire.base import Failure, Request
from loadkit.wire.encode import encode
from loadkit.wire.fake import FakeReply, FakeWire
from tests.drive.driving import on_fake

URL = "http://fake/"


def one_thread(**changes: Any) -> Scenario:
    return Scenario(endpoints=[Endpoint("GET", URL)], threads=1).replace(**changes)


def test_a_closed_run_sends_the_next_request_when_the_last_reply_is_in():
    done = on_fake(one_thread(duration=1), FakeReply(after=10 * MILLISECOND))

    total = done.recording.total()
    assert total.requests == 100
    assert total.response_time.min == total.response_time.max == 10 * MILLISECOND
    assert total.lateness.max == 0


def test_the_request_under_way_at_the_stop_is_counted_and_not_in_the_throughput():
    # sent at 0, 300, 600 and 900 ms; the last reply comes at 1200
    done = on_fake(one_thread(duration=1), FakeReply(after=300 * MILLISECOND))

    total = done.recording.total()
    assert (total.requests, total.drained) == (4, 1)
    assert done.stats.stopped_at - done.stats.measured_from == SECOND


def test_a_number_of_iterations_is_sent_exactly_and_the_run_ends_with_the_last_reply():
    done = on_fake(one_thread(iterations=1234), FakeReply(after=MILLISECOND))

    assert done.recording.total().requests == 1234
    assert done.stats.stopped_at - done.stats.measured_from == 1234 * MILLISECOND


def test_iterations_that_the_duration_leaves_no_time_for_are_unsent():
    done = on_fake(one_thread(iterations=1000, duration=1), FakeReply(after=10 * MILLISECOND))

    total = done.recording.total()
    assert (total.requests, total.unsent) == (100, 900)


def test_warm_up_requests_are_sent_and_not_counted():
    wire_answers: list[int] = []

    def answer(request: Request, number: int) -> FakeReply:
        wire_answers.append(number)
        # slow while it is cold
        return FakeReply(after=100 * MILLISECOND if number < 10 else 10 * MILLISECOND)

    done = on_fake(one_thread(duration=1, warmup=1), answer)

    total = done.recording.total()
    assert total.requests == 100
    assert total.response_time.max == 10 * MILLISECOND
    assert len(wire_answers) == 110


def test_think_time_lies_between_a_reply_and_the_next_request():
    done = on_fake(one_thread(duration=10, think_time="90ms"), FakeReply(after=10 * MILLISECOND))

    total = done.recording.total()
    assert total.requests == 100
    assert total.response_time.max == 10 * MILLISECOND


def test_pickup_is_the_generators_own_and_in_neither_response_nor_service_time():
    done = on_fake(one_thread(iterations=10), FakeReply(after=MILLISECOND, picked_up_after=7 * MILLISECOND))

    total = done.recording.total()
    assert total.service_time.max == total.response_time.max == MILLISECOND
    assert total.pickup.min == 7 * MILLISECOND


def test_a_failure_is_counted_by_kind_with_its_time_apart():
    refused = Failure("disconnect", "connection closed before any reply")

    def answer(request: Request, number: int) -> FakeReply:
        return FakeReply(after=5 * MILLISECOND, failure=refused if number % 4 == 3 else None)

    total = on_fake(one_thread(iterations=100), answer).recording.total()

    assert total.statuses == {200: 75}
    assert total.failures.kinds == {"disconnect": 25}
    assert total.failures.reasons[refused].count == 25
    assert total.failures.time.count == 25
    assert total.response_time.count == 75


def test_an_unexpected_status_fails_the_request_and_is_kept_beside_it():
    total = on_fake(one_thread(iterations=3), FakeReply(status=404)).recording.total()

    assert total.statuses == {}
    assert total.failures.kinds == {"check": 3}
    assert total.failures.statuses == {404: 3}
    assert [failure.message for failure in total.failures.reasons] == ["status 404, expected 200-399"]


class Silent(Exception):
    def __str__(self) -> str:
        return str(1 // 0)


def raises_without_a_message(reply: object) -> None:
    raise Silent


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda reply: reply.json()["items"], None),
        (lambda reply: "nothing" in reply.text, "<lambda> returned False"),
        (lambda reply: reply.json()["missing"], "KeyError: 'missing' at test_user.py"),
        (lambda reply: sys.exit(3), "SystemExit: 3 at"),
        (raises_without_a_message, "Silent: (its message cannot be shown: ZeroDivisionError) at test_user.py"),
    ],
    ids=[
        "a value that is not False passes",
        "False fails",
        "an exception fails",
        "sys.exit ends one request only",
        "an exception that cannot be shown fails one request only",
    ],
)
def test_a_check_decides_over_each_reply(check: Callable[[object], object], message: str | None):
    scenario = one_thread(endpoints=[Endpoint("GET", URL, check=check)], iterations=5)

    total = on_fake(scenario, FakeReply(body=b'{"items": [1]}')).recording.total()

    assert total.requests == 5
    if message is None:
        assert total.failures.kinds == {}
    else:
        (failure,) = total.failures.reasons
        assert failure.message.startswith(message)
        assert total.failures.kinds == {"check": 5}


def test_endpoints_share_the_threads_by_weight():
    endpoints = [Endpoint("GET", f"{URL}home", weight=3), Endpoint("GET", f"{URL}search")]
    scenario = Scenario(endpoints=endpoints, threads=4, iterations=400)

    done = on_fake(scenario, FakeReply(after=MILLISECOND))

    requests = {label: counts.requests for label, counts in done.recording.labels.items()}
    assert requests == {f"GET {URL}home": 300, f"GET {URL}search": 100}


def test_an_endpoint_can_have_threads_of_its_own():
    endpoints = [Endpoint("GET", f"{URL}home", threads=1), Endpoint("GET", f"{URL}search")]
    scenario = Scenario(endpoints=endpoints, threads=3, iterations=400)

    done = on_fake(scenario, FakeReply(after=MILLISECOND))

    assert done.recording.labels[f"GET {URL}home"].requests == 100


class StoppingState(RunState):
    """One that is stopped by another thread just after it was read for the nth time, which sees the old end."""

    def __init__(self, nth: int, clock: ManualClock) -> None:
        self.reads, self.nth, self.clock = 0, nth, clock
        self.end, self.on_stop = NEVER, lambda: None
        super().__init__()

    @property
    def stop_at(self) -> int:
        seen, self.reads = self.end, self.reads + 1
        if self.reads == self.nth:
            self.end = self.clock.now()
            self.is_stopped = True
            self.on_stop()
        return seen

    @stop_at.setter
    def stop_at(self, instant: int) -> None:
        self.end = instant


@pytest.mark.parametrize("nth", range(1, 12))
def test_a_stop_that_comes_while_a_thread_looks_at_the_end_is_not_missed(nth: int):
    clock = ManualClock()
    state = StoppingState(nth, clock)
    state.measured_from = clock.now()
    wire = FakeWire(clock, FakeReply(after=MILLISECOND))
    scenario = one_thread()
    (request,) = [encode(one, scenario) for one in scenario.endpoints if isinstance(one, Endpoint)]
    connection = wire.connect(request.origin)
    row = RowRecorder("GET /", len(request.payload))
    bound = BoundRequest(send=connection.sender(request), request=request, row=row, good=frozenset({200}))
    recorder = Recorder([row], state, lambda batch: None, planned=5000)
    user = User(
        lambda user: closed_loop(user, [bound], ThreadPlan(number=0, rotation=(0,), iterations=5000), Pace(None, 0)),
        clock=clock,
        state=state,
        recorder=recorder,
        pauses=Pauses(clock, state, recorder),
        connections=[(connection, row)],
    )
    state.on_stop = user.stop

    user.run()

    assert state.reads >= nth
    # the one that was under way then, and one that began before the thread saw it
    assert clock.now() <= state.end + 2 * MILLISECOND


def test_pacing_is_from_start_to_start():
    done = on_fake(one_thread(duration=10, pacing="100ms"), FakeReply(after=30 * MILLISECOND))

    total = done.recording.total()
    assert total.requests == 100
    assert total.response_time.max == 30 * MILLISECOND


def test_a_reply_slower_than_the_pace_is_followed_at_once_and_the_pace_goes_on_from_there():
    slow = {3: 350 * MILLISECOND}

    def answer(request: Request, number: int) -> FakeReply:
        return FakeReply(after=slow.get(number, 10 * MILLISECOND))

    done = on_fake(one_thread(duration=2, pacing="100ms"), answer)

    # due at 0, 100, 200, 300, then 650, 750, … 1950
    total = done.recording.total()
    assert total.requests == 18
    assert total.response_time.max == 350 * MILLISECOND
    assert sum(count for _, _, count in total.response_time.buckets() if count == 17) == 17


def test_a_drawn_think_time_is_the_same_for_the_same_seed():
    def spans(seed: int) -> int:
        scenario = one_thread(iterations=50, think_time=("10ms", "90ms"), seed=seed)
        done = on_fake(scenario, FakeReply(after=MILLISECOND))
        return done.stats.stopped_at - done.stats.measured_from

    assert spans(1) == spans(1) != spans(2)
    # 50 draws from 10 to 90 ms, whose mean is 50, and a reply of 1 ms each: 3.3 ms is the deviation of the mean
    assert spans(1) / 50 == pytest.approx(51 * MILLISECOND, abs=13 * MILLISECOND)


def test_a_thread_sends_within_its_windows_and_a_request_belongs_to_the_phase_in_which_it_was_due():
    phases = [hold("1s", at=1), ramp(0, to=0), hold("2s", name="quiet"), ramp(0, to=1), hold("1s", name="again")]

    done = on_fake(one_thread(phases=phases), FakeReply(after=300 * MILLISECOND))

    # due at 0, 300, 600 and 900 ms, of which the last ends in the quiet; then at 3, 3.3, 3.6 and 3.9 s
    label = "GET http://fake/"
    by_phase = [phase[label].requests if phase else 0 for phase in done.recording.phases]
    assert by_phase == [4, 0, 0, 0, 4]
    assert done.stats.stopped_at - done.stats.measured_from == 4 * SECOND
    assert done.recording.total().drained == 1


def test_in_each_phase_are_the_requests_that_were_due_in_it():
    done = on_fake(one_thread(phases=[hold("1s"), hold("500ms"), hold("1s")]), FakeReply(after=70 * MILLISECOND))

    label = "GET http://fake/"
    # 0 … 980, 1050 … 1470, 1540 … 2450 ms
    assert [phase[label].requests for phase in done.recording.phases] == [15, 7, 14]
    assert done.recording.total().requests == 36
