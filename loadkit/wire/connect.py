"""Connecting: to the first address that answers, within a deadline, and so that another thread can end it."""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from loadkit.plan.errors import reason_of
from loadkit.plan.units import MILLISECOND
from loadkit.wire.base import NO_PORT, BrokenExchange, Failure, Opened
from loadkit.wire.channel import SO_TIMESTAMPNS, STAMPS, Channel, TlsChannel, timeval

if TYPE_CHECKING:
    from loadkit.wire.base import Clock, Origin

_LONGEST_POLL: Final = (1 << 31) - 1
"""Milliseconds, 24 days."""
_UNIX_SLICE: Final = 100 * MILLISECOND
"""How long a connection to a unix socket whose queue is full is waited for before it is asked whether to go on."""

Address: TypeAlias = tuple[int, Any]
"""A family and what `socket.connect` takes for it."""


class Opening:
    """The connecting of one connection, which another thread can end."""

    __slots__ = ("is_aborted", "sock")

    def __init__(self) -> None:
        self.sock: socket.socket | None = None
        """The one that is being connected."""
        self.is_aborted = False

    def check(self) -> None:
        """Raise `BrokenExchange` if it was aborted."""
        if self.is_aborted:
            raise BrokenExchange(Failure("disconnect", "aborted"))


def open_channel(
    origin: Origin,
    addresses: list[Address],
    context: ssl.SSLContext | None,
    clock: Clock,
    timeout: int,
    opening: Opening,
) -> Channel:
    """Connect to the first address that answers, and shake hands.

    Raises `BrokenExchange` of kind `connect` or `tls`, or `disconnect` if `opening` was aborted.
    """
    began = clock.now()
    deadline = began + timeout
    sock = _connect(origin, addresses, clock, deadline, opening)
    connected = clock.now()
    try:
        channel = _channel(origin, sock, context, clock, deadline, timeout)
    except OSError as error:
        # some systems refuse options on a socket that was reset meanwhile
        sock.close()
        raise BrokenExchange(Failure("connect", f"{_reason(error)} {origin}")) from None
    except BaseException:
        sock.close()
        raise
    channel.opened = began
    channel.took = Opened(connected - began, clock.now() - connected if context else None)
    return channel


def _connect(origin: Origin, addresses: list[Address], clock: Clock, deadline: int, opening: Opening) -> socket.socket:
    failure: OSError | None = None
    for family, address in addresses:
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            raise BrokenExchange(Failure("connect", f"{_reason(error)} {origin}")) from None
        opening.sock = sock
        try:
            _reach(sock, address, max(deadline - clock.now(), MILLISECOND), opening)
        except OSError as error:
            sock.close()
            failure = error
        except BrokenExchange:
            sock.close()
            raise
        else:
            return sock
    assert failure
    late = isinstance(failure, BlockingIOError | TimeoutError)
    raise BrokenExchange(Failure("connect", f"{_reason(failure)} {origin}{_hint(failure)}", late)) from None


def _reach(sock: socket.socket, address: Any, span: int, opening: Opening) -> None:
    """Connect within `span` nanoseconds; raises `OSError`, or `BrokenExchange` if it was aborted."""
    opening.check()
    if STAMPS and sock.family == socket.AF_UNIX:
        _reach_unix(sock, address, span, opening)
        return
    sock.setblocking(False)
    met = sock.connect_ex(address)
    # only from here on can another thread shut the socket down; what it asked for before is seen now
    opening.check()
    if met in (errno.EINPROGRESS, errno.EWOULDBLOCK):
        if not _is_decided(sock, span):
            raise TimeoutError
        opening.check()
        met = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if met:
        raise OSError(met, os.strerror(met))


def _is_decided(sock: socket.socket, span: int) -> bool:
    """True if it is connected, or will not be, within `span` nanoseconds."""
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    return bool(poll.poll(min(-(-span // MILLISECOND), _LONGEST_POLL)))


def _reach_unix(sock: socket.socket, address: str, span: int, opening: Opening) -> None:
    """Connect to a unix socket; only a blocking one waits for a full queue, and that cannot be shut down."""
    while True:
        piece = min(span, _UNIX_SLICE)
        # Linux takes the time from SO_SNDTIMEO
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval(*divmod(piece // 1000, 1_000_000)))
        try:
            sock.connect(address)
        except BlockingIOError:
            opening.check()
            span -= piece
            if span <= 0:
                raise
        else:
            return


def _channel(
    origin: Origin, sock: socket.socket, context: ssl.SSLContext | None, clock: Clock, deadline: int, timeout: int
) -> Channel:
    sock.settimeout(None)
    if sock.family != getattr(socket, "AF_UNIX", None):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if STAMPS:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    channel = TlsChannel(sock, clock, context, origin.host) if context else Channel(sock, clock)
    channel.arm(timeout)
    if isinstance(channel, TlsChannel):
        try:
            channel.shake_hands(deadline)
        except OSError as error:
            late = isinstance(error, BlockingIOError | TimeoutError)
            raise BrokenExchange(Failure("tls", f"{tls_reason(error).rstrip('.')}, at {origin}", late)) from None
    return channel


def tls_reason(error: OSError) -> str:
    """Why a handshake failed, in a few words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    if isinstance(error, ssl.SSLEOFError | ConnectionResetError | BrokenPipeError):
        return "the server closed during the TLS handshake"
    if isinstance(error, BlockingIOError | TimeoutError):
        return "timed out during the TLS handshake"
    if isinstance(error, ssl.SSLError):
        return f"TLS handshake failed: {(error.reason or str(error)).lower().replace('_', ' ')}"
    return _reason(error)


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError | BlockingIOError):
        return "timed out connecting to"
    return reason_of(error)


def _hint(error: OSError) -> str:
    if error.errno == errno.EADDRNOTAVAIL:
        return f" ({NO_PORT}: keep connections alive, or widen net.ipv4.ip_local_port_range)"
    return ""
