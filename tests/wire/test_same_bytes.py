"""The same bytes are the same replies, whether the extension, Python or the long way receives them, however split."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from loadkit import Endpoint, Scenario
from loadkit.clock import SystemClock
from loadkit.wire.attempt import complete
from loadkit.wire.base import Request, Send
from loadkit.wire.connection import HttpConnection
from loadkit.wire.encode import encode
from loadkit.wire.extension import EXTENSION
from loadkit.wire.fast import native_sender, python_sender
from loadkit.wire.head_pattern import match_head, pattern_of
from loadkit.wire.sockets import SocketWire
from tests.wire.conftest import Serve, needs_extension
from tests.wire.peer import OK, Gone, Line, chunked, reply


def by_extension(connection: HttpConnection, request: Request) -> Send:
    assert EXTENSION
    return native_sender(connection, request, EXTENSION.exchange)


def the_long_way(connection: HttpConnection, _: Request) -> Send:
    return lambda request: complete(connection, request)


WAYS: list[Callable[[HttpConnection, Request], Send]] = [by_extension, python_sender, the_long_way]

DATED = [reply(body, "Date: then", f"X-Id: {body.decode()}") for body in (b"", b"0", b"other", b"x" * 3000)]
WHOLE = [
    OK,
    *DATED,
    reply(b"other"),
    reply(b"", status="404 Not Found"),
    reply(b"x" * 3000, status="500 Oops"),
    chunked(b"ab", b"c"),
]
BROKEN = [
    reply(b"", "Date: then", "X-Id: \x01"),
    reply(b"0", "Date: then", "X-Id: 0\n"),
    reply(b"0", "Date: then", "X-Id: \r\n"),
    reply(b"0", "Date: then", "X-Id: 0", "Connection: close"),
    DATED[3][:-1],
    DATED[1] + b"!",
    b"",
    b"\0",
    OK[:-1],
    OK[:20],
    OK + b"!",
    OK + OK,
    b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    b"220 mail\r\n\r\n",
]


@some.composite
def dialogues(draw: Callable[..., Any]) -> list[list[bytes]]:
    """Replies in pieces; behind one that is broken the connection is closed."""
    whole = some.sampled_from([OK, OK, OK, *DATED, *WHOLE, *BROKEN])
    replies = draw(some.lists(whole | some.binary(max_size=60), max_size=6))
    pieces = []
    for one in replies:
        cuts = sorted(draw(some.lists(some.integers(0, len(one)), max_size=2)))
        pieces.append([one[a:b] for a, b in zip([0, *cuts], [*cuts, len(one)], strict=True) if a < b])
    return pieces


class Answers:
    """A server whose replies are set anew for each client."""

    def __init__(self, serve_as: Serve) -> None:
        self.url = serve_as(self._answer).url
        self._replies: Iterator[list[bytes]] = iter(())

    def begin(self, replies: Sequence[list[bytes]]) -> None:
        self._replies = iter(replies)

    def _answer(self, line: Line) -> None:
        while True:
            line.request()
            pieces = next(self._replies, [])
            line.send(*pieces)
            if b"".join(pieces) not in WHOLE:
                line.close()
                raise Gone


class Client:
    def __init__(self, url: str, keep: int | None, way: Callable[[HttpConnection, Request], Send]) -> None:
        def check(_: object) -> None:
            """Has the body kept."""

        endpoint = Endpoint("GET", "/", check=None if keep is None else check)
        scenario = Scenario(base_url=url, endpoints=[endpoint], timeout=5.0, body_limit=keep or 1)
        self.request = encode(endpoint, scenario)
        self.connection = SocketWire(SystemClock(), scenario).open_connection(self.request.origin)
        self._send = way(self.connection, self.request)

    def send(self) -> tuple[object, ...]:
        """What a user sees of an exchange, but for its times."""
        self.connection.last = (None, b"", b"", False)
        status, sent, arrived, taken, size, note = self._send(self.request)
        assert sent <= arrived <= taken
        failure = note.failure if note else None
        return status, size, failure, note and (note.connects, note.reconnects), self.connection.last[1:]


@pytest.fixture
def answers(serve_as: Serve) -> Answers:
    return Answers(serve_as)


@needs_extension
@pytest.mark.parametrize("keep", [None, 2, 100_000], ids=["not kept", "kept in part", "kept"])
def test_each_way_finds_the_same(answers: Answers, keep: int | None):
    @given(dialogues())
    def find(replies: list[list[bytes]]) -> None:
        found = []
        for way in WAYS:
            answers.begin(replies)
            client = Client(answers.url, keep, way)
            found.append([client.send() for _ in replies])
            client.connection.close()
        assert found[0] == found[1] == found[2]

    find()


# -- heads that mean the same

NGINX = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sat, 28 Nov 2026 16:00:00 GMT\r\nContent-Type: application/json\r\n"
    b"Content-Length: 53\r\nConnection: keep-alive\r\nX-Request-Id: 4cb97f9aa8d3\r\n\r\n"
)


@pytest.mark.parametrize(
    ("head", "is_alike"),
    [
        (NGINX.replace(b"16:00:00", b"16:00:01"), True),
        (NGINX.replace(b"4cb97f9aa8d3", b""), True),
        (NGINX.replace(b"4cb97f9aa8d3", "é: \t".encode()), True),
        (NGINX.replace(b"Length: 53", b"Length: 053"), True),
        (NGINX.replace(b"Length: 53", b"Length: 52"), False),  # which is not what came
        (NGINX.replace(b"Length: 53", b"Length: +53"), False),
        (NGINX.replace(b"Length: 53", b"Length: "), False),
        (NGINX.replace(b"Length: 53", b"Length: " + b"0" * 17 + b"53"), False),
        (NGINX.replace(b"200 OK", b"201 OK"), False),
        (NGINX.replace(b"keep-alive", b"close"), False),
        (NGINX.replace(b"4cb97f9aa8d3", b"a\r\nTransfer-Encoding: chunked"), False),
        (NGINX.replace(b"4cb97f9aa8d3", b"a\n"), False),
        (NGINX.replace(b"4cb97f9aa8d3", b"a\r"), False),
        (NGINX.replace(b"4cb97f9aa8d3", b"a\0"), False),
        (NGINX.replace(b"4cb97f9aa8d3", b"a\x7f"), False),
        (NGINX.replace(b"X-Request-Id", b"X-Request-ID"), False),
    ],
)
def test_a_head_with_other_values_means_the_same_where_they_say_nothing_of_its_end(head: bytes, is_alike: bool):
    assert match_head(pattern_of(NGINX, "GET"), head + b"x" * 53) == (len(head) if is_alike else 0)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nX-A: a\r\n goes on\r\nContent-Length: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\nX-A: a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: \x01\r\nContent-Length: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A\r\nContent-Length: 1\r\n\r\n",
    ],
)
def test_a_head_that_is_odd_has_no_pattern(head: bytes):
    assert pattern_of(head, "GET") == b""
    assert match_head(b"", head) == 0


def test_a_reply_without_a_body_may_announce_any():
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 53\r\n\r\n"
    pattern = pattern_of(head, "HEAD")
    assert match_head(pattern, head.replace(b"53", b"1000"))
    assert not match_head(pattern, head + b"x" * 53)


@needs_extension
def test_the_extension_finds_the_same_heads_alike(pair: tuple[socket.socket, socket.socket]):
    one, other = pair

    @given(some.sampled_from([NGINX, NGINX[:-1], NGINX * 2]), some.integers(0, 220), some.binary(max_size=3))
    def find(head: bytes, at: int, changed: bytes) -> None:
        data = head[:at] + changed + head[at + len(changed) :] + b"x" * 53
        answering = threading.Thread(target=lambda: other.recv(3) and other.sendall(data))
        answering.start()
        assert EXTENSION
        known = NGINX, len(NGINX) + 53, 200, 10, pattern_of(NGINX, "GET")
        exchange, found, body, is_cut = EXTENSION.exchange(one.fileno(), b"abc", known, offset, 1 << 62)
        answering.join()
        expected = match_head(known[4], data)
        assert (len(found) if exchange else 0) == expected
        if exchange:
            assert (found, body, is_cut) == (data[:expected], data[expected:][:10], True)

    offset = SystemClock().wall_offset
    find()


# -- the function itself


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection over TCP, which is stamped."""
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()) as one:
        one.setsockopt(socket.SOL_SOCKET, 35, 1)
        other, _ = listening.accept()
        with other:
            yield one, other


