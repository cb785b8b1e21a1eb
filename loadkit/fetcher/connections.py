"""Connections to many hosts: a few for each thread. Names are resolved when needed and kept for a minute."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from loadkit.fetcher.exchange import FetchConnection
from loadkit.host.locality import is_public_address
from loadkit.plan.units import SECOND
from loadkit.wire.resolver import Resolver
from loadkit.wire.sockets import SocketWire

if TYPE_CHECKING:
    from loadkit.fetcher.url import Url
    from loadkit.plan.scenario import Scenario
    from loadkit.wire.base import Clock, Origin

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
