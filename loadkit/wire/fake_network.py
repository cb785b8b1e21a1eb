"""A network of bytes in memory: what is sent goes to a function, and what that says comes back, in its pieces.

All of the client above the socket is the real one: parsing, the long way and the short one, sessions.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, cast

from loadkit.plan.units import SECOND
from loadkit.wire.channel import SO_TIMESTAMPNS, Channel
from loadkit.wire.resolver import Resolver, Trust

if TYPE_CHECKING:
    from loadkit.clock import ManualClock
    from loadkit.wire.base import Clock, Origin
    from loadkit.wire.connect import Address, Opening


class Arrival(NamedTuple):
    """Bytes that had arrived before they are received."""

    data: bytes
    at: int | None
    """When, in nanoseconds of the clock; None for no stamp, as on a unix socket."""


Piece: TypeAlias = bytes | Arrival | OSError
Serve: TypeAlias = Callable[[bytes], Iterable[Piece]]
"""Given a whole request, what comes back: a piece for each receive; nothing in one is the end, an error is raised.

Pieces are asked for when they are received, so a generator may move the clock between them. When there are no more, a
receive lasts as long as it may.
"""

_LENGTH: Final = re.compile(rb"(?im)^content-length: *(\d+)")


class FakeNetwork(Resolver):
    """Every host is there, and answers as `serve` says, over plain TCP."""

    def __init__(self, clock: ManualClock, serve: Serve) -> None:
        super().__init__(clock=clock)
        self._time = clock
        self._serve = serve
        self.sockets: list[FakeSocket] = []
        """Each that was opened, in turn."""

    def addresses(self, origin: Origin) -> list[Address]:
        """The host itself."""
        return [(socket.AF_INET, (origin.host, origin.port))]

    def open(self, origin: Origin, trust: Trust, clock: Clock, timeout: int, opening: Opening) -> Channel:  # noqa: ARG002
        """A channel that is connected at once."""
        assert not origin.tls, "the fake network does not speak TLS"
        opening.check()
        made = FakeSocket(self._time, self._serve)
        self.sockets.append(made)
        channel = Channel(cast(Any, made), clock, look=made.look)
        channel.arm(timeout)
        return channel


class FakeSocket:
    """What `Channel` and the fast sender ask of a socket."""

    def __init__(self, clock: ManualClock, serve: Serve) -> None:
        self._clock = clock
        self._serve = serve
        self._received = b""
        self._pieces: Iterator[Piece] = iter(())
        self._next: Piece | None = None
        self._timeout = 0
        self._is_over = False
        self.requests: list[bytes] = []
        """Each whole one that was sent."""
        self.is_closed = False

    def fileno(self) -> int:
        """None that the kernel knows."""
        return -1

    def send(self, data: bytes, _flags: int = 0) -> int:
        """Take all of it."""
        self._received += data
        while self._received and (size := _size_of(self._received)):
            request, self._received = self._received[:size], self._received[size:]
            self.requests.append(request)
            self._pieces = iter(self._serve(request))
        return len(data)

    def recvmsg(self, _size: int, _ancillary: int, flags: int = 0) -> tuple[bytes, list[Any], int, None]:
        """The next piece, stamped with its arrival; raises `OSError` if it is one, or if there is none in time."""
        piece = self._peek()
        self._next = None
        if piece is None:
            if not flags & socket.MSG_DONTWAIT:
                self._clock.advance(self._timeout)
            raise BlockingIOError
        if isinstance(piece, OSError):
            self._is_over = True
            raise piece
        data, at = piece if isinstance(piece, Arrival) else (piece, self._clock.now())
        self._is_over = not data
        if not data or at is None:
            return data, [], 0, None
        stamp = struct.pack("qq", *divmod(at + self._clock.wall_offset, SECOND))
        return data, [(socket.SOL_SOCKET, SO_TIMESTAMPNS, stamp)], 0, None

    def recv(self, size: int, flags: int = 0) -> bytes:
        """The same without a stamp."""
        return self.recvmsg(size, 0, flags)[0]

    def look(self, _span: int) -> bool:
        """True if something has come."""
        return self._peek() is not None

    def setsockopt(self, _level: int, option: int, value: Any) -> None:
        """Note how long a receive may last."""
        if option == socket.SO_RCVTIMEO:
            seconds, micros = struct.unpack("ll", value)
            self._timeout = seconds * SECOND + micros * 1000

    def shutdown(self, _how: int) -> None:
        """Nothing comes any more."""
        self._is_over = True

    def close(self) -> None:
        """Remember that it was asked for."""
        self.is_closed = True

    def _peek(self) -> Piece | None:
        if self._is_over:
            return b""
        if self._next is None:
            self._next = next(self._pieces, None)
        return self._next


def _size_of(buffer: bytes) -> int:
    """Bytes of the request that a buffer begins with; 0 if it is not whole yet."""
    end = buffer.find(b"\r\n\r\n") + 4
    if end < 4:
        return 0
    head = buffer[:end]
    if b"\r\ntransfer-encoding: chunked" in head.lower():
        return buffer.find(b"0\r\n\r\n", end) + 5 if b"0\r\n\r\n" in buffer[end:] else 0
    length = _LENGTH.search(head)
    size = end + (int(length[1]) if length else 0)
    return size if size <= len(buffer) else 0
