"""Sessions and connections over bytes in memory: what they make of replies, however these come, and of time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from itertools import count, pairwise

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as some

from loadkit import Endpoint, Scenario, Session
from loadkit.clock import ManualClock
from loadkit.plan.units import MILLISECOND, SECOND
from loadkit.wire.encode import encode
from loadkit.wire.fake_network import Arrival, FakeNetwork, Piece, Serve
from loadkit.wire.sockets import SocketWire
from tests.wire.peer import OK, chunked, reply

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def session(network: FakeNetwork, clock: ManualClock) -> Session:
    made = Session(base_url="http://shop.test", resolver=network, clock=clock)
    made.trust_env = False
    return made


def at_once(*replies: bytes) -> Serve:
    """The replies in turn, the last one again and again, each in one piece."""
    turns = count()
    return lambda _: [replies[min(next(turns), len(replies) - 1)]]


@given(
    some.sampled_from(
        [
            (reply(b"a cup of tea", "X: 1"), b"a cup of tea"),
            (b"HTTP/1.1 100 Go on\r\n\r\n" + reply(b"tea"), b"tea"),
            (CHUNKED + chunked(b"some", b"thing", extension=b";a=b", trailers=b"X: 1\r\n"), b"something"),
        ]
    ),
    some.lists(some.lists(some.integers(1, 999), max_size=5), min_size=4, max_size=4),
)
def test_a_reply_may_be_split_at_any_byte_by_whoever_it_is_read(asked: tuple[bytes, bytes], places: list[list[int]]):
    message, body = asked
    turns = count()

    def serve(_: bytes) -> Iterable[Piece]:
        at = places[next(turns) % len(places)]
        cuts = [0, *sorted({place % len(message) for place in at} - {0}), len(message)]
        return [message[start:end] for start, end in pairwise(cuts)]

    clock = ManualClock()
    network = FakeNetwork(clock, serve)
    scenario = Scenario(base_url="http://shop.test", endpoints=[Endpoint("GET", "/")])
    endpoint = Endpoint("GET", "/", check=bool)
    request = encode(endpoint, scenario)
    connection = SocketWire(clock, scenario, network).connect(request.origin)
    send = connection.sender(request)
    http = session(network, clock)

    for _ in range(4):
        status, *_, note = send(request)
        assert (status, note.failure if note else None, connection.reply().content) == (200, None, body)
        assert http.get("/").content == body
        assert b"".join(http.get("/", stream=True).iter_content(3)) == body

    assert len(network.sockets) == 2


def test_times_are_those_of_the_clock():
    clock = ManualClock()

    def serve(_: bytes) -> Iterator[Piece]:
        clock.advance(3 * MILLISECOND)
        yield OK[:5]
        clock.advance(4 * MILLISECOND)
        yield OK[5:]

    observed: list[tuple[int, int]] = []
    http = session(FakeNetwork(clock, serve), clock)
    http.observe = lambda asked, exchange, size: observed.append((exchange[2] - exchange[1], exchange[0]))

    for _ in range(3):
        assert http.get("/").elapsed.total_seconds() == pytest.approx(0.007)
    assert observed == [(7 * MILLISECOND, 200)] * 3


def test_what_does_not_come_is_a_timeout_and_nobody_waits():
    clock = ManualClock()
    network = FakeNetwork(clock, lambda request: [OK] if request.startswith(b"GET /tea") else [OK[:-1]])
    http = session(network, clock)
    began = clock.now()

    for _ in range(2):
        assert http.get("/tea").ok
        with pytest.raises(requests.ReadTimeout, match=r"within 2 s, 39 bytes of the reply had come"):
            http.get("/other", deadline="2s")

    assert clock.now() - began == pytest.approx(4 * SECOND, rel=0.01)
    assert [made.is_closed for made in network.sockets] == [True, True]


HELD_UP = [
    pytest.param([(b"tea", -1)], "", id="it came in time"),
    pytest.param([(b"t", -3), (b"e", -2), (b"a", -1)], "", id="it came in time, in parts"),
    pytest.param([(b"tea", 1)], "timeout", id="it came too late"),
    pytest.param([(b"te", -1), (b"a", 1)], "timeout", id="its end came too late"),
    pytest.param([], "timeout", id="it did not come"),
    pytest.param([(b"tea", None)], "", id="it was there, when it came is not known"),
    pytest.param([(b"te", None), (b"a", None)], "timeout", id="it went on, when is not known"),
]


@pytest.mark.parametrize(("parts", "kind"), HELD_UP)
def test_what_came_before_the_deadline_and_is_read_after_it_came_in_time(
    parts: list[tuple[bytes, int | None]], kind: str
):
    clock = ManualClock()

    def serve(_: bytes) -> Iterator[Piece]:
        began, deadline = clock.now(), clock.now() + 2 * SECOND
        clock.advance(5 * SECOND)
        yield Arrival(reply(b"tea")[:-3], began)
        for data, at in parts:
            yield Arrival(data, at if at is None else deadline + at * MILLISECOND)

    network = FakeNetwork(clock, serve)
    endpoint = Endpoint("GET", "/", check=bool)
    scenario = Scenario(base_url="http://shop.test", endpoints=[endpoint], timeout=2)
    request = encode(endpoint, scenario)
    connection = SocketWire(clock, scenario, network).connect(request.origin)

    status, sent, arrived, taken, _, note = connection.sender(request)(request)

    assert (note.failure.kind if note and note.failure else "") == kind
    assert taken - sent == 5 * SECOND
    if not kind:
        assert (status, connection.reply().content) == (200, b"tea")
        assert arrived == (taken if parts[-1][1] is None else sent + 2 * SECOND - MILLISECOND)
    http = session(network, clock)
    pieces = http.get("/", stream=True, deadline="2s").iter_content(1)
    with pytest.raises(requests.ConnectionError) if kind else nullcontext():
        assert b"".join(pieces) == b"tea"


def test_a_redirect_is_followed_with_the_cookies_that_came_with_it():
    asked: list[bytes] = []

    def serve(request: bytes) -> Iterable[Piece]:
        asked.append(request)
        if request.startswith(b"GET /in "):
            return [reply(b"", "Location: /home", "Set-Cookie: id=7; Path=/", status="302 Found")]
        return [OK]

    clock = ManualClock()
    http = session(FakeNetwork(clock, serve), clock)

    for _ in range(3):
        landed = http.get("/in")
        assert (landed.url, [one.status_code for one in landed.history]) == ("http://shop.test/home", [302])
    assert [b"Cookie: id=7\r\n" in request for request in asked] == [False, True, True, True, True, True]


@pytest.mark.parametrize("end", [b"", ConnectionResetError(104, "Connection reset by peer")], ids=["close", "reset"])
def test_what_met_a_closed_connection_is_sent_once_more_if_that_does_no_harm(end: Piece):
    clock = ManualClock()
    turns = count()
    network = FakeNetwork(clock, lambda _: [end] if next(turns) in (3, 5) else [OK])
    http = session(network, clock)

    assert [http.get("/").status_code for _ in range(4)] == [200] * 4
    with pytest.raises(requests.ConnectionError):
        http.post("/", data="x")

    assert [len(made.requests) for made in network.sockets] == [4, 2]


def test_bytes_that_nobody_asked_for_are_nobodys_reply():
    clock = ManualClock()
    network = FakeNetwork(clock, lambda request: [reply(request.split()[1]), reply(b"not asked for")])
    http = session(network, clock)

    assert [http.get(path).text for path in ("/a", "/b", "/a", "/b")] == ["/a", "/b", "/a", "/b"]
    assert len(network.sockets) == 4


def test_what_is_aborted_sends_no_more():
    clock = ManualClock()
    network = FakeNetwork(clock, at_once(OK))
    http = session(network, clock)
    assert http.get("/").ok
    http.abort()

    with pytest.raises(requests.ConnectionError):
        http.get("/")
    assert [len(made.requests) for made in network.sockets] == [1]
