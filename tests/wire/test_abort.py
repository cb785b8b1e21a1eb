"""Ending an exchange from another thread: at once, for good, and without a second try."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from loadkit import Session
from loadkit.clock import SystemClock
from loadkit.plan.units import SECOND
from loadkit.wire.base import Origin
from loadkit.wire.connect import Address, open_channel
from loadkit.wire.connection import HttpConnection
from loadkit.wire.session.adapter import WireAdapter
from loadkit.wire.sockets import SocketConnection
from tests.wire.conftest import Call, Caller, Outcome, Serve
from tests.wire.peer import OK, Line, full, replies


@contextmanager
def sending(caller: Caller) -> Iterator[list[Outcome]]:
    """A thread that sends once; its outcome is there after the block."""
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(caller.send()))
    thread.start()
    yield outcomes
    # a third of the timeout
    thread.join(10)
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
    with full() as (_, port):
        caller = call(f"http://127.0.0.1:{port}", timeout=30)

        with sending(caller) as outcomes:
            # it is in its call by then, or will find that it must not begin
            time.sleep(0.05)
            caller.connection.abort()

        assert outcomes[0].kind in ("connect", "disconnect")


def test_a_blocked_handshake_ends(serve_as: Serve, call: Call):
    accepted = threading.Event()

    def silent(line: Line) -> None:
        accepted.set()
        line.stall()

    caller = call(serve_as(silent).url.replace("http:", "https:"), timeout=30)

    with sending(caller) as outcomes:
        assert accepted.wait(5)
        caller.connection.abort()

    # the server may have accepted before we know that we are connected
    assert outcomes[0].kind in ("tls", "connect", "disconnect")


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


class AbortingClock(SystemClock):
    """A clock that has the connection aborted when it is asked for the nth time."""

    __slots__ = ("abort", "left", "real")

    def __init__(self, nth: int) -> None:
        super().__init__()
        self.left, self.real, self.now = nth, self.now, self.tell
        self.abort: Callable[[], None] = lambda: None

    def tell(self) -> int:
        self.left -= 1
        if not self.left:
            self.abort()
        return self.real()


def made(addresses: list[Address], clock: SystemClock, unix: str | None = None) -> SocketConnection:
    """A connection to a host with these addresses, which would be waited for a long time."""
    origin = Origin("http", "here", 80, unix)
    opened = partial(open_channel, origin, addresses, None, clock)
    return SocketConnection(HttpConnection(origin, opened, clock), 20 * SECOND)


@pytest.mark.parametrize("nth", range(1, 5))
def test_a_connection_that_is_aborted_at_any_moment_of_its_opening_is_not_made(nth: int):
    with full() as address:
        clock = AbortingClock(nth)
        connection = made([(socket.AF_INET, address)], clock)
        clock.abort = connection.abort
        began = time.monotonic()
        if nth == 4:  # it has begun to wait by then, and nobody asks for the time
            threading.Timer(0.2, connection.abort).start()

        note = connection.open()

        assert note.failure is not None
        assert time.monotonic() - began < 5


def test_one_that_is_aborted_does_not_go_on_to_the_next_address():
    with full() as first, full() as second:
        connection = made([(socket.AF_INET, first), (socket.AF_INET, second)], SystemClock())
        began = time.monotonic()
        threading.Timer(0.2, connection.abort).start()

        note = connection.open()

        assert note.failure is not None
        assert time.monotonic() - began < 5


def test_one_to_a_unix_socket_whose_queue_is_full_is_aborted_too(tmp_path: Path):
    with full(tmp_path / "s") as path:
        connection = made([(socket.AF_UNIX, path)], SystemClock(), unix=path)
        began = time.monotonic()
        threading.Timer(0.2, connection.abort).start()

        note = connection.open()

        assert note.failure is not None
        assert time.monotonic() - began < 5


def test_streams_are_aborted_while_their_thread_begins_and_ends_others(serve_as: Serve):
    def endless(line: Line) -> None:
        while line.request():
            line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n")

    url = serve_as(endless).url
    http = Session(base_url=url)
    kept = [http.get("/", stream=True) for _ in range(100)]
    adapter = http.get_adapter(url)
    assert isinstance(adapter, WireAdapter)
    (connection,) = adapter.pool.connections()
    over, found = threading.Event(), list[BaseException]()

    def look() -> None:
        while not over.is_set():
            try:
                connection.lent()
            except RuntimeError as error:
                found.append(error)

    looking = threading.Thread(target=look)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    looking.start()
    for _ in range(60):
        http.get("/", stream=True).close()
    over.set()
    looking.join()
    sys.setswitchinterval(before)

    assert not found
    assert len(connection.lent()) == 100
    for reply in kept:
        reply.close()
