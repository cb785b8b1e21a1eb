"""Bodies that go somewhere else piece by piece: a head that came before is held to what a new one is."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from loadkit import Endpoint, Scenario
from loadkit.clock import SystemClock
from loadkit.fetcher.connections import HEADS, FetchConnection
from loadkit.wire.encode import encode
from loadkit.wire.sockets import SocketWire
from tests.wire.conftest import Basin, Outcome
from tests.wire.peer import OK, Line, Peer, Script, replies, reply, then_close, then_reset
from tests.wire.test_faults import OVER_SOCKETS, WRONG, turns

Serve = Callable[..., Peer]
Fetching = Callable[..., "Fetcher"]


class Fetcher:
    """One connection on which the same request is sent, again and again, its replies' bodies going into a basin."""

    def __init__(self, target: Peer, timeout: float = 5.0) -> None:
        endpoint = Endpoint("GET", "/")
        scenario = Scenario(base_url=target.url, endpoints=[endpoint], timeout=timeout)
        wire = SocketWire(SystemClock(), scenario)
        request = encode(endpoint, scenario)
        self.payload = request.payload
        self.basin = Basin()
        wire.resolve(request.origin)
        self.connection = FetchConnection(wire.open_connection(request.origin), request.timeout)

    def send(self, method: str = "GET") -> Outcome:
        return Outcome(*self.connection.send(method, self.payload, self.basin))

    def sends(self, times: int, method: str = "GET") -> list[Outcome]:
        return [self.send(method) for _ in range(times)]


@pytest.fixture
def serve() -> Iterator[Callable[..., Peer]]:
    """Makes servers that end with the test."""
    with ExitStack() as stack:

        def start(*scripts: Script) -> Peer:
            peer = Peer(*scripts)
            stack.callback(peer.close)
            return peer

        yield start


@pytest.fixture
def fetcher() -> Iterator[Callable[..., Fetcher]]:
    """Makes fetchers whose connections are closed after the test."""
    with ExitStack() as stack:

        def start(target: Peer, timeout: float = 5.0) -> Fetcher:
            made = Fetcher(target, timeout)
            stack.callback(made.connection.http.close)
            return made

        yield start


def test_the_same_head_again_brings_its_own_body(serve: Serve, fetcher: Fetching):
    fetching = fetcher(serve(replies(reply(b"tea"), reply(b"pot"), reply(b"cup"))))
    basin = fetching.basin

    outcomes = fetching.sends(3)

    assert basin.bodies == [b"tea", b"pot", b"cup"]
    assert basin.heads == [(200, {b"content-length": b"3"})] * 3
    assert {(outcome.status, outcome.size, outcome.kind) for outcome in outcomes} == {(200, len(reply(b"tea")), "")}


def test_an_empty_body_again_is_no_piece(serve: Serve, fetcher: Fetching):
    fetching = fetcher(serve(replies(reply(b""), reply(b""))))
    basin = fetching.basin

    assert [outcome.status for outcome in fetching.sends(2)] == [200, 200]
    assert basin.bodies == [b"", b""]


def test_a_known_head_whose_body_comes_in_parts(serve: Serve, fetcher: Fetching):
    whole = reply(b"teapot")
    fetching = fetcher(serve(replies(whole, (whole[:-6], b"cup", b"ful"), (whole[:9], whole[9:]), whole)))
    basin = fetching.basin

    assert [outcome.message for outcome in fetching.sends(4)] == [""] * 4
    assert basin.bodies == [b"teapot", b"cupful", b"teapot", b"teapot"]


@turns
@pytest.mark.parametrize("message", [one for one in WRONG if one.id in OVER_SOCKETS])
def test_what_is_not_sound_does_not_pass_for_a_body(serve: Serve, fetcher: Fetching, message: bytes, turn: int):
    peer = serve(replies(*[OK] * turn, message), replies(OK))
    fetching = fetcher(peer)
    basin = fetching.basin
    assert [outcome.kind for outcome in fetching.sends(turn)] == [""] * turn

    assert fetching.send().kind == "protocol"
    assert (fetching.send().status, basin.bodies[-1], peer.connections) == (200, b"ok", 2)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (then_close(OK[:-1]), "connection closed after 1 of 2 bytes of the body"),
        (then_close(OK[:-2]), "connection closed after 0 of 2 bytes of the body"),
        (then_reset(OK[:-1]), "connection reset by peer after"),
    ],
)
def test_a_known_head_whose_body_is_cut(serve: Serve, fetcher: Fetching, script: Script, message: str):
    fetching = fetcher(serve(replies(OK, OK, script), replies(OK)))
    basin = fetching.basin
    fetching.sends(2)

    cut = fetching.send()

    assert cut.kind == "disconnect"
    assert message in cut.message
    assert (fetching.send().status, basin.bodies[-1]) == (200, b"ok")


