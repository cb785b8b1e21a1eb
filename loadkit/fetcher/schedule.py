"""What is fetched next: none of the threads waits for a URL that has to wait.

A URL whose time has not come is on a heap, one whose host is busy or asked for a pause is in that host's queue, and the
threads go on with others. So much may wait, and then the source is not read on. All of it is under one lock, held for
microseconds.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias

from loadkit.fetcher.retry import back_off
from loadkit.plan.units import MILLISECOND, SECOND

if TYPE_CHECKING:
    from loadkit.fetcher.task import Task
    from loadkit.wire.base import Clock, Failure

AHEAD: Final = 1_000
"""Entries read ahead of the threads."""
WAITING: Final = 10_000
"""URLs that may wait, for a retry or for their host, before the source is left alone."""
HOSTS: Final = 10_000
BURST: Final = 10 * MILLISECOND
"""How much a rate may catch up after a thread was late."""
NAP: Final = 0.5

TRIP: Final = 10
"""Failures of a host in a row, with no reply between, that open its circuit."""
CHANCES: Final = 4
"""Probes that may fail before a host is given up."""
GIVEN_UP: Final = 60 * SECOND
"""After that it gets another one."""
GROW: Final = 8
"""Good replies for each slot before a host that was too busy gets one more."""


class Host:
    """What is known of one origin."""

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
        self.cap: int | None = None
        """Requests at once that it seems to bear; None where it never complained."""
        self.queue: deque[Task] = deque()
        self.paused_until = 0
        self.down_until = 0
        self.throttles = 0
        self.failures = 0
        self.opens = 0
        self.good = 0
        self.is_waking = False
        self.last: Failure | None = None

    @property
    def is_clean(self) -> bool:
        """There is nothing to be remembered of it."""
        return self.cap is None and not (
            self.active or self.queue or self.failures or self.opens or self.throttles or self.is_waking
        )


Due: TypeAlias = "Task | Host"


class Schedule:
    """Hands out items; see the module. All methods may be called by any thread."""

    def __init__(
        self, clock: Clock, *, per_host: int | None, rate: float | None, first_wait: int, first_pause: int
    ) -> None:
        self._clock = clock
        self._first_wait = first_wait
        self._first_pause = first_pause
        self._per_host = per_host
        self._interval = round(SECOND / rate) if rate else 0
        self._slot = 0
        # taken by itself, which is C; a condition takes it in Python
        lock = self._lock = threading.Lock()
        self._condition = threading.Condition(lock)
        self._has_room = threading.Condition(lock)
        """The reader waits here, and nobody else."""
        self._is_needed = threading.Condition(lock)
        """Threads beyond the limit wait here."""
        self._limit = 0
        self._inbox: deque[Task] = deque()
        self._ready: deque[Task] = deque()
        self._timers: list[tuple[int, int, Due]] = []
        self._number = 0
        self._hosts: dict[str, Host] = {}
        self._parked = 0
        self._later = 0
        self._pending = 0
        self._idle = 0
        self._is_read = False
        self._is_stopped = False
        self.throttles = 0
        """Replies that said not now."""
        self.trips = 0
        """Circuits opened."""

    @property
    def is_stopped(self) -> bool:
        """Whether nothing is handed out any more."""
        return self._is_stopped

    @property
    def hosts(self) -> int:
        """How many of them something is remembered of."""
        return len(self._hosts)

    # -- the reader

    def add(self, task: Task) -> bool:
        """Give it to the threads, waiting while they have enough; False when nothing more is wanted."""
        with self._lock:
            while len(self._inbox) >= AHEAD and not self._is_stopped:
                self._has_room.wait(NAP)
            if self._is_stopped:
                return False
            self._inbox.append(task)
            self._pending += 1
            if self._idle:
                self._condition.notify()
        return True

    def no_more(self) -> None:
        """The source has ended."""
        with self._lock:
            self._is_read = True
            self._wake_all()

    def stop(self) -> int:
        """Hand nothing out any more; how many were left."""
        with self._lock:
            self._is_stopped = True
            self._wake_all()
            return len(self._inbox) + len(self._ready) + self._parked + self._later

    # -- the threads

    def let(self, threads: int) -> None:
        """So many threads may work; the others wait."""
        with self._lock:
            self._limit = threads
            self._is_needed.notify_all()

    def take(self, number: int) -> tuple[Task, int] | None:
        """The next task for this thread and when it is due; None when all is done. Waits for both."""
        condition = self._condition
        with self._lock:
            while not self._is_over():
                if number >= self._limit:
                    self._is_needed.wait(NAP)
                    continue
                now = self._clock.now()
                if self._timers and self._timers[0][0] <= now:
                    self._wake(now)
                task = self._next()
                if task is not None:
                    if self._admit(task, now):
                        return task, self._reserved(now) if self._interval else now
                    continue
                self._idle += 1
                condition.wait(min(NAP, max(0.0, (self._timers[0][0] - now) / SECOND)) if self._timers else NAP)
                self._idle -= 1
            return None

    def take_now(self, number: int) -> tuple[Task, int] | None:
        """The next task for this thread, if there is one and it is due; it does not wait."""
        with self._lock:
            if self._is_over() or number >= self._limit or self._interval:
                return None
            now = self._clock.now()
            if self._timers and self._timers[0][0] <= now:
                self._wake(now)
            while (task := self._next()) is not None:
                if self._admit(task, now):
                    return task, now
            return None

    def is_still_wanted(self, task: Task) -> bool:
        """After waiting for its turn under a rate: whether its host has not asked for a pause meanwhile.

        If it has, the task is not the caller's any more.
        """
        with self._lock:
            host = self._hosts[task.address.site]
            if host.paused_until <= self._clock.now() and not self._is_stopped:
                return True
            host.active -= 1
            self._park(task, host)
            return False

    def refusal(self, task: Task) -> Failure | None:
        """Why it need not even be tried: its host has been given up."""
        host = self._hosts.get(task.address.site)
        return host.last if host and host.down_until and host.down_until > self._clock.now() else None

    def later(self, task: Task, when: int) -> None:
        """Hand it out again, not before `when`."""
        with self._lock:
            self._push(when, task)
            self._later += 1
            self._condition.notify()

    def again(self, task: Task) -> None:
        """Hand it out again at once, as after a redirect."""
        with self._lock:
            self._ready.appendleft(task)
            if self._idle:
                self._condition.notify()

    def finish(self) -> None:
        """A task is settled for good."""
        with self._lock:
            self._pending -= 1
            if self._is_over():
                self._wake_all()

    # -- what a host did; each ends one request to it

    def went_well(self, site: str, *, is_settled: bool = False) -> None:
        """It answered, whatever it said; `is_settled`: and that was all there is to do for its task."""
        with self._lock:
            if is_settled:
                self._pending -= 1
                if self._is_over():
                    self._wake_all()
            host = self._hosts[site]
            host.failures = host.opens = host.throttles = host.down_until = 0
            if host.cap is not None:
                host.good += 1
                if host.good >= GROW * host.cap:
                    host.good = 0
                    host.cap += 1
            self._release(site, host)

    def throttled(self, site: str, span: int | None) -> int:
        """It said not now; until when it is left alone. `span` is what it asked for, nanoseconds."""
        with self._lock:
            now, host = self._clock.now(), self._hosts[site]
            self.throttles += 1
            host.failures = host.opens = host.down_until = 0
            if host.paused_until <= now:
                # half of what it had at once: it will come to bear what it is sent, and not turn away the same ones
                host.cap = max(1, host.active // 2)
                host.good = 0
                host.throttles += 1
            wait = span if span is not None else back_off(host.throttles - 1, self._first_wait)
            host.paused_until = max(host.paused_until, now + wait)
            self._wake_host_at(host, host.paused_until)
            self._release(site, host)
            return host.paused_until

    def went_down(self, site: str, failure: Failure) -> None:
        """No connection, or no answer in time."""
        with self._lock:
            now, host = self._clock.now(), self._hosts[site]
            host.failures += 1
            host.last = failure
            if host.failures >= TRIP and host.paused_until <= now:
                self.trips += 1
                host.opens += 1
                if host.opens > CHANCES:
                    host.down_until = now + GIVEN_UP
                    host.opens = 0
                    # the next one to it is a probe again
                    host.failures = TRIP
                else:
                    host.paused_until = now + (self._first_pause << (host.opens - 1))
                    self._wake_host_at(host, host.paused_until)
            self._release(site, host)

    def unused(self, site: str) -> None:
        """Nothing was sent after all."""
        with self._lock:
            self._release(site, self._hosts[site])

    def closed(self, site: str, failure: Failure, span: int) -> None:
        """It is of no use to ask it anything for so long: no such name, a wrong certificate, or it said so."""
        with self._lock:
            host = self._hosts[site]
            host.last = failure
            host.failures = TRIP
            host.down_until = max(host.down_until, self._clock.now() + span)
            host.paused_until = 0
            self._release(site, host)

    # -- all below holds the lock

    def _is_over(self) -> bool:
        return self._is_stopped or (self._is_read and not self._pending)

    def _wake_all(self) -> None:
        for condition in (self._condition, self._has_room, self._is_needed):
            condition.notify_all()

    def _next(self) -> Task | None:
        if self._ready:
            return self._ready.popleft()
        if self._inbox and self._parked + self._later < WAITING:
            task = self._inbox.popleft()
            if len(self._inbox) == AHEAD // 2:
                self._has_room.notify()
            return task
        return None

    def _admit(self, task: Task, now: int) -> bool:
        site = task.address.site
        host = self._hosts.get(site)
        if host is None:
            if len(self._hosts) >= HOSTS:
                self._forget()
            host = self._hosts[site] = Host()
        # what `_room` says of almost every host, without the call
        is_unbound = self._per_host is None and host.cap is None and host.failures < TRIP
        if host.down_until > now or (host.paused_until <= now and (is_unbound or self._room(host) > 0)):
            host.active += 1
            return True
        self._park(task, host)
        return False

    def _room(self, host: Host) -> float:
        if host.failures >= TRIP:
            return 1 - host.active
        caps = [cap for cap in (self._per_host, host.cap) if cap is not None]
        return min(caps) - host.active if caps else float("inf")

    def _park(self, task: Task, host: Host) -> None:
        host.queue.append(task)
        self._parked += 1
        if host.paused_until > self._clock.now():
            self._wake_host_at(host, host.paused_until)

    def _release(self, site: str, host: Host) -> None:
        host.active -= 1
        if host.queue:
            self._unpark(host)
        elif not host.active and host.is_clean:
            # of 50,000 hosts only those are remembered that there is something to be remembered of
            del self._hosts[site]

    def _unpark(self, host: Host) -> None:
        now = self._clock.now()
        if host.paused_until > now:
            return
        room = len(host.queue) if host.down_until > now else min(len(host.queue), max(0, self._room(host)))
        for _ in range(int(room)):
            self._ready.append(host.queue.popleft())
            self._parked -= 1
        if self._idle and room:
            self._condition.notify(int(room))

    def _wake_host_at(self, host: Host, when: int) -> None:
        if not host.is_waking:
            host.is_waking = True
            self._push(when, host)

    def _push(self, when: int, what: Due) -> None:
        self._number += 1
        heapq.heappush(self._timers, (when, self._number, what))

    def _wake(self, now: int) -> None:
        while self._timers and self._timers[0][0] <= now:
            due = heapq.heappop(self._timers)[2]
            if isinstance(due, Host):
                due.is_waking = False
                if due.paused_until > now:
                    self._wake_host_at(due, due.paused_until)
                else:
                    self._unpark(due)
            else:
                self._later -= 1
                self._ready.append(due)

    def _reserved(self, now: int) -> int:
        """When the next request may go out under the rate; each takes one."""
        self._slot = max(self._slot or now, now - BURST)
        slot, self._slot = self._slot, self._slot + self._interval
        return max(now, slot)

    def _forget(self) -> None:
        """Too many hosts with a history: the older half of those that nobody waits for starts anew."""
        idle = [site for site, host in self._hosts.items() if not (host.active or host.queue or host.is_waking)]
        for site in idle[: HOSTS // 2]:
            del self._hosts[site]
