"""One virtual user: a thread that sends its requests in turn and writes down what came of each.

Closed workload: the next request is due when the last reply is in (and checked), plus think time. The first
requests warm up and are not counted; those that are due from then until the stop are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING, Final, TypeAlias

from loadkit.drive.check import unexpected, verify
from loadkit.measure.recording import FOLD, Batch, Tape, second_of
from loadkit.plan.units import MILLISECOND, SECOND
from loadkit.wire.base import Clock, Connection, Exchange, Failure, Sender

if TYPE_CHECKING:
    from loadkit.wire.reply import Reply

NEVER: Final = 1 << 62
# after a connection was refused: not to hammer a server that is coming up, and to notice soon that it is
BACK_OFF: Final = 100 * MILLISECOND


@dataclass(frozen=True, slots=True)
class Shot:
    """A request in one thread's hands: how to send it, what is good, where to write."""

    send: Sender
    tape: Tape
    connection: Connection
    good: frozenset[int]
    check: Callable[[Reply], object] | None

    @property
    def turn(self) -> Turn:
        """What the hot path needs of it."""
        return self.send, self.tape, self.good if self.check is None else frozenset(), self


Turn: TypeAlias = tuple[Sender, Tape, frozenset[int], Shot]
"""Unpacked once for each request; the statuses are those of replies that need no look."""


class Course:
    """When a run measures and ends: written by the one who directs it, read by its threads."""

    __slots__ = ("cutting", "measured_from", "stop_at")

    def __init__(self) -> None:
        self.measured_from = NEVER
        self.stop_at = NEVER
        self.cutting = False
        """Exchanges that fail now were cut off by us."""


class User:
    """One virtual user; `prepare` and `run` are called by its thread, the rest by the director's."""

    def __init__(
        self,
        shots: list[Shot],
        *,
        clock: Clock,
        course: Course,
        hand_over: Callable[[Batch], None],
        iterations: int | None,
        think_time: int,
        delay: int,
    ) -> None:
        self._shots = shots
        self._clock = clock
        self._course = course
        self._hand_over = hand_over
        self._iterations = iterations
        self._think_time = think_time
        self._delay = delay
        self._measuring = False
        self._boundary = NEVER
        self._second = 0
        self._tapes = list({id(shot.tape): shot.tape for shot in shots}.values())
        self.connections = list({id(shot.connection): shot.connection for shot in shots}.values())
        self.resting = False
        """Neither sending nor waiting for a reply."""
        self.refusals = 0
        """How often it was refused a connection and never got one."""
        self.ended = 0
        """When its last reply was in."""
        self.crash: BaseException | None = None

    def prepare(self) -> None:
        """Connect, before the first request is due; what fails here is met again by the first request."""
        for connection in self.connections:
            self._tapes[0].counts.connected(connection.open())

    def run(self) -> None:
        """Warm up, measure, stop, hand over the rest."""
        connected = self._tapes[0].hand_over(0)
        turns = cycle([shot.turn for shot in self._shots])
        try:
            self._wait_for_turn()
            self._stage(turns)
            self._measuring = True
            for tape in self._tapes:
                tape.clear()
            self._stage(turns if self._iterations is None else islice(turns, self._iterations))
        finally:
            self.ended = self._clock.now()
            self._give()
            if connected:
                self._hand_over(connected)
            for connection in self.connections:
                connection.close()

    def stop(self) -> None:
        """`Course.stop_at` has been set to the past: look at it."""
        self._boundary = 0

    def abort(self) -> None:
        """End what is under way on its connections."""
        for connection in self.connections:
            connection.abort()

    def abandon(self) -> None:
        """Its thread does not end: count the request it is in as cut, and take what it has written."""
        self._tapes[0].counts.cut += 1
        self._give()

    def _wait_for_turn(self) -> None:
        self.resting = True
        self._clock.pause(min(self._delay, self._course.stop_at - self._clock.now()), self._is_told_to_stop)
        self.resting = False

    def _stage(self, turns: Iterator[Turn]) -> None:
        if self._cross(self._clock.now()):
            return
        while some := list(islice(turns, FOLD)):
            if self._send(some):
                return
            for tape in self._tapes:
                tape.fold()

    def _send(self, turns: list[Turn]) -> bool:
        """The hot path: some requests, one after the other; whether it is time to stop."""
        now, think_time = self._clock.now, self._think_time
        # read anew after folding, for that pause is between two requests and not a part of one
        due = now()
        for send, tape, ordinary, shot in turns:
            exchange = status, sent, arrived, taken, size, note = send()
            if note is None and status in ordinary and taken < self._boundary:
                tape.samples += (due, sent, arrived, taken, status, size)
                due = taken
                if not think_time:
                    continue
            else:
                over, due = self._settle(shot, due, exchange)
                if over:
                    return True
            if think_time:
                due += think_time
                if self._rest(due):
                    return True
        return False

    def _settle(self, shot: Shot, due: int, exchange: Exchange) -> tuple[bool, int]:
        """Count what was not ordinary: it crossed a second, failed, is to be checked, needed a new connection.

        Whether it is time to stop, and when the next request is due but for think time.
        """
        _, _, _, taken, _, note = exchange
        over = taken >= self._boundary and self._cross(taken)
        failure = note.failure if note else None
        if note and note.connects:
            shot.tape.counts.connected(note)
        if failure and self._course.cutting:
            shot.tape.counts.cut += 1
            return True, taken
        self._count(shot, due, exchange, failure)
        if failure and failure.kind in ("dns", "connect", "tls"):
            self.refusals += 1
            return over or self._rest(taken + BACK_OFF), self._clock.now()
        self.refusals = -NEVER
        return over, taken if shot.check is None else self._clock.now()

    def _count(self, shot: Shot, due: int, exchange: Exchange, failure: Failure | None) -> None:
        status, sent, arrived, taken, size, _ = exchange
        tape = shot.tape
        if failure is None and status not in shot.good:
            failure = unexpected(status, shot.good)
        if failure is None and shot.check is not None:
            failure = verify(shot.check, shot.connection)
        if failure is None:
            tape.samples += (due, sent, arrived, taken, status, size)
            if arrived > self._course.stop_at:
                tape.counts.drained += 1
        else:
            tape.counts.fail(failure, at=taken, span=taken - due, status=status, size=size)
            tape.counts.bytes_sent += tape.request_size if sent else 0

    def _rest(self, until: int) -> bool:
        """Wait, at most until it is time to stop; whether it is."""
        self.resting = True
        now = self._clock.now
        self._clock.pause(min(until, self._end()) - now(), self._is_told_to_stop)
        self.resting = False
        instant = now()
        return instant >= self._boundary and self._cross(instant)

    def _is_told_to_stop(self) -> bool:
        return self._boundary == 0

    def _end(self) -> int:
        course = self._course
        return course.stop_at if self._measuring else min(course.measured_from, course.stop_at)

    def _cross(self, instant: int) -> bool:
        """A second has passed, the warm-up, or all of it; whether this stage is over."""
        if self._measuring:
            self._give()
            start = self._course.measured_from
            self._second = second_of(instant, start)
            following = start + (self._second + 1) * SECOND
        else:
            following = self._course.measured_from
        self._boundary = min(following, self._course.stop_at)
        # whoever stops us writes stop_at, then the boundary; we wrote the boundary, so we look at stop_at again
        self._boundary = min(self._boundary, self._course.stop_at)
        return instant >= self._end()

    def _give(self) -> None:
        """Hand over what was written in the second that has passed."""
        for tape in self._tapes:
            if batch := tape.hand_over(self._second):
                self._hand_over(batch)
