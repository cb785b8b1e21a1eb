"""The exchange loop in Python: it waits for all connections by epoll, and hands out users."""

from __future__ import annotations

import select
import socket
from collections.abc import Sequence
from errno import EAGAIN
from functools import partial
from typing import TYPE_CHECKING, Final

from loadkit.plan.units import MILLISECOND, SECOND
from loadkit.wire.channel import STAMPS
from loadkit.wire.exchange_loop.contract import Event, Spell, What
from loadkit.wire.exchange_loop.exchanges import Exchanges
from loadkit.wire.exchange_loop.held import NEVER, HeldConnection, HeldRequest, HeldUser

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
        self._clock = clock
        self._exchanges = Exchanges(clock)
        self.arrivals = self._exchanges.arrivals
        self._poller = self._exchanges.poller
        self._steps = self._poller.steps
        self._requests: list[HeldRequest] = []
        self._users: list[HeldUser] = []
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

    def learn(self, request: int, head: bytes, size: int, status: int, pattern: bytes) -> None:
        self._requests[request].learn(head, size, status, pattern)

    def add_user(self, turns: Sequence[tuple[int, int]]) -> int:
        connections = [HeldConnection() for _ in range(1 + max(connection for _, connection in turns))]
        own = [(self._requests[request], connections[connection]) for request, connection in turns]
        user = HeldUser(len(self._users), connections)
        self._users.append(user)
        for connection in connections:
            connection.step = partial(self._spoil, user, connection)
        exchanges = self._exchanges.of(user, own)
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
            self._exchanges.watch(one, one.step)

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
        one.due, one.until, one.left, one.serves = due, until, left, False
        one.go_on()

    def serve(self, user: int) -> None:
        one = self._users[user]
        one.until, one.serves = NEVER, True
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
        self._exchanges.watch(one.watched, one.watched.step)

    def _hand_out_watched(self, user: HeldUser, error: int = 0) -> None:
        user.watched, user.deadline = None, NEVER
        self._exchanges.events.append(Event(What.READABLE, user.number, error=error))

    def left(self, user: int) -> int:
        return self._users[user].left

    def spell(self, user: int) -> Spell:
        return self._users[user].take_spell()

    @property
    def resting(self) -> int:
        return self._exchanges.resting

    def is_resting(self, user: int) -> bool:
        return self._users[user].is_resting

    def take(self) -> list[Sequence[int]]:
        return [request.take() for request in self._requests]

    def payloads(self, request: int) -> Sequence[int]:
        return self._requests[request].taken_numbers

    # -- waiting

    def wait(self, until: int) -> list[Event]:
        now, exchanges, poller, events = self._clock.now, self._exchanges, self._poller, self._exchanges.events
        done, instant = 0, now()
        while not events and done < ROUND:
            next_due, is_short = exchanges.next_due, self.arrivals.is_short
            wake_at = 0 if is_short else min(until, self._look_at, next_due)
            found = poller.wait(wake_at - instant, events, punctual=next_due < NEVER)
            done += found
            if is_short and not found:
                self.arrivals.note_short()
                events.append(Event(What.SHORT, -1))
            instant, asked = now(), instant
            if exchanges.resting:
                exchanges.send_due(instant)
            if asked >= self._look_at and not poller.unread:
                self._find_late(asked)
            if instant >= until or poller.is_woken:
                break
        poller.is_woken = False
        exchanges.events = []
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
        self._exchanges.stop_at = min(self._exchanges.stop_at, instant)
        self.wake()

    def wake(self) -> None:
        self._poller.wake()

    def close(self) -> None:
        self._poller.close()
