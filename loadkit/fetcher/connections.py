"""Connections for many hosts: a few for each thread, names looked up when they are needed and kept for a minute."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from loadkit.fetcher.exchange import FetchConnection
from loadkit.plan.units import SECOND
from loadkit.wire.base import BrokenExchange, Failure
from loadkit.wire.sockets import SocketWire

if TYPE_CHECKING:
    from loadkit.fetcher.url import Url
    from loadkit.plan.scenario import Scenario
    from loadkit.wire.base import Clock, Origin
    from loadkit.wire.channel import Address

EACH: Final = 4
"""Connections a thread keeps."""
KEPT: Final = 60 * SECOND
NAMES: Final = 10_000
LOCKS: Final = 64
TELLING: Final = 5
"""Public hosts that are named in a caveat."""


class Network:
    """What the threads share: names, certificates."""

    def __init__(self, clock: Clock, scenario: Scenario) -> None:
        self.wire = SocketWire(clock, scenario)
        self._clock = clock
        self._names: OrderedDict[tuple[str, int], tuple[int, list[Address]]] = OrderedDict()
        self._locks = [threading.Lock() for _ in range(LOCKS)]
        self._guard = threading.Lock()
        self.public: dict[str, None] = {}

    def addresses(self, origin: Origin) -> list[Address]:
        """Where a name leads; raises `BrokenExchange` of kind `dns`."""
        key = origin.host, origin.port
        if found := self._known(key):
            return found
        # one lookup of a name at a time: twenty threads that start together want the same one
        with self._locks[hash(key) % LOCKS]:
            if found := self._known(key):
                return found
            found = _look_up(origin)
        with self._guard:
            self._names[key] = self._clock.now() + KEPT, found
            while len(self._names) > NAMES:
                self._names.popitem(last=False)
            if len(self.public) < TELLING and any(_is_public(address) for address in found):
                self.public[origin.host] = None
        return found

    def forget(self, origin: Origin) -> None:
        """Nobody was there: the name may lead elsewhere by now."""
        with self._guard:
            self._names.pop((origin.host, origin.port), None)

    def prepare_tls(self) -> None:
        """Read certificates, once."""
        with self._guard:
            self.wire.prepare()

    def _known(self, key: tuple[str, int]) -> list[Address] | None:
        found = self._names.get(key)
        return found[1] if found and found[0] > self._clock.now() else None


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
        if there.origin.tls:
            self._network.prepare_tls()
        made = self._network.wire.connect_to(there.origin, self._network.addresses(there.origin))
        known = self._open[there.site] = FetchConnection(made)
        if len(self._open) > EACH:
            self._close(self._open.popitem(last=False)[1])
        if self._is_aborted:
            made.abort()
        return known

    def forget(self, there: Url) -> None:
        """Nobody was there."""
        self._network.forget(there.origin)
        if known := self._open.pop(there.site, None):
            self._close(known)

    def abort(self) -> None:
        """End what is under way, and let nothing new begin; called by another thread."""
        self._is_aborted = True
        for connection in list(self._open.values()):
            connection.wire.abort()

    def close(self) -> None:
        """Close all."""
        while self._open:
            self._close(self._open.popitem()[1])

    def _close(self, connection: FetchConnection) -> None:
        self.unstamped += connection.wire.unstamped
        connection.wire.close()


def _look_up(origin: Origin) -> list[Address]:
    try:
        found = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        reason = (error.strerror or "no answer").lower()
        passing = "temporary: " if error.errno == socket.EAI_AGAIN and "temporary" not in reason else ""
        raise BrokenExchange(Failure("dns", f"cannot resolve {origin.host}: {passing}{reason}")) from None
    except (OSError, UnicodeError) as error:
        raise BrokenExchange(Failure("dns", f"cannot resolve {origin.host}: {error}")) from None
    return [(family, address) for family, _, _, _, address in found]


def _is_public(address: Address) -> bool:
    try:
        return ipaddress.ip_address(str(address[1][0]).partition("%")[0]).is_global
    except ValueError:
        return False
