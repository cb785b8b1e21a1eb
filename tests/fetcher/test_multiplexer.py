"""The one thread that waits for the replies of many: what it takes, what it gives back, and when it gives up."""

from __future__ import annotations

import gc
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
from loadkit.fetcher.exchange import missing_of
from loadkit.fetcher.multiplexer import HAS_POLL, REST, SLOW, TICK, WEIGHT, Poll, Pump, Then
from loadkit.fetcher.worker import TOGETHER
from loadkit.plan.errors import LoadkitError, UsageError
from loadkit.plan.units import SECOND
from tests.fetcher.conftest import Call, Site, body_of, contents, manifest

pytestmark = pytest.mark.skipif(not HAS_POLL, reason="without epoll each thread waits for itself")


@dataclass
class Passenger:
    """A rider that takes what comes, one byte at a time, until `enough` of them came."""

    ours: socket.socket
    enough: int
    sets_off: bool = True
    due_by: int = 1 << 62
    on_byte: Callable[[], object] = lambda: None
    got: bytes = b""
    left: list[bool] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)

    def set_off(self) -> bool:
        return self.sets_off

    def take(self, room: memoryview) -> Then:
        self.threads.add(threading.get_ident())
        self.got += room[: self.ours.recv_into(room, 1)]
        self.on_byte()
        return Then.WAIT if len(self.got) < self.enough else Then.LEAVE

    def leave(self, *, late: bool) -> None:
        self.left.append(late)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@contextmanager
def pumping(clock: SystemClock | ManualClock, poll: Poll | None = None) -> Iterator[Pump]:
    pump = Pump(clock, poll)
    thread = threading.Thread(target=pump.run)
    thread.start()
    try:
        yield pump
    finally:
        pump.end()
        thread.join(10)
    assert not thread.is_alive()


@contextmanager
def wire() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_it_takes_what_comes_until_the_rider_has_something_to_do_for_its_own_thread():
    with wire() as (ours, theirs), pumping(SystemClock()) as pump:
        rider = Passenger(ours, enough=3)
        theirs.sendall(b"abcdef")

        pump.carry(rider, ours.fileno())

        assert rider.got == b"abc"
        assert rider.left == []
        assert threading.get_ident() not in rider.threads


def test_a_rider_that_does_not_set_off_is_not_carried():
    with wire() as (ours, theirs), pumping(SystemClock()) as pump:
        rider = Passenger(ours, enough=1, sets_off=False)
        theirs.sendall(b"a")
        pump.carry(rider, ours.fileno())
        assert rider.got == b""


def test_who_waits_too_long_is_given_back():
    clock = SystemClock()
    with wire() as (ours, _), pumping(clock) as pump:
        rider = Passenger(ours, enough=1, due_by=clock.now())
        pump.carry(rider, ours.fileno())
        assert rider.left == [True]


def test_a_connection_that_is_closed_meanwhile_is_not_mistaken_for_another_of_the_same_number():
    ours, theirs = socket.socketpair()
    with pumping(SystemClock()) as pump, theirs:
        number = ours.fileno()
        second: list[Passenger] = []

        def change_places() -> None:
            kept, first.ours = ours, socket.socket()
            kept.close()
            other, their_other = socket.socketpair()
            assert other.fileno() == number
            second.append(Passenger(other, enough=1))
            carried = threading.Thread(target=pump.carry, args=(second[0], number))
            carried.start()
            wait_for(lambda: pump.carried == 2)
            open_ones.extend((other, their_other))
            waiting.append(carried)

        open_ones: list[socket.socket] = []
        waiting: list[threading.Thread] = []
        first = Passenger(ours, enough=1, on_byte=change_places)
        theirs.sendall(b"a")
        pump.carry(first, number)

        open_ones[1].sendall(b"b")
        waiting[0].join(10)
        assert second[0].got == b"b"
        for one in (*open_ones, first.ours):
            one.close()


@pytest.mark.parametrize("is_busy", [False, True])
def test_the_next_requests_go_out_together_only_when_there_is_no_time_to_lose(is_busy: bool):
    clock = ManualClock()
    pump = Pump(clock)
    order: list[str] = []

    class Train(Passenger):
        name = ""

        def set_off(self) -> bool:
            order.append(f"{self.name} off")
            return True

        def take(self, room: memoryview) -> Then:
            super().take(room)
            order.append(f"{self.name} in")
            return Then.SET_OFF

    with wire() as (ours, theirs), wire() as (other, their_other):
        one, two = Train(ours, enough=9), Train(other, enough=9)
        one.name, two.name = "one", "two"
        if is_busy:
            # it works, and never waits
            one.on_byte = lambda: clock.advance(TICK + 1)
        carried = [
            threading.Thread(target=pump.carry, args=(rider, rider.ours.fileno()), daemon=True) for rider in (one, two)
        ]
        for thread in carried:
            thread.start()
        wait_for(lambda: pump.carried == 2)
        for each in (theirs, their_other):
            each.sendall(b"ab")
        pump.wait()
        order.clear()
        pump.wait()
        assert len(order) == 4
        assert all(step.endswith("in") for step in order[:2]) == is_busy, order
        pump.end()
        pump.run()
        for thread in carried:
            thread.join(10)


def test_all_are_given_back_when_it_ends():
    with wire() as (ours, _):
        rider = Passenger(ours, enough=1)
        with pumping(SystemClock()) as pump:
            carried = threading.Thread(target=pump.carry, args=(rider, ours.fileno()))
            carried.start()
            wait_for(lambda: pump.carried == 1)
        carried.join(10)
        assert rider.left == [False]


