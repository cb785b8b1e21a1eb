"""The exchange loop in Python: it waits for all connections by epoll, and a generator for each user does its exchanges.

A generator has all that is asked for in each exchange in its local variables, and goes on where it was for the price of
a call.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from errno import EAGAIN
from functools import partial
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from loadkit.plan.units import MILLISECOND, SECOND
from loadkit.wire.channel import ANCILLARY, AT_ONCE, BUFFER, STAMPS, stamp_of, timespec
from loadkit.wire.connection import JITTER
from loadkit.wire.exchange_loop.contract import Event, Spell, What
from loadkit.wire.exchange_loop.held import NEVER, HeldConnection, HeldRequest, HeldUser
from loadkit.wire.exchange_loop.poller import Poller
from loadkit.wire.fast import COOLED

if TYPE_CHECKING:
    from loadkit.wire.base import Clock

IS_AVAILABLE: Final = STAMPS and hasattr(select, "epoll")

LOOKS: Final = 20
"""How often a second, and in the span of the shortest timeout, it is looked for exchanges that take too long."""
ROUND: Final = 256
"""Exchanges after which `wait` returns: samples are counted while they are in the caches of the CPU."""


class _Late(OSError):
    """The deadline of an exchange has passed."""


class PythonLoop:
    """See `ExchangeLoop`."""

    name = "exchange loop in Python"

    def __init__(self, clock: Clock) -> None:
        self.resting = 0
        self._clock = clock
        self._poller = Poller()
        self._steps = self._poller.steps
        self._requests: list[HeldRequest] = []
        self._users: list[HeldUser] = []
        self._events: list[Event] = []
        self._timers: list[tuple[int, int, Callable[[], object]]] = []
        """When a user that rests is to go on, its number, and how it does."""
        self._stop_at = NEVER
        self._look_at = 0
        """When it is looked for late exchanges next."""
        self._look_each = SECOND // LOOKS

    # -- what there is

    def add_request(self, payload: bytes | None, timeout: int, *, repeatable: bool) -> int:
        number = len(self._requests)
        self._requests.append(HeldRequest(number, payload, timeout, repeatable=repeatable))
        self._look_each = max(MILLISECOND, min(self._look_each, timeout // LOOKS))
        return number

    def supply(self, request: int, payloads: Sequence[bytes]) -> int:
        return self._requests[request].supply(payloads)

    def learn(self, request: int, head: bytes, size: int, status: int) -> None:
        self._requests[request].learn(head, size, status)

    def add_user(self, turns: Sequence[tuple[int, int]]) -> int:
        connections = [HeldConnection() for _ in range(1 + max(connection for _, connection in turns))]
        own = [(self._requests[request], connections[connection]) for request, connection in turns]
        user = HeldUser(len(self._users), own, connections)
        self._users.append(user)
        for connection in connections:
            connection.step = partial(self._spoil, user, connection)
        exchanges = self._exchanges(user)
        user.go_on, user.throw = exchanges.__next__, exchanges.throw
        user.go_on()
        return user.number

    def connect(self, user: int, connection: int, sock: socket.socket | None) -> None:
        one = self._users[user].connections[connection]
        # the descriptor from before may be another connection's by now
        if self._steps.get(one.fd) is one.step:
            del self._steps[one.fd]
        one.sock, one.fd, one.is_watched = sock, -1 if sock is None else sock.fileno(), False
        one.is_usable, one.look = sock is not None, None
        if sock is not None:
            self._watch(one, one.step)

    def _watch(self, connection: HeldConnection, step: Callable[[], object]) -> None:
        self._steps[connection.fd] = step
        if not connection.is_watched:
            self._poller.watch(connection.fd)
            connection.is_watched = True

    def _spoil(self, user: HeldUser, connection: HeldConnection) -> None:
        """Something has come that nobody asked for, or that is for the caller to receive."""
        connection.is_watched = False
        self._poller.forget(connection.fd)
        if user.watched is connection:
            self._hand_out_watched(user)
        else:
            connection.is_usable = False

    # -- users that are handed in, and out

    def resume(self, user: int, due: int, until: int, left: int) -> None:
        one = self._users[user]
        one.due, one.until, one.left = due, until, left
        one.go_on()

    def pace(self, user: int, pauses: Sequence[int], pacing: int) -> None:
        one = self._users[user]
        one.pauses, one.pacing = None if pacing else iter(pauses), pacing

    def take_pause(self, user: int) -> int | None:
        pauses = self._users[user].pauses
        return next(pauses, None) if pauses else None

    def watch(self, user: int, connection: int, deadline: int) -> None:
        one = self._users[user]
        one.watched, one.deadline = one.connections[connection], deadline
        self._watch(one.watched, one.watched.step)

    def _hand_out_watched(self, user: HeldUser, error: int = 0) -> None:
        user.watched, user.deadline = None, NEVER
        self._events.append(Event(What.READABLE, user.number, error=error))

    def left(self, user: int) -> int:
        return self._users[user].left

    def spell(self, user: int) -> Spell:
        return self._users[user].take_spell()

    def is_resting(self, user: int) -> bool:
        return self._users[user].is_resting

    def take(self) -> list[Sequence[int]]:
        return [request.take() for request in self._requests]

    def payloads(self, request: int) -> Sequence[int]:
        return self._requests[request].taken_numbers

    # -- the hot path

    def _exchanges(self, user: HeldUser) -> Generator[None, None, None]:  # noqa: PLR0912, PLR0915
        """All exchanges of a user; it goes on when it is resumed, its request is due, its reply has come."""
        now, clock, steps = self._clock.now, self._clock, self._steps
        unusual = partial(Event, What.UNUSUAL, user.number)
        turns, many, number = user.turns, len(user.turns), user.number
        position, awaited = -1, user.connections[0]
        while True:
            if awaited.fd in steps:
                steps[awaited.fd] = awaited.step
            user.deadline = NEVER
            yield
            due, until, left = user.due, user.until, user.left
            instant = now()
            while True:
                if due > instant:
                    if steps.get(awaited.fd) is user.go_on:
                        steps[awaited.fd] = awaited.step
                    user.deadline, user.is_resting = NEVER, True
                    self.resting += 1
                    heappush(self._timers, (min(due, until), number, user.go_on))
                    yield
                    self.resting -= 1
                    user.is_resting = False
                    instant = now()
                if instant >= until or instant >= self._stop_at or left <= 0:
                    self._events.append(Event(What.OVER, number))
                    break
                request, connection = turns[(position + 1) % many]
                payload, which = request.payload, -1
                if payload is None:
                    if not request.ready:
                        self._events.append(Event(What.UNSUPPLIED, number, request.number, due))
                        break
                    which, payload = request.ready.popleft()
                    self._poller.is_woken |= len(request.ready) == request.few
                left -= 1
                position = (position + 1) % many
                sock = connection.sock
                if not connection.is_usable or not (request.repeatable or connection.is_quiet()):
                    self._events.append(unusual(request.number, due, payload=which))
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
                    self._events.append(unusual(request.number, due, sent, error=met, payload=which))
                    break
                if went != len(payload):
                    self._events.append(unusual(request.number, due, sent, went, payload=which))
                    break
                user.deadline = sent + request.timeout
                if connection is not awaited or steps.get(connection.fd) is not user.go_on:
                    if steps.get(awaited.fd) is user.go_on:
                        steps[awaited.fd] = awaited.step
                    awaited = connection
                    self._watch(connection, user.go_on)
                try:
                    yield
                    data, ancillary, _, _ = sock.recvmsg(BUFFER, ANCILLARY, AT_ONCE)
                except OSError as error:
                    # that nothing can be received is no deadline
                    met = 0 if isinstance(error, BlockingIOError) else error.errno or 0
                    self._events.append(unusual(request.number, due, sent, went, error=met, payload=which))
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
                            self._events.append(Event(What.REPLIED, number, request.number, due, taken=taken))
                            break
                        continue
                stamp = stamp_of(ancillary)
                self._events.append(unusual(request.number, due, sent, went, data, stamp, taken, payload=which))
                user.taken = taken
                break
            user.left = left

    # -- waiting

    def wait(self, until: int) -> list[Event]:
        now, timers, poller = self._clock.now, self._timers, self._poller
        done, instant = 0, now()
        while not self._events and done < ROUND:
            wake_at = min(until, self._look_at, timers[0][0] if timers else NEVER)
            done += poller.wait(wake_at - instant, self._events, punctual=bool(timers))
            instant, asked = now(), instant
            while timers and (timers[0][0] <= instant or instant >= self._stop_at):
                heappop(timers)[2]()
            if asked >= self._look_at and not poller.unread:
                self._find_late(asked)
            if instant >= until or poller.is_woken:
                break
        poller.is_woken = False
        events, self._events = self._events, []
        return events

    def _find_late(self, asked: int) -> None:
        """Those whose deadline had passed at this instant; what had come by then has been received since."""
        self._look_at = asked + self._look_each
        for user in self._users:
            if user.deadline >= asked:
                continue
            if user.watched:
                self._hand_out_watched(user, EAGAIN)
            else:
                user.throw(_Late(EAGAIN, "late"))

    def stop(self, instant: int) -> None:
        self._stop_at = min(self._stop_at, instant)
        self.wake()

    def wake(self) -> None:
        self._poller.wake()

    def close(self) -> None:
        self._poller.close()
