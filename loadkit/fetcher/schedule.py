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

from loadkit.fetcher.hosts import TRIP, HostState, HostTable
from loadkit.plan.units import MILLISECOND, SECOND

if TYPE_CHECKING:
    from loadkit.fetcher.task import Task
    from loadkit.wire.base import Clock, Failure

READ_AHEAD: Final = 1_000
"""Tasks that are read ahead of the threads."""
MAX_WAITING: Final = 10_000
"""Tasks that may wait, for a retry or for their host, before new ones are left alone."""
BURST: Final = 10 * MILLISECOND
"""How much a rate may catch up after a thread was late."""
NAP: Final = 0.5
"""Seconds that a thread waits before it looks again."""
NEVER: Final = 1 << 62

Due: TypeAlias = "Task | HostState"


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


class Timers:
    """Tasks and hosts by the time at which they are due."""

    def __init__(self) -> None:
        self.first = NEVER
        """When the first one is due."""
        self.tasks = 0
        """How many of them are tasks."""
        self._heap: list[tuple[int, int, Due]] = []
        self._number = 0

    def add(self, when: int, due: Due) -> None:
        """Set a timer; of two for the same instant the first one set is due first."""
        self._number += 1
        self.tasks += not isinstance(due, HostState)
        heapq.heappush(self._heap, (when, self._number, due))
        self.first = self._heap[0][0]

    def pop(self) -> Due:
        """Take the first one."""
        due = heapq.heappop(self._heap)[2]
        self.tasks -= not isinstance(due, HostState)
        self.first = self._heap[0][0] if self._heap else NEVER
        return due


class Schedule:
    """Hands out tasks; see the module. All methods may be called by any thread."""

    def __init__(
        self, clock: Clock, *, per_host: int | None, rate: float | None, first_wait: int, first_pause: int
    ) -> None:
        self._clock = clock
        self._rate = RateLimit(rate)
        # acquired directly, in C; a condition acquires it in Python
        self._lock = threading.Lock()
        self._condition = threading.Condition(self._lock)
        self._has_room = threading.Condition(self._lock)
        """The reader waits here."""
        self._is_needed = threading.Condition(self._lock)
        """Threads beyond the limit wait here."""
        self._limit = 0
        self._inbox: deque[Task] = deque()
        """New tasks."""
        self._ready: deque[Task] = deque()
        """Tasks that have waited, which are next."""
        self._timers = Timers()
        self.hosts = HostTable(per_host=per_host, first_wait=first_wait, first_pause=first_pause)
        self._pending = 0
        """Tasks that are not done."""
        self._idle = 0
        """Threads that wait for a task."""
        self._is_read = False
        self._is_stopped = False

    @property
    def is_stopped(self) -> bool:
        """True if nothing is handed out any longer."""
        return self._is_stopped

    # -- called by the reader

    def add(self, task: Task) -> bool:
        """Add a new task, and wait while there are enough; False if no more are wanted."""
        with self._lock:
            while len(self._inbox) >= READ_AHEAD and not self._is_stopped:
                self._has_room.wait(NAP)
            if self._is_stopped:
                return False
            self._inbox.append(task)
            self._pending += 1
            if self._idle:
                self._condition.notify()
        return True

    def close(self) -> None:
        """Say that no more tasks will be added."""
        with self._lock:
            self._is_read = True
            self._wake_all()

    def stop(self) -> int:
        """Hand nothing out any longer; how many tasks are left."""
        with self._lock:
            self._is_stopped = True
            self._wake_all()
            return len(self._inbox) + len(self._ready) + self.hosts.queued + self._timers.tasks

    # -- called by the workers

    def set_limit(self, threads: int) -> None:
        """Let so many threads work; the others wait."""
        with self._lock:
            self._limit = threads
            self._is_needed.notify_all()

    def take(self, number: int) -> tuple[Task, int] | None:
        """Wait for the next task for this thread; the task and when it is due, None when all are done."""
        with self._lock:
            while not self._is_over():
                if number >= self._limit:
                    self._is_needed.wait(NAP)
                    continue
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
            if host.paused_until <= self._clock.now() and not self._is_stopped:
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
            now, host = self._clock.now(), self.hosts.by_site[site]
            self.hosts.throttle(host, now, wait)
            self._wake_host_at(host, host.paused_until)
            self._release(site, host)
            return host.paused_until

    def failed(self, site: str, failure: Failure) -> None:
        """No connection to the host, or no answer in time."""
        with self._lock:
            now, host = self._clock.now(), self.hosts.by_site[site]
            self.hosts.fail(host, now, failure)
            if host.paused_until > now:
                self._wake_host_at(host, host.paused_until)
            self._release(site, host)

    def release(self, site: str) -> None:
        """Nothing was sent after all, or nothing follows from it."""
        with self._lock:
            self._release(site, self.hosts.by_site[site])

    def give_up(self, site: str, failure: Failure, span: int) -> None:
        """It is of no use to ask the host anything for `span` nanoseconds."""
        with self._lock:
            host = self.hosts.by_site[site]
            host.give_up(failure, self._clock.now() + span)
            self._release(site, host)

    # -- all below holds the lock

    def _is_over(self) -> bool:
        return self._is_stopped or (self._is_read and not self._pending)

    def _wake_all(self) -> None:
        for condition in (self._condition, self._has_room, self._is_needed):
            condition.notify_all()

    def _finish_task(self) -> None:
        self._pending -= 1
        if self._is_over():
            self._wake_all()

    def _admitted(self, now: int) -> Task | None:
        """The next task whose host may get a request now; those before it wait for theirs."""
        if self._timers.first <= now:
            self._wake(now)
        while (task := self._next()) is not None:
            if self._admit(task, now):
                return task
        return None

    def _next(self) -> Task | None:
        if self._ready:
            return self._ready.popleft()
        if self._inbox and self.hosts.queued + self._timers.tasks < MAX_WAITING:
            task = self._inbox.popleft()
            if len(self._inbox) == READ_AHEAD // 2:
                self._has_room.notify()
            return task
        return None

    def _admit(self, task: Task, now: int) -> bool:
        site, hosts = task.url.site, self.hosts
        host = hosts.by_site.get(site) or hosts.add(site)
        # what `room` says of almost every host, without the call
        is_unbound = hosts.per_host is None and host.cap is None and host.failures < TRIP
        if host.down_until > now or (host.paused_until <= now and (is_unbound or host.room(hosts.per_host) > 0)):
            host.active += 1
            return True
        self._park(task, host)
        return False

    def _park(self, task: Task, host: HostState) -> None:
        self.hosts.park(task, host)
        if host.paused_until > self._clock.now():
            self._wake_host_at(host, host.paused_until)

    def _release(self, site: str, host: HostState) -> None:
        host.active -= 1
        if host.queue:
            self._unpark(host)
        elif not host.active and host.is_forgettable:
            # of 50,000 hosts only those are kept of which there is something to remember
            del self.hosts.by_site[site]

    def _unpark(self, host: HostState) -> None:
        tasks = self.hosts.unpark(host, self._clock.now())
        self._ready += tasks
        if self._idle and tasks:
            self._condition.notify(len(tasks))

    def _wake_host_at(self, host: HostState, when: int) -> None:
        if not host.is_waking:
            host.is_waking = True
            self._timers.add(when, host)

    def _wake(self, now: int) -> None:
        while self._timers.first <= now:
            due = self._timers.pop()
            if not isinstance(due, HostState):
                self._ready.append(due)
                continue
            due.is_waking = False
            if due.paused_until > now:
                self._wake_host_at(due, due.paused_until)
            else:
                self._unpark(due)
