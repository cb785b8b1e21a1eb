"""HTTP/1.1 straight on sockets: one connection a thread, kept alive, arrivals stamped by the kernel.

An exchange goes through one of two fast functions (plain, TLS) as long as it is ordinary: the connection is open,
the request goes out in one call and the reply comes in one, with the same head as the last one. Whatever
else happens goes the long way through `SocketConnection.finish`, which does all of the protocol. With the same head,
byte for byte, the parser would find the same again, so it is not asked: 1.9 us of the 11 a request takes.
"""

from __future__ import annotations

import socket
import ssl
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Final, cast
from weakref import WeakValueDictionary

from loadkit.plan.errors import UsageError, reason_of
from loadkit.plan.units import MICROSECOND, MILLISECOND, SECOND
from loadkit.wire.base import BrokenExchange, Clock, Exchange, Failure, Note, Origin, Request, Send
from loadkit.wire.channel import (
    ANCILLARY,
    AT_ONCE,
    BUFFER,
    STAMPS,
    Address,
    Channel,
    Opening,
    TlsChannel,
    open_channel,
    stamp_of,
    timespec,
)
from loadkit.wire.http1 import PulledReader, ReplyReader
from loadkit.wire.reply import Reply
from loadkit.wire.resolver import Resolver, Trust, UnreadableFile
from loadkit.wire.session.flow import Flow

if TYPE_CHECKING:
    from loadkit.plan.scenario import Scenario

# A connection that rested longer is looked at before it is used: the server may have closed it, or said something.
# That costs 0.5 to 0.8 us of the 9 a request takes. An idempotent request that follows sooner goes without it, for
# bytes that nobody asked for show there all the same: alone they are stamped before the request was sent, and together
# with the reply they are more than it is. A close is a reconnect.
RESTED: Final = 50 * MICROSECOND
# and one that rested so long is warmed up
COOLED: Final = 5 * MILLISECOND
# what `fresh_until` is during an exchange: one that begins with it comes after one that was interrupted
UNFINISHED: Final = -1
# how much earlier than the request a reply may seem to arrive, for the two clocks are read one after the other
JITTER: Final = 20_000
# whether threads run at once, so that a flag can change between asking for it and setting it
NO_GIL: Final = not getattr(sys, "_is_gil_enabled", lambda: True)()
# the wall clock was set if it moved more than this against the monotonic one; both are slewed alike
STEP: Final = 10 * MICROSECOND


class SocketWire:
    """Connections straight on sockets; names are looked up and certificates read once."""

    clock_source = "kernel" if STAMPS else "own"

    def __init__(self, clock: Clock, scenario: Scenario, resolver: Resolver | None = None) -> None:
        self.resolver = resolver or Resolver(trusts_system=True)
        self._clock = clock
        self._trust = trust_of(scenario)
        self._timeout = round(cast(float, scenario.timeout) * SECOND)

    def resolve(self, origin: Origin) -> None:
        """Look the name up; `UsageError` if there is no such host, or the TLS files cannot be used."""
        if origin.tls:
            self.read_certificates()
        try:
            self.resolver.addresses(origin)
        except BrokenExchange as broken:
            raise UsageError(broken.failure.message) from None

    def read_certificates(self) -> ssl.SSLContext:
        """How TLS is spoken; `UsageError` if its files cannot be used."""
        trust = self._trust
        try:
            return self.resolver.context(trust)
        except UnreadableFile as unreadable:
            if unreadable.source == "ca":
                what = f"certificate authorities from ca={trust.ca!r}"
            else:
                what = f"the client's certificate from {trust.cert}"
            raise UsageError(f"cannot read {what}: {unreadable.error}") from None

    def connect(self, origin: Origin) -> SocketConnection:
        """A connection for one thread, not opened yet; raises `BrokenExchange` of kind `dns`."""
        context = self.read_certificates() if origin.tls else None
        return SocketConnection(origin, self.resolver.addresses(origin), context, self._clock, self._timeout)


def trust_of(scenario: Scenario) -> Trust:
    """Whom a scenario trusts, and who it says it is."""
    files = scenario.cert if isinstance(scenario.cert, tuple) else (scenario.cert, None)
    cert, key = (None if file is None else str(file) for file in files)
    ca = None if scenario.ca is None else str(scenario.ca)
    return Trust(scenario.verify, ca if scenario.verify else None, cert, key)


