"""Ending an exchange from another thread: at once, for good, and without a second try."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.wire.conftest import Call, Caller, Outcome, Serve
from tests.wire.peer import OK, Line, replies


@contextmanager
def sending(caller: Caller) -> Iterator[list[Outcome]]:
    """A thread that sends once; its outcome is there after the block."""
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(caller.send()))
    thread.start()
    yield outcomes
    began = time.monotonic()
    thread.join(10)
    assert time.monotonic() - began < 1
    assert not thread.is_alive()


@pytest.mark.parametrize("turn", [0, 4], ids=["first", "repeated"])
@pytest.mark.parametrize("part", [b"", OK[:10], OK[:-1]], ids=["before the reply", "in the head", "in the body"])
def test_a_blocked_receive_ends_and_is_not_tried_again(serve: Serve, call: Call, turn: int, part: bytes):
    def silent(line: Line) -> None:
        line.send(part)
        asked.set()
        line.stall()

    asked = threading.Event()
    peer = serve(replies(*[OK] * turn, silent))
    caller = call(peer, timeout=30)
    caller.sends(turn)

    with sending(caller) as outcomes:
        assert asked.wait(5)
        caller.connection.abort()

    assert outcomes[0].kind == "disconnect"
    assert peer.connections == 1


@pytest.mark.parametrize("turn", [0, 4], ids=["first", "repeated"])
def test_a_blocked_send_ends(serve: Serve, call: Call, turn: int):
    def deaf(line: Line) -> None:
        for _ in range(turn):
            line.request()
            line.send(OK)
        began.append(line.receive())
        line.stall()

    began: list[bytes] = []
    caller = call(serve(deaf), timeout=30)
    caller.sends(turn)
    large = call(caller.request.url, "PUT", data=bytes(5_000_000), timeout=30).request
    caller.use(large)

    with sending(caller) as outcomes:
        while not began:
            time.sleep(0.001)
        caller.connection.abort()

    assert outcomes[0].kind in ("send", "disconnect")


def test_a_blocked_connect_ends(call: Call):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        caller = call(f"http://127.0.0.1:{full.getsockname()[1]}", timeout=30)

        with sending(caller) as outcomes:
            # it is in its call by then, or will find that it must not begin
            time.sleep(0.05)
            caller.connection.abort()

        assert outcomes[0].kind == "connect"
        for filler in fillers:
            filler.close()


def test_a_blocked_handshake_ends(serve_as: Serve, call: Call):
    accepted = threading.Event()

    def silent(line: Line) -> None:
        accepted.set()
        line.stall()

    caller = call(serve_as(silent).url.replace("http:", "https:"), timeout=30)

    with sending(caller) as outcomes:
        assert accepted.wait(5)
        caller.connection.abort()

    assert outcomes[0].kind in ("tls", "connect")


def test_nothing_is_sent_on_a_connection_that_was_aborted(serve: Serve, call: Call):
    peer = serve(replies(OK))
    caller = call(peer)
    caller.sends(2)

    caller.connection.abort()

    assert {outcome.kind for outcome in caller.sends(3)} <= {"send", "disconnect"}
    assert (peer.connections, len(peer.heard)) == (1, 2)


def test_a_connection_may_be_aborted_at_any_time_by_several(serve: Serve, call: Call):
    caller = call(serve(replies(OK)))
    caller.connection.abort()
    assert caller.connection.open().failure.message == "aborted"

    caller.connection.close()
    caller.connection.abort()
    caller.connection.abort()
    caller.connection.close()