def test_with_a_slow_disk_each_thread_is_left_to_itself():
    clock = ManualClock()
    with wire() as (ours, theirs), wire() as (other, _), pumping(clock) as pump:
        waiting = Passenger(other, enough=1)
        carried = threading.Thread(target=pump.carry, args=(waiting, other.fileno()))
        carried.start()
        # each byte takes it far longer than it should
        slow = Passenger(ours, enough=10 * WEIGHT, on_byte=lambda: clock.advance(20 * SLOW))
        theirs.sendall(bytes(WEIGHT))
        pump.carry(slow, ours.fileno())
        carried.join(10)
        assert not pump.is_open
        assert slow.left == [False]
        assert waiting.left == [False]


def test_one_stall_is_no_slow_disk():
    clock = ManualClock()
    with wire() as (ours, theirs), pumping(clock) as pump:
        rider = Passenger(ours, enough=2 * WEIGHT)
        stalls = iter([SECOND])
        rider.on_byte = lambda: clock.advance(next(stalls, 0))
        theirs.sendall(bytes(2 * WEIGHT))
        pump.carry(rider, ours.fileno())
        assert pump.is_open
        assert rider.left == []


def test_it_carries_again_after_a_while():
    clock = ManualClock()
    with wire() as (ours, theirs), pumping(clock) as pump:
        slow = Passenger(ours, enough=10 * WEIGHT, on_byte=lambda: clock.advance(20 * SLOW))
        theirs.sendall(bytes(WEIGHT))
        pump.carry(slow, ours.fileno())
        assert not pump.is_open

        pump.carry(slow, ours.fileno())
        assert slow.left == [False, False]

        clock.advance(REST)
        wait_for(lambda: pump.is_open)
        quick = Passenger(ours, enough=1)
        pump.carry(quick, ours.fileno())
        assert len(quick.got) == 1
        assert quick.left == []


def test_who_is_late_while_he_boards_is_given_back_when_he_has():
    class SlowPoll:
        def __init__(self) -> None:
            poll = select.epoll()
            self.poll, self.unregister, self.close = poll.poll, poll.unregister, poll.close
            self._register = poll.register

        def register(self, handle: int, events: int) -> None:
            time.sleep(0.2)
            self._register(handle, events)

    with wire() as (ours, _), pumping(SystemClock(), SlowPoll()) as pump:
        rider = Passenger(ours, enough=1, due_by=0)
        pump.carry(rider, ours.fileno())
        assert rider.left == [True]
        assert pump.is_open


def test_without_another_descriptor_the_thread_goes_on_by_itself():
    with wire() as (ours, _), pumping(SystemClock()) as pump:
        rider = Passenger(ours, enough=1)
        pump.carry(rider, -1)
        assert rider.left == [False]


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 0),
        (b"HTTP/1.1 200 OK\r\ncontent-length:5\r\n\r\nhel", 2),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!", -1),
        (b"HTTP/1.1 404 Not Found\r\nX: y\r\nContent-Length: 0\r\n\r\n", 0),
        (b"HTTP/1.1 200 OK\r\nContent-Le", None),
        (b"", None),
        # whatever they say of a length, it is not that of a body
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", None),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", None),
        (b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello", None),
        (b"HTTP/1.1 200 OK\r\n\r\nContent-Length: 5\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\nX: content-length: 5\r\n\r\n", None),
    ],
)
def test_how_much_of_a_reply_is_missing(data: bytes, missing: int | None):
    assert missing_of(data) == missing


# -- the fetch on top of it


def numbered(site: Site, page: Callable[[Call, int], None], count: int = 300) -> list[str]:
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
    large = b"x" * (2 * TOGETHER)

    def page(call: Call, _: int) -> None:
        call.reply(large if call.path.endswith("7") else body_of(call.path))

    urls = numbered(site, page, 200)
    assert fetch(urls, threads=4, into=tmp_path / "b").exit_code == 0
    found = contents(tmp_path / "b")
    assert sum(body == large for body in found.values()) == 20
    assert len(set(found.values())) == 181


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
        if len(came) > 290:
            others.set()

    def slow(call: Call, _: int) -> None:
        body = body_of(call.path)
        call.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n" + body[:1] + b"\r\n")
        others.wait(20)
        call.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body) - 1, body[1:]))

    urls = numbered(site, page)
    urls.insert(100, site.at("/slow", slow))
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
    urls.insert(150, site.at("/stuck", stuck))
    try:
        result = fetch(urls, threads=4, into=tmp_path / "b", timeout=0.5, retries=0)
        failed = [line for line in result if line.error]
    finally:
        gate.set()
    assert [(line.url, line.status) for line in failed] == [(site.url + "/stuck", 200 if begun else None)]
    came = f", {len(begun)} bytes of the reply had come" if begun else ""
    assert failed[0].error == f"no whole reply within 0.5 s{came}"
    assert 0.5 <= failed[0].seconds < 5
    assert len(manifest(tmp_path / "b")) == 301


def test_what_came_while_we_were_held_up_is_not_late(tmp_path: Path, site: Site):
    def page(call: Call, _: int) -> None:
        time.sleep(0.02 * (int(call.path.rpartition("/")[2]) % 10))
        call.reply(body_of(call.path))

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
    assert not [thread for thread in threading.enumerate() if thread.name == "loadkit-fetch-pump"]
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
    rows.insert(100, {"url": f"{site.url}/x", "method": "POST", "body": Faulty(b"x")})
    with pytest.raises(LoadkitError, match="a fault"):
        list(fetch(rows, threads=4, into=tmp_path / "b"))
    assert 50 < site.hits.total() < 300
