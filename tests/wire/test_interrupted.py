"""An exchange that an exception interrupts: its connection ends with it, and no later request gets its reply."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import cycle, islice, product
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from loadkit import Session
from tests.wire.conftest import Call, Serve
from tests.wire.peer import Gone, Line, Peer, chunked, replies, reply
from tests.wire.test_unasked import by_endpoint, by_session

pytestmark = pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals for one thread")

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LARGE = b"x" * 40_000
"""More than comes in one receive."""


class Interruption(BaseException):
    """What the handler of the signal raises, as that of Ctrl-C raises KeyboardInterrupt."""


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """SIGUSR1 raises in the main thread."""

    def interrupt(*_: object) -> None:
        raise Interruption

    before = signal.signal(signal.SIGUSR1, interrupt)
    yield
    signal.signal(signal.SIGUSR1, before)


class Server:
    """Replies to each request with its target; one that begins with /slow is interrupted before its reply is whole."""

    def __init__(self, serve: Serve, part: bytes, **options: Any) -> None:
        self._part = part
        self.ended = threading.Event()
        """The client has closed the connection on which it was interrupted."""
        self.peer: Peer = serve(self._answer, **options)

    def _answer(self, line: Line) -> None:
        while True:
            target = line.request().split()[1]
            whole = reply(target + LARGE if b"large" in target else target)
            if target.startswith(b"/slow"):
                self._interrupt(line, whole)
            else:
                line.send(whole)

    def _interrupt(self, line: Line, whole: bytes) -> None:
        line.send(self._part)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        line.pause(0.02)
        # the end comes as a reset, or before what was sent is refused
        with suppress(OSError, Gone):
            line.send(whole[len(self._part) :])
            line.receive()
        self.ended.set()


def by_all_options(url: str, call: Call, ca: Path) -> Callable[[str], bytes]:
    session = _session(url, ca)
    return lambda path: session.get(path, headers={"X-List": "1"}, hooks={"response": []}, verify=str(ca)).content


def by_stream(url: str, call: Call, ca: Path) -> Callable[[str], bytes]:
    session = _session(url, ca)
    return lambda path: b"".join(session.get(path, stream=True).iter_content(100))


def _session(url: str, ca: Path) -> Session:
    session = Session(base_url=url)
    session.verify, session.trust_env = str(ca), False
    return session


GET, POST, ENDPOINT, SINK = by_session("GET"), by_session("POST"), by_endpoint("GET"), by_endpoint("GET", sinks=True)


WAYS = [GET, POST, by_all_options, by_stream, ENDPOINT, SINK]
WHEN = list(product([("", b""), ("-large", b"HTTP/1.1 2")], [0, 3]))
"""Before a small reply or within a large one, of the first request or of a repeated one."""
CASES = [
    pytest.param(way, *reply, before, over, id=f"{way.__name__}-{over}-{before}{reply[0]}")
    for k, way in enumerate(WAYS)
    for (reply, before), over in zip(WHEN, islice(cycle(["tcp", "tls", "unix"]), k, None), strict=False)
]
"""Each way over each kind of socket, and each instant over each of them, by one way or another."""


@pytest.mark.parametrize(("way", "large", "part", "before", "over"), CASES, indirect=["over"])
def test_a_request_that_is_interrupted_leaves_its_reply_to_nobody(
    serve_as: Serve, call: Call, ca_file: Path, over: dict[str, Any], before: int, part: bytes, large: str, way
):
    server = Server(serve_as, part, **over)
    send = way(server.peer.url, call, ca_file)
    for k in range(before):
        assert send(f"/before{k}") == b"/before%d" % k

    with pytest.raises(Interruption):
        send(f"/slow{large}")

    assert [send(f"/after{k}") for k in range(3)] == [b"/after0", b"/after1", b"/after2"]
    assert server.ended.wait(10), "the connection of an interrupted exchange is closed"
    assert server.peer.connections == 2


@pytest.mark.parametrize("over", ["tcp", "tls"])
def test_a_stream_that_is_interrupted_is_over(serve_as: Serve, ca_file: Path, tls, over: str):
    def answer(line: Line) -> None:
        line.request()
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        asked.wait(5)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        line.pause(0.02)
        with suppress(OSError, Gone):
            line.send(b"world")
            line.receive()
        closed.set()

    asked, closed = threading.Event(), threading.Event()
    session = _session(serve_as(answer, context=tls if over == "tls" else None).url, ca_file)
    pieces = session.get("/", stream=True).iter_content(5)
    assert next(pieces) == b"hello"
    asked.set()

    with pytest.raises(Interruption):
        next(pieces)

    assert closed.wait(10)
    assert list(pieces) == []
    session.close()


class Profile:
    """Raises at the nth call or return of any function, also of those in C."""

    def __init__(self, nth: int) -> None:
        self._left = nth

    def __call__(self, *_: object) -> None:
        self._left -= 1
        if not self._left:
            raise Interruption

    @property
    def has_raised(self) -> bool:
        return self._left <= 0


# raised where an object is being collected it goes nowhere, and a socket that was not handed on yet is closed by that
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize(
    ("way", "step"),
    [(GET, 1), (POST, 3), (by_all_options, 41), (by_stream, 41), (ENDPOINT, 1), (SINK, 2)],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.parametrize("body", ["length", "chunks"])
def test_there_is_no_instant_at_which_an_interruption_does_harm(
    serve_as: Serve, call: Call, ca_file: Path, body: str, way, step: int
):
    def answer(line: Line) -> None:
        while True:
            target = line.request().split()[1]
            line.send(reply(target) if body == "length" else CHUNKED + chunked(target[:1], target[1:]))

    send = way(serve_as(answer).url, call, ca_file)
    for k in range(3):
        send(f"/before{k}")
    nth, has_raised = 1, True
    if body == "chunks":
        # other instants than with a length, and of many that are the same a third
        step = step * 3 if step < 10 else step
        nth += step // 2
    while has_raised:
        profile = Profile(nth)
        with suppress(Interruption):
            sys.setprofile(profile)
            try:
                assert send("/interrupted") == b"/interrupted"
            finally:
                sys.setprofile(None)
        has_raised = profile.has_raised
        assert send(f"/{nth}") == b"/%d" % nth
        nth += step
    assert nth > 20


@pytest.mark.parametrize("callback", ["on_message_begin", "on_header", "on_body", "on_message_complete"])
def test_an_interruption_within_the_parser_is_no_fault_of_the_reply(serve_as: Serve, ca_file: Path, callback: str):
    def interrupt(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_name == callback:
            raise Interruption

    # a head that came before is not parsed again
    head = CHUNKED.replace(b"\r\n\r\n", b"\r\nX-Case: %b\r\n\r\n" % callback.encode())
    peer = serve_as(replies(head + chunked(b"tea")))
    session = _session(peer.url, ca_file)
    sys.setprofile(interrupt)
    try:
        with pytest.raises(Interruption):
            session.get("/")
    finally:
        sys.setprofile(None)

    assert session.get("/").content == b"tea"
    assert peer.connections == 2
