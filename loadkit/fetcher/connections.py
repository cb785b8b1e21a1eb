"""Connections to many hosts: a few for each thread. Names are resolved when needed and kept for a minute."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from loadkit.host.locality import is_public_address
from loadkit.plan.units import SECOND
from loadkit.wire.attempt import complete
from loadkit.wire.base import BrokenExchange, Exchange, Note
from loadkit.wire.channel import AT_ONCE, Channel
from loadkit.wire.connection import ACTIVE, EARLY
from loadkit.wire.resolver import Resolver
from loadkit.wire.sockets import SocketWire

if TYPE_CHECKING:
    from loadkit.fetcher.url import Url
    from loadkit.plan.scenario import Scenario
    from loadkit.wire.base import Clock, Origin, Request, Sink
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


CONNECTIONS: Final = 4
"""Connections that a thread keeps open."""
LIFETIME: Final = 60 * SECOND
MAX_PUBLIC: Final = 5
"""Hosts on the public internet that are named in a caveat."""


class Network:
    """Names and certificates, which the threads share."""

    def __init__(self, clock: Clock, scenario: Scenario) -> None:
        self.wire = SocketWire(clock, scenario, Resolver(trusts_system=True, clock=clock, lifetime=LIFETIME))
        self.public: dict[str, None] = {}
        """Some of the hosts that are on the public internet."""

    def connect(self, origin: Origin) -> FetchConnection:
        """A connection to a host, not opened yet; raises `BrokenExchange` of kind `dns`."""
        addresses = self.wire.resolver.addresses(origin)
        if len(self.public) < MAX_PUBLIC and any(is_public_address(str(address[1][0])) for address in addresses):
            self.public[origin.host] = None
        return FetchConnection(self.wire.open_connection(origin))

    def forget(self, origin: Origin) -> None:
        """Forget the addresses of a host that did not answer: its name may have others by now."""
        self.wire.resolver.forget(origin)

    def prepare_tls(self) -> None:
        """Read the certificates, once."""
        self.wire.read_certificates()


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
        known = self.known(url)
        if known is not None:
            if len(self._open) > 1:
                self._open.move_to_end(url.site)
            return known
        made = self._open[url.site] = self._network.connect(url.origin)
        if len(self._open) > CONNECTIONS:
            self._close(self._open.popitem(last=False)[1])
        if self._is_aborted:
            made.http.abort()
        return made

    def forget(self, url: Url) -> None:
        """Close the connection to a host that did not answer, and forget its addresses."""
        self._network.forget(url.origin)
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
