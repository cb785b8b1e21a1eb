"""The multiplexer: what it does after a reply, when it detaches a stream, and when it accepts none."""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest

from loadkit import fetch
from loadkit.clock import ManualClock, SystemClock
from loadkit.fetcher.multiplexer import (
    IS_AVAILABLE,
    PAUSE,
    SLOW,
    TICK,
    WEIGHT,
    Admission,
    Multiplexer,
    Reason,
    Step,
)
from loadkit.fetcher.worker import LARGEST_REST
from loadkit.plan.errors import LoadkitError, UsageError
from loadkit.plan.units import SECOND
from tests.fetcher.conftest import Call, Site, body_of, contents, manifest
from tests.waiting import wait_for

pytestmark = pytest.mark.skipif(not IS_AVAILABLE, reason="without epoll each thread waits for itself")


class Source:
    """A stand-in for `select.epoll`: what a test says has arrived, has arrived; nothing is waited for."""

    def __init__(self) -> None:
        self.watched: list[int] = []
        self.arrived: list[int] = []
        self.on_wait: Callable[[], object] = lambda: None

    def register(self, handle: int, _: int) -> None:
        self.watched.append(handle)

    def unregister(self, handle: int) -> None:
        self.watched.remove(handle)

    def poll(self, _: float) -> list[tuple[int, int]]:
        self.on_wait()
        arrived, self.arrived = self.arrived, []
        return [(handle, select.EPOLLIN) for handle in arrived]

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class Exchanges:
    """A stream that does as it is told, and notes what it was asked."""

    name: str = ""
    steps: list[Step] = field(default_factory=list)
    has_next: bool = True
    deadline: int = 1 << 62
    on_receive: Callable[[], object] = lambda: None
    log: list[str] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)

    def start_next(self) -> bool:
        self.log.append(f"{self.name} next")
        return self.has_next

    def receive(self, _: memoryview) -> Step:
        self.log.append(f"{self.name} received")
        self.on_receive()
        return self.steps.pop(0) if self.steps else Step.NEXT

    def detached(self, reason: Reason) -> None:
        self.reasons.append(reason)


@dataclass
class Setup:
    """A multiplexer over a stand-in, with streams on descriptors of the machine."""

    clock: ManualClock = field(default_factory=ManualClock)
    source: Source = field(default_factory=Source)
    handles: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.multiplexer = Multiplexer(self.clock, self.source)
        self.spare, self._other = os.pipe()

    def attach(self, stream: Exchanges) -> bool:
        is_accepted = self.multiplexer.attach(stream, self.spare)
        if is_accepted:
            self.handles[id(stream)] = self.source.watched[-1]
        return is_accepted

    def arrives(self, *streams: Exchanges) -> None:
        """Something arrives for these streams, and is processed."""
        self.source.arrived = [self.handles[id(stream)] for stream in streams]
        self.multiplexer.poll()

    def slow_reply(self, span: int) -> None:
        """A reply arrives that takes so long to process."""
        stream = Exchanges(steps=[Step.DETACH], on_receive=lambda: self.clock.advance(span))
        assert self.attach(stream)
        self.arrives(stream)

    def end(self) -> None:
        self.source.arrived = self.source.watched[:1]  # the pipe by which it is woken
        self.multiplexer.close()
        self.multiplexer.run()
        os.close(self.spare)
        os.close(self._other)


@pytest.fixture
def setup() -> Iterator[Setup]:
    made = Setup()
    yield made
    made.end()


@pytest.mark.parametrize(
    ("steps", "has_next", "log", "reasons"),
    [
        # the reply is not complete
        ([Step.WAIT], True, ["received"], []),
        # it is, and the next request goes out
        ([Step.NEXT], True, ["received", "next"], []),
        # or there is none
        ([Step.NEXT], False, ["received", "next"], [Reason.WANTED]),
        ([Step.DETACH], True, ["received"], [Reason.WANTED]),
    ],
)
def test_what_is_done_after_something_arrived(
    setup: Setup, steps: list[Step], has_next: bool, log: list[str], reasons: list[Reason]
):
    stream = Exchanges(steps=steps, has_next=has_next)
    assert setup.attach(stream)
    setup.arrives(stream)

    assert [entry.strip() for entry in stream.log] == log
    assert stream.reasons == reasons
    assert setup.multiplexer.attached == (0 if reasons else 1)
    assert len(setup.source.watched) == 1 + setup.multiplexer.attached


