"""The exchange loop on real sockets: what it does by itself, and what it hands out."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from errno import EAGAIN, ECONNRESET
from itertools import pairwise
from typing import Any

import pytest

from loadkit.clock import SystemClock
from loadkit.measure.counts import STRIDE
from loadkit.plan.units import MILLISECOND, SECOND
from loadkit.wire.channel import SO_TIMESTAMPNS
from loadkit.wire.exchange_loop.contract import Event, ExchangeLoop, What
from loadkit.wire.exchange_loop.native_loop import NativeLoop
from loadkit.wire.exchange_loop.python_loop import IS_AVAILABLE, PythonLoop
from loadkit.wire.head_pattern import pattern_of
from tests.wire.conftest import Serve, needs_extension
from tests.wire.peer import OK, Line, replies, reply, then_close, then_reset

pytestmark = pytest.mark.skipif(not IS_AVAILABLE, reason="there are no loops on this system")

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = OK[:-2]
LATER = SECOND * 1000


class Users:
    """A loop with some users, and their sockets; each sends one request, and knows the reply `OK`."""

    def __init__(self, loop: ExchangeLoop, clock: SystemClock) -> None:
        self.loop = loop
        self.clock = clock
        for _ in range(20):
            # on a busy machine its two clocks may have been read far apart
            clock.reanchor()
        self.request = self.add_request(GET)
        loop.learn(self.request, HEAD, len(OK), 200, b"")
        self.socks: list[socket.socket] = []

    def add_request(self, payload: bytes | None, timeout: int = 5 * SECOND, *, repeatable: bool = True) -> int:
        return self.loop.add_request(payload, timeout, repeatable=repeatable)

    def add(self, port: int, request: int | None = None) -> int:
        """One more user, who is connected to a port of this machine."""
        number = self.loop.add_user([(self.request if request is None else request, 0)])
        self.connect(number, port)
        return number

    def connect(self, user: int, port: int, connection: int = 0) -> None:
        self.adopt(user, socket.create_connection(("127.0.0.1", port)), connection)

    def adopt(self, user: int, sock: socket.socket, connection: int = 0) -> None:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socks.append(sock)
        self.loop.connect(user, connection, sock)

    def resume(self, user: int, left: int = 1, *, rest: int = 0, within: int = LATER) -> None:
        now = self.clock.now()
        self.loop.resume(user, now + rest, now + within, left)

    def events(self, count: int = 1, within: int = 5 * SECOND) -> list[Event]:
        """So many events, or those that come in a while."""
        found: list[Event] = []
        until = self.clock.now() + within
        while len(found) < count and self.clock.now() < until:
            found += self.loop.wait(until)
        return found

    def samples(self, request: int | None = None) -> list[tuple[int, ...]]:
        flat = self.loop.take()[self.request if request is None else request]
        return [tuple(flat[k : k + STRIDE]) for k in range(0, len(flat), STRIDE)]


LOOPS: list[Any] = [PythonLoop, pytest.param(NativeLoop, marks=needs_extension)]


@pytest.fixture(params=LOOPS)
def users(request: pytest.FixtureRequest) -> Iterator[Users]:
    clock = SystemClock()
    users = Users(request.param(clock), clock)
    yield users
    users.loop.close()
    for sock in users.socks:
        sock.close()


def test_ordinary_exchanges_are_done_and_their_samples_kept(users: Users, serve_as: Serve):
    user = users.add(serve_as(replies(OK)).port)
    began = users.clock.now()

    users.resume(user, left=20)
    events = users.events()

    assert events == [Event(What.OVER, user)]
    samples = users.samples()
    assert len(samples) == 20
    for due, sent, arrived, taken, status, size in samples:
        assert began - MILLISECOND < due <= sent <= arrived <= taken <= users.clock.now()
        assert (status, size) == (200, len(OK))
    # each is due when the reply to the one before was taken
    assert [one[0] for one in samples[1:]] == [one[3] for one in samples[:-1]]
    assert users.loop.spell(user) == (samples[0][1], samples[-1][3])
    assert users.loop.spell(user).first_sent == 0
    assert users.samples() == []


def test_many_users_go_on_at_once(users: Users, serve_as: Serve):
    peer = serve_as(replies(OK))
    numbers = [users.add(peer.port) for _ in range(30)]

    for number in numbers:
        users.resume(number, left=10)
    events = users.events(30)

    assert sorted(events) == [Event(What.OVER, number) for number in numbers]
    assert len(users.samples()) == len(peer.heard) == 300


@pytest.mark.parametrize(
    "answer",
    [
        OK.replace(b"200 OK", b"500 No"),
        OK + b"!",
        OK[:-1],
        OK.replace(b"Content-Length", b"content-length"),
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
    ids=["a failure", "more than it is", "a part", "another head", "no length"],
)
def test_another_reply_is_handed_out_as_it_came(users: Users, serve_as: Serve, answer: bytes):
    user = users.add(serve_as(replies(OK, OK, answer)).port)

    users.resume(user, left=9)
    (event,) = users.events()

    assert event[:3] == (What.UNUSUAL, user, users.request)
    assert (event.went, event.data, event.error) == (len(GET), answer, 0)
    assert event.due <= event.sent < event.taken
    assert abs(event.stamp - users.clock.wall_offset - event.taken) < SECOND
    assert len(users.samples()) == 2
    assert users.loop.left(user) == 6


def test_it_goes_on_where_it_was(users: Users, serve_as: Serve):
    user = users.add(serve_as(replies(OK, OK.replace(b"ok", b"no!"), OK)).port)

    users.resume(user, left=5)
    (event,) = users.events()
    users.loop.resume(user, event.taken, 1000 * LATER, users.loop.left(user))
    events = users.events()

    assert events == [Event(What.OVER, user)]
    assert len(users.samples()) == 4


def test_heads_that_were_learned_are_known_on_each_connection(users: Users, serve_as: Serve):
    other = OK.replace(b"\r\n\r\n", b"\r\nDate: x\r\n\r\n")
    users.loop.learn(users.request, other[:-2], len(other), 203, b"")
    peers = [serve_as(replies(OK, other)), serve_as(replies(other, OK, other))]

    for peer in peers:
        users.resume(users.add(peer.port), left=4)
    users.events(2)

    found = [status for *_, status, _ in users.samples()]
    assert sorted(found) == [200, 200, 203, 203, 203, 203, 203, 203]


def test_heads_that_differ_in_dates_and_lengths_are_known_too(users: Users, serve_as: Serve):
    dated = [reply(b"x" * size, f"Date: {size}") for size in (2, 3, 10, 2, 3)]
    head = dated[0][:-2]
    users.loop.learn(users.request, head, len(dated[0]), 200, pattern_of(head, "GET"))
    cut = reply(b"xx", "Date: 1").replace(b"Length: 2", b"Length: 3")

    users.resume(users.add(serve_as(replies(*dated, cut)).port), left=6)
    (unusual,) = users.events()

    assert [(status, size) for *_, status, size in users.samples()] == [(200, len(one)) for one in dated]
    assert unusual.data == cut


def test_requests_take_turns_on_the_connections_of_a_user(users: Users, serve_as: Serve):
    peers = [serve_as(replies(OK)), serve_as(replies(OK))]
    other = users.add_request(b"GET /other HTTP/1.1\r\n\r\n")
    users.loop.learn(other, HEAD, len(OK), 200, b"")
    user = users.loop.add_user([(users.request, 0), (other, 1), (users.request, 0)])
    for connection, peer in enumerate(peers):
        users.connect(user, peer.port, connection)

    users.resume(user, left=6)
    users.events()

    assert [len(peer.heard) for peer in peers] == [4, 2]
    assert [len(one) // STRIDE for one in users.loop.take()] == [4, 2]


@pytest.mark.parametrize(
    ("script", "data", "error"),
    [(replies(then_close()), b"", 0), (replies(then_reset()), None, ECONNRESET)],
    ids=["closed", "reset"],
)
def test_the_end_of_a_connection_is_handed_out(users: Users, serve_as: Serve, script: Any, data: Any, error: int):
    user = users.add(serve_as(script).port)

    users.resume(user)
    (event,) = users.events()

    assert (event.what, event.went, event.data, event.error) == (What.UNUSUAL, len(GET), data, error)


@pytest.mark.parametrize("rest", [0, 200 * MILLISECOND], ids=["before it is resumed", "while it rests"])
def test_nothing_is_sent_on_a_connection_on_which_something_has_come(users: Users, serve_as: Serve, rest: int):
    peer = serve_as(then_close(b"bye"))
    user = users.add(peer.port)
    if not rest:
        users.events(within=100 * MILLISECOND)

    users.resume(user, rest=rest)
    (event,) = users.events()

    assert event[:3] == (What.UNUSUAL, user, users.request)
    assert (event.sent, event.went, event.data) == (0, 0, None)
    assert event.due > 0


def test_one_that_must_not_be_sent_twice_is_looked_for_directly_before(users: Users, serve_as: Serve):
    post = users.add_request(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", repeatable=False)
    said = threading.Event()

    def talk(line: Line) -> None:
        line.send(b"unasked")
        said.set()
        line.stall()

    user = users.add(serve_as(talk).port, post)
    said.wait(5)
    # not a wait in between, which would have seen it
    users.resume(user)
    (event,) = users.events()

    assert (event.request, event.sent, event.data) == (post, 0, None)


def test_what_had_come_before_the_request_is_handed_out(users: Users, serve_as: Serve):
    said = threading.Event()

    def talk(line: Line) -> None:
        line.send(OK)
        said.set()
        line.stall()

    user = users.add(serve_as(talk).port)
    said.wait(5)
    users.resume(user)
    (event,) = users.events()

    assert event.what is What.UNUSUAL
    if event.sent:
        # the other one looked before it sent
        assert (event.went, event.data) == (len(GET), OK)
        assert event.stamp - users.clock.wall_offset < event.sent


def test_a_connection_that_is_closed_is_handed_out_when_the_request_is_due(users: Users, serve_as: Serve):
    peer = serve_as(replies(OK))
    user = users.add(peer.port)
    users.loop.connect(user, 0, None)

    users.resume(user, rest=20 * MILLISECOND)
    (event,) = users.events()
    users.connect(user, peer.port)
    users.resume(user)
    events = users.events()

    assert (event.what, event.sent) == (What.UNUSUAL, 0)
    assert users.clock.now() >= event.due
    assert events == [Event(What.OVER, user)]
    assert len(users.samples()) == 1


def test_a_request_that_the_kernel_does_not_take_whole_is_handed_out(users: Users, serve_as: Serve):
    large = users.add_request(b"x" * 50_000_000)
    user = users.add(serve_as(Line.stall).port, large)

    users.resume(user)
    (event,) = users.events()

    assert (event.what, event.data, event.error) == (What.UNUSUAL, None, 0)
    assert 0 < event.went < 50_000_000


def test_what_takes_too_long_is_handed_out_with_its_deadline(users: Users, serve_as: Serve):
    slow = users.add_request(GET, 200 * MILLISECOND)
    user = users.add(serve_as(Line.stall).port, slow)
    began = users.clock.now()

    users.resume(user)
    (event,) = users.events()

    assert (event.what, event.went, event.data, event.error) == (What.UNUSUAL, len(GET), None, EAGAIN)
    assert 200 * MILLISECOND <= users.clock.now() - began < 2 * SECOND


def test_the_rest_of_a_reply_is_for_the_caller_to_receive(users: Users, serve_as: Serve):
    more = threading.Event()

    def answer(line: Line) -> None:
        line.request()
        line.send(OK[:5])
        more.wait(5)
        line.send(OK[5:])
        line.stall()

    user = users.add(serve_as(answer).port)
    users.resume(user)
    users.events()

    users.loop.watch(user, 0, users.clock.now() + LATER)
    assert users.events(within=50 * MILLISECOND) == []
    more.set()

    assert users.events() == [Event(What.READABLE, user)]
    assert users.socks[0].recv(100) == OK[5:]


def test_the_deadline_of_what_is_watched_is_told(users: Users, serve_as: Serve):
    user = users.add(serve_as(Line.stall).port)

    users.loop.watch(user, 0, users.clock.now() + 100 * MILLISECOND)

    assert users.events() == [Event(What.READABLE, user, error=EAGAIN)]


def test_a_user_rests_until_its_request_is_due(users: Users, serve_as: Serve):
    peer = serve_as(replies(OK))
    user, other = users.add(peer.port), users.add(peer.port)

    began = users.clock.now()
    users.resume(user, rest=50 * MILLISECOND)
    users.resume(other, rest=60 * SECOND)
    users.events()

    ((due, sent, *_),) = users.samples()
    assert began + 50 * MILLISECOND <= due <= sent
    assert users.loop.resting == 1
    assert [users.loop.is_resting(one) for one in (user, other)] == [False, True]


@pytest.mark.parametrize("rest", [0, SECOND], ids=["at work", "at rest"])
def test_nothing_is_sent_from_the_end_on(users: Users, serve_as: Serve, rest: int):
    user = users.add(serve_as(replies(OK)).port)
    end = users.clock.now() + 100 * MILLISECOND

    users.loop.resume(user, users.clock.now() + rest, end, 1 << 40)
    events = users.events()

    assert events == [Event(What.OVER, user)]
    assert end <= users.clock.now() < end + 500 * MILLISECOND
    # the instant before each sending; a thread may be held up in between
    assert all(due < end for due, *_ in users.samples())


@pytest.mark.parametrize("rest", [0, 60 * SECOND], ids=["at work", "at rest"])
def test_another_thread_stops_all(users: Users, serve_as: Serve, rest: int):
    peer = serve_as(replies(OK))
    numbers = [users.add(peer.port) for _ in range(3)]
    stopped: list[int] = []

    def stop() -> None:
        users.loop.stop(users.clock.now())
        stopped.append(users.clock.now())

    for number in numbers:
        users.resume(number, 1 << 40, rest=rest)
    timer = threading.Timer(0.1, stop)
    timer.start()
    events = users.events(3)
    timer.join()

    assert sorted(events) == [Event(What.OVER, number) for number in numbers]
    assert users.clock.now() - stopped[0] < 2 * SECOND
    assert all(due < stopped[0] for due, *_ in users.samples())


def test_a_connection_that_another_thread_shuts_down_is_handed_out(users: Users, serve_as: Serve):
    user = users.add(serve_as(Line.stall).port)

    users.resume(user)
    timer = threading.Timer(0.05, users.socks[0].shutdown, [socket.SHUT_RDWR])
    timer.start()
    (event,) = users.events()
    timer.join()

    assert (event.what, event.data) == (What.UNUSUAL, b"")


def test_another_thread_wakes_whoever_waits(users: Users):
    timer = threading.Timer(0.05, users.loop.wake)
    timer.start()
    began = users.clock.now()

    assert users.loop.wait(began + 60 * SECOND) == []
    assert users.clock.now() - began < 30 * SECOND
    timer.join()


def test_the_number_of_a_descriptor_that_was_closed_may_be_anothers(users: Users, serve_as: Serve):
    peer = serve_as(replies(OK))
    first, second = users.add(peer.port), users.loop.add_user([(users.request, 0)])
    other = socket.create_connection(("127.0.0.1", peer.port))

    # closes the first one, and no other thread can have its number in between
    os.dup2(other.fileno(), users.socks[0].fileno())
    other.close()
    users.adopt(second, socket.socket(fileno=users.socks.pop().detach()))
    users.loop.connect(first, 0, None)
    users.resume(second, left=3)

    assert users.events() == [Event(What.OVER, second)]
    assert len(users.samples()) == 3


def test_pauses_are_made_in_turn_until_they_are_used_up(users: Users, serve_as: Serve):
    user = users.add(serve_as(replies(OK)).port)
    users.loop.pace(user, [30 * MILLISECOND, 10 * MILLISECOND, 20 * MILLISECOND], 0)

    assert users.loop.take_pause(user) == 30 * MILLISECOND
    users.resume(user, left=9)
    (event,) = users.events()

    samples = users.samples()
    assert [after[0] - before[3] for before, after in pairwise(samples)] == [10 * MILLISECOND, 20 * MILLISECOND]
    assert event == Event(What.REPLIED, user, users.request, samples[-1][0], taken=samples[-1][3])
    assert users.loop.left(user) == 6
    assert users.loop.take_pause(user) is None


def test_a_pace_is_from_one_due_instant_to_the_next_if_the_reply_is_in(users: Users, serve_as: Serve):
    slow: list[Any] = [OK, OK, lambda line: (line.pause(0.1), line.send(OK)), OK]
    user = users.add(serve_as(replies(*slow)).port)
    users.loop.pace(user, (), 30 * MILLISECOND)

    users.resume(user, left=5)
    events = users.events()

    assert events == [Event(What.OVER, user)]
    samples = users.samples()
    for before, after in pairwise(samples):
        assert after[0] == max(before[0] + 30 * MILLISECOND, before[3])
    assert samples[3][0] == samples[2][3], "that reply was slower than the pace"


def supplied(users: Users, port: int, count: int) -> tuple[int, list[int]]:
    """A request whose payloads are supplied, and some users of it."""
    request = users.add_request(None)
    users.loop.learn(request, HEAD, len(OK), 200, b"")
    return request, [users.add(port, request) for _ in range(count)]


def row(number: int) -> bytes:
    return b"GET /%d HTTP/1.1\r\n\r\n" % number


def test_each_exchange_takes_the_next_of_the_payloads_that_were_supplied(users: Users, serve_as: Serve):
    peer = serve_as(replies(OK))
    request, numbers = supplied(users, peer.port, 3)

    assert users.loop.supply(request, [row(k) for k in range(20)]) == 20
    assert users.loop.supply(request, [row(k) for k in range(20, 30)]) == 30
    for number in numbers:
        users.resume(number, left=10)
    events = users.events(3)

    assert sorted(events) == [Event(What.OVER, number) for number in numbers]
    assert sorted(peer.heard) == sorted(row(k) for k in range(30))
    samples, payloads = users.samples(request), list(users.loop.payloads(request))
    assert sorted(payloads) == list(range(30))
    # in the order in which they were sent, whoever sent them
    assert [payload for _, payload in sorted(zip([one[1] for one in samples], payloads, strict=True))] == list(
        range(30)
    )
    assert users.samples(request) == []
    assert list(users.loop.payloads(request)) == []


def test_a_request_without_a_payload_is_handed_out_and_goes_on_with_one(users: Users, serve_as: Serve):
    peer = serve_as(replies(OK))
    request, (user,) = supplied(users, peer.port, 1)

    assert users.loop.supply(request, []) == 0
    users.resume(user, left=2)
    (event,) = users.events()
    assert event[:3] == (What.UNSUPPLIED, user, request)
    assert event.due > 0
    assert users.loop.left(user) == 2

    users.loop.supply(request, [row(7), row(8)])
    users.loop.resume(user, event.due, users.clock.now() + LATER, 2)
    assert users.events() == [Event(What.OVER, user)]
    assert peer.heard == [row(7), row(8)]
    assert users.samples(request)[0][0] == event.due


def test_an_exchange_that_is_handed_out_has_the_number_of_its_payload(users: Users, serve_as: Serve):
    peer = serve_as(replies(OK, OK[:-1]))
    request, (user,) = supplied(users, peer.port, 1)
    users.loop.supply(request, [row(k) for k in range(3)])

    users.resume(user, left=3)
    (event,) = users.events()

    assert (event.what, event.payload, event.data, event.went) == (What.UNUSUAL, 1, OK[:-1], len(row(1)))
    users.loop.connect(user, 0, None)
    users.resume(user)
    (event,) = users.events()
    assert (event.what, event.payload, event.sent) == (What.UNUSUAL, 2, 0), "also where it was not sent"


def test_whoever_waits_is_woken_when_half_of_the_payloads_are_used(users: Users, serve_as: Serve):
    peer = serve_as(replies(*[OK] * 6, Line.stall))
    request, (user,) = supplied(users, peer.port, 1)
    users.loop.supply(request, [row(k) for k in range(10)])

    users.resume(user, left=10)
    began = users.clock.now()

    assert users.loop.wait(began + 60 * SECOND) == []
    assert users.clock.now() - began < 30 * SECOND
    assert users.loop.supply(request, []) in range(3, 6)
