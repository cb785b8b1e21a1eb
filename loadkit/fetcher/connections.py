"""Connections for many hosts: a few for each thread, names looked up when they are needed and kept for a minute."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from loadkit.fetcher.exchange import FetchConnection
from loadkit.plan.units import SECOND
from loadkit.wire.resolver import Resolver
from loadkit.wire.sockets import SocketWire

if TYPE_CHECKING:
    from loadkit.fetcher.url import Url
    from loadkit.plan.scenario import Scenario
    from loadkit.wire.base import Clock, Origin
    from loadkit.wire.channel import Address

EACH: Final = 4
"""Connections a thread keeps."""
KEPT: Final = 60 * SECOND
TELLING: Final = 5
"""Public hosts that are named in a caveat."""


class Network:
    """What the threads share: names, certificates."""

    def __init__(self, clock: Clock, scenario: Scenario) -> None:
        self.wire = SocketWire(clock, scenario, Resolver(trusts_system=True, clock=clock, lifetime=KEPT))
        self.public: dict[str, None] = {}
        """Some of the hosts that are on the internet."""

    def connect(self, origin: Origin) -> FetchConnection:
        """A connection, not opened yet; raises `BrokenExchange` of kind `dns`."""
        addresses = self.wire.resolver.addresses(origin)
        if len(self.public) < TELLING and any(map(_is_public, addresses)):
            self.public[origin.host] = None
        return FetchConnection(self.wire.open_connection(origin))

    def forget(self, origin: Origin) -> None:
        """Nobody was there: the name may lead elsewhere by now."""
        self.wire.resolver.forget(origin)

    def prepare_tls(self) -> None:
        """Read certificates, once."""
        self.wire.read_certificates()


class Connections:
    """One thread's connections, those used last."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._open: OrderedDict[str, FetchConnection] = OrderedDict()
        self._is_aborted = False
        self.unstamped = 0

    def known(self, there: Url) -> FetchConnection | None:
        """The connection there, if there is one."""
        return self._open.get(there.site)

    def to(self, there: Url) -> FetchConnection:
        """A connection there, opened before or not; raises `BrokenExchange` of kind `dns`."""
        known = self.known(there)
        if known is not None:
            if len(self._open) > 1:
                self._open.move_to_end(there.site)
            return known
        made = self._open[there.site] = self._network.connect(there.origin)
        if len(self._open) > EACH:
            self._close(self._open.popitem(last=False)[1])
        if self._is_aborted:
            made.http.abort()
        return made

    def forget(self, there: Url) -> None:
        """Nobody was there."""
        self._network.forget(there.origin)
        if known := self._open.pop(there.site, None):
            self._close(known)

    def abort(self) -> None:
        """End what is under way, and let nothing new begin; called by another thread."""
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


def _is_public(address: Address) -> bool:
    try:
        return ipaddress.ip_address(str(address[1][0]).partition("%")[0]).is_global
    except ValueError:
        return False
