"""The hot exchange: the request goes out in one call and the reply comes in one, with the same head as the last one.

With the same head, byte for byte, the parser would find the same again, so it is not asked: 1.9 us of the 11 a request
takes. Whatever else happens goes the long way through `attempt.complete`, which does all of the protocol.
"""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, Any, Final, cast

from loadkit.clock import MONOTONIC
from loadkit.plan.units import MILLISECOND
from loadkit.wire.attempt import complete
from loadkit.wire.channel import ANCILLARY, AT_ONCE, BUFFER, STAMPS, Channel, TlsChannel, timespec
from loadkit.wire.connection import ACTIVE, EARLY, IDLE, RESTED, HttpConnection
from loadkit.wire.extension import EXTENSION
from loadkit.wire.failed_reply import ERRORS, KEPT

if TYPE_CHECKING:
    from loadkit.wire.base import Exchange, Request, Send
    from loadkit.wire.extension import Known, NativeExchange, Unusual

# a connection that rested so long is warmed up
COOLED: Final = 5 * MILLISECOND


def sender(connection: HttpConnection, like: Request) -> Send:
    """The function that sends this request, and others like it but for their payload, on a connection."""
    if like.sink is not None or not STAMPS:
        return lambda request: complete(connection, request)
    if EXTENSION and not connection.origin.tls and connection.clock.now is MONOTONIC:
        return native_sender(connection, like, EXTENSION.exchange)
    return python_sender(connection, like)


def native_sender(connection: HttpConnection, like: Request, native: NativeExchange) -> Send:
    """The same by the extension, which looks at the connection each time."""
    io_timeout, keep = like.io_timeout, like.keep
    clock, idle, active = connection.clock, IDLE, ACTIVE
    known: Known | None = None
    head, kept, is_cut = b"", -1, False

    def send(request: Request) -> Exchange:
        nonlocal known, head, kept, is_cut
        channel = cast(Channel, connection.channel)
        if connection.state is not idle or channel.armed != io_timeout:
            return complete(connection, request)
        connection.state = active
        try:
            exchange, found = native(channel.fd, request.payload, known, clock.wall_offset, connection.fresh_until)
            if exchange is None:
                exchange, found = _repeated(connection, found, known)
            if exchange is None:
                exchange = _go_on(connection, request, found)
                if connection.memo:
                    head, size, status, _ = connection.memo
                    # of an error something is shown
                    kept = KEPT if keep is None and status >= ERRORS else -1 if keep is None else keep
                    known, is_cut = (head, size, status, kept), size - len(head) > kept
                return exchange
        except BaseException:
            # a signal, say: the reply may still come, and is of no later request
            connection.close()
            raise
        if kept >= 0:
            connection.last = request, head, found, is_cut
        connection.state = idle
        connection.fresh_until = exchange[3]
        return exchange

    return send


def _repeated(connection: HttpConnection, found: Unusual, known: Known | None) -> tuple[Exchange | None, Any]:
    """The reply that is known, whose stamp is none or does not lie between sending and taking; None for another one."""
    sent, _, data, stamp, taken, _ = found
    if not (data and known and len(data) == known[1] and data.startswith(known[0])):
        return None, found
    arrived = connection.arrival(stamp, sent, taken)
    if arrived == EARLY:
        return None, found
    head, size, status, kept = known
    return (status, sent, arrived, taken, size, None), data[len(head) : len(head) + kept]


def _go_on(connection: HttpConnection, request: Request, found: Unusual) -> Exchange:
    """Go on with what the extension leaves to Python."""
    sent, went, data, stamp, taken, error = found
    if not sent:
        connection.state = IDLE
        return complete(connection, request)
    if data is None:
        met = _met(OSError(error, os.strerror(error)), went) if error else None
        return complete(connection, request, sent, went, None, met)
    channel = cast(Channel, connection.channel)
    channel.stamp, channel.taken = stamp, taken
    return complete(connection, request, sent, went, data)