def test_a_stream_whose_deadline_has_passed_is_detached(setup: Setup):
    late, early = Exchanges(deadline=setup.clock.now() + TICK), Exchanges(deadline=setup.clock.now() + 9 * TICK)
    assert setup.attach(late)
    assert setup.attach(early)
    setup.source.on_wait = lambda: setup.clock.advance(TICK)
    for _ in range(4):
        setup.arrives()

    assert (late.reasons, early.reasons) == ([Reason.TIMED_OUT], [])


def test_a_reply_that_arrived_while_the_multiplexer_was_held_up_is_not_late(setup: Setup):
    held_up, waiting = Exchanges(on_receive=lambda: setup.clock.advance(9 * TICK)), Exchanges()
    waiting.deadline = setup.clock.now() + TICK
    assert setup.attach(held_up)
    assert setup.attach(waiting)
    setup.arrives(held_up)

    assert waiting.reasons == []


@pytest.mark.parametrize("is_busy", [False, True])
def test_the_next_requests_go_out_together_only_if_there_is_no_time_to_lose(setup: Setup, is_busy: bool):
    log: list[str] = []
    streams = [Exchanges(name=name, log=log) for name in ("one", "two")]
    for stream in streams:
        assert setup.attach(stream)
    if is_busy:
        # all of the time goes into replies, and none into waiting
        streams[0].on_receive = lambda: setup.clock.advance(TICK + 1)
    else:
        setup.source.on_wait = lambda: setup.clock.advance(TICK + 1)
    setup.arrives(*streams)
    log.clear()
    setup.arrives(*streams)

    together = ["one received", "two received", "one next", "two next"]
    assert log == (together if is_busy else ["one received", "one next", "two received", "two next"])


def test_all_are_detached_at_the_end_and_none_is_accepted_after_it():
    setup, stream = Setup(), Exchanges()
    assert setup.attach(stream)
    setup.end()

    assert stream.reasons == [Reason.TURNED_AWAY]
    assert not setup.multiplexer.is_open
    assert not setup.multiplexer.attach(Exchanges(), 0)


def test_while_replies_take_too_long_nobody_is_accepted(setup: Setup):
    waiting = Exchanges()
    assert setup.attach(waiting)
    for _ in range(WEIGHT):
        if setup.multiplexer.is_open:
            setup.slow_reply(20 * SLOW)
    setup.clock.advance(TICK)
    setup.arrives()

    assert not setup.multiplexer.is_open
    assert waiting.reasons == [Reason.TURNED_AWAY]
    assert not setup.attach(Exchanges())


def test_one_stall_turns_nobody_away(setup: Setup):
    setup.slow_reply(SECOND)

    assert setup.multiplexer.is_open


def test_without_another_descriptor_it_is_not_accepted(setup: Setup):
    assert not setup.multiplexer.attach(Exchanges(), -1)


def test_admission_closes_for_longer_each_time_and_opens_again():
    admission, now = Admission(), 0
    for pause in (PAUSE, 2 * PAUSE, 4 * PAUSE):
        for _ in range(WEIGHT):
            admission.add(20 * SLOW)
        admission.update(now)
        assert not admission.is_open
        admission.update(now + pause - 1)
        assert not admission.is_open
        now += pause
        admission.update(now)
        assert admission.is_open


@contextmanager
def running(multiplexer: Multiplexer) -> Iterator[None]:
    thread = threading.Thread(target=multiplexer.run)
    thread.start()
    try:
        yield
    finally:
        multiplexer.close()
        thread.join(10)
    assert not thread.is_alive()


@dataclass
class Bytes(Exchanges):
    """A stream that receives one byte from a socket, and is done."""

    ours: socket.socket = field(default_factory=socket.socket)
    got: bytes = b""
    is_detached: threading.Event = field(default_factory=threading.Event)

    def receive(self, buffer: memoryview) -> Step:
        self.got = bytes(buffer[: self.ours.recv_into(buffer, 1)])
        self.on_receive()
        return Step.DETACH

    def detached(self, reason: Reason) -> None:
        super().detached(reason)
        self.is_detached.set()


def test_a_connection_that_is_closed_meanwhile_is_not_mistaken_for_another_of_the_same_number():
    multiplexer = Multiplexer(SystemClock())
    ours, theirs = socket.socketpair()
    first, second = Bytes(ours=ours), Bytes()
    pair: list[socket.socket] = []

    def change_places() -> None:
        number = ours.fileno()
        ours.close()
        pair.extend(socket.socketpair())
        assert pair[0].fileno() == number
        second.ours.close()
        second.ours = pair[0]
        assert multiplexer.attach(second, number)

    first.on_receive = change_places
    with running(multiplexer), theirs:
        assert multiplexer.attach(first, ours.fileno())
        theirs.sendall(b"a")
        assert first.is_detached.wait(10)
        pair[1].sendall(b"b")
        assert second.is_detached.wait(10)
    assert (first.got, second.got) == (b"a", b"b")
    for one in pair:
        one.close()


