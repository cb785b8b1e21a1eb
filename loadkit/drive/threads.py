"""A closed workload on threads: one for each virtual user, started together, stopped by the clock.

One thread directs: it sets the course, merges what the others hand over, and ends what does not end by itself. The
others only read `Course` and append to a deque.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadkit.drive.fed import Feeds
from loadkit.drive.limits import check_ports, make_room
from loadkit.drive.progress import Snapshot, Watcher
from loadkit.drive.user import NEVER, Course, Shot, User
from loadkit.measure.recording import Batch, Recording, Tape, second_of
from loadkit.plan.errors import LoadkitError, UsageError
from loadkit.plan.units import MILLISECOND, SECOND
from loadkit.plan.workload import Closed, Seat, closed, seats
from loadkit.wire.base import Clock, Connection, Origin, Request, Wire

if TYPE_CHECKING:
    from loadkit.plan.scenario import Scenario

STACK: Final = 256 * 1024
"""Bytes: 24 kB of it is used; 5,000 threads with the default of 8 MB would reserve 40 GB."""

SWITCH_EACH: Final = 20e-6
"""Seconds of patience for each thread: 5 ms, Python's own, for 250 threads; 0.1 s for 5,000."""

SETTLE: Final = 0.02
"""Seconds from the last connection to the first request: the kernel begins to stamp arrivals up to 8 ms after it was
asked to for the first time (in 1 % of the runs, where no other program had)."""

SHOW_EVERY: Final = 250 * MILLISECOND
"""A snapshot merges the last seconds, 1.5 ms of work in which all threads wait."""

