"""Exchanges by epoll: a generator for each user does them.

A generator has all that is asked for in each exchange in its local variables, and goes on where it was for the price of
a call.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from functools import partial
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from loadkit.wire.channel import ANCILLARY, AT_ONCE, BUFFER, stamp_of, timespec
from loadkit.wire.connection import JITTER
from loadkit.wire.exchange_loop.contract import Event, What
from loadkit.wire.exchange_loop.held import NEVER, HeldConnection, HeldRequest, HeldUser
from loadkit.wire.exchange_loop.offered import OfferedArrivals
from loadkit.wire.exchange_loop.poller import Poller
from loadkit.wire.fast import COOLED

if TYPE_CHECKING:
    from loadkit.wire.base import Clock


class Exchanges:
    """The exchanges of all users of a loop, and what these have in common."""

    def __init__(self, clock: Clock) -> None:
        self.arrivals = OfferedArrivals()
        self.poller = Poller()
        self.events: list[Event] = []
        self.resting = 0
        self.stop_at = NEVER
        self._clock = clock
        self._timers: list[tuple[int, int, Callable[[], object]]] = []
        """When a user that rests is to go on, its number, and how it does."""

    def watch(self, connection: HeldConnection, step: Callable[[], object]) -> None:
        """Do this when something has come on a connection."""
        self.poller.steps[connection.fd] = step
        if not connection.is_watched:
            self.poller.watch(connection.fd)
            connection.is_watched = True

    @property
    def next_due(self) -> int:
        """When a user is to go on that rests; the far future if none does."""
        due = self._timers[0][0] if self._timers else NEVER
        return min(due, self.stop_at, self.arrivals.next_due) if self.arrivals.idle else due

    def send_due(self, instant: int) -> None:
        """Have those go on that rest, and whose request is due, or that are to be handed out."""
        timers, idle = self._timers, self.arrivals.idle
        while timers and (timers[0][0] <= instant or instant >= self.stop_at):
            heappop(timers)[2]()
        if idle and self.arrivals.begin(instant, self.stop_at):
            self.stop_at = 0
            while idle:
                idle.popleft()()

    def of(  # noqa: PLR0912, PLR0915 - the hot path
        self, user: HeldUser, turns: Sequence[tuple[HeldRequest, HeldConnection]]
    ) -> Generator[None, None, None]:
        """All exchanges of a user; it goes on when it is resumed, its request is due, its reply has come."""
        now, clock, steps = self._clock.now, self._clock, self.poller.steps
        unusual = partial(Event, What.UNUSUAL, user.number)
        many, number, arrivals, queue = len(turns), user.number, self.arrivals, self.arrivals.queue
        position, awaited = -1, user.connections[0]
        while True:
            if awaited.fd in steps:
                steps[awaited.fd] = awaited.step
            user.deadline = NEVER
            yield
            due, until, left, serves = user.due, user.until, user.left, user.serves
            instant = now()
            while True:
                if serves:
                    left, due = len(queue), arrivals.next_due
                if due > instant:
                    if steps.get(awaited.fd) is user.go_on:
                        steps[awaited.fd] = awaited.step
                    user.deadline, user.is_resting = NEVER, True
                    self.resting += 1
                    if serves:
                        arrivals.add_idle(user.go_on)
                    else:
                        heappush(self._timers, (min(due, until), number, user.go_on))
                    yield
                    self.resting -= 1
                    user.is_resting = False
                    instant = now()
                    if serves and (left := len(queue)):
                        # it was idle when that was due, and sends it also behind the stop
                        instant = due = queue[0][1]
                if instant >= until or instant >= self.stop_at or left <= 0:
                    self.events.append(Event(What.OVER, number))
                    break
                if serves:
                    # its place is the next one of the turn
                    position = arrivals.take() - 1
                request, connection = turns[(position + 1) % many]
                payload, which = request.payload, -1
                if payload is None:
                    if not request.ready:
                        self.events.append(Event(What.UNSUPPLIED, number, request.number, due))
                        break
                    which, payload = request.ready.popleft()
                    self.poller.is_woken |= len(request.ready) == request.few
                left -= 1
                position = (position + 1) % many
                sock = connection.sock
                if not connection.is_usable or not (request.repeatable or connection.is_quiet()):
                    self.events.append(unusual(request.number, due, payload=which))
                    break
                assert sock
                went = 0
                if instant - user.taken > COOLED:
                    with suppress(OSError):
                        sock.send(b"", AT_ONCE)
                sent = now()
                try:
                    went = sock.send(payload, AT_ONCE)
                except OSError as error:
                    met = 0 if isinstance(error, BlockingIOError) else error.errno or 0
                    self.events.append(unusual(request.number, due, sent, error=met, payload=which))
                    break
                if went != len(payload):
                    self.events.append(unusual(request.number, due, sent, went, payload=which))
                    break
                user.deadline = sent + request.timeout
                if connection is not awaited or steps.get(connection.fd) is not user.go_on:
                    if steps.get(awaited.fd) is user.go_on:
                        steps[awaited.fd] = awaited.step
                    awaited = connection
                    self.watch(connection, user.go_on)
                try:
                    yield
                    data, ancillary, _, _ = sock.recvmsg(BUFFER, ANCILLARY, AT_ONCE)
                except OSError as error:
                    # that nothing can be received is no deadline
                    met = 0 if isinstance(error, BlockingIOError) else error.errno or 0
                    self.events.append(unusual(request.number, due, sent, went, error=met, payload=which))
                    break
                instant = taken = now()
                if ancillary and ((len(data) == request.size and data.startswith(request.head)) or request.knows(data)):
                    seconds, rest = timespec(ancillary[0][2])
                    arrived = seconds * 1_000_000_000 + rest - clock.wall_offset
                    if taken < arrived <= taken + JITTER:
                        arrived = taken
                    if sent <= arrived <= taken:
                        request.samples += (due, sent, arrived, taken, request.status, request.size)
                        if which >= 0:
                            request.numbers.append(which)
                        if not user.first_sent:
                            user.first_sent = sent
                        user.taken = taken
                        if user.pacing:
                            due = max(taken, due + user.pacing)
                        elif user.pauses is None:
                            due = taken
                        elif (pause := next(user.pauses, None)) is not None:
                            due = taken + pause
                        else:
                            self.events.append(Event(What.REPLIED, number, request.number, due, taken=taken))
                            break
                        continue
                stamp = stamp_of(ancillary)
                self.events.append(unusual(request.number, due, sent, went, data, stamp, taken, payload=which))
                user.taken = taken
                break
            user.left = left
