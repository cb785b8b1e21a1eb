"""The hot exchange: the request goes out in one call, the reply comes in one, and its head means what the last one did.

The parser would find the same again in a head that is the same, or differs in what says nothing of the reply's end, so
it is not asked. Whatever else happens goes the long way through `attempt.complete`, which does all of the protocol.
"""

from __future__ import annotations

import os
import ssl
from errno import EAGAIN
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from loadkit.clock import MONOTONIC
from loadkit.plan.units import MILLISECOND
from loadkit.wire.attempt import complete
from loadkit.wire.channel import ANCILLARY, AT_ONCE, BUFFER, STAMPS, Channel, TlsChannel, stamp_of, timespec
from loadkit.wire.connection import ACTIVE, EARLY, IDLE, RESTED, HttpConnection
from loadkit.wire.extension import EXTENSION
from loadkit.wire.failed_reply import ERRORS, KEPT
from loadkit.wire.head_pattern import match_head, pattern_of

if TYPE_CHECKING:
    from loadkit.wire.base import Exchange, Request, Send
    from loadkit.wire.extension import Found, Known, NativeExchange, Unusual

# a connection that rested so long is warmed up
COOLED: Final = 5 * MILLISECOND
_NOT_ORDINARY: Final = (None, b"", b"", False)


def sender(connection: HttpConnection, like: Request) -> Send:
    """The function that sends this request, and others like it but for their payload, on a connection."""
    if like.sink is not None or not STAMPS:
        return lambda request: complete(connection, request)
    native = EXTENSION.exchange if EXTENSION and connection.clock.now is MONOTONIC else None
    if connection.origin.tls:
        return tls_sender(connection, like, native)
    return native_sender(connection, like, native) if native else python_sender(connection, like)


def native_sender(connection: HttpConnection, like: Request, native: NativeExchange) -> Send:
    """The same by the extension, which looks at the connection each time."""
    io_timeout, keep = like.io_timeout, like.keep
    clock, idle, active = connection.clock, IDLE, ACTIVE
    known: Known | None = None
    last_head, kept, pattern = b"", -1, b""

    def send(request: Request) -> Exchange:
        nonlocal known, last_head, kept, pattern
        channel = cast(Channel, connection.channel)
        if connection.state is not idle or channel.armed != io_timeout:
            return complete(connection, request)
        connection.state = active
        try:
            exchange, head, body, is_cut = native(
                channel.fd, request.payload, known, clock.wall_offset, connection.fresh_until
            )
            if exchange is None:
                unusual = head
                exchange, head, body, is_cut = _repeated(connection, unusual, known)
            if exchange is None:
                exchange = _go_on(connection, request, unusual)
                if connection.memo:
                    last_head, size, status, _ = connection.memo
                    # of an error something is shown
                    kept = KEPT if keep is None and status >= ERRORS else -1 if keep is None else keep
                    pattern = pattern_of(last_head, like.method)
                    known = last_head, size, status, kept, pattern
                return exchange
        except BaseException:
            # a signal, say: the reply may still come, and is of no later request
            connection.close()
            raise
        if head is not last_head:
            last_head = head
            known = head, exchange[4], exchange[0], kept, pattern
        if kept >= 0:
            connection.last = request, head, body, is_cut
        connection.state = idle
        connection.fresh_until = exchange[3]
        return exchange

    return send


def _repeated(connection: HttpConnection, unusual: Unusual, known: Known | None) -> Found:
    """The reply that is known, whose stamp is none or does not lie between sending and taking; None for another one."""
    sent, _, data, stamp, taken, _ = unusual
    if not (data and known and len(data) == known[1] and data.startswith(known[0])):
        return _NOT_ORDINARY
    arrived = connection.arrival(stamp, sent, taken)
    if arrived == EARLY:
        return _NOT_ORDINARY
    head, size, status, kept, _ = known
    body = data[len(head) : len(head) + max(0, kept)]
    return (status, sent, arrived, taken, size, None), head, body, size - len(head) > kept