def python_sender(connection: HttpConnection, like: Request) -> Send:  # noqa: PLR0915
    """The same in Python, also with TLS."""
    io_timeout, keep, is_tls = like.io_timeout, like.keep, connection.origin.tls
    clock, now, looks = connection.clock, connection.clock.now, _looks_always(like)
    head, begins, size, status = b"\0", 1, -1, 0
    kept = keep
    idle, active = IDLE, ACTIVE

    # in one piece, for a call more is 50 ns; that it asks whether there is TLS is not to be measured
    def send(request: Request) -> Exchange:  # noqa: PLR0912, PLR0915
        nonlocal head, begins, size, status, kept
        channel = cast(Channel, connection.channel)
        if connection.state is not idle or channel.armed != io_timeout:
            return complete(connection, request)
        sock, payload = channel.sock, request.payload
        fresh_until = connection.fresh_until
        went = 0
        try:
            if looks or (sent := now()) > fresh_until:
                # with TLS it may be a session ticket that has come, which is nothing; the long way looks into it
                if channel.look(0):
                    return complete(connection, request)
                connection.fresh_for = RESTED
                sent = now()
                if sent > fresh_until + COOLED:
                    # sending nothing warms the way through the kernel: 9 us lie between stamp and packet then, not 12
                    sock.send(b"", AT_ONCE)
                    sent = now()
            connection.state = active
            out = _encrypted(channel, payload) if is_tls else payload
            try:
                went = sock.send(out, AT_ONCE)
                if went != len(out):
                    return complete(connection, request, sent, _accepted(channel, payload, out, went))
                data, ancillary, _, _ = sock.recvmsg(BUFFER, ANCILLARY)
            except OSError as error:
                met = _met(error, went)
                went = 0 if met and not went else _accepted(channel, payload, out, went)
                return complete(connection, request, sent, went, None, met)
            taken = now()
            if ancillary:
                seconds, rest = timespec(ancillary[0][2])
                stamp = seconds * 1_000_000_000 + rest
            else:
                stamp = 0
            if is_tls and data:
                channel.stamp, channel.taken = stamp, taken
                try:
                    data = _decrypted(channel, data)
                except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                    # a part of a record, or the end, which the long way will meet again
                    return complete(connection, request, sent, len(payload))
                except OSError as error:
                    return complete(connection, request, sent, len(payload), None, error)
            if len(data) == size and data.startswith(head) and not (is_tls and _has_more(channel)):
                arrived = stamp - clock.wall_offset
                if not sent <= arrived <= taken:
                    arrived = connection.arrival(stamp, sent, taken)
                if arrived != EARLY:
                    if kept is not None:
                        connection.last = request, head, data[begins : begins + kept], size - begins > kept
                    connection.state = idle
                    connection.fresh_until = taken + connection.fresh_for
                    return status, sent, arrived, taken, size, None
            channel.stamp, channel.taken = stamp, taken
            exchange = complete(connection, request, sent, len(payload), data)
            if connection.memo:
                head, size, status, _ = connection.memo
                begins = len(head)
                # of an error something is shown
                kept = KEPT if keep is None and status >= ERRORS else keep
        except BaseException:
            # a signal, say: the reply may still come, and is of no later request
            connection.close()
            raise
        return exchange

    return send


def _looks_always(request: Request) -> bool:
    """True if the connection is looked at each time: what cannot be sent again is lost with it, and a session may do
    anything between two requests."""
    return request.lenient or not request.idempotent


def _met(error: OSError, went: int) -> OSError | None:
    """The error of a fast exchange; that the kernel takes nothing at once is for the long way to wait for."""
    return None if not went and isinstance(error, BlockingIOError) else error


def _encrypted(channel: Channel, payload: bytes) -> bytes:
    tls = cast(TlsChannel, channel)
    tls.tls.write(payload)
    return tls.outgoing.read()


def _accepted(channel: Channel, payload: bytes, out: bytes, went: int) -> int:
    """How much of the payload needs no sending any more; what is encrypted and not sent is kept with the channel."""
    if out is payload:
        return went
    cast(TlsChannel, channel).rest = out[went:]
    return len(payload)


def _decrypted(channel: Channel, data: bytes) -> bytes:
    tls = cast(TlsChannel, channel)
    tls.incoming.write(data)
    return tls.tls.read(BUFFER)


def _has_more(channel: Channel) -> bool:
    return bool(cast(TlsChannel, channel).incoming.pending)
