"""Exchanges of a fetch: the body of a reply goes into a sink, the short way where its head is known.

The common reply comes whole in one call over plain TCP, with a head that came before, byte for byte, so that the parser
would find the same again. That saves 65 us of the 300 a file took on a busy machine.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from loadkit.wire.attempt import complete
from loadkit.wire.base import BrokenExchange, Exchange, Note
from loadkit.wire.channel import AT_ONCE, Channel
from loadkit.wire.connection import ACTIVE, EARLY

if TYPE_CHECKING:
    from loadkit.wire.base import Request, Sink
    from loadkit.wire.connection import HttpConnection

HEADS: Final = 16
"""Heads of replies whose meaning is kept; those of one server differ in their dates and lengths."""
HEAD: Final = 2048
"""Bytes of the longest of them."""


class KnownHead(NamedTuple):
    """What a head means: bytes of the whole reply, its status and headers."""

    size: int
    status: int
    headers: list[tuple[bytes, bytes]]


class FetchConnection:
    """A connection whose replies go into sinks; an exchange is sent whole, or in steps by a multiplexer."""

    __slots__ = ("_heads", "http")

    def __init__(self, http: HttpConnection) -> None:
        self.http = http
        self._heads: dict[bytes, KnownHead] = {}

    def send(self, request: Request, payload: bytes, sink: Sink) -> Exchange:
        """Send `payload` in a request otherwise like `request`, and have the body of the reply go into `sink`."""
        if not self.is_ready(request):
            return self.complete(replace(request, payload=payload, sink=sink))
        try:
            sent, went, met = self.send_nowait(payload)
            data = None
            if went == len(payload):
                try:
                    data = cast(Channel, self.http.channel).receive_armed()
                except OSError as error:
                    met = error
            found = self.match_known_head(request, sink, sent, data) if data else None
        except BaseException:
            self.http.close()
            raise
        return found or self.complete(replace(request, payload=payload, sink=sink), sent, went, data, met)

    def is_ready(self, request: Request) -> bool:
        """True if the request may go out over plain TCP on the connection as it is."""
        channel = self.http.channel
        return type(channel) is Channel and channel.armed == request.io_timeout and self.http.is_idle()

    @property
    def channel(self) -> Channel | None:
        """The open channel, None if there is none."""
        return self.http.channel

    def send_nowait(self, payload: bytes) -> tuple[int, int, OSError | None]:
        """Send what the kernel takes at once: when, how many bytes it took, and the error that it met."""
        self.http.state = ACTIVE
        sent = self.http.clock.now()
        try:
            return sent, cast(Channel, self.http.channel).sock.send(payload, AT_ONCE), None
        except BlockingIOError:
            return sent, 0, None
        except OSError as error:
            return sent, 0, error

    def match_known_head(self, request: Request, sink: Sink, sent: int, data: bytes | memoryview) -> Exchange | None:
        """Have what came go into a sink if it is a whole reply with a head that came before; None if it is not."""
        top = bytes(data[:HEAD])
        end = top.find(b"\r\n\r\n") + 4
        known = self._heads.get(top[:end])
        if known is None or known.size != len(data) or request.method == "HEAD":
            return None
        channel = cast(Channel, self.http.channel)
        arrived = self.http.arrival(channel.stamp, sent, channel.taken)
        if arrived == EARLY:
            return None
        try:
            sink.begin(known.status, known.headers)
            if known.size > end:
                sink.write(data[end:])
        except BrokenExchange as broken:
            self.http.close()
            now = self.http.clock.now()
            return 0, sent, now, now, known.size, Note(replace(broken.failure, headed=True))
        self.http.rest(channel.taken)
        return known.status, sent, arrived, channel.taken, known.size, None

    def complete(
        self, request: Request, sent: int = 0, went: int = 0, data: bytes | None = None, met: OSError | None = None
    ) -> Exchange:
        """Do what is left of an exchange; see `attempt.complete`."""
        exchange = complete(self.http, request, sent, went, data, met)
        memo = self.http.memo
        if memo and request.method != "HEAD":
            head, size, status, headers = memo
            if len(self._heads) >= HEADS:
                self._heads.clear()
            self._heads[head] = KnownHead(size, status, headers)
        return exchange


# how long a body is, and what makes that of no account
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
# a reply without a body, whatever its head says
_BODILESS: Final = (b"1", b"204", b"304")


def missing_of(data: bytes) -> int | None:
    """How many bytes of a reply have not come yet, negative for more than a reply; None if that is not certain."""
    end = data.find(b"\r\n\r\n") + 4
    length = _LENGTH.search(data, 0, end)
    if end < 4 or not length or data.startswith(_BODILESS, 9) or _CHUNKED.search(data, 0, end):
        return None
    return end + int(length[1]) - len(data)
