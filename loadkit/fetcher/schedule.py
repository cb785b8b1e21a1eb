"""Which task is next: no thread waits for a task that has to wait.

A task whose time has not come is on a heap; one whose host is busy or asked for a pause is in the queue of that host;
the threads go on with others. If too many wait, the source is not read on. All of it is under one lock, which is held
for microseconds.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias

from loadkit.fetcher.hosts import TRIP, HostState, HostTable, RateLimit
from loadkit.plan.units import SECOND

if TYPE_CHECKING:
    from loadkit.fetcher.task import Task
    from loadkit.wire.base import Clock, Failure

READ_AHEAD: Final = 1_000
"""Tasks that are read ahead of the threads."""
MAX_WAITING: Final = 10_000
"""Tasks that may wait, for a retry or for their host, before new ones are left alone."""
NAP: Final = 0.5
"""Seconds that a thread waits before it looks again."""
NEVER: Final = 1 << 62

Due: TypeAlias = "Task | HostState"


class Timers:
    """Tasks and hosts by the time at which they are due."""

    def __init__(self) -> None:
        self.first = NEVER
        """When the first one is due."""
        self._heap: list[tuple[int, int, Due]] = []
        self._number = 0

    def add(self, when: int, due: Due) -> None:
        """Set a timer; of two for the same instant the first one set is due first."""
        self._number += 1
        heapq.heappush(self._heap, (when, self._number, due))
        self.first = self._heap[0][0]

    def pop(self) -> Due:
        """Take the first one."""
        due = heapq.heappop(self._heap)[2]
        self.first = self._heap[0][0] if self._heap else NEVER
        return due


class Schedule:
    """Hands out tasks; see the module. All methods may be called by any thread."""

    def __init__(self, clock: Clock, hosts: HostTable, *, rate: float | None = None) -> None:
        self.hosts = hosts
        self.is_stopped = False
        """True if nothing is handed out any longer."""
        self._clock = clock
        self._rate = RateLimit(rate)
        # acquired directly, in C; a condition acquires it in Python
        self._lock = threading.Lock()
        self._condition = threading.Condition(self._lock)
        self._has_room = threading.Condition(self._lock)
        """The reader waits here."""
        self._limit = 0
        self._inbox: deque[Task] = deque()
        """New tasks."""
        self._ready: deque[Task] = deque()
        """Tasks that have waited, which are next."""
        self._timers = Timers()
        self._waiting = 0
        """Tasks that have a timer or wait for their host."""
        self._pending = 1
        """Tasks that are not done, and one for those that are still to be read."""
        self._idle = 0
        """Threads that wait for a task."""

    # -- called by the reader

    def add(self, task: Task) -> bool:
        """Add a new task, and wait while there are enough; False if no more are wanted."""
        with self._lock:
            while len(self._inbox) >= READ_AHEAD and not self.is_stopped:
                self._has_room.wait(NAP)
            if self.is_stopped:
                return False
            self._inbox.append(task)
            self._pending += 1
            if self._idle:
                self._condition.notify()
        return True

    def close(self) -> None:
        """Say that no more tasks will be added."""
        self.task_done()

    def stop(self) -> None:
        """Hand nothing out any longer."""
        with self._lock:
            self.is_stopped = True
            self._wake_all()

    # -- called by the workers

    def set_limit(self, threads: int) -> None:
        """Let so many threads work; the others are handed nothing out."""
        with self._lock:
            if threads < self._limit:
                self._condition.notify_all()
            self._limit = threads

    def take(self, number: int) -> tuple[Task, int] | None:
        """Wait for the next task for this thread; the task and when it is due, None if there is nothing more for it."""
        with self._lock:
            while not self._is_over() and number < self._limit:
                now = self._clock.now()
                task = self._admitted(now)
                if task is not None:
                    return task, self._rate.reserve(now) if self._rate.is_set else now
                self._idle += 1
                self._condition.wait(min(NAP, max(0.0, (self._timers.first - now) / SECOND)))
                self._idle -= 1
            return None

    def take_nowait(self, number: int) -> tuple[Task, int] | None:
        """The next task for this thread, if there is one that is due now and there is no limit to the rate."""
        with self._lock:
            if self._is_over() or number >= self._limit or self._rate.is_set:
                return None
            now = self._clock.now()
            task = self._admitted(now)
            return None if task is None else (task, now)

    def reclaim(self, task: Task) -> bool:
        """After waiting for a turn under a rate: False if the host asked for a pause, and then the task waits again."""
        with self._lock:
            host = self.hosts.by_site[task.url.site]
            if host.paused_until <= self._clock.now() and not self.is_stopped:
                return True
            host.active -= 1
            self._park(task, host)
            return False

    def host_failure(self, task: Task) -> Failure | None:
        """The failure of the task's host if that has been given up, so that the task need not be tried."""
        host = self.hosts.by_site.get(task.url.site)
        return host.last if host and host.down_until and host.down_until > self._clock.now() else None

    def retry_at(self, task: Task, when: int) -> None:
        """Hand a task out again, not before `when`."""
        with self._lock:
            self._waiting += 1
            self._timers.add(when, task)
            self._condition.notify()

    def requeue(self, task: Task) -> None:
        """Hand a task out again at once."""
        with self._lock:
            self._ready.appendleft(task)
            if self._idle:
                self._condition.notify()

    def task_done(self) -> None:
        """Count a task that is done, well or not."""
        with self._lock:
            self._finish_task()

    # -- what a host did; each of these ends one request to it

    def succeeded(self, site: str, *, is_done: bool = False) -> None:
        """The host replied; `is_done`: and so the task is done."""
        with self._lock:
            if is_done:
                self._finish_task()
            host = self.hosts.by_site[site]
            host.reply()
            self._release(site, host)

    def throttled(self, site: str, wait: int | None) -> int:
        """The host asked us to wait, for `wait` nanoseconds or a time we choose; returns when it is asked again."""
        with self._lock:
            host = self.hosts.by_site[site]
            self.hosts.throttles += 1
            host.throttle(self._clock.now(), wait, self.hosts.first_wait)
            self._wake_later(host)
            self._release(site, host)
            return host.paused_until

    def failed(self, site: str, failure: Failure) -> None:
        """No connection to the host, or no answer in time."""
        with self._lock:
            host = self.hosts.by_site[site]
            self.hosts.trips += host.fail(self._clock.now(), failure, self.hosts.first_pause)
            self._wake_later(host)
            self._release(site, host)

    def give_up(self, site: str, failure: Failure, span: int) -> None:
        """It is of no use to ask the host anything for `span` nanoseconds."""
        with self._lock:
            host = self.hosts.by_site[site]
            host.give_up(failure, self._clock.now() + span)
            self._release(site, host)

    def release(self, site: str) -> None:
        """Nothing was sent after all, or nothing follows from it."""
        with self._lock:
            self._release(site, self.hosts.by_site[site])

    # -- all below holds the lock

    def _is_over(self) -> bool:
        return self.is_stopped or not self._pending

    def _wake_all(self) -> None:
        for condition in (self._condition, self._has_room):
            condition.notify_all()

    def _finish_task(self) -> None:
        self._pending -= 1
        if not self._pending:
            self._wake_all()

    def _admitted(self, now: int) -> Task | None:
        """The next task whose host may get a request now; those before it wait for theirs."""
        while self._timers.first <= now:
            self._wake(self._timers.pop())
        hosts = self.hosts
        while (task := self._next()) is not None:
            site = task.url.site
            host = hosts.by_site.get(site) or hosts.add(site)
            # what `room` says of almost every host, without the call
            is_unbound = hosts.per_host is None and host.cap is None and host.failures < TRIP
            if (is_unbound and host.paused_until <= now) or host.room(now, hosts.per_host) > 0:
                host.active += 1
                return task
            self._park(task, host)
        return None

    def _next(self) -> Task | None:
        if self._ready:
            return self._ready.popleft()
        if not self._inbox or self._waiting >= MAX_WAITING:
            return None
        if len(self._inbox) == READ_AHEAD // 2:
            self._has_room.notify()
        return self._inbox.popleft()

    def _park(self, task: Task, host: HostState) -> None:
        """Have a task wait for its host."""
        self._waiting += 1
        host.queue.append(task)
        self._wake_later(host)

    def _release(self, site: str, host: HostState) -> None:
        host.active -= 1
        if host.queue:
            self._unpark(host)
        elif not host.active and host.is_forgettable:
            # of 50,000 hosts only those are kept of which there is something to remember
            del self.hosts.by_site[site]

    def _unpark(self, host: HostState) -> None:
        """Have as many tasks as may be sent wait for their host no longer."""
        room = min(len(host.queue), max(0, host.room(self._clock.now(), self.hosts.per_host)))
        for _ in range(int(room)):
            self._waiting -= 1
            self._ready.append(host.queue.popleft())
            if self._idle:
                self._condition.notify()

    def _wake_later(self, host: HostState) -> None:
        """Set a timer for the end of the host's pause, if it has one."""
        if not host.is_waking and host.paused_until > self._clock.now():
            host.is_waking = True
            self._timers.add(host.paused_until, host)

    def _wake(self, due: Due) -> None:
        if not isinstance(due, HostState):
            self._waiting -= 1
            self._ready.append(due)
            return
        due.is_waking = False
        # it may have asked for another pause since the timer was set
        self._wake_later(due)
        self._unpark(due)
