"""Bodies that go somewhere else piece by piece: a head that came before is held to what a new one is."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from loadkit.wire.base import BrokenExchange, Failure
from loadkit.wire.sockets import HEADS, SocketConnection
from tests.wire.conftest import Call, Caller, Serve
from tests.wire.peer import OK, Line, Script, replies, reply, then_close, then_reset
from tests.wire.test_faults import WRONG, turns


class Basin:
    """A sink that keeps all, or refuses where it is told to."""

    def __init__(self) -> None:
        self.heads: list[tuple[int, dict[bytes, bytes]]] = []
        self.bodies: list[bytes] = []
        self.refuses_head = False
        self.refuses_body = False

    def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        if self.refuses_head:
            raise BrokenExchange(Failure("check", "not this one"))
        self.heads.append((status, dict(headers)))
        self.bodies.append(b"")

    def write(self, data: bytes) -> int:
        if self.refuses_body:
            raise BrokenExchange(Failure("check", "no room"))
        self.bodies[-1] += data
        return 0


def pouring(caller: Caller) -> Basin:
    """Have the bodies of a caller's replies go into a basin from now on."""
    basin = Basin()
    caller.use(replace(caller.request, keep=None, sink=basin))
    return basin


def test_the_same_head_again_brings_its_own_body(serve: Serve, call: Call):
    caller = call(serve(replies(reply(b"tea"), reply(b"pot"), reply(b"cup"))))
    basin = pouring(caller)

    outcomes = caller.sends(3)

    assert basin.bodies == [b"tea", b"pot", b"cup"]
    assert basin.heads == [(200, {b"content-length": b"3"})] * 3
    assert {(outcome.status, outcome.size, outcome.kind) for outcome in outcomes} == {(200, len(reply(b"tea")), "")}


def test_an_empty_body_again_is_no_piece(serve: Serve, call: Call):
    caller = call(serve(replies(reply(b""), reply(b""))))
    basin = pouring(caller)

    assert [outcome.status for outcome in caller.sends(2)] == [200, 200]
    assert basin.bodies == [b"", b""]


def test_a_known_head_whose_body_comes_in_parts(serve: Serve, call: Call):
    whole = reply(b"teapot")
    caller = call(serve(replies(whole, (whole[:-6], b"cup", b"ful"), (whole[:9], whole[9:]), whole)))
    basin = pouring(caller)

    assert [outcome.message for outcome in caller.sends(4)] == [""] * 4
    assert basin.bodies == [b"teapot", b"cupful", b"teapot", b"teapot"]


@turns
@pytest.mark.parametrize("message", WRONG)
def test_what_is_not_sound_does_not_pass_for_a_body(serve: Serve, call: Call, message: bytes, turn: int):
    peer = serve(replies(*[OK] * turn, message), replies(OK))
    caller = call(peer)
    basin = pouring(caller)
    assert [outcome.kind for outcome in caller.sends(turn)] == [""] * turn

    assert caller.send().kind == "protocol"
    assert (caller.send().status, basin.bodies[-1], peer.connections) == (200, b"ok", 2)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (then_close(OK[:-1]), "connection closed after 1 of 2 bytes of the body"),
        (then_close(OK[:-2]), "connection closed after 0 of 2 bytes of the body"),
        (then_reset(OK[:-1]), "connection reset by peer after"),
    ],
)
def test_a_known_head_whose_body_is_cut(serve: Serve, call: Call, script: Script, message: str):
    caller = call(serve(replies(OK, OK, script), replies(OK)))
    basin = pouring(caller)
    caller.sends(2)

    cut = caller.send()

    assert cut.kind == "disconnect"
    assert message in cut.message
    assert (caller.send().status, basin.bodies[-1]) == (200, b"ok")


def test_what_came_before_it_was_asked_for_is_nobodys_body(serve: Serve, call: Call):
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
    caller = call(peer)
    basin = pouring(caller)
    caller.sends(3)
    with asked:
        asked.recv(1)

    outcome = caller.send()

    assert (outcome.status, outcome.connects) == (200, (1, 1))
    assert basin.bodies == [b"ok"] * 4
    assert peer.connections == 2


def test_a_connection_closed_at_rest_is_opened_again(serve: Serve, call: Call):
    peer = serve(replies(OK, then_close(OK)), replies(OK))
    caller = call(peer)
    basin = pouring(caller)

    assert [outcome.message for outcome in caller.sends(3)] == ["", "", ""]
    assert (basin.bodies, peer.connections) == ([b"ok"] * 3, 2)


def test_the_head_of_another_method_is_not_that_of_head(serve: Serve, call: Call):
    caller = call(serve(replies(OK, OK, OK[:-2], OK[:-2], (OK[:-2], b"ok"))))
    basin = pouring(caller)
    caller.sends(2)

    caller.use(replace(caller.request, method="HEAD", keep=None, sink=basin))
    assert [outcome.message for outcome in caller.sends(2)] == ["", ""]
    caller.use(replace(caller.request, keep=None, sink=basin))

    assert caller.send().status == 200
    assert basin.bodies == [b"ok", b"ok", b"", b"", b"ok"]


def test_more_than_its_head_announces_is_no_reply_to_head(serve: Serve, call: Call):
    caller = call(serve(replies(OK, OK, OK)))
    basin = pouring(caller)
    caller.sends(2)

    caller.use(replace(caller.request, method="HEAD", keep=None, sink=basin))

    assert caller.send().message == "2 bytes more than the reply announced"


@turns
@pytest.mark.parametrize("part", ["head", "body"])
def test_a_sink_that_refuses_ends_the_exchange(serve: Serve, call: Call, part: str, turn: int):
    peer = serve(replies(*[OK] * (turn + 1)), replies(OK))
    caller = call(peer)
    basin = pouring(caller)
    caller.sends(turn)
    setattr(basin, f"refuses_{part}", True)

    refused = caller.send()
    basin.refuses_head = basin.refuses_body = False

    assert (refused.kind, refused.status) == ("check", 0)
    assert refused.note
    assert refused.note.failure
    assert refused.note.failure.headed
    assert (caller.send().status, peer.connections) == (200, 2)


def test_a_known_head_that_does_not_come_again_in_time(serve: Serve, call: Call):
    def fall_silent(line: Line) -> None:
        for _ in range(3):
            line.request()
            line.send(OK)
        line.request()
        line.stall()

    caller = call(serve(fall_silent, replies(OK)), timeout=0.3)
    basin = pouring(caller)
    caller.sends(3)

    silent = caller.send()

    assert (silent.kind, silent.message) == ("timeout", "no whole reply within 0.3 s")
    assert (caller.send().status, basin.bodies[-1]) == (200, b"ok")


def test_a_few_heads_are_kept_and_no_more(serve: Serve, call: Call):
    dated = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: %d\r\n\r\nok" % number for number in range(3 * HEADS)]
    caller = call(serve(replies(*dated)))
    basin = pouring(caller)

    assert [outcome.status for outcome in caller.sends(len(dated))] == [200] * len(dated)
    assert [headers[b"x"] for _, headers in basin.heads] == [b"%d" % number for number in range(len(dated))]
    connection = caller.connection
    assert isinstance(connection, SocketConnection)
    assert 0 < len(connection.heads) <= HEADS