@needs_extension
@pytest.mark.parametrize(
    "given",
    [
        (),
        (0, b"", None, 0),
        ("0", b"", None, 0, 0),
        (0, "text", None, 0, 0),
        (0, b"", (b"", 1, 200, -1), 0, 0),
        (0, b"", ("", 1, 200, -1, b""), 0, 0),
        (0, b"", (b"", "1", 200, -1, b""), 0, 0),
        (0, b"", (b"", 1, 200, "-1", b""), 0, 0),
        (0, b"", (b"", 1, 200, -1, ""), 0, 0),
        (0, b"", [b"", 1, 200, -1, b""], 0, 0),
        (0, b"", None, 1 << 70, 0),
        (1 << 70, b"", None, 0, 0),
    ],
)
def test_what_it_cannot_take_is_refused(given: Any):
    assert EXTENSION
    with pytest.raises((TypeError, OverflowError)):
        EXTENSION.exchange(*given)


@needs_extension
def test_a_descriptor_that_is_none_is_told_by_its_error(pair: tuple[socket.socket, socket.socket]):
    assert EXTENSION
    assert EXTENSION.exchange(-1, b"GET", None, 0, 0)[0] is None


@needs_extension
def test_a_head_longer_than_its_reply_is_not_known(pair: tuple[socket.socket, socket.socket]):
    assert EXTENSION
    one, other = pair
    answering = threading.Thread(target=lambda: other.sendall(other.recv(100)))
    answering.start()
    exchange, found, _, _ = EXTENSION.exchange(one.fileno(), b"abc", (b"abcdef", 3, 200, 10, b"abc"), 0, 1 << 62)
    answering.join()
    assert exchange is None
    assert found[2] == b"abc"


