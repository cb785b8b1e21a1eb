"""Connections of a fetch, a few for each thread, whose replies go into sinks.

The common reply comes whole in one call over plain TCP, with a head that came before, byte for byte, so that the parser
would find the same again. That saves 65 us of the 300 a file took on a busy machine. Names are resolved when needed and
kept for a minute.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from loadkit.host.locality import is_public_address
from loadkit.plan.units import SECOND, nanoseconds
from loadkit.wire.attempt import complete
from loadkit.wire.base import BrokenExchange, Note, Request
from loadkit.wire.channel import AT_ONCE, Channel
from loadkit.wire.connection import ACTIVE, EARLY
from loadkit.wire.resolver import Resolver
from loadkit.wire.sockets import SocketWire

if TYPE_CHECKING:
    from loadkit.fetcher.options import FetchOptions
    from loadkit.fetcher.url import Url
    from loadkit.wire.base import Clock, Exchange, Sink
    from loadkit.wire.connection import HttpConnection, Memo

CONNECTIONS: Final = 4
"""Connections that a thread keeps open."""
LIFETIME: Final = 60 * SECOND
MAX_PUBLIC: Final = 5
"""Hosts on the public internet that are named in a caveat."""
HEADS: Final = 16
"""Heads of replies whose meaning is kept; those of one server differ in their dates and lengths."""
HEAD: Final = 2048
"""Bytes of the longest of them."""


class FetchConnection:
    """A connection whose replies go into sinks; an exchange is sent whole, or in steps by a multiplexer."""

    __slots__ = ("_heads", "http", "timeout")

    def __init__(self, http: HttpConnection, timeout: int) -> None:
        self.http = http
        self.timeout = timeout
        """Nanoseconds."""
        self._heads: dict[bytes, Memo] = {}

    def send(self, method: str, payload: bytes, sink: Sink) -> Exchange:
        """Send a request, and have the body of the reply go into `sink`."""
        if not self.is_ready():
            return self.complete(method, payload, sink)
        try:
            sent, went, error = self.send_nowait(payload)
            data = None
            if went == len(payload):
                try:
                    data = cast(Channel, self.http.channel).receive_armed()
                except OSError as met:
                    error = met
            found = self.match_known_head(method, sink, sent, data) if data else None
        except BaseException:
            self.http.close()
            raise
        return found or self.complete(method, payload, sink, sent, went, data, error)

    def is_ready(self) -> bool:
        """True if a request may go out over plain TCP on the connection as it is."""
        channel = self.http.channel
        return type(channel) is Channel and channel.armed == self.timeout and self.http.is_idle()

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

    def match_known_head(self, method: str, sink: Sink, sent: int, data: bytes | memoryview) -> Exchange | None:
        """Have what came go into a sink if it is a whole reply with a head that came before; None if it is not."""
        top = bytes(data[:HEAD])
        end = top.find(b"\r\n\r\n") + 4
        known = self._heads.get(top[:end])
        if known is None or known[1] != len(data) or method == "HEAD":
            return None
        _, size, status, headers = known
        http, channel = self.http, cast(Channel, self.http.channel)
        arrived = http.arrival(channel.stamp, sent, channel.taken)
        if arrived == EARLY:
            return None
        try:
            sink.begin(status, headers)
            if size > end:
                sink.write(data[end:])
        except BrokenExchange as broken:
            http.close()
            now = http.clock.now()
            return 0, sent, now, now, size, Note(replace(broken.failure, headed=True))
        http.rest(channel.taken)
        return status, sent, arrived, channel.taken, size, None

    def complete(
        self,
        method: str,
        payload: bytes,
        sink: Sink,
        sent: int = 0,
        went: int = 0,
        data: bytes | None = None,
        met: OSError | None = None,
    ) -> Exchange:
        """Do what is left of an exchange; see `attempt.complete`."""
        http = self.http
        request = Request(
            origin=http.origin,
            method=method,
            url=str(http.origin),
            payload=payload,
            timeout=self.timeout,
            keep=None,
            sink=sink,
        )
        exchange = complete(http, request, sent, went, data, met)
        if http.memo and method != "HEAD":
            if len(self._heads) >= HEADS:
                self._heads.clear()
            self._heads[http.memo[0]] = http.memo
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


class Network:
    """Names and certificates, which the threads share."""

    def __init__(self, clock: Clock, options: FetchOptions) -> None:
        resolver = Resolver(trusts_system=True, clock=clock, lifetime=LIFETIME)
        self.wire = SocketWire(clock, options.scenario(), resolver)
        if options.ca is not None or options.cert is not None:
            self.wire.read_certificates()
        self.timeout = nanoseconds(options.timeout)
        self.public: dict[str, None] = {}
        """Some of the hosts that are on the public internet."""


class Connections:
    """The connections of one thread that were used last."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._open: OrderedDict[str, FetchConnection] = OrderedDict()
        self._is_aborted = False
        self.unstamped = 0

    def known(self, url: Url) -> FetchConnection | None:
        """The connection to the host of a URL, None if there is none."""
        return self._open.get(url.site)

    def to(self, url: Url) -> FetchConnection:
        """The connection to the host of a URL, opened before or not; raises `BrokenExchange` of kind `dns`."""
        known = self._open.get(url.site)
        if known is not None:
            if len(self._open) > 1:
                self._open.move_to_end(url.site)
            return known
        network = self._network
        addresses = network.wire.resolver.addresses(url.origin)
        if len(network.public) < MAX_PUBLIC and any(is_public_address(str(address[1][0])) for address in addresses):
            network.public[url.origin.host] = None
        made = FetchConnection(network.wire.open_connection(url.origin), network.timeout)
        self._open[url.site] = made
        if len(self._open) > CONNECTIONS:
            self._close(self._open.popitem(last=False)[1])
        if self._is_aborted:
            made.http.abort()
        return made

    def forget(self, url: Url) -> None:
        """Close the connection to a host that did not answer, and forget its addresses: it may have others by now."""
        self._network.wire.resolver.forget(url.origin)
        if known := self._open.pop(url.site, None):
            self._close(known)

    def abort(self) -> None:
        """End the exchanges in progress, and let no other begin; called by another thread."""
        self._is_aborted = True
        for connection in list(self._open.values()):
            connection.http.abort()

    def close(self) -> None:
        """Close all."""
        while self._open:
            self._close(self._open.popitem()[1])

    def _close(self, connection: FetchConnection) -> None:
        self.unstamped += connection.http.unstamped
        connection.http.close()
