"""A thread of an open workload: whoever is free takes the next arrival, waits for its instant and sends.

Arrivals are taken in order, each thread that is free holds one, and so each of the next ones has a thread that waits
for it: a slow reply holds up nobody else, and no thread has to wake another up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from loadkit.drive.supply import Supply
from loadkit.drive.user import Course, Shot, User
from loadkit.measure.recording import FOLD, Batch
from loadkit.plan.units import MILLISECOND

if TYPE_CHECKING:
    from loadkit.wire.base import Clock


LATEST: Final = 50 * MILLISECOND
"""How long after the stop a request may still be sent that was due before it and had a thread to itself."""


class Pool:
    """What the threads of an open workload share: what is due, and how many of them wait for it."""

    __slots__ = ("arrivals", "idle", "is_short", "tell", "turns", "unsent", "warming")

    def __init__(
        self,
        *,
        arrivals: Supply[tuple[int, int]],
        warming: Supply[tuple[int, int]],
        turns: tuple[int, ...],
        tell: Callable[[], object],
    ) -> None:
        self.arrivals = arrivals
        self.warming = warming
        self.turns = turns
        """The endpoint (by position) that each arrival in turn is for."""
        self.idle: deque[None] = deque()
        """As long as there are threads that wait; changed by all of them, which appending and popping allow."""
        self.is_short = False
        """All threads are busy: the next arrival may find nobody."""
        self.tell = tell
        """Wakes the director up."""
        self.unsent: deque[tuple[int, int]] = deque()
        """Arrivals (number and instant) that were taken, and due, and not sent."""

    def lack(self) -> None:
        """Say that nobody is free."""
        if not self.is_short:
            self.is_short = True
            self.tell()


class OpenUser(User):
    """See `User`. It has a request ready for each endpoint, by its position."""

    def __init__(
        self, shots: list[Shot], *, clock: Clock, course: Course, hand_over: Callable[[Batch], None], pool: Pool
    ) -> None:
        super().__init__(shots, clock=clock, course=course, hand_over=hand_over)
        self._turns = [shots[position].turn for position in pool.turns]
        self._pool = pool

    def _warm_up(self) -> None:
        self._serve(self._pool.warming, self._course.began)

    def _measure(self) -> None:
        self._serve(self._pool.arrivals, self._course.measured_from)

    def _serve(self, supply: Supply[tuple[int, int]], start: int) -> None:
        """The hot path: take an arrival, wait for it, send."""
        now, take, idle, turns, many = self._clock.now, supply.take, self._pool.idle, self._turns, len(self._turns)
        self._cross(now())
        written = 0
        while arrival := take():
            number, due = arrival
            due += start
            instant = now()
            if instant < due:
                idle.append(None)
                self._pause(due)
                idle.pop()
                instant = now()
            if instant >= self._boundary and self._cross(instant) and not self._is_just_late(number, due, instant):
                self._leave(number, due)
                return
            if not idle:
                self._pool.lack()
            if due >= self._phase_end:
                self._enter_phase(due)
            send, tape, ordinary, shot = turns[number % many]
            exchange = status, sent, arrived, taken, size, note = send()
            if note is None and status in ordinary and taken < self._boundary:
                tape.samples += (due, sent, arrived, taken, status, size)
            elif self._settle(shot, due, exchange):
                return
            written += 1
            if written >= FOLD:
                written = 0
                for one in self._tapes:
                    one.fold()

    def _is_just_late(self, number: int, due: int, instant: int) -> bool:
        """It was due before the stop, its thread only woke up after it: it is a part of the plan and is sent.

        A journey is not begun any more, for it would be cut at its first request.
        """
        course = self._course
        is_planned = self._measuring and due < course.stop_at and not course.cutting
        return (
            is_planned and instant < course.stop_at + LATEST and not self._turns[number % len(self._turns)][3].visitor
        )

    def _leave(self, number: int, due: int) -> None:
        """The stop came before this arrival was sent."""
        if self._measuring and due < self._course.stop_at:
            self._pool.unsent.append((number, due - self._course.measured_from))
