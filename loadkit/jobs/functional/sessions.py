"""What tests send by `requests` while they run under load: over our wire, and a row for each kind of request.

Sessions that are made meanwhile get an adapter of ours in the place of the one that `requests` would give them. What
was made before, or has an adapter of its own, sends as ever, and is timed with its test as a whole.
"""

from __future__ import annotations

import _socket
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import requests.sessions
import urllib3.connectionpool
from requests.adapters import HTTPAdapter

from loadkit.clock import SystemClock
from loadkit.drive.journeys.observer import JourneyObserver
from loadkit.measure.timer import KEEPER
from loadkit.plan.units import nanoseconds
from loadkit.wire.base import Seen
from loadkit.wire.resolver import Resolver
from loadkit.wire.session.adapter import WireAdapter
from loadkit.wire.session.call import FOREVER, Asked, CallContext
from loadkit.wire.session.pool import ConnectionPool

if TYPE_CHECKING:
    from loadkit.wire.base import Exchange


class CountedAdapter(WireAdapter):
    """Sends over our wire; what a thread of the load sends is counted with its test."""

    def __init__(self, resolver: Resolver) -> None:
        clock = SystemClock()
        context = CallContext(clock)
        context.inspect = self._count
        self._told = 0
        super().__init__(context, ConnectionPool(resolver, clock))

    def takes(self, request: requests.PreparedRequest, proxies: Any) -> bool:
        """True if our wire can do this one, and no patch of the tests is in the way that urllib3 would take."""
        return not _is_patched() and super().takes(request, proxies)

    def send(self, request: requests.PreparedRequest, *more: Any, **options: Any) -> requests.Response:
        """Send a request; raises what ends a test when the run is over."""
        if not self.takes(request, options.get("proxies")) and HTTPAdapter.send is _DELIVER:
            # over urllib3, whose pools are counted by what is in their place
            return HTTPAdapter.send(self, request, *more, **options)
        keeper = KEEPER.get()
        if not isinstance(keeper, JourneyObserver):
            return self._sent(request, FOREVER, *more, **options)
        keeper.begin()
        with keeper.session.lending(self.pool):
            return self._sent(request, nanoseconds(keeper.session.timeout), *more, **options)

    def _sent(self, request: requests.PreparedRequest, span: int, *more: Any, **options: Any) -> requests.Response:
        with self.context.begin(None, span, follows=False):
            return super().send(request, *more, **options)

    def _count(self, asked: Asked, exchange: Exchange, size: int, seen: Seen) -> None:
        keeper = KEEPER.get()
        if isinstance(keeper, JourneyObserver):
            keeper.observe(asked, exchange, size, seen)
            more, self._told = self.unstamped - self._told, self.unstamped
            keeper.session.count_unstamped(more)


def _is_patched() -> bool:
    """True where a conftest guards all sockets, as pytest-socket does, or vcrpy plays back what was recorded."""
    return (
        socket.socket.__module__ != "socket"
        or socket.socket.connect is not _socket.socket.connect
        or _connection_classes() != _CONNECTION_CLASSES
    )


def _connection_classes() -> tuple[type, type]:
    """Of the pools that are in the place of those of urllib3 now."""
    pools = urllib3.connectionpool
    return pools.HTTPConnectionPool.ConnectionCls, pools.HTTPSConnectionPool.ConnectionCls


_CONNECTION_CLASSES: Final = _connection_classes()
_DELIVER: Final = HTTPAdapter.send


@contextmanager
def counted_sessions() -> Iterator[None]:
    """Give each `requests.Session` that is made meanwhile an adapter that counts."""
    resolver, module = Resolver(), cast(Any, requests.sessions)
    before = module.HTTPAdapter
    module.HTTPAdapter = lambda: CountedAdapter(resolver)
    try:
        yield
    finally:
        module.HTTPAdapter = before