def test_a_stream_that_is_late_while_it_is_attached_is_detached_when_it_has_been():
    class SlowPoll(Source):
        """Registers a descriptor while the multiplexer looks for late ones."""

        def register(self, handle: int, events: int) -> None:
            super().register(handle, events)
            if len(self.watched) > 1:
                is_registering.set()
                clock.advance(2 * TICK)
                may_go_on.wait(10)

    clock, is_registering, may_go_on = ManualClock(), threading.Event(), threading.Event()
    source = SlowPoll()
    multiplexer = Multiplexer(clock, source)
    late, (spare, other) = Exchanges(deadline=0), os.pipe()
    attaching = threading.Thread(target=multiplexer.attach, args=(late, spare))
    attaching.start()
    assert is_registering.wait(10)
    checking = threading.Thread(target=multiplexer.poll)
    checking.start()
    assert late.reasons == []
    may_go_on.set()
    for thread in (attaching, checking):
        thread.join(10)

    assert late.reasons == [Reason.TIMED_OUT]
    assert multiplexer.is_open
    multiplexer.close()
    source.arrived = source.watched[:1]
    multiplexer.run()
    for handle in (spare, other):
        os.close(handle)


# -- the fetch on top of it


def numbered(site: Site, page: Callable[[Call, int], None], count: int = 100) -> list[str]:
    return [site.at(f"/x/{number}", page) for number in range(count)]


def sound(folder: Path, urls: list[str]) -> None:
    """Each URL has its own body, once, and the manifest says so."""
    lines = {line["url"]: line for line in manifest(folder)}
    assert set(lines) == set(urls)
    found = contents(folder)
    assert len(found) == len(urls)
    for url, line in lines.items():
        assert found[line["file"]] == body_of("/" + url.split("/", 3)[3])


def test_replies_that_come_in_pieces_are_whole(tmp_path: Path, site: Site):
    def in_pieces(call: Call, _: int) -> None:
        body = body_of(call.path)
        whole = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        for start in range(0, len(whole), 100):
            call.wfile.write(whole[start : start + 100])

    urls = numbered(site, in_pieces)
    assert fetch(urls, threads=4, into=tmp_path / "b").exit_code == 0
    sound(tmp_path / "b", urls)


def test_a_large_body_among_small_ones_goes_its_own_way(tmp_path: Path, site: Site):
    large = b"x" * (2 * LARGEST_REST)

    def page(call: Call, _: int) -> None:
        call.reply(large if call.path.endswith("7") else body_of(call.path))

    urls = numbered(site, page)
    assert fetch(urls, threads=4, into=tmp_path / "b").exit_code == 0
    found = contents(tmp_path / "b")
    assert sum(body == large for body in found.values()) == 10
    assert len(set(found.values())) == 91


def test_a_server_that_closes_after_each_third_reply_costs_nothing(tmp_path: Path, site: Site):
    def page(call: Call, _: int) -> None:
        call.reply(body_of(call.path))
        if call.path.endswith(("3", "6", "9")):
            # without a word in the head
            call.close_connection = True

    urls = numbered(site, page)
    assert fetch(urls, threads=4, into=tmp_path / "b").exit_code == 0
    sound(tmp_path / "b", urls)


def test_a_reply_of_which_nobody_knows_how_much_is_missing_holds_up_nobody(tmp_path: Path, site: Site):
    others = threading.Event()
    came: list[None] = []

    def page(call: Call, _: int) -> None:
        call.reply(body_of(call.path))
        came.append(None)
        if len(came) > 90:
            others.set()

    def slow(call: Call, _: int) -> None:
        body = body_of(call.path)
        call.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n" + body[:1] + b"\r\n")
        others.wait(20)
        call.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body) - 1, body[1:]))

    urls = numbered(site, page)
    urls.insert(40, site.at("/slow", slow))
    assert fetch(urls, threads=4, into=tmp_path / "b", timeout=5, retries=0).exit_code == 0
    sound(tmp_path / "b", urls)


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf"])
def test_a_reply_that_does_not_come_is_a_timeout_and_holds_up_nobody(tmp_path: Path, site: Site, begun: bytes):
    gate = threading.Event()

    def stuck(call: Call, _: int) -> None:
        call.wfile.write(begun)
        gate.wait(20)
        call.close_connection = True

    urls = numbered(site, lambda call, _: call.reply(body_of(call.path)))
    urls.insert(50, site.at("/stuck", stuck))
    try:
        result = fetch(urls, threads=4, into=tmp_path / "b", timeout=0.5, retries=0)
        failed = [line for line in result if line.error]
    finally:
        gate.set()
    assert [(line.url, line.status) for line in failed] == [(site.url + "/stuck", 200 if begun else None)]
    came = f", {len(begun)} bytes of the reply had come" if begun else ""
    assert failed[0].error == f"no whole reply within 0.5 s{came}"
    assert 0.5 <= failed[0].seconds < 5
    assert len(manifest(tmp_path / "b")) == 101


