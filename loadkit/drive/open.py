"""The loop of an open workload: whichever thread is free takes the next arrival, waits for its instant and sends.

Arrivals are taken in order, a thread that is free holds one, and so each of the next ones has a thread that waits for
it: a slow reply holds up nobody else. Of many free threads only some hold one; the others are parked, and cost
nothing, until those become few.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from itertools import chain, takewhile
from threading import Lock
from typing import TYPE_CHECKING, Final

from loadkit.drive.closed import Stage
from loadkit.drive.shared_iterator import SharedIterator
from loadkit.measure.recording import FOLD
from loadkit.plan.errors import Halt
from loadkit.wire.exchange_loop.contract import LATEST

if TYPE_CHECKING:
    from loadkit.drive.closed import Next
    from loadkit.drive.recorder import BoundParts, BoundRequest
    from loadkit.drive.user import User

MOST_IDLE: Final = 32
"""So many threads at least may hold an arrival each, and wait for it; more, where more were asked for to begin with.

A server that stalls for a second at 3,000/s leaves 3,000 of them: if all took turns, each would come to run once a
second, and would find nothing of its own in the caches of the CPU."""

LOW_WATER_SHARE: Final = 4
"""When no more than one in so many of them waits, a parked one is woken: it is there within 0.1 ms."""


class Pool:
    """What the threads of an open workload share: what is due, and how many of them wait for it.

    Those that are parked read from a pipe, a byte for each that is woken: threads that wait for a lock are searched for
    one by one by the kernel, in 16 lists for all locks of the process (Linux 6.18).
    """

    __slots__ = (
        "_park_end",
        "_wake_end",
        "arrivals",
        "drawing",
        "elsewhere",
        "idle",
        "is_over",
        "is_short",
        "most_idle",
        "parked",
        "rotation",
        "unsent",
        "wake_director",
        "warming",
        "was_short",
    )

    def __init__(
        self,
        *,
        arrivals: SharedIterator[tuple[int, int]],
        warming: SharedIterator[tuple[int, int]],
        rotation: tuple[int, ...],
        wake_director: Callable[[], object],
        threads: int,
    ) -> None:
        self._park_end = self._wake_end = -1
        self.arrivals = arrivals
        self.warming = warming
        self.rotation = rotation
        """The endpoint (by position) that each arrival in turn is for."""
        self.idle: deque[None] = deque()
        """As long as there are threads that wait; changed by all of them, which appending and popping allow."""
        self.elsewhere: Callable[[], int] = int
        """How many users wait that a loop carries."""
        self.most_idle = max(threads, MOST_IDLE)
        self.parked: deque[None] = deque()
        """As long as there are threads that are parked, and have not been woken."""
        self._park_end, self._wake_end = os.pipe()
        self.drawing = Lock()
        """Held by whoever takes an arrival and the row that belongs to it."""
        self.is_over = False
        """Nobody is parked any more."""
        self.is_short = False
        """All threads are busy: the next arrival may find nobody."""
        self.was_short = False
        """There were as many as there may be, and more were needed."""
        self.wake_director = wake_director
        """Called when it needs another thread."""
        self.unsent: deque[tuple[int, int]] = deque()
        """Arrivals (number and instant) that were taken, and due, and not sent."""

    def wake_or_ask(self) -> None:
        """Wake a parked thread, or ask the director for one more."""
        if self.parked:
            self._wake_one()
        elif not self.idle:
            self.ask()

    def ask(self) -> None:
        """Ask the director for one more."""
        if not self.is_short:
            self.is_short = True
            self.wake_director()

    @property
    def low_water(self) -> int:
        """When no more than so many wait, a parked one is woken."""
        return self.most_idle // LOW_WATER_SHARE

    @property
    def waiting(self) -> int:
        """How many users wait for an arrival, and are not parked."""
        return len(self.idle) + self.elsewhere()

    def park(self) -> None:
        """Wait until woken, or until all is over."""
        self.parked.append(None)
        # whoever says that it is over wakes those it finds here; this one is here, so it looks whether that was said
        if self.is_over or len(self.idle) <= self.low_water:
            self._wake_one()
        os.read(self._park_end, 1)

    def _wake_one(self) -> None:
        try:
            self.parked.pop()
        except IndexError:
            return
        os.write(self._wake_end, b"!")

    def wake_all(self) -> None:
        """Wake all; from now on nobody is parked."""
        self.is_over = True
        while self.parked:
            self._wake_one()

    def never_sent(self, until: int) -> Iterator[tuple[int, int]]:
        """Arrivals that were due before `until` (from the start of what is measured), and that no thread sent."""
        left = iter(self.arrivals.take, None)
        return chain(self.unsent, takewhile(lambda arrival: arrival[1] < until, left))

    def close(self) -> None:
        """Close the pipe: all threads have ended."""
        pipe, self._park_end, self._wake_end = (self._park_end, self._wake_end), -1, -1
        for handle in pipe:
            if handle >= 0:
                os.close(handle)

    def __del__(self) -> None:
        """A thread that was held by code of others outlived the run: it was the last one to know of the pool."""
        self.close()


def open_loop(user: User, requests: Sequence[BoundRequest], pool: Pool) -> None:
    """Send arrivals that nobody else has taken, each when it is due; `requests` are by their positions."""
    loop = _OpenLoop(user, [requests[position].parts for position in pool.rotation], pool)
    loop.serve(pool.warming, user.state.began)
    user.recorder.begin_measuring()
    loop.serve(pool.arrivals, user.state.measured_from)
    if not pool.idle:
        # earlier, those who are woken would be in the way of those who wait for the last arrivals
        pool.wake_all()


def serving(user: User) -> Generator[Next, None, None]:
    """The stages of a user that a loop carries: it sends arrivals."""
    yield Stage.SERVE, 0, 0
    if not user.recorder.is_measuring:
        user.recorder.begin_measuring()


class _OpenLoop:
    """What one thread does with the arrivals of a pool."""

    __slots__ = ("_has_more", "_pool", "_rotation", "_user")

    def __init__(self, user: User, rotation: list[BoundParts], pool: Pool) -> None:
        self._user = user
        self._rotation = rotation
        self._pool = pool
        self._has_more = any(bound.draw or bound.prepare for *_, bound in rotation)

    def serve(self, arrivals: SharedIterator[tuple[int, int]], start: int) -> None:
        """The hot path: take an arrival, wait for it, send."""
        now, rotation, many, pool = self._user.clock.now, self._rotation, len(self._rotation), self._pool
        recorder, pause, slow = self._user.recorder, self._user.pauses.until, self._user.state.slow
        idle, low_water, most_idle = pool.idle, pool.low_water, pool.most_idle
        take = partial(self._take_prepared, arrivals) if self._has_more else arrivals.take
        recorder.cross(now())
        written = 0
        while True:
            if len(idle) >= most_idle:
                self._park()
            if not (arrival := take()):
                return
            number, due = arrival
            due += start
            instant = now()
            if instant < due:
                idle.append(None)
                pause(due)
                idle.pop()
                instant = now()
            if (
                instant >= recorder.check_at
                and recorder.cross(instant)
                and not self._is_just_late(number, due, instant)
            ):
                self._leave(number, due)
                return
            if len(idle) <= low_water:
                pool.wake_or_ask()
            if due >= recorder.phase_end:
                recorder.enter_phase(due)
            send, request, row, ordinary, bound = rotation[number % many]
            try:
                exchange = status, sent, arrived, taken, size, note = send(request)
            except Halt as halt:
                # rows end when the first one is missing, however late its thread has woken up
                self._user.state.halt_at(instant if halt.is_fault or halt.is_interrupt else due, halt)
                raise
            if note is None and status in ordinary and taken < recorder.check_at and taken - due <= slow.limit:
                row.samples += (due, sent, arrived, taken, status, size)
            elif recorder.count(bound, due, exchange):
                return
            written += 1
            if written >= FOLD:
                written = 0
                for one in recorder.rows:
                    one.fold()

    def _take_prepared(self, arrivals: SharedIterator[tuple[int, int]]) -> tuple[int, int] | None:
        """What an arrival needs is there before the instant; rows belong to arrivals in turn, whoever is late then."""
        with self._pool.drawing:
            arrival = arrivals.take()
            bound = self._bound(arrival[0]) if arrival else None
            if bound and bound.draw:
                bound.draw()
        if bound and bound.prepare:
            bound.prepare()
        return arrival

    def _bound(self, number: int) -> BoundRequest:
        """What this arrival is for."""
        return self._rotation[number % len(self._rotation)][-1]

    def _park(self) -> None:
        """Enough others wait: hand over what was written, which may be long, and rest."""
        user = self._user
        if user.state.is_stopped:
            return
        if user.recorder.is_measuring:
            user.recorder.hand_over()
        user.pauses.count += 1
        self._pool.park()
        user.pauses.count -= 1

    def _is_just_late(self, number: int, due: int, instant: int) -> bool:
        """It was due before the stop, its thread only woke up after it: it is a part of the plan and is sent.

        A journey is not begun any more, for it would be cut at its first request.
        """
        state = self._user.state
        if due >= state.stop_at or state.cutting or self._bound(number).is_journey:
            return False
        # if the rows ended later, it has one of them
        return state.finishing or (self._user.recorder.is_measuring and instant < state.stop_at + LATEST)

    def _leave(self, number: int, due: int) -> None:
        """The stop came before this arrival was sent."""
        if put_back := self._bound(number).put_back:
            put_back()
        state = self._user.state
        if self._user.recorder.is_measuring and due < state.stop_at:
            self._pool.unsent.append((number, due - state.measured_from))
