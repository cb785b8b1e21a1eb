"""The network that ships for tests: it does what it is told, and its time is moved by hand."""

from __future__ import annotations

import pytest

from loadkit import Endpoint, Scenario
from loadkit.clock import ManualClock
from loadkit.plan.units import MILLISECOND
from loadkit.wire.base import Failure, Request
from loadkit.wire.encode import encode
from loadkit.wire.fake import FakeReply, FakeWire
from loadkit.wire.protocols import Connection, Wire


@pytest.fixture
def request_() -> Request:
    endpoint = Endpoint("GET", "/")
    return encode(endpoint, Scenario(base_url="http://fake", endpoints=[endpoint]))


def test_time_passes_as_the_answer_says_and_no_other_way(request_: Request):
    clock = ManualClock(1000)
    wire: Wire = FakeWire(clock, FakeReply(after=300, picked_up_after=20, body=b"tea"))
    connection: Connection = wire.connect(request_.origin)

    assert connection.open().connects == 1
    send = connection.sender(request_)

    assert send(request_) == (200, 1000, 1300, 1320, 3, None)
    assert send(request_) == (200, 1320, 1620, 1640, 3, None)
    assert clock.now() == 1640


def test_an_answer_may_depend_on_the_request_and_on_how_many_came_before(request_: Request):
    def answer(request: Request, number: int) -> FakeReply:
        return FakeReply(status=200 + number, headers={"X-Method": request.method}, body=b"%d" % number)

    wire = FakeWire(ManualClock(), answer)
    connection = wire.connect(request_.origin)
    send = connection.sender(request_)

    for number in range(3):
        assert send(request_)[0] == 200 + number
        seen = connection.reply()
        assert (seen.status_code, seen.headers["x-method"], seen.json()) == (200 + number, "GET", number)
    assert wire.sent == [request_] * 3


def test_a_failure_is_told_as_a_wire_tells_it(request_: Request):
    failure = Failure("timeout", "no whole reply within 1 s")
    wire = FakeWire(ManualClock(0), FakeReply(failure=failure, after=MILLISECOND))

    status, sent, arrived, taken, size, note = wire.connect(request_.origin).sender(request_)(request_)

    assert (status, sent, arrived, taken, size) == (0, 0, MILLISECOND, MILLISECOND, 0)
    assert note
    assert note.failure == failure


def test_it_remembers_what_it_was_asked_for(request_: Request):
    wire = FakeWire(ManualClock())
    wire.resolve(request_.origin)
    connection = wire.connect(request_.origin)

    connection.abort()
    connection.close()

    assert wire.resolved == [request_.origin]
    assert (connection.aborted, connection.closed) == (True, True)