TICK: Final = 0.1
RECENT: Final = 3
GIVE_UP_AFTER: Final = 3
"""Refusals of each thread, with none ever connected, after which the target is taken to be down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Driven:
    """What came of a run: the recording, and how it went. Times are nanoseconds of the monotonic clock."""

    recording: Recording
    measured_from: int
    stopped_at: int
    interrupted: bool
    unreachable: bool
    """Stopped early, because no thread ever got a connection."""
    unstamped: int
    cpu_seconds: float
    stuck: tuple[str, ...]
    """Where threads were that did not end: file, line and function."""


def drive(
    scenario: Scenario,
    requests: list[Request],
    wire: Wire,
    clock: Clock,
    *,
    watch: Watcher | None = None,
    interrupts: Callable[[], int] = lambda: 0,
) -> Driven:
    """Run a scenario whose endpoints became `requests`, in order.

    `interrupts` tells how often the user asked to stop: once drains, twice cuts. Raises `UsageError` before anything
    is sent when the machine does not allow so many threads or connections.
    """
    with Feeds(scenario, seed=0) as feeds:
        return _Director(scenario, requests, wire, clock, watch, interrupts, feeds).run()


class _Director:
    def __init__(
        self,
        scenario: Scenario,
        requests: list[Request],
        wire: Wire,
        clock: Clock,
        watch: Watcher | None,
        interrupts: Callable[[], int],
        feeds: Feeds,
    ) -> None:
        self._scenario = scenario
        self._workload: Closed = closed(scenario)
        self._requests = requests
        self._wire = wire
        self._clock = clock
        self._watch = watch
        self._interrupts = interrupts
        self._feeds = feeds
        self._course = Course()
        self._handed: deque[Batch] = deque()
        self._recording = Recording(scenario.labels)
        self._rows = scenario.rows
        self._finished = threading.Semaphore(0)
        self._began = 0
        self._shown = 0
        self._ended = 0
        self._cut_at = NEVER
        self._cpu = 0.0
        self._unreachable = False
        self._interrupted = False

    def run(self) -> Driven:
        self._make_room()
        users = self._users()
        with _patient_interpreter(len(users)):
            threads = self._start(users)
            self._direct(users, threads)
        return self._result(users, threads)

    # -- before

    def _make_room(self) -> None:
        per_thread = {request.origin for request in self._requests}
        make_room(self._scenario.total_threads * len(per_thread))
        if any(not origin.unix for origin in per_thread):
            check_ports(self._scenario.total_threads)

    def _users(self) -> list[User]:
        """One for each seat. Those that think begin spread over a think time, or they would do all in step."""
        places = seats(self._scenario)
        think_time = self._workload.think_time
        return [self._user(seat, think_time * k // len(places)) for k, seat in enumerate(places)]

    def _user(self, seat: Seat, delay: int) -> User:
        connections: dict[Origin, Connection] = {}
        shots: dict[int, Shot] = {}
        for position in seat.turns:
            if position not in shots:
                origin = self._requests[position].origin
                connection = connections.setdefault(origin, self._wire.connect(origin))
                shots[position] = self._shot(position, connection)
        return User(
            [shots[position] for position in seat.turns],
            clock=self._clock,
            course=self._course,
            hand_over=self._handed.append,
            iterations=seat.iterations,
            think_time=self._workload.think_time,
            delay=delay,
        )

    def _shot(self, position: int, connection: Connection) -> Shot:
        endpoint, request = self._scenario.endpoints[position], self._requests[position]
        tape = Tape(self._rows[position], len(request.payload))
        fed = endpoint.feed is not None
        return Shot(
            send=self._feeds.sender(position, request, connection, tape, self._course)
            if fed
            else connection.sender(request),
            tape=tape,
            connection=connection,
            good=endpoint.good,
            check=endpoint.check,
        )

    def _start(self, users: list[User]) -> list[threading.Thread]:
        """All threads connect, then wait for each other and start together."""
        barrier = threading.Barrier(len(users) + 1, action=self._begin)
        threads = [
            threading.Thread(target=self._live, args=(user, barrier), name=f"loadkit-{k}", daemon=True)
            for k, user in enumerate(users)
        ]
        before = threading.stack_size(STACK)
        try:
            for k, thread in enumerate(threads):
                self._start_one(thread, k, barrier)
        finally:
            threading.stack_size(before)
        self._await_all(barrier, users)
        return threads

    def _await_all(self, barrier: threading.Barrier, users: list[User]) -> None:
        """Wait until all have connected; an interrupt ends their connecting, and nothing is sent then."""
        while barrier.n_waiting < len(users):
            if self._interrupts() and not self._interrupted:
                self._interrupted = True
                for user in users:
                    user.abort()
            self._show("starting", users, every=SHOW_EVERY)
            time.sleep(0.002)
        time.sleep(SETTLE)
        barrier.wait()

    @staticmethod
    def _start_one(thread: threading.Thread, number: int, barrier: threading.Barrier) -> None:
        try:
            thread.start()
        except RuntimeError as error:
            barrier.abort()
            raise UsageError(f"cannot start more than {number:,} threads here: {error}") from None

    def _begin(self) -> None:
        """All are ready: set the course. Called by one thread while the others wait."""
        self._began = self._clock.now()
        self._cpu = time.process_time()
        if self._interrupted:
            self._course.stop_at = self._course.measured_from = self._began
            return
        self._course.measured_from = self._began + self._workload.warmup
        if self._workload.duration is not None:
            self._course.stop_at = self._course.measured_from + self._workload.duration

    def _live(self, user: User, barrier: threading.Barrier) -> None:
        try:
            user.prepare()
            barrier.wait()
            user.run()
        except threading.BrokenBarrierError:
            pass
        except BaseException as error:  # noqa: BLE001 - a fault of ours, raised again where the run was asked for
            user.crash = error
            barrier.abort()
        finally:
            self._finished.release()

    # -- during

    def _direct(self, users: list[User], threads: list[threading.Thread]) -> None:
        left = len(users)
        while left and not self._is_hopeless():
            if self._finished.acquire(timeout=TICK):
                left -= 1
                continue
            self._collect()
            self._clock.reanchor()
            self._steer(users)
            self._show(self._stage(), users, every=SHOW_EVERY)
        for user, thread in zip(users, threads, strict=True):
            if left and thread.is_alive():
                user.abandon()
        self._collect()
        for user in users:
            if user.crash:
                raise LoadkitError(f"a thread of loadkit failed: {user.crash!r}") from user.crash
        self._ended = self._clock.now() if left else max(user.ended for user in users)
        if not left:
            for thread in threads:
                thread.join()

    def _is_hopeless(self) -> bool:
        """Cut long ago, and threads still do not end: their own code holds them."""
        return self._course.cutting and self._clock.now() > self._cut_at + 2 * SECOND

    def _steer(self, users: list[User]) -> None:
        now = self._clock.now()
        asked = self._interrupts()
        if asked and now < self._course.stop_at:
            self._interrupted = True
            self._stop(now, users)
        if not self._scenario.keep_going and all(user.refusals >= GIVE_UP_AFTER for user in users):
            self._unreachable = True
            self._stop(now, users)
        late = now > self._course.stop_at + self._workload.graceful_stop
        if (asked > 1 or late) and not self._course.cutting:
            self._cut(users)

    def _stop(self, now: int, users: list[User]) -> None:
        if now >= self._course.stop_at:
            return
        self._course.measured_from = min(self._course.measured_from, now)
        self._course.stop_at = now
        for user in users:
            user.stop()

    def _cut(self, users: list[User]) -> None:
        self._cut_at = self._clock.now()
        self._course.cutting = True
        for user in users:
            user.stop()
            user.abort()

    def _collect(self) -> None:
        handed = self._handed
        while handed:
            self._recording.absorb(handed.popleft())
        if self._course.measured_from < NEVER:
            # threads that wait for a slow reply hand a second over late; three are kept open for them
            self._recording.close_before(second_of(self._clock.now(), self._course.measured_from) - RECENT - 1)

    def _stage(self) -> str:
        now = self._clock.now()
        if now < self._course.measured_from:
            return "warm-up"
        return "running" if now < self._course.stop_at else "draining"

    def _show(self, stage: str, users: list[User], *, every: int = 0) -> None:
        now = self._clock.now()
        if not self._watch or now - self._shown < every:
            return
        self._shown = now
        second = max(0, second_of(self._clock.now(), self._course.measured_from))
        seconds = min(RECENT, second)
        recent = self._recording.between(second - seconds, second)
        requests, failures = self._recording.requests_and_failures()
        if stage == "draining":
            seconds = 0  # what comes now says nothing of the rate
        p99 = recent.response_time.percentile(99) if seconds else None
        self._watch(
            Snapshot(
                name=self._scenario.name or "",
                stage=stage,
                elapsed=self._elapsed(),
                planned=None if self._workload.duration is None else self._workload.duration / SECOND,
                iterations=self._workload.iterations,
                threads=len(users),
                in_flight=sum(not user.resting for user in users),
                requests=requests,
                failures=failures,
                rate=recent.good / seconds if seconds else None,
                p99=None if p99 is None else p99 / SECOND,
            )
        )

    def _elapsed(self) -> float:
        if not self._began:
            return 0.0
        start = self._began if self._clock.now() < self._course.measured_from else self._course.measured_from
        return (self._clock.now() - start) / SECOND

    # -- after

    def _result(self, users: list[User], threads: list[threading.Thread]) -> Driven:
        self._recording.finish()
        self._show("draining", users)
        total = self._recording.total()
        self._count_unsent(total.requests + total.cut)
        now = self._clock.now()
        return Driven(
            recording=self._recording,
            measured_from=min(self._course.measured_from, now),
            stopped_at=min(self._course.stop_at, self._ended or now),
            interrupted=self._interrupted,
            unreachable=self._unreachable,
            unstamped=sum(connection.unstamped for user in users for connection in user.connections),
            cpu_seconds=time.process_time() - self._cpu,
            stuck=_places(threads),
        )

    def _count_unsent(self, sent: int) -> None:
        planned = self._workload.iterations
        if planned is not None and planned > sent:
            first = next(iter(self._recording.labels.values()))
            first.unsent += planned - sent


@contextmanager
def _patient_interpreter(threads: int) -> Iterator[None]:
    """Let threads wait longer before they ask for the interpreter, and the garbage collector look at less.

    Each that waits wakes up every `switchinterval` to ask. Five thousand that were all due at once woke a million times
    a second, took 2.5 CPUs and got nowhere; ours give the interpreter up with each request anyway.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(max(before, threads * SWITCH_EACH))
    # what is there now stays; without this each full collection looks at all of it, and every thread waits
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        sys.setswitchinterval(before)


def _places(threads: list[threading.Thread]) -> tuple[str, ...]:
    """Where the threads are that are still alive."""
    frames = sys._current_frames()
    found = []
    for thread in threads:
        frame = frames.get(thread.ident or 0)
        if thread.is_alive() and frame:
            found.append(f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}")
    return tuple(dict.fromkeys(found))
