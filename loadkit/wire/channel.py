"""Bytes over one socket, plain or TLS, with deadlines and the kernel's time of arrival.

Deadlines are the kernel's (`SO_RCVTIMEO`, `SO_SNDTIMEO`) on a blocking socket: Python's own timeouts cost a
`poll` before every call, 0.6 us of the 10 a request may take.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from loadkit.plan.units import MILLISECOND, SECOND
from loadkit.wire.base import Opened

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadkit.wire.base import Clock

BUFFER: Final = 16 * 1024
ANCILLARY: Final = 64
BIG: Final = 256 * 1024
# the constant is missing from the socket module; 35 on every Linux but sparc and parisc
SO_TIMESTAMPNS: Final = 35
# on a 32-bit system a stamp is two integers of 32 bits or of 64, as the C library has it
STAMPS: Final = sys.platform == "linux" and sys.maxsize > 1 << 32
AT_ONCE: Final = socket.MSG_DONTWAIT
"""For a send that must not wait (two waits, one to send and one to receive, would be two deadlines), or a receive."""

timespec = struct.Struct("qq").unpack
timeval = struct.Struct("ll").pack
# a deadline may be met this much late, for not arming the socket anew with each part of a reply
_SLACK: Final = 2 * MILLISECOND


class Channel:
    """A plain socket: what is sent and what comes, and when the last of it came."""

    __slots__ = (
        "_clock",
        "_late_deadline",
        "armed",
        "fd",
        "look",
        "opened",
        "sock",
        "stamp",
        "taken",
        "took",
        "without_close_notify",
    )

    def __init__(self, sock: socket.socket, clock: Clock, look: Callable[[int], object] | None = None) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        """That of the socket, also when that was closed."""
        self._clock = clock
        self.look = look or looker(sock)
        """Called with 0: true if anything has come, be it the end or an error."""
        self.opened = clock.now()
        """When it was, or earlier."""
        self.took = Opened(0, None)
        """How long that took."""
        self.armed = 0
        self.stamp = 0
        """The kernel's time of the bytes last received, wall clock, 0 if it gave none."""
        self.taken = 0
        """When we had them."""
        self.without_close_notify = False
        """The peer closed without the goodbye that TLS has."""
        self._late_deadline = 0
        """The deadline after which something without a stamp was read."""

    def arm(self, span: int) -> None:
        """From now on a single call may wait `span` nanoseconds."""
        seconds, rest = divmod(max(span, MILLISECOND), SECOND)
        timeout = timeval(seconds, rest // 1000)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
        self.armed = span

    def limit_timeout(self, deadline: int) -> None:
        """See to it that no call waits beyond `deadline`; raises `BrokenExchange` when it has passed."""
        left = deadline - self._clock.now()
        if left <= 0:
            raise TimeoutError
        if self.armed > left + _SLACK:
            self.arm(left)

    def send_all(self, data: bytes, deadline: int) -> None:
        """Send everything, or raise `OSError`."""
        view = memoryview(data)
        while view:
            self.limit_timeout(deadline)
            view = view[self.sock.send(view) :]

    def receive(self, deadline: int) -> bytes:
        """The next bytes, empty when the peer has closed; raises `OSError`, of a deadline or the socket."""
        try:
            self.limit_timeout(deadline)
        except TimeoutError:
            return self._receive_late(deadline)
        return self.receive_armed()

    def receive_armed(self, flags: int = 0) -> bytes:
        """What the socket has next, within the span it is armed with."""
        if STAMPS:
            data, ancillary, _, _ = self.sock.recvmsg(BIG, ANCILLARY, flags)
            self.stamp = stamp_of(ancillary)
        else:
            data = self.sock.recv(BIG, flags)
        self.taken = self._clock.now()
        return data

    def _receive_late(self, deadline: int) -> bytes:
        """What came before the deadline, which passed while this process was stopped or had no CPU to read it.

        Without a stamp that is what one receive finds; a second one would read on with a server that never stops.
        """
        data = self.receive_armed(AT_ONCE)
        if self.stamp:
            is_late = self.stamp - self._clock.wall_offset > deadline
        else:
            is_late = self._late_deadline == deadline
            self._late_deadline = deadline
        if is_late:
            raise TimeoutError
        return data

    def receive_into(self, room: memoryview) -> int:
        """The same into memory that there is already; how many bytes."""
        if STAMPS:
            size, ancillary, _, _ = self.sock.recvmsg_into([room], ANCILLARY)
            self.stamp = stamp_of(ancillary)
        else:
            size = self.sock.recv_into(room)
        self.taken = self._clock.now()
        return size

    def is_idle(self) -> bool:
        """True if the socket has nothing to read, not even the end."""
        return not self.look(0)

    def leftover(self) -> bytes | None:
        """What came in the same receive as the end of a reply and is not of it; None if nothing, empty for the end."""
        return None

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()


class TlsChannel(Channel):
    """TLS between memory buffers, so that the raw socket's `recvmsg`, and with it the kernel's clock, is kept."""

    __slots__ = ("incoming", "outgoing", "rest", "tls")

    def __init__(self, sock: socket.socket, clock: Clock, context: ssl.SSLContext, host: str) -> None:
        super().__init__(sock, clock)
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.rest = b""
        """Encrypted, but not sent yet."""
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=host)

    def shake_hands(self, deadline: int) -> None:
        """Do the handshake; raises `ssl.SSLError` or `OSError`."""
        done = False
        while not done:
            try:
                self.tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                # the alert that tells the peer why we give up; it may be gone, which is not the reason
                with suppress(OSError):
                    self._flush(deadline)
                raise
            self._flush(deadline)
            if not done:
                self._fill(deadline)

    def send_all(self, data: bytes, deadline: int) -> None:
        """Encrypt and send everything."""
        if data:
            self.tls.write(data)
        self._flush(deadline)

    def receive(self, deadline: int) -> bytes:
        """The next decrypted bytes, empty when the peer has closed, with or without saying so in TLS."""
        while True:
            try:
                return self.tls.read(BIG)
            except ssl.SSLWantReadError:
                # a key update may want an answer
                self._flush(deadline)
                if not self._fill(deadline):
                    self.without_close_notify = True
                    return b""
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLEOFError:
                self.without_close_notify = True
                return b""

    def leftover(self) -> bytes | None:
        """What came in the same receive as the end of a reply and is not of it; None if nothing, empty for the end."""
        try:
            return self.tls.read(BUFFER)
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLError:
            return b""

    def is_idle(self) -> bool:
        """True if there is nothing to read; session tickets come after the handshake, and are nothing."""
        if not self.look(0):
            # what came together with the last reply was looked at behind it
            return True
        try:
            while data := self.sock.recv(BIG, socket.MSG_DONTWAIT):
                self.incoming.write(data)
                if self.leftover() is not None:
                    return False
        except BlockingIOError:
            return self.leftover() is None
        except OSError:
            return False
        return False

    def _fill(self, deadline: int) -> bool:
        data = super().receive(deadline)
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()
        return bool(data)

    def _flush(self, deadline: int) -> None:
        if self.rest or self.outgoing.pending:
            cipher, self.rest = self.rest + self.outgoing.read(), b""
            super().send_all(cipher, deadline)


def looker(sock: socket.socket) -> Callable[[int], object]:
    """What tells of anything that has come, an error or the end too: 0.6 us, where a `recv` that raises takes 2.8."""
    if STAMPS:
        poll = select.poll()
        poll.register(sock, select.POLLIN | select.POLLPRI | select.POLLRDHUP)
        return poll.poll
    return lambda _span: _has_something(sock)


def _has_something(sock: socket.socket) -> bool:
    try:
        sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def stamp_of(ancillary: list[tuple[int, int, bytes]]) -> int:
    """The kernel's time in nanoseconds of the wall clock, 0 if there is none."""
    if not ancillary:
        return 0
    seconds, nanoseconds = timespec(ancillary[0][2])
    return int(seconds * SECOND + nanoseconds)
