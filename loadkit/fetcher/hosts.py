"""What may be asked of hosts: how much at once and a second, and which of them are left alone for a while."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from loadkit.fetcher.retry import back_off
from loadkit.plan.units import MILLISECOND, SECOND

if TYPE_CHECKING:
    from loadkit.fetcher.task import Task
    from loadkit.wire.base import Failure

HOSTS: Final = 10_000
TRIP: Final = 10
"""Failures of a host in a row, with no reply between, that open its circuit."""
CHANCES: Final = 4
"""Probes that may fail before a host is given up."""
GIVEN_UP: Final = 60 * SECOND
"""How long a host is given up; after that it is probed again."""
GROW: Final = 8
"""Good replies for each request at once after which a host that was throttled gets one more."""
BURST: Final = 10 * MILLISECOND
"""How much a rate may catch up after a thread was late."""


@dataclass(slots=True)
class HostState:
    """What is known of one origin. Times are nanoseconds of the clock."""

    active: int = 0
    """Requests in progress."""
    cap: int | None = None
    """Requests at once that it seems to bear; None as long as it never asked us to wait."""
    queue: deque[Task] = field(default_factory=deque)
    """Tasks that wait for it."""
    paused_until: int = 0
    down_until: int = 0
    """Until then it is given up: its tasks fail without being tried."""
    throttles: int = 0
    """Pauses it asked for since its last good reply."""
    failures: int = 0
    """Failures in a row."""
    opens: int = 0
    """How often its circuit opened since its last reply."""
    good: int = 0
    """Good replies since `cap` was changed."""
    is_waking: bool = False
    """True if the schedule has a timer for it."""
    last: Failure | None = None
    """The last failure."""

    @property
    def is_forgettable(self) -> bool:
        """True if there is nothing to remember."""
        return self.cap is None and not (
            self.active or self.queue or self.failures or self.opens or self.throttles or self.is_waking
        )

    def room(self, now: int, per_host: int | None) -> float:
        """How many more requests it may get; if it is given up any number, for they fail at once."""
        if self.down_until > now:
            return math.inf
        if self.paused_until > now:
            return 0
        if self.failures >= TRIP:
            return 1 - self.active
        return min(cap for cap in (per_host, self.cap, math.inf) if cap is not None) - self.active

    def reply(self) -> None:
        """Note a reply that did not ask us to wait."""
        self.failures = self.opens = self.throttles = self.down_until = 0
        if self.cap is not None:
            self.good += 1
            if self.good >= GROW * self.cap:
                self.good = 0
                self.cap += 1

    def throttle(self, now: int, wait: int | None, first_wait: int) -> None:
        """Note a reply that asked us to wait, for so many nanoseconds or for a time we choose."""
        self.failures = self.opens = self.down_until = 0
        if self.paused_until <= now:
            # half of what it had at once, or it would go on turning the same ones away
            self.cap = max(1, self.active // 2)
            self.good = 0
            self.throttles += 1
        span = wait if wait is not None else back_off(self.throttles - 1, first_wait)
        self.paused_until = max(self.paused_until, now + span)

    def fail(self, now: int, failure: Failure, first_pause: int) -> bool:
        """Note a failed connection, or an answer that did not come; True if that opens the circuit."""
        self.failures += 1
        self.last = failure
        if self.failures < TRIP or self.paused_until > now:
            return False
        self.opens += 1
        if self.opens > CHANCES:
            self.down_until = now + GIVEN_UP
            self.opens = 0
            # the next request is a probe again
            self.failures = TRIP
        else:
            self.paused_until = now + (first_pause << (self.opens - 1))
        return True

    def give_up(self, failure: Failure, until: int) -> None:
        """Note that requests are of no use until then."""
        self.last = failure
        self.failures = TRIP
        self.down_until = max(self.down_until, until)
        self.paused_until = 0


@dataclass(slots=True, kw_only=True)
class HostTable:
    """The hosts of a fetch, and what it may ask of each. Times are nanoseconds."""

    per_host: int | None
    """Requests at once to one host, at most."""
    first_wait: int
    """How long a host that asks for a pause, and not how long, is left alone at most the first time."""
    first_pause: int
    """How long a host that does not answer is left alone the first time."""
    throttles: int = 0
    """Replies that asked us to wait."""
    trips: int = 0
    """Circuits opened."""
    by_site: dict[str, HostState] = field(default_factory=dict)
    """By origin, as `Url.site` has it."""

    def add(self, site: str) -> HostState:
        """Begin to remember a host; with too many, the older half of those without tasks is forgotten."""
        if len(self.by_site) >= HOSTS:
            idle = [site for site, host in self.by_site.items() if not (host.active or host.queue or host.is_waking)]
            for old in idle[: HOSTS // 2]:
                del self.by_site[old]
        host = self.by_site[site] = HostState()
        return host


class RateLimit:
    """Spreads requests over time, at most so many a second."""

    def __init__(self, rate: float | None) -> None:
        self.is_set = bool(rate)
        """True if there is a limit."""
        self._interval = round(SECOND / rate) if rate else 0
        self._next = 0

    def reserve(self, now: int) -> int:
        """When the next request may be sent; each call takes one turn."""
        turn = max(self._next or now, now - BURST)
        self._next = turn + self._interval
        return max(now, turn)
