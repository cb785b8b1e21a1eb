"""The connections of a session."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from loadkit.wire.connection import HttpConnection

if TYPE_CHECKING:
    from loadkit.wire.base import Clock, Origin
    from loadkit.wire.resolver import Resolver, Trust

MAX_CONNECTIONS: Final = 64
"""Connections that are kept open, each to another place."""

Verify: TypeAlias = bool | str | None
Cert: TypeAlias = str | tuple[str, str] | None
"""What `requests` calls verify and cert."""

Place: TypeAlias = "tuple[Origin, Verify, Cert, int]"
"""The number counts connections to the same origin: there are several while threads share a session."""


class ConnectionPool:
    """Keeps one connection to each place, and more to the same place only while the first is in use."""

    def __init__(self, resolver: Resolver, clock: Clock) -> None:
        self.resolver = resolver
        self.is_aborted = False
        self._clock = clock
        self._connections: dict[Place, HttpConnection] = {}
        self._unstamped = 0
        """Replies of connections that are not kept any more."""
        weakref.finalize(self, _close_all, self._connections)

    def __contains__(self, connection: HttpConnection) -> bool:
        return connection in self._connections.values()

    def connection(self, place: Place, trust: Callable[[], Trust]) -> HttpConnection:
        """The connection to a place; `trust` is asked for a new one, and may raise."""
        found = self._connections.get(place)
        if found is None:
            self._make_room()
            origin = place[0]
            made = HttpConnection(origin, partial(self.resolver.open, origin, trust(), self._clock), self._clock)
            found = self._connections.setdefault(place, made)
        if self.is_aborted:
            # it may have been made after `abort` went through the others
            found.abort()
        return found

    def connections(self) -> list[HttpConnection]:
        """Those that are kept; another thread may ask."""
        return list(self._connections.values())

    @property
    def unstamped(self) -> int:
        """Replies so far whose arrival the kernel did not stamp."""
        return self._unstamped + sum(connection.unstamped for connection in self.connections())

    def _make_room(self) -> None:
        """Give up the connection that was made first, if there are too many, of those that are not in use."""
        for place, first in list(self._connections.items()):
            if len(self._connections) < MAX_CONNECTIONS:
                return
            if not first.in_use and self._connections.pop(place, None) is not None:
                # for good, so that a prepared call that still refers to it takes another one
                first.in_use = True
                self._unstamped += first.unstamped
                first.close()

    def abort(self) -> None:
        """End the exchanges under way, from whatever thread; all later ones fail at once."""
        self.is_aborted = True
        for connection in self.connections():
            connection.abort()

    def revive(self) -> None:
        """Let requests go out again, on new connections: those that were aborted stay so."""
        self._unstamped = self.unstamped
        self._connections.clear()
        self.is_aborted = False

    def close(self) -> None:
        """Close all connections but those of streams that are not over; what is sent after it opens new ones."""
        for connection in self.connections():
            connection.close()


def _close_all(connections: dict[Place, HttpConnection]) -> None:
    for connection in list(connections.values()):
        connection.close()
        for channel in connection.lent():
            connection.drop(channel)
