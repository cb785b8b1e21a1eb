"""Replies that nobody asked for, and connections that the server closes without a word: neither meets a request.

The server knows from the kernel that the client's kernel has what it sent: only what could be read before the request
was sent is counted, for what comes later no client can tell from the reply.
"""

from __future__ import annotations

import array
import fcntl
import re
import select
import socket
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, cast

import pytest
import requests

from loadkit import Session
from tests.wire.conftest import Basin, Call, Serve
from tests.wire.peer import OK, Line, chunked, replies, reply

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel in the way of Linux")

FOREIGN = b"/foreign"
GAPS = (0, 20, 100, 1_000)
"""Microseconds from the unasked bytes to the next request."""


def pending(sock: socket.socket) -> int:
    """Bytes that the other end's kernel does not have yet; of a unix socket those that were not read."""
    size = array.array("i", [0])
    fcntl.ioctl(sock, termios.TIOCOUTQ, size)
    return size[0]


def has_left(line: Line, size: int = 0) -> None:
    """Wait until what was sent is with the client's kernel."""
    is_unix = line.sock.family == socket.AF_UNIX
    while not is_unix and pending(line.sock) > size and not line.over.is_set():
        line.over.wait(0.0005)  # its kernel may put the acknowledgement off by 40 ms


def has_ended(line: Line) -> None:
    """Close our half, and wait until the client's kernel knows of it."""
    line.sock.shutdown(socket.SHUT_WR)
    waits_for_the_other_half = 5
    while (
        line.sock.family != socket.AF_UNIX
        and struct.unpack("B", line.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1))[0]
        != waits_for_the_other_half
        and not line.over.is_set()
    ):
        line.over.wait(0.0005)


def spin(microseconds: int) -> None:
    """Wait without giving the processor away, which takes longer than some of these spans."""
    end = time.perf_counter_ns() + microseconds * 1000
    while time.perf_counter_ns() < end:
        pass


class Volunteer:
    """Replies to each request with its target; behind that of /evil it says something nobody asked for."""

    def __init__(self, extra: bytes) -> None:
        self._extra = extra
        self.said = threading.Event()

    def __call__(self, line: Line) -> None:
        while True:
            target = line.request().split()[1]
            line.send(reply(target.ljust(len(FOREIGN))))
            if target == b"/evil":
                line.send(self._extra)
                has_left(line)
                self.said.set()


def by_session(method: str) -> Callable[..., Callable[[str], bytes]]:
    def start(url: str, call: Call, ca: Path) -> Callable[[str], bytes]:
        session = Session(base_url=url, deadline=5)
        session.verify, session.trust_env = str(ca), False
        return lambda path: session.request(method, path, data=b"x" if method == "POST" else None).content

    start.__name__ = f"session {method}"
    return start


def by_requests(url: str, call: Call, ca: Path) -> Callable[[str], bytes]:
    session = requests.Session()
    session.verify, session.trust_env = str(ca), False
    return lambda path: session.get(url + path, timeout=5).content


def by_endpoint(method: str, *, sinks: bool = False) -> Callable[..., Callable[[str], bytes]]:
    def start(url: str, call: Call, ca: Path) -> Callable[[str], bytes]:
        def send(path: str) -> bytes:
            basin = Basin() if sinks else None
            line = b"%b %b HTTP/1.1" % (method.encode(), path.encode())
            payload = line + like.payload[like.payload.index(b"\r\n") :]
            if basin:
                caller.use(replace(like, payload=payload, keep=None, sink=basin))
                outcome = caller.send()
                return basin.bodies[-1] if outcome.status else outcome.message.encode()
            exchange = sender(replace(like, payload=payload))
            note = exchange[-1]
            return note.failure.message.encode() if note and note.failure else caller.connection.reply().content

        caller = call(url, method, check=bool, data=b"x" if method == "POST" else None)
        like = caller.request
        sender = caller.connection.sender(like)
        return send

    start.__name__ = f"endpoint {method}{' into a sink' if sinks else ''}"
    return start


SESSION, ENDPOINT = by_session("GET"), by_endpoint("GET")
OTHERS = (by_session("POST"), by_endpoint("POST"), by_endpoint("GET", sinks=True), by_requests)
by_clients = pytest.mark.parametrize(
    ("start", "over"),
    [*product((SESSION, ENDPOINT), ("tcp", "tls", "unix")), *zip(OTHERS, ("tls", "unix", "tcp", "tcp"), strict=True)],
    indirect=["over"],
    ids=lambda value: getattr(value, "__name__", value),
)
"""What looks at the socket is the same for all of them: the two fast ways look at each kind of socket."""