@needs_extension
def test_a_signal_is_seen_while_it_waits(pair: tuple[socket.socket, socket.socket]):
    assert EXTENSION
    seen: list[float] = []

    class Interruption(Exception):
        pass

    def interrupt(*_: object) -> None:
        seen.append(time.monotonic())
        raise Interruption

    before = signal.signal(signal.SIGUSR1, interrupt)
    sent: list[float] = []

    def signal_it() -> None:
        sent.append(time.monotonic())
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    timer = threading.Timer(0.1, signal_it)
    timer.start()
    try:
        with pytest.raises(Interruption):
            EXTENSION.exchange(pair[0].fileno(), b"abc", None, 0, 1 << 62)
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert seen[0] - sent[0] < 5


@needs_extension
def test_a_signal_whose_handler_returns_ends_nothing(pair: tuple[socket.socket, socket.socket]):
    assert EXTENSION
    one, other = pair
    before = signal.signal(signal.SIGUSR1, lambda *_: other.sendall(b"answer"))
    timer = threading.Timer(0.1, signal.pthread_kill, [threading.main_thread().ident or 0, signal.SIGUSR1])
    timer.start()
    try:
        found = EXTENSION.exchange(one.fileno(), b"abc", None, 0, 1 << 62)[1]
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert found[2] == b"answer"
    # not sent a second time
    assert other.recv(100) == b"abc"


@needs_extension
def test_a_child_of_a_fork_exchanges_too(pair: tuple[socket.socket, socket.socket]):
    assert EXTENSION
    one, other = pair
    child = os.fork()
    if not child:
        threading.Thread(target=lambda: other.sendall(other.recv(100))).start()
        found = EXTENSION.exchange(one.fileno(), b"abc", None, 0, 1 << 62)[1]
        os._exit(0 if found[2] == b"abc" else 1)
    assert os.waitpid(child, 0)[1] == 0