def test_what_came_before_it_was_asked_for_is_nobodys_body(serve: Serve, fetcher: Fetching):
    def blurt(line: Line) -> None:
        for _ in range(3):
            line.request()
            line.send(OK)
        line.until_read()
        line.send(reply(b"no"))
        told.close()
        line.stall()

    asked, told = socket.socketpair()
    peer = serve(blurt, replies(OK))
    fetching = fetcher(peer)
    basin = fetching.basin
    fetching.sends(3)
    with asked:
        asked.recv(1)

    outcome = fetching.send()

    assert (outcome.status, outcome.connects) == (200, (1, 1))
    assert basin.bodies == [b"ok"] * 4
    assert peer.connections == 2


def test_a_connection_closed_at_rest_is_opened_again(serve: Serve, fetcher: Fetching):
    peer = serve(replies(OK, then_close(OK)), replies(OK))
    fetching = fetcher(peer)
    basin = fetching.basin

    assert [outcome.message for outcome in fetching.sends(3)] == ["", "", ""]
    assert (basin.bodies, peer.connections) == ([b"ok"] * 3, 2)


def test_the_head_of_another_method_is_not_that_of_head(serve: Serve, fetcher: Fetching):
    fetching = fetcher(serve(replies(OK, OK, OK[:-2], OK[:-2], (OK[:-2], b"ok"))))
    basin = fetching.basin
    fetching.sends(2)

    assert [outcome.message for outcome in fetching.sends(2, "HEAD")] == ["", ""]

    assert fetching.send().status == 200
    assert basin.bodies == [b"ok", b"ok", b"", b"", b"ok"]


def test_more_than_its_head_announces_is_no_reply_to_head(serve: Serve, fetcher: Fetching):
    fetching = fetcher(serve(replies(OK, OK, OK)))
    fetching.sends(2)

    assert fetching.send("HEAD").message == "2 bytes more than the reply announced"


@turns
@pytest.mark.parametrize("part", ["head", "body"])
def test_a_sink_that_refuses_ends_the_exchange(serve: Serve, fetcher: Fetching, part: str, turn: int):
    peer = serve(replies(*[OK] * (turn + 1)), replies(OK))
    fetching = fetcher(peer)
    basin = fetching.basin
    fetching.sends(turn)
    setattr(basin, f"refuses_{part}", True)

    refused = fetching.send()
    basin.refuses_head = basin.refuses_body = False

    assert (refused.kind, refused.status) == ("check", 0)
    assert refused.note
    assert refused.note.failure
    assert refused.note.failure.headed
    assert (fetching.send().status, peer.connections) == (200, 2)


def test_a_known_head_that_does_not_come_again_in_time(serve: Serve, fetcher: Fetching):
    def fall_silent(line: Line) -> None:
        for _ in range(3):
            line.request()
            line.send(OK)
        line.request()
        line.stall()

    fetching = fetcher(serve(fall_silent, replies(OK)), timeout=0.3)
    basin = fetching.basin
    fetching.sends(3)

    silent = fetching.send()

    assert (silent.kind, silent.message) == ("timeout", "no whole reply within 0.3 s")
    assert (fetching.send().status, basin.bodies[-1]) == (200, b"ok")


def test_more_heads_than_are_kept_bring_their_own_bodies(serve: Serve, fetcher: Fetching):
    dated = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: %d\r\n\r\nok" % number for number in range(3 * HEADS)]
    fetching = fetcher(serve(replies(*dated)))
    basin = fetching.basin

    assert [outcome.status for outcome in fetching.sends(len(dated))] == [200] * len(dated)
    assert [headers[b"x"] for _, headers in basin.heads] == [b"%d" % number for number in range(len(dated))]
