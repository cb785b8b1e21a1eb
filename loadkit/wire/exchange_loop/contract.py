"""What carries the exchanges of many users on one thread: the ordinary ones it does, any other it hands out.

The ordinary exchange: the request goes out in one call, and the reply comes in one, with a head that is known, byte for
byte. All of the protocol stays with `attempt`; an implementation compares, and parses nothing.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from loadkit.plan.units import MILLISECOND

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

LATEST: Final = 50 * MILLISECOND
"""How long after the stop a request may still be sent that was due before it and had a user to itself."""


class What(IntEnum):
    """Why a user is handed out."""

    UNUSUAL = 0
    """An exchange is not ordinary, or is not begun: `attempt.complete` takes it from where it is."""
    READABLE = 1
    """Something has come on a connection that was watched, or its deadline has passed."""
    OVER = 2
    """The user sends nothing more: its time is over, or the run is stopped, or it has sent as many as it may."""
    REPLIED = 3
    """An ordinary reply was `taken` to a request that was `due`, and there is no pause left."""
    SHORT = 4
    """An arrival was begun, and the next one may find no user idle; of no user."""
    UNSUPPLIED = 5
    """A request is due, and there is no payload for it."""


class Event(NamedTuple):
    """A user that is handed out: the loop does nothing more for it until it is told to. -1 for none.

    From `sent` on it is what `attempt.complete` takes; `sent` is 0 if nothing was sent. Nanoseconds of the monotonic
    clock.
    """

    what: What
    user: int
    request: int = -1
    """Which one the exchange is for; -1 where there is none."""
    due: int = 0
    sent: int = 0
    went: int = 0
    """How many bytes of the request the kernel took."""
    data: bytes | None = None
    """What has come of the reply; empty for the end of the connection, None if nothing was received."""
    stamp: int = 0
    """The kernel's time of what has come, wall clock; 0 if there is none."""
    taken: int = 0
    """When it was received."""
    error: int = 0
    """The errno of what sending or receiving met; EAGAIN behind a whole request is the deadline, which has passed."""
    payload: int = -1
    """The number of the payload that was taken for it, of those that were supplied; -1 where they are not."""


class Spell(NamedTuple):
    """What a user has done since it was last asked."""

    first_sent: int
    """0 if it has sent nothing."""
    last_taken: int


class Arrivals(Protocol):
    """Requests that are due at instants, whatever others wait for, and the users of a loop that serve them.

    An idle user sends one when it is due; where none is idle it waits, in order, for the first who is free.
    """

    def offer(self, arrivals: Sequence[tuple[int, int]], /) -> None:
        """These come behind those that were offered before: in which place of a user's turn, and when due."""

    def finish(self) -> None:
        """No more are offered: users that find none are handed out."""

    @property
    def offered(self) -> int:
        """How many were offered and are not begun."""

    def withdraw(self) -> int:
        """Have none of them; how many there were."""

    def rotate(self, count: int, /) -> None:
        """So many idle users take them in turn; of more, whoever was busy last is the next, whose way is warm."""

    def ask_for_more(self) -> None:
        """Hand out `SHORT`, once, when one was begun and no user is idle for the next, nor a reply there to be read."""


class ExchangeLoop(Protocol):
    """Exchanges of users with numbers, each with one request under way at a time, one thread for all.

    A user is *out* from the beginning and behind each of its events; then its connections are the caller's, who may
    use the sockets as blocking ones, on any thread. `resume` and `watch` hand it in again. All is called by one thread
    but for `stop` and `wake`, which any may call.

    A request is sent when it is due, on the user's connection for it, if it is open and nothing has come on it; one
    that is not `repeatable` is looked for directly before. Behind a rest of more than 5 ms an empty send goes before
    it, which warms the way through the kernel. The clock is read directly before the send. A reply is ordinary if it
    comes in one receive of at most 16 KiB, with the size and the head of one that was `learn`ed for the request, or
    with a head of its pattern, and a stamp from between sending and receiving. Then a sample is written, and the next
    request of the user's turn is due when the reply was taken.

    Users may serve arrivals instead.
    """

    name: str
    """What results call it."""

    @property
    def arrivals(self) -> Arrivals:
        """What users send that serve."""

    def add_request(self, payload: bytes | None, timeout: int, *, repeatable: bool) -> int:
        """Make a request known: what is sent, and how long the exchange may take; its number, from 0 on.

        Without a payload each exchange has one of its own, which is supplied.
        """

    def supply(self, request: int, payloads: Sequence[bytes]) -> int:
        """Have these payloads for the next exchanges of a request, behind those before; how many are ready now.

        They have numbers, from 0 on. When half of those that are ready now were taken, `wait` returns.
        """

    def learn(self, request: int, head: bytes, size: int, status: int, pattern: bytes) -> None:
        """A reply to this request that begins with this head has this size in all, and is good.

        One whose head has the pattern (see `head_pattern`; empty for none) is good, too, of the size that it says.
        Several heads may be learned for a request, of which the loop keeps the last ones, 16 or so.
        """

    def add_user(self, turns: Sequence[tuple[int, int]]) -> int:
        """Make a user known, by request and connection (its own, from 0 on) in turn; its number, from 0 on."""

    def connect(self, user: int, connection: int, sock: socket.socket | None) -> None:
        """This socket is the connection of a user that is out; None if it is closed.

        It is said again whenever the connection was opened anew; the socket before may have been closed already.
        """

    def resume(self, user: int, due: int, until: int, left: int) -> None:
        """The next request of the turn is due at this instant, at once if that has passed.

        From `until` on nothing is sent, and no more than `left` requests: then `OVER`.
        """

    def pace(self, user: int, pauses: Sequence[int], pacing: int) -> None:
        """A user that is out rests between its requests from now on.

        So many nanoseconds behind each reply, and it is handed out as `REPLIED` when these pauses are used up; or,
        where `pacing` is given, until so long after the request before was due.
        """

    def take_pause(self, user: int) -> int | None:
        """The next of these pauses, which the loop does not take any more; None if they are used up."""

    def watch(self, user: int, connection: int, deadline: int) -> None:
        """Hand it out as `READABLE` when something has come on a connection, which is not received."""

    def serve(self, user: int) -> None:
        """A user that is out sends arrivals from now on, until it is handed out.

        `OVER` is when all were sent, or with the stop: one that was due before it is sent after it only by a user that
        was idle then, and only so long as `LATEST`.
        """

    def wait(self, until: int) -> list[Event]:
        """Exchange until users are to be handed out, at most until this instant; it may return earlier for nothing.

        The wall offset of the clock is asked for here.
        """

    def take(self) -> list[Sequence[int]]:
        """The samples of each request that were written since the last time, in the order of their `taken`.

        Flat, `STRIDE` integers each: due, sent, arrived, taken, status, size.
        """

    def payloads(self, request: int) -> Sequence[int]:
        """The number of the payload of each sample that was last taken of a request, where they are supplied."""

    def left(self, user: int) -> int:
        """How many requests more a user that is out may send, of those that it was resumed with."""

    def spell(self, user: int) -> Spell:
        """When a user that is out has sent first and taken last, of what was ordinary; it begins anew."""

    def is_resting(self, user: int) -> bool:
        """True if it waits for the instant at which its request is due, or for an arrival; for any thread."""

    @property
    def resting(self) -> int:
        """How many users do; for any thread."""

    def stop(self, instant: int) -> None:
        """Nothing is sent from this instant on; users that rest are handed out as soon as it has come."""

    def wake(self) -> None:
        """Have `wait` return."""

    def close(self) -> None:
        """Give up what the loop itself has open; the sockets are the caller's."""