@by_clients
@pytest.mark.parametrize("rounds", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_a_reply_that_could_be_read_before_the_request_was_sent_is_never_the_requests(
    serve_as: Serve, call: Call, ca_file: Path, rounds: int, over: dict[str, Any], start: Any
):
    volunteer = Volunteer(reply(FOREIGN))
    send = start(serve_as(volunteer, **over).url, call, ca_file)
    found = set()
    for gap in GAPS:
        for _ in range(rounds):
            volunteer.said.clear()
            send("/evil")
            assert volunteer.said.wait(5)
            spin(gap)
            found.add(send("/bank").strip())

    # a request that is not looked out for may fail, but not have what is another's
    failed = {b"the server sent a reply before it was asked", b"%d bytes more than the reply announced" % len(OK)}
    assert b"/bank" in found
    assert found <= {b"/bank"} | (failed if start.__name__ == "endpoint GET" else set())


@pytest.mark.parametrize("over", ["tcp", "unix"])
def test_nor_is_one_that_the_request_follows_too_soon_for_a_look(
    serve_as: Serve, call: Call, tmp_path: Path, over: str
):
    options = {"unix": tmp_path / "s"} if over == "unix" else {}
    caller = call(serve_as(Volunteer(reply(FOREIGN)), **options), check=bool)
    like, connection = caller.request, caller.connection
    evil, bank = (
        replace(like, payload=like.payload.replace(b"GET / ", b"GET %b " % path)) for path in (b"/evil", b"/bank")
    )
    send_evil, send_bank = connection.sender(evil), connection.sender(bank)
    told = r"the server sent a reply before it was asked|\d+ bytes more than the reply announced"
    tried, enough, late = 0, time.monotonic() + 0.2, time.monotonic() + 30
    while tried < 50 and time.monotonic() < (enough if tried else late):
        send_evil(evil)
        channel = cast(Any, connection).http.channel
        # within the 50 us in which a connection with stamps that just had its reply is not looked at
        if channel and any(select.select([channel.sock], [], [], 0)[0] for _ in range(10)):
            tried += 1
            note = send_bank(bank)[-1]
            if note and note.failure:
                assert re.fullmatch(told, note.failure.message)
            else:
                assert connection.reply().content.strip() == b"/bank"
    assert tried


@by_clients
def test_a_connection_that_the_server_has_closed_is_a_reconnect(
    serve_as: Serve, call: Call, ca_file: Path, over: dict[str, Any], start: Any
):
    def answer(line: Line) -> None:
        target = line.request().split()[1]
        line.send(reply(target))
        has_ended(line)
        said.set()
        while line.receive():
            pass

    said = threading.Event()
    peer = serve_as(answer, **over)
    send = start(peer.url, call, ca_file)
    for gap in GAPS:
        for k in range(2):
            said.clear()
            assert send(f"/{k}") == b"/%d" % k
            assert said.wait(5)
            spin(gap)

    assert peer.connections == len(peer.heard) == 2 * len(GAPS)


@pytest.mark.parametrize("more", [b"\r\n", b"\n", b"\r\n\r\n"], ids=repr)
@pytest.mark.parametrize("pieces", [1, 2], ids=["together", "in two"])
def test_an_empty_line_behind_the_last_chunk_ends_the_connection(serve: Serve, ca_file: Path, more: bytes, pieces: int):
    whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"tea")
    parts = [whole + more] if pieces == 1 else [whole[:-2], whole[-2:] + more]
    peer = serve(replies(parts, OK), replies(OK))
    with closing(Session(base_url=peer.url)) as session:
        session.verify, session.trust_env = str(ca_file), False

        assert [session.get("/").content for _ in range(2)] == [b"tea", b"ok"]

    assert peer.connections == 2


@pytest.mark.parametrize("trailers", [b"", b"X-Sum: 1\r\n", b"X-Sum:\r\n"], ids=["none", "one", "an empty one"])
@pytest.mark.parametrize("cut", range(1, 8))
def test_a_body_in_chunks_that_ends_as_it_should_keeps_the_connection(serve_as: Serve, cut: int, trailers: bytes):
    whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"tea", trailers=trailers)
    peer = serve_as(replies([whole[:-cut], whole[-cut:]], OK))
    with closing(Session(base_url=peer.url)) as session:
        session.trust_env = False

        assert [session.get("/").content for _ in range(2)] == [b"tea", b"ok"]

    assert peer.connections == 1