class SocketConnection:
    """One connection; see `wire.protocols.Connection`."""

    __slots__ = (
        "_anchor",
        "_context",
        "_opening",
        "_timeout",
        "addresses",
        "channel",
        "clock",
        "flows",
        "fresh_for",
        "fresh_until",
        "in_use",
        "last",
        "lock",
        "memo",
        "origin",
        "unstamped",
    )

    def __init__(
        self,
        origin: Origin,
        addresses: list[Address],
        context: ssl.SSLContext | None,
        clock: Clock,
        timeout: int,
    ) -> None:
        self.origin = origin
        self.addresses = addresses
        self._context = context
        self.clock = clock
        self._timeout = timeout
        self._opening = Opening()
        self.last: tuple[Request | None, bytes, bytes, bool] = (None, b"", b"", False)
        """Request, head and body of the last reply that was kept, and whether the body was cut."""
        self.flows: WeakValueDictionary[int, Flow] = WeakValueDictionary()
        """Replies whose bodies are still being pulled, by their ids, each on a channel that it took from here."""
        self.channel: Channel | None = None
        self.in_use = False
        """For those who share it: from before an exchange until its reply was read. Between asking for it
        and setting it nothing may be called, for there signals and other threads come in."""
        self.lock = Lock()
        """The same where threads run at once."""
        self.fresh_until = 0
        """Until then the connection may be used without a look at it; `UNFINISHED` during an exchange."""
        self.fresh_for = RESTED
        """Nanoseconds from a reply on; 0 behind one without a stamp, which would tell what came too early."""
        self.memo: tuple[bytes, int, int, list[tuple[bytes, bytes]]] | None = None
        """Head, size, status and headers of the last reply, if the same head again means the same reply."""
        self.unstamped = 0
        self._anchor = clock.wall_offset
        """Where the wall clock stood when this connection last looked."""

    # -- the interface of wire.base.Connection

    def open(self) -> Note:
        """Connect now."""
        began = self.clock.now()
        try:
            self._open(self._timeout)
        except BrokenExchange as broken:
            return Note(broken.failure)
        return Note(connects=1, connect_time=self.clock.now() - began)

    def sender(self, request: Request) -> Send:
        """The function for this request, and others like it but for their payload, on this connection."""
        if request.sink is not None or not STAMPS:
            return self.finish
        return _tls_sender(self, request) if self._context else _plain_sender(self, request)

    def reply(self) -> Reply:
        """The last reply of a request that keeps bodies."""
        request, head, body, truncated = self.last
        assert request, "a reply was kept"
        return Reply(head=head, body=body, url=request.url, truncated=truncated)

    def abort(self) -> None:
        """Shut the socket down under the thread that waits on it."""
        self._opening.is_aborted = True
        # the thread whose connection this is puts a socket there before it takes it from the place before
        opening = self._opening.sock
        channel = self.channel
        flowing = [flow.channel.sock for flow in self.pulled()]
        for sock in (channel.sock if channel else None, opening, *flowing):
            if sock:
                # it may be closed already, which is what we want
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def pulled(self) -> list[Flow]:
        """The replies whose bodies are still being pulled; another thread may ask."""
        # copied in one step, for the thread whose connection this is goes on meanwhile
        return [flow for ref in self.flows.valuerefs() if (flow := ref())]

    def close(self) -> None:
        """Close; the next request opens it again."""
        channel, self.channel = self.channel, None
        self.fresh_until = 0
        if channel:
            channel.close()

    # -- the long way

    def finish(
        self, request: Request, sent: int = 0, went: int = 0, data: bytes | None = None, met: OSError | None = None
    ) -> Exchange:
        """Do what is left of an exchange: all of it, or from where a fast function met something unusual.

        It sent `went` bytes at `sent`, and got `data`, or `met` an error.
        """
        attempt = _Attempt(self, request, sent)
        self.memo = None
        try:
            reader = attempt.run(went, data, met)
        except BrokenExchange as broken:
            self.close()
            now = self.clock.now()
            return 0, attempt.sent, now, now, attempt.size, attempt.note(broken.failure)
        except BaseException:
            # the reply may still come, and is of no later request
            self.close()
            raise
        channel = cast(Channel, self.channel)
        taken = channel.taken
        arrived = self.believed(channel.stamp, attempt.sent, taken)
        self._settle(request, reader, taken)
        return reader.status, attempt.sent, arrived, taken, reader.size, attempt.note(None)

    def begin(self, request: Request, pieces: Iterable[bytes] | None = None) -> Flow | Exchange | None:
        """Send the request, and `pieces` behind its payload; the reply up to its head, or how that failed.

        The body is pulled from the `Flow`, which has the channel for itself until then: another request on this
        connection opens a new one. None if the connection is in use.
        """
        if self.in_use or (NO_GIL and not self.lock.acquire(blocking=False)):
            return None
        self.in_use = True
        try:
            attempt = _Attempt(self, request, 0, pieces, halts=True)
            self.memo = None
            reader = attempt.run(0, None, None)
            channel, self.channel = cast(Channel, self.channel), None
            self.fresh_until = 0
        except BrokenExchange as broken:
            self.close()
            now = self.clock.now()
            return 0, attempt.sent, now, now, attempt.size, attempt.note(broken.failure)
        except BaseException:
            # a signal, or what the pieces raised: half a request was sent
            self.close()
            raise
        finally:
            self.in_use = False
            if NO_GIL:
                self.lock.release()
        flow = Flow(self, channel, attempt, cast(PulledReader, reader))
        if self._opening.is_aborted:
            # perhaps while the channel was neither ours nor the flow's
            self.abort()
        return flow

    def take_back(self, channel: Channel) -> None:
        """Go on with a channel that a flow is done with, if none was opened in the meantime."""
        if self.in_use or (NO_GIL and not self.lock.acquire(blocking=False)):
            channel.close()
            return
        self.in_use = True
        try:
            self._take_back(channel)
        finally:
            self.in_use = False
            if NO_GIL:
                self.lock.release()

    def _take_back(self, channel: Channel) -> None:
        if self.channel or self._opening.is_aborted:
            channel.close()
            return
        self.channel = channel
        self.rest(channel.taken)

    def _settle(self, request: Request, reader: ReplyReader, taken: int) -> None:
        if request.keep is not None:
            self.remember(request, reader.head, bytes(reader.kept), reader.truncated)
        if not reader.keep_alive:
            self.close()
            return
        self.rest(taken)
        if reader.memorable:
            self.memo = reader.head, reader.size, reader.status, reader.headers

    def remember(self, request: Request, head: bytes, body: bytes, truncated: bool) -> None:
        """Keep the reply for `reply()`."""
        self.last = (request, head, body, truncated)

    def usable(self) -> bool:
        """Whether there is an open connection on which nothing has come that nobody asked for."""
        if self.channel and self.is_idle(self.channel):
            return True
        self.close()
        return False

    def is_idle(self, channel: Channel) -> bool:
        """True if no exchange was left unfinished on it, and nothing has come that nobody asked for."""
        return self.fresh_until != UNFINISHED and channel.is_quiet()

    def rest(self, taken: int) -> None:
        """The exchange is over, its reply taken at `taken`."""
        self.fresh_until = taken + self.fresh_for

    def _open(self, timeout: int) -> None:
        opening = self._opening
        opening.check()
        try:
            self.channel = open_channel(self.origin, self.addresses, self._context, self.clock, timeout, opening)
        finally:
            opening.sock = None

    def arrival(self, stamp: int, sent: int, taken: int) -> int:
        """The arrival on our clock of bytes with a stamp; `EARLIER` if they came before they were asked for."""
        arrived = stamp - self.clock.wall_offset
        if sent <= arrived <= taken:
            return arrived
        return EARLIER if self.is_early(stamp, sent) else self.believed(stamp, sent, taken)

    def believed(self, stamp: int, sent: int, taken: int) -> int:
        """The arrival on our clock.

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
        """Whether bytes were there before they were asked for, and not the wall clock was set.

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