def _go_on(connection: HttpConnection, request: Request, unusual: Unusual) -> Exchange:
    """Go on with what the extension leaves to Python."""
    sent, went, data, stamp, taken, error = unusual
    if not sent:
        connection.state = IDLE
        return complete(connection, request)
    if data is None:
        return complete(connection, request, sent, went, None, _met(error, went))
    channel = cast(Channel, connection.channel)
    channel.stamp, channel.taken = stamp, taken
    return complete(connection, request, sent, went, data)


def python_sender(connection: HttpConnection, like: Request) -> Send:  # noqa: PLR0915
    """The same in Python."""
    io_timeout, keep = like.io_timeout, like.keep
    clock, now, looks = connection.clock, connection.clock.now, _looks_always(like)
    head, size, status, pattern = b"\0", -1, 0, b""
    kept = keep
    idle, active = IDLE, ACTIVE

    # in one piece, for a call more is 50 ns
    def send(request: Request) -> Exchange:  # noqa: PLR0912
        nonlocal head, size, status, pattern, kept
        channel = cast(Channel, connection.channel)
        if connection.state is not idle or channel.armed != io_timeout:
            return complete(connection, request)
        sock, payload = channel.sock, request.payload
        fresh_until = connection.fresh_until
        went = 0
        try:
            if looks or (sent := now()) > fresh_until:
                if channel.look(0):
                    return complete(connection, request)
                connection.fresh_for = RESTED
                sent = now()
                if sent > fresh_until + COOLED:
                    # sending nothing warms the way through the kernel: 9 us lie between stamp and packet then, not 12
                    sock.send(b"", AT_ONCE)
                    sent = now()
            connection.state = active
            try:
                went = sock.send(payload, AT_ONCE)
                if went != len(payload):
                    return complete(connection, request, sent, went)
                data, ancillary, _, _ = sock.recvmsg(BUFFER, ANCILLARY)
            except OSError as error:
                return complete(connection, request, sent, went, None, _met(error.errno or 0, went))
            taken = now()
            if ancillary:
                seconds, rest = timespec(ancillary[0][2])
                stamp = seconds * 1_000_000_000 + rest
            else:
                stamp = 0
            is_same = len(data) == size and data.startswith(head)
            if is_same or (begins := match_head(pattern, data)):
                arrived = stamp - clock.wall_offset
                if not sent <= arrived <= taken:
                    arrived = connection.arrival(stamp, sent, taken)
                if arrived != EARLY:
                    if not is_same:
                        head, size = data[:begins], len(data)
                    if kept is not None:
                        begins = len(head)
                        connection.last = request, head, data[begins : begins + kept], size - begins > kept
                    connection.state = idle
                    connection.fresh_until = taken + connection.fresh_for
                    return status, sent, arrived, taken, size, None
            channel.stamp, channel.taken = stamp, taken
            exchange = complete(connection, request, sent, len(payload), data)
            if connection.memo:
                head, size, status, _ = connection.memo
                pattern = pattern_of(head, like.method)
                # of an error something is shown
                kept = KEPT if keep is None and status >= ERRORS else keep
        except BaseException:
            # a signal, say: the reply may still come, and is of no later request
            connection.close()
            raise
        return exchange

    return send


