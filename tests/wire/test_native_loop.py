"""What only the exchange loop in C does: it goes on by itself, and is safe from whatever it is called with."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loadkit.clock import SystemClock
from loadkit.plan.units import MILLISECOND, SECOND
from loadkit.wire.exchange_loop.contract import What
from loadkit.wire.exchange_loop.native_loop import NativeLoop
from tests.wire.conftest import needs_extension
from tests.wire.test_exchange_loop import GET, Users

pytestmark = needs_extension

SERVER = """
import socket, threading

def answer(sock):
    while sock.recv(1000):
        sock.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")

listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
while True:
    threading.Thread(target=answer, args=[listening.accept()[0]], daemon=True).start()
"""


@pytest.fixture
def elsewhere() -> Iterator[int]:
    """The port of a server in a process of its own."""
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield int(process.stdout.readline())
        process.kill()


@pytest.fixture
def loop() -> Iterator[NativeLoop]:
    loop = NativeLoop(SystemClock())
    yield loop
    loop.close()


@pytest.fixture
def users(loop: NativeLoop) -> Iterator[Users]:
    users = Users(loop, SystemClock())
    yield users
    for sock in users.socks:
        sock.close()


def test_it_goes_on_while_python_is_held_up(users: Users, elsewhere: int):
    for _ in range(3):
        users.resume(users.add(elsewhere), 1 << 40)
    began = users.clock.now()

    # a call that keeps the interpreter lock
    ctypes.PyDLL(None).usleep(500_000)
    ended = users.clock.now()
    users.loop.stop(ended)
    users.events(3)

    taken = [sample[3] for sample in users.samples()]
    assert sum(began + 100 * MILLISECOND < one < ended for one in taken) > 10
    assert taken == sorted(taken)


def test_arrivals_go_out_while_python_is_held_up(users: Users, elsewhere: int):
    for _ in range(3):
        users.loop.serve(users.add(elsewhere))
    began = users.clock.now()
    users.loop.arrivals.offer([(0, began + k * 10 * MILLISECOND) for k in range(80)])

    # a call that keeps the interpreter lock
    ctypes.PyDLL(None).usleep(500_000)
    ended = users.clock.now()
    users.loop.stop(ended)
    users.events(3)

    assert sum(began + 100 * MILLISECOND < sent < ended for _, sent, *_ in users.samples()) > 10
    assert users.loop.arrivals.offered > 0


def test_a_signal_is_seen_while_it_waits(loop: NativeLoop):
    seen: list[float] = []

    def interrupt(*_: object) -> None:
        seen.append(time.monotonic())
        raise InterruptedError

    before = signal.signal(signal.SIGUSR1, interrupt)
    sent: list[float] = []

    def signal_it() -> None:
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGUSR1)

    timer = threading.Timer(0.1, signal_it)
    timer.start()
    try:
        with pytest.raises(InterruptedError):
            loop.wait(SystemClock().now() + 60 * SECOND)
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert seen[0] - sent[0] < 5


CALLS: dict[str, Callable[[NativeLoop], object]] = {
    "connect": lambda loop: loop.connect(0, 0, None),
    "resume": lambda loop: loop.resume(0, 0, 0, 0),
    "serve": lambda loop: loop.serve(0),
    "a place before the first": lambda loop: loop.arrivals.offer([(-1, 0)]),
    "watch": lambda loop: loop.watch(-1, 0, 0),
    "left": lambda loop: loop.left(1 << 30),
    "spell": lambda loop: loop.spell(-1),
    "is_resting": lambda loop: loop.is_resting(7),
    "learn": lambda loop: loop.learn(0, b"", 0, 0, b""),
    "supply": lambda loop: loop.supply(0, [b"GET"]),
    "supply what has a payload": lambda loop: loop.supply(loop.add_request(GET, SECOND, repeatable=True), [GET]),
    "payloads": lambda loop: loop.payloads(1),
    "a request that there is not": lambda loop: loop.add_user([(0, 0)]),
    "no turns": lambda loop: loop.add_user([]),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_number_that_it_does_not_know_is_refused(loop: NativeLoop, call: Callable[[NativeLoop], object]):
    with pytest.raises(ValueError, match="number"):
        call(loop)


@pytest.mark.parametrize("turns", [[(0,)], [("0", 0)], 5, [(1 << 40, 0)]], ids=str)
def test_turns_that_are_none_are_refused(loop: NativeLoop, turns: Any):
    with pytest.raises((TypeError, OverflowError)):
        loop.add_user(turns)


@pytest.mark.parametrize("payloads", [[b"GET", "GET"], 5, [None]], ids=str)
def test_payloads_that_are_none_are_refused(loop: NativeLoop, payloads: Any):
    request = loop.add_request(None, SECOND, repeatable=True)
    with pytest.raises(TypeError):
        loop.supply(request, payloads)
    assert loop.supply(request, []) == 0


@pytest.mark.parametrize("arrivals", [[(0,)], [("0", 0)], 5, [(1 << 40, 0)], [0]], ids=str)
def test_arrivals_that_are_none_are_refused(loop: NativeLoop, arrivals: Any):
    with pytest.raises((TypeError, OverflowError)):
        loop.arrivals.offer(arrivals)


def test_many_users_and_arrivals_find_room(users: Users, elsewhere: int):
    request = users.request
    many = [users.loop.add_user([(request, 0)]) for _ in range(1100)]
    for user in many[:600]:
        users.loop.serve(user)
    # those that are idle stay so when there must be room for more
    many += [users.loop.add_user([(request, 0)]) for _ in range(1100)]
    for user in many[600:]:
        users.loop.serve(user)
    now = users.clock.now()
    for _ in range(3):
        users.loop.arrivals.offer([(0, now)] * 700)
    users.loop.arrivals.finish()

    events = users.events(2200)

    # each has no connection
    assert sorted(event.user for event in events) == many
    assert sum(event.what is What.UNUSUAL for event in events) == 2100


@pytest.mark.parametrize("connection", [-1, 1 << 20])
def test_a_connection_beyond_reason_is_refused(loop: NativeLoop, connection: int):
    loop.add_request(GET, SECOND, repeatable=True)
    with pytest.raises(ValueError, match="number"):
        loop.add_user([(0, connection)])


def test_a_user_that_is_in_is_not_the_callers(users: Users, elsewhere: int):
    user = users.add(elsewhere)
    users.resume(user, rest=60 * SECOND)
    for call in (
        lambda: users.resume(user),
        lambda: users.loop.connect(user, 0, None),
        lambda: users.loop.watch(user, 0, 0),
    ):
        with pytest.raises(ValueError, match="not the caller's"):
            call()


def test_what_is_closed_says_so_and_may_be_closed_again(loop: NativeLoop):
    loop.close()
    loop.close()
    with pytest.raises(ValueError, match="closed"):
        loop.wait(0)
    # another thread may not know it yet
    loop.stop(0)
    loop.wake()
    assert (loop.resting, loop.is_resting(0)) == (0, False)


def test_it_may_be_closed_while_users_are_under_way(users: Users, elsewhere: int):
    for _ in range(5):
        users.resume(users.add(elsewhere), 1 << 40)
    users.events(within=50 * MILLISECOND)
    users.loop.close()


def test_a_child_of_a_fork_does_not_have_it_and_ends(users: Users, elsewhere: int):
    users.resume(users.add(elsewhere), 1 << 40)
    child = os.fork()
    if not child:
        try:
            users.loop.wait(0)
        except ValueError:
            users.loop.close()
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    users.loop.stop(users.clock.now())
    assert len(users.events()) == 1


def test_users_by_the_hundred_rest_and_go_on_in_order(users: Users, elsewhere: int):
    numbers = [users.add(elsewhere) for _ in range(200)]
    for k, number in enumerate(numbers):
        # not in the order of their timers
        users.resume(number, rest=(k * 37 % 200 + 1) * MILLISECOND)
    users.events(len(numbers))

    samples = users.samples()
    assert len(samples) == 200
    assert all(due <= sent for due, sent, *_ in samples)
    assert users.loop.resting == 0


def test_without_a_descriptor_it_says_why(loop: NativeLoop):
    most, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Path(os.devnull).open() as first_free:
        resource.setrlimit(resource.RLIMIT_NOFILE, (first_free.fileno(), limit))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                NativeLoop(SystemClock())
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, limit))


def test_a_user_whose_event_was_not_taken_is_not_the_callers(users: Users, elsewhere: int):
    user = users.add(elsewhere)
    users.resume(user, left=0)
    for call in (lambda: users.resume(user, left=0), lambda: users.loop.connect(user, 0, None)):
        with pytest.raises(ValueError, match="not the caller's"):
            call()
    assert [event.what for event in users.events()] == [What.OVER]
    users.resume(user, left=0)