def test_what_came_while_we_were_held_up_is_not_late(tmp_path: Path, site: Site):
    def page(call: Call, _: int) -> None:
        time.sleep(0.02 * (int(call.path.rpartition("/")[2]) % 10))
        body = body_of(call.path)
        call.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        call.wfile.write(body)

    urls = numbered(site, page, 150)
    (tmp_path / "urls.txt").write_text("\n".join(urls))
    words = ["fetch", str(tmp_path / "urls.txt"), "--into", str(tmp_path / "b"), "-c", "8", "-q"]
    process = subprocess.Popen([sys.executable, "-m", "loadkit", *words, "--timeout", "1.5s", "--retries", "0"])
    wait_for(lambda: site.hits.total() > 60)
    process.send_signal(signal.SIGSTOP)
    time.sleep(1.8)
    process.send_signal(signal.SIGCONT)

    assert process.wait(40) == 0
    sound(tmp_path / "b", urls)


def head_of(file: IO[bytes]) -> list[bytes]:
    """The lines of a request's head; empty at the end of the connection."""
    lines = []
    while (line := file.readline()).strip():
        lines.append(line)
    return lines


def test_a_server_that_does_not_read_a_long_request_holds_up_nobody(tmp_path: Path):
    def serve(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as file:
            while head := head_of(file):
                if head[0].startswith(b"POST"):
                    gate.wait(20)
                    return
                time.sleep(0.3)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()

    gate = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        base = f"http://127.0.0.1:{listening.getsockname()[1]}"
        urls: list[Any] = [f"{base}/{number}" for number in range(30)]
        urls.insert(12, {"url": f"{base}/long", "method": "POST", "body": "x" * 12_000_000})
        try:
            result = fetch(urls, threads=6, into=tmp_path / "b", timeout=1.5, retries=0)
            assert [line.url for line in result if line.error] == [f"{base}/long"]
        finally:
            gate.set()
            listening.shutdown(socket.SHUT_RDWR)


def test_without_another_thread_nothing_is_left_behind(tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch):
    start = threading.Thread.start

    def few(self: threading.Thread) -> None:
        if self.name == "loadkit-fetch-3":
            raise RuntimeError("can't start new thread")
        start(self)

    urls, before = site.urls(30), gc.get_threshold()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", few)
        with pytest.raises(UsageError, match="more than 3 threads"):
            fetch(urls, threads=4, into=tmp_path / "b").wait()
    assert not [thread for thread in threading.enumerate() if thread.name == "loadkit-fetch-multiplexer"]
    assert gc.get_threshold() == before
    assert fetch(urls, threads=3, into=tmp_path / "b", resume=True).exit_code == 0


def test_two_at_once_leave_the_garbage_collector_as_it_was(tmp_path: Path, site: Site):
    has_come, may_go = threading.Semaphore(0), {"/first": threading.Event(), "/last": threading.Event()}

    def page(call: Call, _: int) -> None:
        has_come.release()
        may_go[call.path].wait(20)
        call.reply()

    before = gc.get_threshold()
    under_way = []
    for path in may_go:
        under_way.append(fetch([site.at(path, page)], into=tmp_path / path[1:]))
        assert has_come.acquire(timeout=10)
    for gate, result in zip(may_go.values(), under_way, strict=True):
        assert gc.get_threshold() != before
        gate.set()
        result.wait()
    assert gc.get_threshold() == before


def test_a_fault_while_others_wait_ends_the_fetch_and_is_raised(tmp_path: Path, site: Site):
    class Faulty(bytes):
        def __radd__(self, _: bytes) -> bytes:
            raise RuntimeError("a fault")

    rows: list[Any] = list(numbered(site, lambda call, _: call.reply()))
    rows.insert(60, {"url": f"{site.url}/x", "method": "POST", "body": Faulty(b"x")})
    with pytest.raises(LoadkitError, match="a fault"):
        list(fetch(rows, threads=4, into=tmp_path / "b"))
    assert 50 < site.hits.total() < 100