def tls_sender(connection: HttpConnection, like: Request, exchange: NativeExchange | None) -> Send:
    """The same over TLS: the bytes between encrypting and decrypting are exchanged by the extension, if that may be."""
    io_timeout, keep = like.io_timeout, like.keep
    exchange = exchange or partial(_exchange, connection)
    idle, active = IDLE, ACTIVE
    head, size, status, pattern = b"\0", -1, 0, b""
    kept = keep

    def send(request: Request) -> Exchange:
        nonlocal head, size, status, pattern, kept
        channel = cast(TlsChannel, connection.channel)
        if connection.state is not idle or channel.armed != io_timeout:
            return complete(connection, request)
        connection.state = active
        try:
            channel.tls.write(request.payload)
            out = channel.outgoing.read()
            unusual = exchange(channel.fd, out, None, 0, connection.fresh_until)[1]
            sent, _, encrypted, stamp, taken, _ = unusual
            if not encrypted:
                return _go_on_over_tls(connection, request, out, unusual)
            channel.stamp, channel.taken = stamp, taken
            data, is_whole, error = _decrypted(channel, encrypted)
            is_same = len(data) == size and data.startswith(head)
            if is_whole and (is_same or (begins := match_head(pattern, data))):
                arrived = connection.arrival(stamp, sent, taken)
                if arrived != EARLY:
                    if not is_same:
                        head, size = data[:begins], len(data)
                    if kept is not None:
                        begins = len(head)
                        connection.last = request, head, data[begins : begins + kept], size - begins > kept
                    connection.state = idle
                    connection.fresh_until = taken
                    return status, sent, arrived, taken, size, None
            made = complete(connection, request, sent, len(request.payload), data or None, None if data else error)
            if connection.memo:
                head, size, status, _ = connection.memo
                pattern = pattern_of(head, like.method)
                kept = KEPT if keep is None and status >= ERRORS else keep
        except BaseException:
            connection.close()
            raise
        return made

    return send


def _exchange(
    connection: HttpConnection, _fd: int, out: bytes, _known: None, _offset: int, fresh_until: int
) -> tuple[None, Unusual, None, None]:
    """What the extension does of an exchange of which nothing is known, in Python."""
    channel, now = cast(Channel, connection.channel), connection.clock.now
    sock, went = channel.sock, 0
    if channel.look(0):
        return None, (0, 0, None, 0, 0, 0), None, None
    sent = now()
    try:
        if sent > fresh_until + COOLED:
            sock.send(b"", AT_ONCE)
            sent = now()
        went = sock.send(out, AT_ONCE)
        if went < len(out):
            return None, (sent, went, None, 0, 0, 0), None, None
        data, ancillary, _, _ = sock.recvmsg(BUFFER, ANCILLARY)
    except OSError as error:
        return None, (sent, went, None, 0, 0, error.errno or 0), None, None
    return None, (sent, went, data, stamp_of(ancillary), now(), 0), None, None


def _go_on_over_tls(connection: HttpConnection, request: Request, out: bytes, unusual: Unusual) -> Exchange:
    """Go on with an exchange of which nothing has come, and perhaps nothing went; `out` is the request, encrypted."""
    sent, went, data, _, _, error = unusual
    channel = cast(TlsChannel, connection.channel)
    if not sent and not channel.is_idle():
        # nothing was sent; the connection is opened anew
        return complete(connection, request)
    met = _met(error, went)
    if met and not went:
        return complete(connection, request, sent, 0, None, met)
    # if nothing was sent it is a session ticket that had come, which is nothing
    channel.rest = out[went:]
    return complete(connection, request, sent or connection.clock.now(), len(request.payload), data, met)


def _decrypted(channel: TlsChannel, data: bytes) -> tuple[bytes, bool, OSError | None]:
    """What bytes say, whether that is all of it, and the error that they are."""
    incoming, read, found = channel.incoming, channel.tls.read, b""
    incoming.write(data)
    try:
        # less than all of a reply where its head has a record of its own
        found = read(len(data))
        while incoming.pending:
            found += read(len(data))
    except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
        # a part of a record, or the end, which the long way will meet again
        return found, False, None
    except OSError as error:
        return found, False, error
    return found, True, None


def _looks_always(request: Request) -> bool:
    """True if the connection is looked at each time: what cannot be sent again is lost with it, and a session may do
    anything between two requests."""
    return request.lenient or not request.idempotent


def _met(error: int, went: int) -> OSError | None:
    """What a fast exchange met; that the kernel takes nothing at once is for the long way to wait for."""
    if not error or (not went and error == EAGAIN):
        return None
    return OSError(error, os.strerror(error))
