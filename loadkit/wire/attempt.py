"""One exchange the long way: all of the protocol, from wherever the short way met something unusual."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from loadkit.plan.errors import reason_of
from loadkit.plan.units import SECOND
from loadkit.wire.base import BrokenExchange, Exchange, Failure, Note, Opened, Request
from loadkit.wire.connection import ACTIVE
from loadkit.wire.failed_reply import ERRORS
from loadkit.wire.http1 import PulledReader, ReplyReader

if TYPE_CHECKING:
    from loadkit.wire.channel import Channel
    from loadkit.wire.connection import HttpConnection

UNASKED: Final = Failure("protocol", "the server sent a reply before it was asked")


def complete(
    connection: HttpConnection,
    request: Request,
    sent: int = 0,
    went: int = 0,
    data: bytes | None = None,
    met: OSError | None = None,
) -> Exchange:
    """Do what is left of an exchange: all of it, or from where a fast function met something unusual.

    It sent `went` bytes at `sent`, and got `data`, or `met` an error.
    """
    attempt = Attempt(connection, request, sent)
    connection.memo = None
    try:
        reader = attempt.run(went, data, met)
    except BrokenExchange as broken:
        return attempt.failed(broken.failure)
    except BaseException:
        # the reply may still come, and is of no later request
        connection.close()
        raise
    return attempt.ended(reader)


def _keep(connection: HttpConnection, request: Request, reader: ReplyReader, taken: int) -> None:
    """Keep what a check looks at or is shown of an error, the connection, and what its head means."""
    if request.keep is not None or reader.status >= ERRORS:
        connection.last = request, reader.head, bytes(reader.kept), reader.truncated
    if not reader.keep_alive:
        connection.close()
        return
    connection.rest(taken)
    if reader.repeatable:
        connection.memo = reader.head, reader.size, reader.status, reader.headers


class Attempt:
    """One exchange the long way, with the second try that RFC 9110 (9.2.2) allows."""

    __slots__ = (
        "_connection",
        "_first",
        "_halts",
        "_openings",
        "_pieces",
        "_request",
        "connect_time",
        "connects",
        "deadline",
        "reconnects",
        "sent",
        "size",
    )

    def __init__(
        self,
        connection: HttpConnection,
        request: Request,
        sent: int,
        pieces: Iterable[bytes] | None = None,
        *,
        halts: bool = False,
    ) -> None:
        self._connection = connection
        self._request = request
        self._pieces = pieces
        self._halts = halts
        self.sent = sent
        self.size = 0
        self.connects = 0
        self.reconnects = 0
        self.connect_time = 0
        self._openings: tuple[Opened, ...] = ()
        self._first = (0, 0)
        """Stamp and taking of the first piece of the reply."""
        self.deadline = (sent or connection.clock.now()) + request.timeout

    def failed(self, failure: Failure) -> Exchange:
        """The exchange that has failed so; its connection is closed."""
        self._connection.close()
        now = self.now()
        return 0, self.sent, now, now, self.size, self.note(failure, 0)

    def ended(self, reader: ReplyReader) -> Exchange:
        """The exchange whose reply was read."""
        connection, channel = self._connection, self._channel()
        taken = channel.taken
        arrived = connection.nearest_arrival(channel.stamp, self.sent, taken)
        _keep(connection, self._request, reader, taken)
        note = self.note(None, self.first_byte(channel))
        return reader.status, self.sent, arrived, taken, reader.size, note

    def note(self, failure: Failure | None, first_byte: int) -> Note | None:
        """What was out of the ordinary, if anything was."""
        if not failure and not self.connects and not first_byte:
            return None
        return Note(
            failure, self.connects, self.reconnects, self.connect_time, openings=self._openings, first_byte=first_byte
        )

    def first_byte(self, channel: Channel) -> int:
        """Nanoseconds until the first piece of the reply came, whose last one the channel has; 0 if it is the same."""
        stamp, taken = self._first
        if taken == channel.taken:
            return 0
        arrived = stamp - self._connection.clock.wall_offset if stamp else taken
        return max(min(arrived, taken) - self.sent, 1)

    def run(self, went: int, data: bytes | None, met: OSError | None, reader: ReplyReader | None = None) -> ReplyReader:
        """Send if need be, read the reply; again on a new connection if the old one had been closed.

        `reader` is the one that has read a part of it.
        """
        reused = bool(self.sent) or self._ready()
        self._connection.state = ACTIVE
        sending = not went
        if data is None and met is None:
            met, sending = self._send(went), True
        reader = reader or self._reader()
        try:
            return self._read(reader, data, met, sending=sending)
        except BrokenExchange as broken:
            stale = reused and broken.failure.kind in ("disconnect", "send") and not reader.begun
            if not stale or not self._request.idempotent or self._pieces is not None:
                raise
        self._reopen()
        self._connection.state = ACTIVE
        return self._read(self._reader(), None, self._send(), sending=True)

    def _reader(self) -> ReplyReader:
        return PulledReader(self._request) if self._halts else ReplyReader(self._request)

    def _ready(self) -> bool:
        """Have an open connection; True if it was used before."""
        if self._connection.is_idle():
            return True
        if self._connection.channel:
            self._reopen()
        else:
            self._open()
        return False

    def _reopen(self) -> None:
        self._connection.close()
        self.reconnects += 1
        self._open()

    def _open(self) -> None:
        clock = self._connection.clock
        began = clock.now()
        left = self.deadline - began
        if left <= 0:
            raise self.timed_out()
        most = self._request.connect_timeout
        self._connection.open(left if most is None else min(left, most))
        self.connects += 1
        self._openings += (self._channel().took,)
        self.connect_time += clock.now() - began

    def _channel(self) -> Channel:
        channel = self._connection.channel
        assert channel, "an attempt has opened its connection"
        return channel

    def _send(self, went: int = 0) -> OSError | None:
        """Send the request; an error is kept, for the server may have replied before it closed."""
        channel = self._channel()
        if not went:
            if channel.armed != self._request.io_timeout:
                channel.arm(self._request.io_timeout)
            self.sent = self._connection.clock.now()
        try:
            channel.send_all(self._request.payload[went:], self.deadline)
            if self._pieces is not None:
                self._send_pieces(channel, self._pieces)
        except _PieceError as error:
            raise error.cause from None
        except (TimeoutError, BlockingIOError):
            raise self.timed_out() from None
        except OSError as error:
            return error
        return None

    def _send_pieces(self, channel: Channel, pieces: Iterable[bytes]) -> None:
        """What the pieces themselves raise is not a failure to send, even if it is an `OSError`."""
        waiting = iter(pieces)
        while True:
            try:
                piece = next(waiting, None)
            except OSError as error:
                raise _PieceError(error) from None
            if piece is None:
                return
            channel.send_all(piece, self.deadline)

    def _read(self, reader: ReplyReader, data: bytes | None, met: OSError | None, *, sending: bool) -> ReplyReader:
        """Read the reply, and turn what goes wrong into a failure; `met` is what sending or reading met before."""
        sending = sending and met is not None
        try:
            if met and (not sending or isinstance(met, BlockingIOError)):
                raise met
            self._read_on(reader, data)
        except (TimeoutError, BlockingIOError):
            raise with_progress(self.timed_out(reader.size), reader) from None
        except OSError as error:
            # what TLS has to say about it is the reason why sending failed
            cause = error if isinstance(error, ssl.SSLError) else met or error
            raise with_progress(BrokenExchange(_lost(cause, reader.size, sending=sending)), reader) from None
        except BrokenExchange as broken:
            if met and not reader.size and broken.failure.kind == "disconnect":
                raise BrokenExchange(_lost(met, 0, sending=True)) from None
            raise with_progress(broken, reader) from None
        finally:
            self.size += reader.size
        # a server that stopped reading our request is not asked again
        reader.keep_alive = reader.keep_alive and not met
        return reader

    def _read_on(self, reader: ReplyReader, data: bytes | None) -> None:
        channel = self._channel()
        if data is None:
            data = channel.receive(self.deadline)
        while data:
            if self.take(reader, data):
                return
            if self._halts and reader.head:
                return
            data = channel.receive(self._extended(reader, channel) if reader.extension else self.deadline)
        reader.end(without_close_notify=channel.without_close_notify)

    def take(self, reader: ReplyReader, data: bytes) -> bool:
        """Take the bytes that the channel received last; True if the reply is whole."""
        channel = self._channel()
        if not reader.begun and self._connection.is_early(channel.stamp, self.sent):
            raise BrokenExchange(UNASKED)
        is_whole = reader.feed(data)
        if reader.size and not self._first[1]:
            # what comes before it is an interim reply
            self._first = channel.stamp, channel.taken
        if is_whole:
            self.see_the_end(reader, channel)
        return is_whole

    def _extended(self, reader: ReplyReader, channel: Channel) -> int:
        """The deadline with what the sink grants; a single wait stays within the timeout all the same."""
        if channel.armed != self._request.io_timeout:
            channel.arm(self._request.io_timeout)
        return self.deadline + reader.extension

    def see_the_end(self, reader: ReplyReader, channel: Channel) -> None:
        """Fail if more came than the reply; use the connection no more if its end came, too."""
        left = channel.leftover()
        if left and not self._request.lenient:
            raise BrokenExchange(Failure("protocol", f"{len(left):,} bytes more than the reply announced"))
        reader.keep_alive = reader.keep_alive and left is None

    def now(self) -> int:
        """The time of the connection's clock."""
        return self._connection.clock.now()

    @staticmethod
    def lost(error: OSError, size: int) -> Failure:
        """The failure that an error of the socket is, `size` bytes of the reply having come."""
        return _lost(error, size, sending=False)

    def timed_out(self, size: int = 0) -> BrokenExchange:
        """The failure of one that took too long, `size` bytes of the reply having come."""
        request = self._request
        got = f", {size:,} bytes of the reply had come" if size else ""
        if request.io_timeout < request.timeout and self._connection.clock.now() < self.deadline:
            return BrokenExchange(Failure("timeout", f"nothing came for {request.io_timeout / SECOND:g} s{got}"))
        return BrokenExchange(Failure("timeout", f"no whole reply within {request.timeout / SECOND:g} s{got}"))


def with_progress(broken: BrokenExchange, reader: ReplyReader) -> BrokenExchange:
    """The same with a word on how far the reply had come."""
    return BrokenExchange(replace(broken.failure, begun=bool(reader.size), headed=bool(reader.head)))


class _PieceError(Exception):
    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _lost(error: OSError, size: int, *, sending: bool) -> Failure:
    if isinstance(error, ssl.SSLError):
        return Failure("tls", f"TLS failed: {(error.reason or str(error)).lower().replace('_', ' ')}")
    reason = reason_of(error)
    if sending:
        return Failure("send", f"{reason} while sending")
    return Failure(
        "disconnect", f"{reason} after {size:,} bytes of the reply" if size else f"{reason} before any reply"
    )
