"""A session that several use at once: threads, observers, hooks and signal handlers each get what they asked for."""

from __future__ import annotations

import signal
import threading
from base64 import b64decode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from loadkit import Session
from loadkit.clock import ManualClock
from loadkit.plan.units import SECOND
from loadkit.wire.session.pool import MAX_CONNECTIONS
from tests.wire.conftest import Serve
from tests.wire.peer import Line, reply

THREADS = 6


def echo(line: Line) -> None:
    """Reply to each request with its target, also in a header."""
    while True:
        target = line.request().split()[1]
        line.send(reply(target, "X-Target: " + target.decode()))


def get(http: Session, path: str) -> bytes:
    return http.get(path).content


def post(http: Session, path: str) -> bytes:
    return http.post(path, json={"a": path}).content


def long_way(http: Session, path: str) -> bytes:
    reply = http.get(path, hooks={"response": []}, cookies={"a": "b"}, name=path, deadline=10)
    assert reply.headers["x-target"] == path
    return reply.content


def stream(http: Session, path: str) -> bytes:
    with http.get(path, stream=True) as reply:
        return b"".join(reply.iter_content(3))


def _named(ways: tuple[Callable[..., bytes], ...]) -> str:
    return ways[0].__name__ if len(ways) == 1 else "in turns"


@pytest.mark.parametrize("ways", [(get,), (post,), (long_way,), (stream,), (get, post, long_way, stream)], ids=_named)
def test_threads_that_share_a_session_get_their_own_replies(serve: Serve, session, ways):
    def use(thread: int) -> set[tuple[str, bytes]]:
        started.wait()
        paths = [f"/{thread}/{k}" for k in range(20)]
        return {(path, ways[k % len(ways)](http, path)) for k, path in enumerate(paths)}

    peer = serve(echo)
    http = session(base_url=peer.url)
    started = threading.Barrier(THREADS)
    with ThreadPoolExecutor(THREADS) as pool:
        found = set().union(*pool.map(use, range(THREADS)))

    assert found == {(f"/{thread}/{k}", f"/{thread}/{k}".encode()) for thread in range(THREADS) for k in range(20)}
    assert len(peer.heard) == THREADS * 20


def test_more_threads_than_a_session_keeps_connections_get_their_own_replies(serve_as: Serve, session):
    def meet(line: Line) -> None:
        while True:
            target = line.request().split()[1]
            if target == b"/meet":
                met.wait(10)
            line.send(reply(target))

    def use(thread: int) -> list[bytes]:
        return [http.get(path).content for path in ("/meet", f"/{thread}")]

    threads = MAX_CONNECTIONS + 6
    met = threading.Barrier(threads)
    http = session(base_url=serve_as(meet).url)
    with ThreadPoolExecutor(threads) as pool:
        assert list(pool.map(use, range(threads))) == [[b"/meet", f"/{k}".encode()] for k in range(threads)]


def test_what_a_thread_changes_holds_for_the_others(serve_as: Serve, session):
    peer = serve_as(echo)
    http = session(base_url=peer.url)
    with ThreadPoolExecutor(1) as other:
        for k in range(5):
            http.headers["X-Turn"] = str(k)
            http.get("/")
            other.submit(http.get, "/").result()

    turns = [line for head in peer.heard for line in head.split(b"\r\n") if line.startswith(b"X-Turn")]
    assert turns == [b"X-Turn: %d" % k for k in range(5) for _ in range(2)]


def test_an_observer_may_use_the_session_it_observes(serve: Serve, session):
    def observe(asked, exchange, size) -> None:
        if "/metrics" not in asked.url:
            seen.append(http.get("/metrics").content)

    seen: list[bytes] = []
    http = session(base_url=serve(echo).url)
    http.observe = observe

    assert [http.get(path).content for path in ("/a", "/a", "/b", "/b")] == [b"/a", b"/a", b"/b", b"/b"]
    assert seen == [b"/metrics"] * 4


def test_a_hook_may_use_the_session_it_belongs_to(serve: Serve, session):
    def answered(response, **_: Any) -> None:
        if response.content != b"/log":
            seen.append(http.get("/log").content)

    seen: list[bytes] = []
    http = session(base_url=serve(echo).url)
    http.hooks["response"].append(answered)

    assert [http.get(path).content for path in ("/a", "/a", "/b")] == [b"/a", b"/a", b"/b"]
    assert seen == [b"/log"] * 3


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals for one thread")
@pytest.mark.parametrize("before", [0, 3], ids=["first", "repeated"])
def test_the_handler_of_a_signal_may_use_the_session_that_it_interrupts(serve: Serve, session, before: int):
    def answer(line: Line) -> None:
        while True:
            target = line.request().split()[1]
            if target == b"/slow":
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
                handled.wait(10)
            line.send(reply(target))

    def handle(*_: object) -> None:
        seen.append(http.get("/alive").content)
        handled.set()

    seen: list[bytes] = []
    handled = threading.Event()
    http = session(base_url=serve(answer).url)
    for _ in range(before):
        http.get("/alive")
    earlier = signal.signal(signal.SIGUSR1, handle)
    try:
        assert [http.get(path).content for path in ("/slow", "/next")] == [b"/slow", b"/next"]
    finally:
        signal.signal(signal.SIGUSR1, earlier)
    assert seen == [b"/alive"]


def test_a_session_goes_by_the_clock_it_was_given(serve_as: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def asked_by(user: str) -> bytes:
        passwords.write_text(f"machine 127.0.0.1 login {user} password b\n")
        http.get("/")
        [given] = [line for line in peer.heard[-1].split(b"\r\n") if line.startswith(b"Authorization: Basic ")]
        return b64decode(given.split()[-1]).partition(b":")[0]

    peer = serve_as(echo)
    passwords = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(passwords))
    clock = ManualClock()
    with Session(base_url=peer.url, clock=clock) as http:
        # .netrc is read again after a second
        assert [asked_by("first"), asked_by("second")] == [b"first", b"first"]
        clock.advance(2 * SECOND)
        assert asked_by("third") == b"third"
