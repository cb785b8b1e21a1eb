"""What is known of the hosts that requests go to: how many at once each bears, and which are left alone for a while."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from loadkit.fetcher.retry import back_off
from loadkit.plan.units import SECOND

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


class HostState:
    """What is known of one origin. Times are nanoseconds of the clock."""

    __slots__ = (
        "active",
        "cap",
        "down_until",
        "failures",
        "good",
        "is_waking",
        "last",
        "opens",
        "paused_until",
        "queue",
        "throttles",
    )

    def __init__(self) -> None:
        self.active = 0
        """Requests in progress."""
        self.cap: int | None = None
        """Requests at once that it seems to bear; None as long as it never asked us to wait."""
        self.queue: deque[Task] = deque()
        """Tasks that wait for it."""
        self.paused_until = 0
        self.down_until = 0
        """Until then it is given up: its tasks fail without being tried."""
        self.throttles = 0
        """Pauses it asked for since its last good reply."""
        self.failures = 0
        """Failures in a row."""
        self.opens = 0
        """How often its circuit opened since its last reply."""
        self.good = 0
        """Good replies since `cap` was changed."""
        self.is_waking = False
        """True if the schedule has a timer for it."""
        self.last: Failure | None = None
        """The last failure."""

    @property
    def is_forgettable(self) -> bool:
        """True if there is nothing to remember."""
        return self.cap is None and not (
            self.active or self.queue or self.failures or self.opens or self.throttles or self.is_waking
        )

    def room(self, per_host: int | None) -> float:
        """How many more requests it may get now."""
        if self.failures >= TRIP:
            return 1 - self.active
        caps = [cap for cap in (per_host, self.cap) if cap is not None]
        return min(caps) - self.active if caps else float("inf")

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


class HostTable:
    """The hosts of a fetch by their origins, as `Url.site` has them."""

    def __init__(self, *, per_host: int | None, first_wait: int, first_pause: int) -> None:
        self.per_host = per_host
        """Requests at once to one host, at most."""
        self.queued = 0
        """Tasks in all queues."""
        self.throttles = 0
        """Replies that asked us to wait."""
        self.trips = 0
        """Circuits opened."""
        self.by_site: dict[str, HostState] = {}
        self._first_wait = first_wait
        self._first_pause = first_pause

    def add(self, site: str) -> HostState:
        """Begin to remember a host; with too many, the older half of those without tasks is forgotten."""
        if len(self.by_site) >= HOSTS:
            idle = [site for site, host in self.by_site.items() if not (host.active or host.queue or host.is_waking)]
            for old in idle[: HOSTS // 2]:
                del self.by_site[old]
        host = self.by_site[site] = HostState()
        return host

    def throttle(self, host: HostState, now: int, wait: int | None) -> None:
        """Note a reply that asked us to wait, for so many nanoseconds or for a time we choose."""
        self.throttles += 1
        host.throttle(now, wait, self._first_wait)

    def fail(self, host: HostState, now: int, failure: Failure) -> None:
        """Note a failed connection, or an answer that did not come."""
        self.trips += host.fail(now, failure, self._first_pause)

    def park(self, task: Task, host: HostState) -> None:
        """Have a task wait for its host."""
        host.queue.append(task)
        self.queued += 1

    def unpark(self, host: HostState, now: int) -> list[Task]:
        """The tasks of its queue that may be sent now; all of them if it is given up, for they fail at once."""
        if host.paused_until > now:
            return []
        waiting = len(host.queue)
        room = waiting if host.down_until > now else min(waiting, max(0, int(min(host.room(self.per_host), waiting))))
        self.queued -= room
        return [host.queue.popleft() for _ in range(room)]
