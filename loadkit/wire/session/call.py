"""What is known of a call of a session that `requests` knows nothing of, and who observes its exchanges."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from loadkit.plan.units import SECOND
from loadkit.wire.base import Exchange

if TYPE_CHECKING:
    from loadkit.wire.session.redirects import Chain

FOREVER: Final = 10 * 365 * 24 * 3600 * SECOND


class Asked(NamedTuple):
    """What an exchange was about: the method, the URL without its query, and the `name=` of the call, if any."""

    method: str
    url: str
    name: str | None


Observer: TypeAlias = Callable[[Asked, Exchange, int], object]
"""Called once for each exchange, each hop of a redirect too: what was asked, how it went, bytes of the request."""


@dataclass(slots=True)
class Call:
    """What one call of the user's said that `requests` knows nothing of; its hops share the deadline."""

    name: str | None = None
    deadline: int | None = None
    """An instant of the monotonic clock."""
    begun: bool = False
    """A session's call is under way, in this thread."""
    follows: bool = False
    """It follows redirects."""
    chain: Chain | None = None
    """Those that it has followed."""


class ThreadCall(threading.local):
    """The call under way in each thread."""

    def __init__(self) -> None:
        self.current = Call()

    @contextmanager
    def during(self, call: Call) -> Iterator[None]:
        """Make `call` the one under way; calls may be within calls, from hooks."""
        before, self.current = self.current, call
        call.begun = True
        try:
            yield
        finally:
            self.current = before
