"""Arrivals on the exchange loop: sent by whoever is idle at their instants, or in order by the first who is free."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest

from loadkit.clock import SystemClock
from loadkit.plan.units import MILLISECOND, SECOND
from loadkit.wire.exchange_loop.contract import LATEST, Event, What
from loadkit.wire.exchange_loop.python_loop import IS_AVAILABLE
from tests.wire.conftest import Serve
from tests.wire.peer import OK, Line, Peer, replies, then_close
from tests.wire.test_exchange_loop import HEAD, LOOPS, Users

pytestmark = pytest.mark.skipif(not IS_AVAILABLE, reason="there are no loops on this system")


@pytest.fixture(params=LOOPS)
def users(request: pytest.FixtureRequest, serve_as: Serve) -> Iterator[Users]:
    """Users whose sockets are closed before their servers, which may not have come to accept them."""
    clock = SystemClock()
    users = Users(request.param(clock), clock)
    yield users
    users.loop.close()
    for sock in users.socks:
        sock.close()


def offer(users: Users, *after: int, is_last: bool = True, place: int = 0) -> list[int]:
    """Offer arrivals that are due so long from now; their instants."""
    now = users.clock.now()
    dues = [now + span for span in after]
    users.loop.arrivals.offer([(place, due) for due in dues])
    if is_last:
        users.loop.arrivals.finish()
    return dues


def heard(peers: Sequence[Peer]) -> list[int]:
    return [len(peer.heard) for peer in peers]


def slow(line: Line) -> None:
    line.pause(0.1)
    line.send(OK)


def test_arrivals_are_sent_at_their_instants_and_users_handed_out_behind_the_last(users: Users, serve_as: Serve):
    peer = serve_as(replies(OK))
    numbers = [users.add(peer.port) for _ in range(3)]
    for number in numbers:
        users.loop.serve(number)

    first = offer(users, *(span * MILLISECOND for span in range(0, 60, 5)), is_last=False)
    last = offer(users, 70 * MILLISECOND, 71 * MILLISECOND)
    events = users.events(3)

    assert sorted(events) == [Event(What.OVER, number) for number in numbers]
    samples = users.samples()
    assert sorted(due for due, *_ in samples) == first + last
    assert all(due <= sent <= arrived <= taken for due, sent, arrived, taken, *_ in samples)
    assert users.loop.arrivals.offered == 0


def test_where_nobody_is_idle_arrivals_wait_in_order(users: Users, serve_as: Serve):
    user = users.add(serve_as(replies(slow, slow, OK)).port)
    users.loop.serve(user)

    dues = offer(users, 0, MILLISECOND, 2 * MILLISECOND, SECOND // 2)
    users.events()

    samples = users.samples()
    assert [due for due, *_ in samples] == dues
    for before, after in pairwise(samples[:3]):
        assert after[1] >= before[3] > after[0] + 90 * MILLISECOND, "it is late by what it waited for"
    assert samples[3][1] >= dues[3]


def test_each_arrival_is_for_a_place_of_the_turn(users: Users, serve_as: Serve):
    peers = [serve_as(replies(OK)), serve_as(replies(OK))]
    other = users.add_request(b"GET /other HTTP/1.1\r\n\r\n")
    users.loop.learn(other, HEAD, len(OK), 200, b"")
    user = users.loop.add_user([(users.request, 0), (other, 1)])
    for connection, peer in enumerate(peers):
        users.connect(user, peer.port, connection)
    users.loop.serve(user)

    now = users.clock.now()
    users.loop.arrivals.offer([(place, now) for place in (1, 1, 0, 1)])
    users.loop.arrivals.finish()
    users.events()

    assert heard(peers) == [1, 3]
    assert len(users.samples(other)) == 3


@pytest.mark.parametrize(("in_turn", "expected"), [(8, [0, 3, 3, 3]), (1, [0, 0, 0, 9])])
def test_idle_users_take_arrivals_in_turn_if_they_are_few(
    users: Users, serve_as: Serve, in_turn: int, expected: list[int]
):
    peers = [serve_as(replies(OK)) for _ in range(3)]
    users.loop.arrivals.rotate(in_turn)
    for peer in peers:
        users.loop.serve(users.add(peer.port))

    for _ in range(9):
        # one after the other, however long it takes
        offer(users, 0, is_last=False)
        while not users.samples():
            users.loop.wait(users.clock.now() + MILLISECOND)

    assert sorted(heard(peers)) == expected[1:]


def test_it_says_once_that_nobody_is_idle(users: Users, serve_as: Serve):
    peer = serve_as(replies(slow))
    for _ in range(2):
        users.loop.serve(users.add(peer.port))
    users.loop.arrivals.ask_for_more()

    offer(users, *[0] * 6, is_last=False)
    first = users.events()
    # two are sent again meanwhile
    again = users.events(within=150 * MILLISECOND)
    users.loop.arrivals.ask_for_more()

    assert (first, again, users.events()) == ([Event(What.SHORT, -1)], [], [Event(What.SHORT, -1)])


def test_nothing_is_said_where_somebody_is_idle(users: Users, serve_as: Serve):
    peer = serve_as(replies(OK))
    for _ in range(2):
        users.loop.serve(users.add(peer.port))
    users.loop.arrivals.ask_for_more()

    offer(users, 0, is_last=False)

    assert users.events(within=50 * MILLISECOND) == []


def test_users_who_wait_for_arrivals_are_at_rest(users: Users, serve_as: Serve):
    users.loop.serve(users.add(serve_as(Line.stall).port))
    busy = users.add(serve_as(Line.stall).port)
    users.loop.serve(busy)
    users.loop.arrivals.rotate(1)

    offer(users, 0, SECOND * 100, is_last=False)
    users.events(within=50 * MILLISECOND)

    assert users.loop.resting == 1
    assert sum(users.loop.is_resting(user) for user in (0, busy)) == 1
    assert users.loop.arrivals.offered == 1


def test_what_was_withdrawn_is_not_sent(users: Users, serve_as: Serve):
    peer = serve_as(replies(OK))
    users.loop.serve(users.add(peer.port))

    offer(users, 100 * MILLISECOND, 110 * MILLISECOND)
    assert users.loop.arrivals.withdraw() == 2
    events = users.events(within=200 * MILLISECOND)

    assert (events, users.loop.arrivals.offered, peer.heard) == ([], 0, [])


def test_what_was_not_begun_by_the_stop_is_left(users: Users, serve_as: Serve):
    peers = [serve_as(replies(OK)), serve_as(replies(lambda line: (line.pause(0.4), line.send(OK))))]
    quick, busy = (users.add(peer.port) for peer in peers)
    users.loop.serve(busy)
    offer(users, 0, is_last=False)
    users.events(within=10 * MILLISECOND)
    stop = users.clock.now() + 200 * MILLISECOND
    users.loop.stop(stop)
    users.loop.serve(quick)

    offer(users, 100 * MILLISECOND, 250 * MILLISECOND, 300 * MILLISECOND, is_last=False)
    first = users.events()
    handed_out = users.clock.now()
    second = users.events()

    assert (first, second) == ([Event(What.OVER, quick)], [Event(What.OVER, busy)])
    assert handed_out >= stop
    assert users.loop.arrivals.offered == 2
    assert len(users.samples()) == 2


def test_one_that_waited_for_a_user_is_not_sent_after_the_stop(users: Users, serve_as: Serve):
    peer = serve_as(replies(slow))
    user = users.add(peer.port)
    users.loop.serve(user)

    users.loop.stop(users.clock.now() + 50 * MILLISECOND)
    offer(users, 0, 10 * MILLISECOND, is_last=False)
    events = users.events()

    assert events == [Event(What.OVER, user)]
    assert (users.loop.arrivals.offered, len(peer.heard)) == (1, 1)


def test_one_that_was_due_before_the_stop_is_sent_by_who_was_idle(users: Users, serve_as: Serve):
    users.loop.serve(users.add(serve_as(replies(OK)).port))
    stop = users.clock.now() + 50 * MILLISECOND
    users.loop.stop(stop)

    # the loop cannot wake up in the nanosecond between the two
    users.loop.arrivals.offer([(0, stop - 1)])
    users.events()

    assert len(users.samples()) == 1 or users.clock.now() > stop + LATEST


def test_another_thread_stops_those_who_wait(users: Users, serve_as: Serve):
    peer = serve_as(replies(OK))
    numbers = [users.add(peer.port) for _ in range(3)]
    for number in numbers:
        users.loop.serve(number)

    offer(users, 60 * SECOND)
    users.loop.stop(users.clock.now())

    assert sorted(users.events(3)) == [Event(What.OVER, number) for number in numbers]
    assert users.loop.arrivals.offered == 1


def test_who_is_handed_out_goes_on_serving(users: Users, serve_as: Serve):
    peer = serve_as(replies(OK, OK.replace(b"ok", b"no!"), OK))
    user = users.add(peer.port)
    users.loop.serve(user)

    dues = offer(users, 0, 0, 0, 0)
    (event,) = users.events()
    users.loop.serve(user)

    assert event[:4] == (What.UNUSUAL, user, users.request, dues[1])
    assert users.events() == [Event(What.OVER, user)]
    assert len(users.samples()) == 3


def test_an_arrival_whose_connection_is_closed_is_handed_out_when_it_is_due(users: Users, serve_as: Serve):
    user = users.add(serve_as(then_close(b"")).port)
    users.loop.serve(user)

    (due,) = offer(users, 100 * MILLISECOND)
    (event,) = users.events()

    assert event == Event(What.UNUSUAL, user, users.request, due)
    assert users.clock.now() >= due
