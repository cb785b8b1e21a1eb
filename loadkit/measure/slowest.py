"""The slowest requests of a run: of all that were sent the ten with the longest response times, exactly."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapreplace, nlargest
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from loadkit.wire.base import Request, full_url

if TYPE_CHECKING:
    from loadkit.wire.session.call import Asked

MOST: Final = 10
"""Requests that are kept."""

Requested: TypeAlias = "Request | Asked"
"""What is known of a request: all of it, or of one that others sent its method and URL."""

_NEVER: Final = 1 << 62


class SlowSample(NamedTuple):
    """A request with a good reply; times are nanoseconds. The largest of them are the slowest."""

    response_time: int
    due: int
    """When it was due: nanoseconds of the monotonic clock."""
    service_time: int
    status: int
    method: str
    url: str
    label: str


class SlowLimit:
    """The response time that one of the slowest requests has at least, as far as is known; all threads write to it."""

    __slots__ = ("_lock", "_times", "limit")

    def __init__(self) -> None:
        self.limit = _NEVER
        """Nanoseconds; requests that take longer are offered. Nothing is slow before it is measured."""
        self._times = [-1] * MOST
        self._lock = Lock()

    def begin(self) -> None:
        """What is measured begins; whoever says it first is heard."""
        with self._lock:
            if self.limit == _NEVER:
                self.limit = -1

    def offer(self, response_time: int) -> bool:
        """True for a request that is one of the slowest so far; the limit rises with it."""
        with self._lock:
            if response_time <= self.limit:
                return False
            heapreplace(self._times, response_time)
            self.limit = self._times[0]
            return True


def shown_url(request: Requested) -> str:
    """The URL of a request, with its query where that is known, and without secrets."""
    return full_url(request) if isinstance(request, Request) else request.url


def slowest(samples: Iterable[SlowSample]) -> list[SlowSample]:
    """The slowest of these, in this order; the same whatever order they come in."""
    return nlargest(MOST, samples)
