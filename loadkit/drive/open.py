"""The loop of an open workload: whichever thread is free takes the next arrival, waits for its instant and sends.

Arrivals are taken in order, a thread that is free holds one, and so each of the next ones has a thread that waits for
it: a slow reply holds up nobody else. Of many free threads only some hold one; the others stand by, and cost nothing,
until those become few.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Final

from loadkit.drive.supply import Supply
from loadkit.measure.recording import FOLD
from loadkit.plan.errors import Halt
from loadkit.plan.units import MILLISECOND

if TYPE_CHECKING:
    from loadkit.drive.recorder import BoundParts, BoundRequest
    from loadkit.drive.user import User

LATEST: Final = 50 * MILLISECOND
"""How long after the stop a request may still be sent that was due before it and had a thread to itself."""


MOST_IDLE: Final = 32
"""So many threads at least may hold an arrival each, and wait for it; more, where more were asked for to begin with.

A server that stalls for a second at 3,000/s leaves 3,000 of them: if all took turns, each would come to run once a
second, and would find nothing of its own in the caches of the CPU."""

FEW: Final = 4
"""When no more than one in so many of them waits, another one is called that stands by: it is there within 0.1 ms."""


class Pool:
    """What the threads of an open workload share: what is due, and how many of them wait for it.

    Those that stand by read from a pipe, a byte for each that is called: threads that wait for a lock are searched for
    one by one by the kernel, in 16 lists for all locks of the process (Linux 6.18).
    """

    __slots__ = (
        "_call",
        "_stand",
        "arrivals",
        "drawing",
        "few",
        "idle",
        "is_over",
        "is_short",
        "most_idle",
        "standing_by",
        "tell",
        "turns",
        "unsent",
        "warming",
    )

    def __init__(
        self,
        *,
        arrivals: Supply[tuple[int, int]],
        warming: Supply[tuple[int, int]],
        turns: tuple[int, ...],
        tell: Callable[[], object],
        threads: int,
    ) -> None:
        self._stand = self._call = -1
        self.arrivals = arrivals
        self.warming = warming
        self.turns = turns
        """The endpoint (by position) that each arrival in turn is for."""
        self.idle: deque[None] = deque()
        """As long as there are threads that wait; changed by all of them, which appending and popping allow."""
        self.most_idle = max(threads, MOST_IDLE)
        self.few = self.most_idle // FEW
        self.standing_by: deque[None] = deque()
        """As long as there are threads that stand by, and have not been called."""
        self._stand, self._call = os.pipe()
        self.drawing = Lock()
        """Held by whoever takes an arrival and the row that belongs to it."""
        self.is_over = False
        """Nobody stands by any more."""
        self.is_short = False
        """All threads are busy: the next arrival may find nobody."""
        self.tell = tell
        """Wakes the director up."""
        self.unsent: deque[tuple[int, int]] = deque()
        """Arrivals (number and instant) that were taken, and due, and not sent."""

    def lack(self) -> None:
        """Few wait: call one that stands by; if there is none, and nobody is free, say so."""
        if self.standing_by:
            self._call_one()
        elif not self.idle and not self.is_short:
            self.is_short = True
            self.tell()

    def stand_by(self) -> None:
        """Wait until called, or until all is over."""
        self.standing_by.append(None)
        # whoever says that it is over calls those whom it finds here; we are here, so we look whether it was said
        if self.is_over or len(self.idle) <= self.few:
            self._call_one()
        os.read(self._stand, 1)

    def _call_one(self) -> None:
        try:
            self.standing_by.pop()
        except IndexError:
            return
        os.write(self._call, b"!")

    def end(self) -> None:
        """Call all; from now on nobody stands by."""
        self.is_over = True
        while self.standing_by:
            self._call_one()

    def close(self) -> None:
        """All threads have ended, and nobody will call."""
        pipe, self._stand, self._call = (self._stand, self._call), -1, -1
        for handle in pipe:
            if handle >= 0:
                os.close(handle)

    def __del__(self) -> None:
        """A thread that was held by code of others outlived the run: it was the last one to know of the pool."""
        self.close()


def open_loop(user: User, requests: Sequence[BoundRequest], pool: Pool) -> None:
    """Send arrivals that nobody else has taken, each when it is due; `requests` are by their positions."""
    loop = _OpenLoop(user, [requests[position].parts for position in pool.turns], pool)
    loop.serve(pool.warming, user.state.began)
    user.recorder.begin_measuring()
    loop.serve(pool.arrivals, user.state.measured_from)
    if not pool.idle:
        # earlier, those who are called would be in the way of those who wait for the last arrivals
        pool.end()


class _OpenLoop:
    """What one thread does with the arrivals of a pool."""

    __slots__ = ("_is_fed", "_pool", "_turns", "_user")

    def __init__(self, user: User, turns: list[BoundParts], pool: Pool) -> None:
        self._user = user
        self._turns = turns
        self._pool = pool
        self._is_fed = any(bound.draw for *_, bound in turns)

    def serve(self, supply: Supply[tuple[int, int]], start: int) -> None:
        """The hot path: take an arrival, wait for it, send."""
        now, turns, many, pool = self._user.clock.now, self._turns, len(self._turns), self._pool
        recorder, pause = self._user.recorder, self._user.pauses.until
        idle, few, most_idle = pool.idle, pool.few, pool.most_idle
        take = partial(self._take_with_its_row, supply) if self._is_fed else supply.take
        recorder.cross(now())
        written = 0
        while True:
            if len(idle) >= most_idle:
                self._stand_by()
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
            if len(idle) <= few:
                pool.lack()
            if due >= recorder.phase_end:
                recorder.enter_phase(due)
            send, request, row, ordinary, bound = turns[number % many]
            try:
                exchange = status, sent, arrived, taken, size, note = send(request)
            except Halt as halt:
                # rows end when the first one is missing, however late its thread has woken up
                self._user.state.halt_at(instant if halt.is_fault or halt.is_interrupt else due, halt)
                raise
            if note is None and status in ordinary and taken < recorder.check_at:
                row.samples += (due, sent, arrived, taken, status, size)
            elif recorder.count(bound, due, exchange):
                return
            written += 1
            if written >= FOLD:
                written = 0
                for one in recorder.rows:
                    one.fold()

    def _take_with_its_row(self, supply: Supply[tuple[int, int]]) -> tuple[int, int] | None:
        """Rows belong to arrivals in turn, whoever is late then; and they are in their place before the instant."""
        with self._pool.drawing:
            arrival = supply.take()
            if arrival and (draw := self._bound(arrival[0]).draw):
                draw()
            return arrival

    def _bound(self, number: int) -> BoundRequest:
        """What this arrival is for."""
        return self._turns[number % len(self._turns)][-1]

    def _stand_by(self) -> None:
        """Enough others wait: hand over what was written, which may be long, and rest."""
        user = self._user
        if user.state.is_stopped:
            return
        if user.recorder.is_measuring:
            user.recorder.hand_over()
        user.pauses.count += 1
        self._pool.stand_by()
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
