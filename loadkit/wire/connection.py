"""One connection over HTTP/1.1, kept alive between exchanges: whether it may be used, and when what came arrived."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from loadkit.plan.units import MICROSECOND
from loadkit.wire.channel import Channel
from loadkit.wire.connect import Opening

if TYPE_CHECKING:
    from loadkit.wire.base import Clock, Origin, Seen

# A connection that rested longer is looked at before it is used: the server may have closed it, or said something.
# That costs 0.5 to 0.8 us of the 9 a request takes. An idempotent request that follows sooner goes without it, for
# bytes that nobody asked for show there all the same: alone they are stamped before the request was sent, and together
# with the reply they are more than it is. A close is a reconnect. The extension looks each time, for 0.2 us.
RESTED: Final = 50 * MICROSECOND
# how much earlier than the request a reply may seem to arrive, for the two clocks are read one after the other
JITTER: Final = 20_000
# whether threads run at once, so that a flag can change between asking for it and setting it
NO_GIL: Final = not getattr(sys, "_is_gil_enabled", lambda: True)()
# the wall clock was set if it moved more than this against the monotonic one; both are slewed alike
STEP: Final = 10 * MICROSECOND
EARLY: Final = -1
"""An arrival that is none: the bytes were there before they were asked for."""

OpenChannel: TypeAlias = Callable[[int, Opening], Channel]
"""Connects within so many nanoseconds; raises `BrokenExchange`."""
Memo: TypeAlias = tuple[bytes, int, int, list[tuple[bytes, bytes]]]
"""Head, size, status and headers of a reply."""


class State(Enum):
    """What a connection is in."""

    CLOSED = "closed"
    IDLE = "open, between two exchanges"
    ACTIVE = "in an exchange, or left in the middle of one"


CLOSED, IDLE, ACTIVE = State


class HttpConnection:
    """One connection. What is sent on it and read from it is the business of those who use it, one at a time."""

    __slots__ = (
        "_anchor",
        "_lent",
        "_open_channel",
        "_opening",
        "channel",
        "clock",
        "fresh_for",
        "fresh_until",
        "in_use",
        "last",
        "lock",
        "memo",
        "origin",
        "state",
        "unstamped",
    )

    def __init__(self, origin: Origin, open_channel: OpenChannel, clock: Clock) -> None:
        self.origin = origin
        self.clock = clock
        self._open_channel = open_channel
        self._opening = Opening()
        self._lent: dict[int, Channel] = {}
        self.channel: Channel | None = None
        """None where it is closed."""
        self.state = CLOSED
        self.last: Seen = (None, b"", b"", False)
        """Of the last reply that was kept."""
        self.memo: Memo | None = None
        """Of the last reply, if the same head again means the same reply."""
        self.in_use = False
        """For those who share it: from before an exchange until its reply was read. Between asking for it
        and setting it nothing may be called, for there signals and other threads come in."""
        self.lock = Lock()
        """The same where threads run at once."""
        self.fresh_until = 0
        """Until then it may be used without a look at it."""
        self.fresh_for = RESTED
        """Nanoseconds from a reply on; 0 behind one without a stamp, which would tell what came too early."""
        self.unstamped = 0
        """Replies whose arrival the kernel did not stamp."""
        self._anchor = clock.wall_offset
        """Where the wall clock stood when this connection last looked."""

    def open(self, timeout: int) -> None:
        """Connect within so many nanoseconds; raises `BrokenExchange`."""
        opening = self._opening
        opening.check()
        try:
            self.channel = self._open_channel(timeout, opening)
            self.state = IDLE
        finally:
            opening.sock = None

    def close(self) -> None:
        """Close; it may be opened again."""
        channel, self.channel = self.channel, None
        self.state = CLOSED
        self.fresh_until = 0
        if channel:
            channel.close()

    def rest(self, taken: int) -> None:
        """The exchange is over, its reply taken at `taken`."""
        self.state = IDLE
        self.fresh_until = taken + self.fresh_for

    def is_idle(self) -> bool:
        """True if it is open, no exchange was left unfinished, and nothing has come that nobody asked for."""
        return self.state is IDLE and cast(Channel, self.channel).is_idle()

    def abort(self) -> None:
        """Shut the sockets down under the thread that waits on them, for good: it is not opened again."""
        self._opening.is_aborted = True
        # the thread whose connection this is puts a socket there before it takes it from the place before
        opening = self._opening.sock
        channel = self.channel
        for sock in (channel.sock if channel else None, opening, *[one.sock for one in self.lent()]):
            if sock:
                # it may be closed already, which is what we want
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    # -- channels that are lent, each to one reply whose body is still to be read

    def lend(self) -> Channel:
        """Give the channel to somebody who gives it back, or closes it and says so; the next exchange opens another."""
        channel = cast(Channel, self.channel)
        self._lent[id(channel)] = channel
        self.channel = None
        self.state = CLOSED
        self.fresh_until = 0
        return channel

    def lent(self) -> list[Channel]:
        """Those that are lent; another thread may ask."""
        # copied in one step, for the thread whose connection this is goes on meanwhile
        return list(self._lent.copy().values())

    def drop(self, channel: Channel) -> None:
        """Close one that was lent."""
        self._lent.pop(id(channel), None)
        channel.close()

    def take_back(self, channel: Channel) -> None:
        """Go on with one that was lent, if none was opened in the meantime."""
        if self.in_use or (NO_GIL and not self.lock.acquire(blocking=False)):
            self.drop(channel)
            return
        self.in_use = True
        try:
            if self.channel or self._opening.is_aborted:
                self.drop(channel)
            else:
                self.channel = channel
                self._lent.pop(id(channel), None)
                self.rest(channel.taken)
        finally:
            self.in_use = False
            if NO_GIL:
                self.lock.release()

    # -- when bytes arrived

    def arrival(self, stamp: int, sent: int, taken: int) -> int:
        """The arrival on our clock of bytes with a stamp; `EARLY` if they came before they were asked for."""
        arrived = stamp - self.clock.wall_offset
        if sent <= arrived <= taken:
            return arrived
        return EARLY if self.is_early(stamp, sent) else self.nearest_arrival(stamp, sent, taken)

    def nearest_arrival(self, stamp: int, sent: int, taken: int) -> int:
        """The arrival on our clock, between `sent` and `taken`.

        The stamp is of the wall clock. If that was set in the meantime the stamp says nothing, and the
        instant we took the reply stands for it.
        """
        if stamp:
            arrived = stamp - self.clock.wall_offset
            if not sent - JITTER <= arrived <= taken + JITTER:
                self.clock.reanchor()
                arrived = stamp - self.clock.wall_offset
            if sent - JITTER <= arrived <= taken + JITTER:
                return min(max(arrived, sent), taken)
        else:
            self.fresh_for = 0
        self.unstamped += 1
        return taken

    def is_early(self, stamp: int, sent: int) -> bool:
        """True if bytes were there before they were asked for, and not the wall clock was set.

        The stamp of bytes that came before the connection was opened is of a clock that is not ours.
        """
        if not stamp or stamp - self.clock.wall_offset >= sent:
            return False
        self.clock.reanchor()
        # another thread may have been the first to notice a step, so it is the offset that is compared
        stood, self._anchor = self._anchor, self.clock.wall_offset
        if abs(self._anchor - stood) > STEP:
            return False
        return cast(Channel, self.channel).opened <= stamp - self._anchor < sent