# an arrival that is none: the bytes were there before they were asked for
EARLIER: Final = -1
UNASKED: Final = Failure("protocol", "the server sent a reply before it was asked")


class _Attempt:
    """One exchange the long way, with the second try that RFC 9110 (9.2.2) allows."""

    __slots__ = (
        "_connection",
        "_halts",
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
        connection: SocketConnection,
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
        self.deadline = (sent or connection.clock.now()) + request.timeout

    def note(self, failure: Failure | None) -> Note | None:
        """What was out of the ordinary, if anything was."""
        if not failure and not self.connects:
            return None
        return Note(failure, self.connects, self.reconnects, self.connect_time)

    def run(self, went: int, data: bytes | None, met: OSError | None) -> ReplyReader:
        """Send if need be, read the reply; again on a new connection if the old one had been closed."""
        reused = bool(self.sent) or self._ready()
        self._connection.fresh_until = UNFINISHED
        sending = not went
        if data is None and met is None:
            met, sending = self._send(went), True
        reader = self._reader()
        try:
            return self._read(reader, data, met, sending=sending)
        except BrokenExchange as broken:
            stale = reused and broken.failure.kind in ("disconnect", "send") and not reader.begun
            if not stale or not self._request.idempotent or self._pieces is not None:
                raise
        self._reopen()
        self._connection.fresh_until = UNFINISHED
        return self._read(self._reader(), None, self._send(), sending=True)

    def _reader(self) -> ReplyReader:
        asked = self._request
        if self._halts:
            return PulledReader(method=asked.method, forgiving=asked.forgiving, follows=asked.follows)
        return ReplyReader(
            method=asked.method,
            keep=asked.keep,
            sink=asked.sink,
            forgiving=asked.forgiving,
            follows=asked.follows,
        )

    def _ready(self) -> bool:
        """Have an open connection; whether it was used before."""
        if self._connection.channel:
            if self._connection.usable():
                return True
            self.reconnects += 1
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
        self._connection._open(left if self._request.connecting is None else min(left, self._request.connecting))
        self.connects += 1
        self.connect_time += clock.now() - began

    def _channel(self) -> Channel:
        channel = self._connection.channel
        assert channel, "an attempt has opened its connection"
        return channel

    def _send(self, went: int = 0) -> OSError | None:
        """Send the request; an error is kept, for the server may have replied before it closed."""
        channel = self._channel()
        if not went:
            if channel.armed != self._request.span:
                channel.arm(self._request.span)
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
            raise _with_progress(self.timed_out(reader.size), reader) from None
        except OSError as error:
            # what TLS has to say about it is the reason why sending failed
            cause = error if isinstance(error, ssl.SSLError) else met or error
            raise _with_progress(BrokenExchange(_lost(cause, reader.size, sending=sending)), reader) from None
        except BrokenExchange as broken:
            if met and not reader.size and broken.failure.kind == "disconnect":
                raise BrokenExchange(_lost(met, 0, sending=True)) from None
            raise _with_progress(broken, reader) from None
        finally:
            self.size += reader.size
        # a server that stopped reading our request is not asked again
        reader.keep_alive = reader.keep_alive and not met
        return reader

    def _read_on(self, reader: ReplyReader, data: bytes | None) -> None:
        channel = self._channel()
        if data is None:
            data = channel.receive(self.deadline)
        if data and self._connection.is_early(channel.stamp, self.sent):
            raise BrokenExchange(UNASKED)
        while data:
            if reader.feed(data):
                self.see_the_end(reader, channel)
                return
            if self._halts and reader.head:
                return
            data = channel.receive(self._extended(reader, channel) if reader.granted else self.deadline)
        reader.end(ragged=channel.ragged)

    def _extended(self, reader: ReplyReader, channel: Channel) -> int:
        """The deadline with what the sink grants; a single wait stays within the timeout all the same."""
        if channel.armed != self._request.span:
            channel.arm(self._request.span)
        return self.deadline + reader.granted

    def see_the_end(self, reader: ReplyReader, channel: Channel) -> None:
        """Fail if more came than the reply; use the connection no more if its end came, too."""
        left = channel.leftover()
        if left and not self._request.forgiving:
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
        if request.span < request.timeout and self._connection.clock.now() < self.deadline:
            return BrokenExchange(Failure("timeout", f"nothing came for {request.span / SECOND:g} s{got}"))
        return BrokenExchange(Failure("timeout", f"no whole reply within {request.timeout / SECOND:g} s{got}"))


def _with_progress(broken: BrokenExchange, reader: ReplyReader) -> BrokenExchange:
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


def _plain_sender(connection: SocketConnection, like: Request) -> Send:
    span, keep = like.span, like.keep
    clock, finish = connection.clock, connection.finish
    believed, is_early = connection.believed, connection.is_early
    now, looks = clock.now, _looks_always(like)
    head, begins, size, status = b"\0", 1, -1, 0

    # in one piece, for a call more is 50 ns
    def send(request: Request) -> Exchange:  # noqa: PLR0912
        nonlocal head, begins, size, status
        channel = connection.channel
        if channel is None or channel.armed != span:
            return finish(request)
        sock, payload = channel.sock, request.payload
        fresh_until = connection.fresh_until
        went = 0
        try:
            if looks or (sent := now()) > fresh_until:
                if fresh_until == UNFINISHED or channel.look(0):
                    return finish(request)
                connection.fresh_for = RESTED
                sent = now()
                if sent > fresh_until + COOLED:
                    # sending nothing warms the way through the kernel: 9 us lie between stamp and packet then, not 12
                    sock.send(b"", AT_ONCE)
                    sent = now()
            connection.fresh_until = UNFINISHED
            try:
                went = sock.send(payload, AT_ONCE)
                if went != len(payload):
                    return finish(request, sent, went)
                data, ancillary, _, _ = sock.recvmsg(BUFFER, ANCILLARY)
            except OSError as error:
                return finish(request, sent, went, None, _met(error, went))
            taken = now()
            if ancillary:
                seconds, rest = timespec(ancillary[0][2])
                stamp = seconds * 1_000_000_000 + rest
            else:
                stamp = 0
            if len(data) == size and data.startswith(head):
                arrived = stamp - clock.wall_offset
                if not sent <= arrived <= taken:
                    arrived = EARLIER if is_early(stamp, sent) else believed(stamp, sent, taken)
                if arrived != EARLIER:
                    if keep is not None:
                        connection.last = request, head, data[begins : begins + keep], size - begins > keep
                    connection.fresh_until = taken + connection.fresh_for
                    return status, sent, arrived, taken, size, None
            channel.stamp, channel.taken = stamp, taken
            exchange = finish(request, sent, len(payload), data)
            if connection.memo:
                head, size, status, _ = connection.memo
                begins = len(head)
        except BaseException:
            # a signal, say: the reply may still come, and is of no later request
            connection.close()
            raise
        return exchange

    return send


def _looks_always(request: Request) -> bool:
    """Whether the connection is looked at each time: what cannot be sent again is lost with it, and a session may do
    anything between two requests."""
    return request.forgiving or not request.idempotent


def _met(error: OSError, went: int) -> OSError | None:
    """What a fast function met; that the kernel takes nothing at once is for the long way to wait for."""
    return None if not went and isinstance(error, BlockingIOError) else error


def _tls_sender(connection: SocketConnection, like: Request) -> Send:  # noqa: PLR0915
    span, keep = like.span, like.keep
    clock, finish = connection.clock, connection.finish
    believed, is_early = connection.believed, connection.is_early
    now, looks = clock.now, _looks_always(like)
    head, begins, size, status = b"\0", 1, -1, 0

    # in one piece, for a call more is 50 ns
    def send(request: Request) -> Exchange:  # noqa: PLR0912
        nonlocal head, begins, size, status
        channel = cast(TlsChannel, connection.channel)
        if channel is None or channel.armed != span:
            return finish(request)
        sock, payload = channel.sock, request.payload
        fresh_until = connection.fresh_until
        went, cipher = 0, b""
        try:
            if looks or (sent := now()) > fresh_until:
                # it may be a session ticket that has come, which is nothing; the long way looks into it
                if fresh_until == UNFINISHED or channel.look(0):
                    return finish(request)
                connection.fresh_for = RESTED
                sent = now()
            connection.fresh_until = UNFINISHED
            try:
                channel.tls.write(payload)
                cipher = channel.outgoing.read()
                went = sock.send(cipher, AT_ONCE)
                if went != len(cipher):
                    channel.rest = cipher[went:]
                    return finish(request, sent, len(payload))
                data, ancillary, _, _ = sock.recvmsg(BUFFER, ANCILLARY)
            except OSError as error:
                met = _met(error, went)
                if met is None:
                    channel.rest = cipher
                return finish(request, sent, len(payload) if went or not met else 0, None, met)
            taken = now()
            channel.stamp, channel.taken = stamp_of(ancillary), taken
            if not data:
                return finish(request, sent, len(payload), data)
            channel.incoming.write(data)
            try:
                plain = channel.tls.read(BUFFER)
            except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                # a part of a record, or the end, which the long way will meet again
                return finish(request, sent, len(payload))
            except OSError as error:
                return finish(request, sent, len(payload), None, error)
            if len(plain) == size and plain.startswith(head) and not channel.incoming.pending:
                arrived = channel.stamp - clock.wall_offset
                if not sent <= arrived <= taken:
                    arrived = EARLIER if is_early(channel.stamp, sent) else believed(channel.stamp, sent, taken)
                if arrived != EARLIER:
                    if keep is not None:
                        connection.last = request, head, plain[begins : begins + keep], size - begins > keep
                    connection.fresh_until = taken + connection.fresh_for
                    return status, sent, arrived, taken, size, None
            exchange = finish(request, sent, len(payload), plain)
            if connection.memo:
                head, size, status, _ = connection.memo
                begins = len(head)
        except BaseException:
            connection.close()
            raise
        return exchange

    return send
