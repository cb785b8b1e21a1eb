"""The calls of a session that are under way: what each said that `requests` does not know, and who observes them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

import requests

from loadkit.plan.errors import UsageError
from loadkit.plan.units import SECOND, Duration, seconds
from loadkit.plan.urls import strip_url
from loadkit.wire.base import Clock, Exchange, Note, Seen
from loadkit.wire.session.exceptions import failure_of

FOREVER: Final = 10 * 365 * 24 * 3600 * SECOND


def checked_deadline(deadline: Duration) -> float:
    """Seconds of a deadline; raises `UsageError`."""
    span = seconds(deadline, what="deadline")
    if not 0 < span <= FOREVER / SECOND:
        raise UsageError(f"cannot use deadline={deadline!r}; write it like '2s'")
    return span


class Asked(NamedTuple):
    """What an exchange was about: the method, the URL without its query, and the `name=` of the call, if any."""

    method: str
    url: str
    name: str | None


Observer: TypeAlias = Callable[[Asked, Exchange, int], object]
"""Called once for each exchange, each hop of a redirect too: what was asked, how it went, bytes of the request."""

NOTHING_SEEN: Final[Seen] = (None, b"", b"", False)

Inspector: TypeAlias = Callable[[Asked, Exchange, int, Seen], object]
"""An observer that is shown the request and the reply, too."""


@dataclass(slots=True)
class Chain:
    """The redirects that one call follows."""

    first: requests.PreparedRequest
    """What the caller asked for."""
    was_away: bool = False
    """It has led to another host, port or scheme, and what was left behind then stays there."""


@dataclass(slots=True)
class Call:
    """One call of the user's; its hops share the deadline."""

    name: str | None = None
    """For the first exchange only."""
    deadline: int | None = None
    """An instant of the monotonic clock."""
    begun: bool = False
    """A session's call is under way, in this thread."""
    follows: bool = False
    """It follows redirects."""
    chain: Chain | None = None
    """Those that it has followed."""


class _Local(threading.local):
    def __init__(self) -> None:
        self.call = Call()


class CallContext:
    """What the calls of a session have in common: the clock, the observer, and the call under way in each thread."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.inspect: Inspector | None = None
        self.halt: type[BaseException] | None = None
        """What each call raises that begins."""
        self.unstamped = 0
        """Replies to exchanges that other adapters made: no kernel stamp of them is seen here."""
        self._local = _Local()

    @property
    def current(self) -> Call:
        """The call under way in this thread."""
        return self._local.call

    @contextmanager
    def begin(self, name: str | None, span: int, *, follows: bool) -> Iterator[None]:
        """A call of `span` nanoseconds is under way in the block; raises what the session was halted with."""
        self.check()
        deadline = None if span == FOREVER else self.clock.now() + span
        with self.during(Call(name, deadline, begun=True, follows=follows)):
            yield

    @contextmanager
    def during(self, call: Call) -> Iterator[None]:
        """Make `call` the one under way; calls may be within calls, from hooks."""
        before, self._local.call = self._local.call, call
        try:
            yield
        finally:
            self._local.call = before

    def check(self) -> None:
        """Raise what the session was halted with."""
        if self.halt is not None:
            raise self.halt

    def observation(self, method: str, url: str, size: int) -> Observation:
        """Begin to observe the next exchange of the call under way, a request of `size` bytes."""
        name, self.current.name = self.current.name, None
        return Observation(self, Asked(method, url, name), size)


@dataclass(slots=True)
class Observation:
    """Reports one exchange to the observer, whenever it is over."""

    context: CallContext
    asked: Asked
    size: int
    """Bytes of the request."""

    def count(self, size: int) -> None:
        """Count bytes of a request that is sent piece by piece."""
        self.size += size

    def report(self, exchange: Exchange | None, seen: Seen = NOTHING_SEEN) -> None:
        """Report what the exchange was; None is one that is not over."""
        inspect = self.context.inspect
        if inspect is not None and exchange:
            inspect(self.asked, exchange, self.size, seen)


class TimedAdapter:
    """An adapter that is not ours, observed: up to the head of a reply, for what is read later is not seen here."""

    def __init__(self, adapter: Any, context: CallContext) -> None:
        self._adapter = adapter
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send as the adapter does."""
        context = self._context
        observation = context.observation(str(request.method), strip_url(request.url or ""), 0)
        sent = context.clock.now()
        try:
            response: requests.Response = self._adapter.send(request, **options)
        except requests.RequestException as error:
            now = context.clock.now()
            observation.report((0, sent, now, now, 0, Note(failure_of(error))))
            raise
        now = context.clock.now()
        context.unstamped += 1
        if response.status_code:
            observation.report((response.status_code, sent, now, now, 0, None))
        return response
