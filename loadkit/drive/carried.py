"""A user that an exchange loop carries, and those of its exchanges that the loop hands out."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping
from errno import EAGAIN
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from loadkit.drive.closed import Stage
from loadkit.drive.state import NEVER
from loadkit.wire.attempt import complete
from loadkit.wire.channel import AT_ONCE, BUFFER, Channel
from loadkit.wire.partial_reply import PartialReply

if TYPE_CHECKING:
    import socket

    from loadkit.drive.blocking import BlockingThreads
    from loadkit.drive.closed import Next, Pace
    from loadkit.drive.recorder import BoundRequest
    from loadkit.drive.user import User
    from loadkit.plan.workload import ThreadPlan
    from loadkit.wire.base import Exchange, Request
    from loadkit.wire.connection import HttpConnection
    from loadkit.wire.exchange_loop.contract import Event, ExchangeLoop


PAUSES: Final = 16
"""Pauses of a user that are drawn at once."""


class CarriedUser:
    """A user without a thread of its own: where it stands in its plan, and in an exchange that is not ordinary.

    `requests` are what it sends, by their positions in the scenario, each with the connection for it.
    """

    __slots__ = (
        "_loop",
        "due",
        "left",
        "number",
        "pace",
        "partial",
        "plan",
        "position",
        "request",
        "requests",
        "socks",
        "stage",
        "stages",
        "unusual",
        "user",
    )

    def __init__(
        self,
        user: User,
        requests: Mapping[int, tuple[BoundRequest, HttpConnection]],
        plan: ThreadPlan,
        pace: Pace,
        stages: Generator[Next, None, None],
    ) -> None:
        self.user = user
        self.plan = plan
        self.requests = requests
        self.socks: dict[HttpConnection, socket.socket | None] = {one: None for _, one in requests.values()}
        """What the loop has for each of its connections."""
        self.stages = stages
        self.pace = pace
        self.stage: Stage | None = None
        """The one that it is in."""
        self.left = NEVER if plan.iterations is None else plan.iterations
        """How many requests more it may send in what is measured."""
        self.number = -1
        """The loop's."""
        self._loop: ExchangeLoop
        self.position = self.due = 0
        """What its exchange is for, and when that was due."""
        self.request: Request
        """What is sent in it."""
        self.partial: PartialReply | None = None
        """A part of its reply has come."""
        self.unusual = 0
        """Exchanges of what is measured that the loop did not do by itself."""

    def join(self, loop: ExchangeLoop, numbers: Mapping[int, int]) -> None:
        """Be carried by a loop, which has these numbers for requests by their positions."""
        self._loop = loop
        places = {connection: slot for slot, connection in enumerate(self.socks)}
        turns = [(numbers[position], places[self.requests[position][1]]) for position in self.plan.rotation]
        self.number = loop.add_user(turns)
        if self.pace.is_leisurely:
            loop.pace(self.number, (), 0 if self.pace.draw_pause else self.pace.pacing)
        self.user.pauses.elsewhere = partial(loop.is_resting, self.number)

    def show_connections(self) -> None:
        """Tell the loop of connections that were opened or closed."""
        for slot, (connection, known) in enumerate(self.socks.items()):
            sock = connection.channel.sock if connection.channel else None
            if sock is not known:
                self.socks[connection] = sock
                self._loop.connect(self.number, slot, sock)

    def note_stage(self) -> None:
        """A stage is over: note when it sent, and how many more it may send."""
        if self.stage is Stage.SEND and self.user.recorder.is_measuring:
            self.left = self._loop.left(self.number)
        spell, active = self._loop.spell(self.number), self.user.active
        if spell.first_sent:
            active.first_sent = min(active.first_sent or NEVER, spell.first_sent)
            active.last_taken = max(active.last_taken, spell.last_taken)

    def next_due(self, began: int, free: int) -> int:
        """When its next request is due behind one that was due at `began` and done with at `free`."""
        pace = self.pace
        if not pace.draw_pause:
            return pace.next_due(began, free) if pace.pacing else free
        pause = self._loop.take_pause(self.number)
        if pause is None:
            pause = pace.draw_pause()
            self._loop.pace(self.number, [pace.draw_pause() for _ in range(PAUSES)], 0)
        return free + pause


class UnusualExchanges:
    """Does what is left of exchanges that a loop has handed out; `done` is called with what came of each."""

    def __init__(
        self, loop: ExchangeLoop, blocking: BlockingThreads, done: Callable[[CarriedUser, Exchange], None]
    ) -> None:
        self._loop = loop
        self._blocking = blocking
        self._done = done

    def go_on(self, one: CarriedUser, event: Event) -> None:
        """Go on with an exchange from where the loop left it."""
        _, connection = one.requests[one.position]
        if event.data:
            channel = cast(Channel, connection.channel)
            channel.stamp, channel.taken = event.stamp, event.taken
            one.partial = PartialReply(connection, one.request, event.sent)
            self._feed(one, one.partial, event.data)
            return
        met = OSError(event.error, os.strerror(event.error)) if event.error else None
        work = partial(complete, connection, one.request, event.sent, event.went, event.data, met)
        if event.error == EAGAIN:
            # its time is over, and nothing is waited for any more
            self._done(one, work())
        else:
            self._blocking.submit(work, partial(self._done, one))

    def _feed(self, one: CarriedUser, reply: PartialReply, data: bytes) -> None:
        _, connection = one.requests[one.position]
        channel = cast(Channel, connection.channel)
        while (exchange := reply.take(data)) is None and len(data) >= BUFFER:
            # there is more, for it was as much as is received at once
            try:
                data = channel.receive_armed(AT_ONCE)
            except OSError:
                break
        if exchange is None:
            self._watch(one, reply)
        else:
            self._done(one, exchange)

    def _watch(self, one: CarriedUser, reply: PartialReply) -> None:
        _, connection = one.requests[one.position]
        self._loop.watch(one.number, list(one.socks).index(connection), reply.deadline)

    def read_on(self, one: CarriedUser, event: Event) -> None:
        """Receive more of a reply of which a part has come, or give it up."""
        _, connection = one.requests[one.position]
        reply, data = one.partial, None
        met = OSError(event.error, os.strerror(event.error)) if event.error else None
        assert reply
        if not met:
            try:
                data = cast(Channel, connection.channel).receive_armed(AT_ONCE)
            except BlockingIOError:
                self._watch(one, reply)
                return
            except OSError as error:
                met = error
        if data:
            self._feed(one, reply, data)
        else:
            # a reply that has begun is not asked for again, so this waits for nothing
            self._done(one, reply.end(data, met))
