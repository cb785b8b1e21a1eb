"""One virtual user: a thread that sends requests and writes down what came of each.

What all have in common; when the next request is due is the business of `closed` and `arriving`. The first requests
warm up and are not counted; those that are due from then until the stop are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from loadkit.drive.check import CUT, is_refusal, unexpected, verify
from loadkit.drive.state import NEVER, RunState
from loadkit.drive.stats import Active
from loadkit.measure.recording import JOURNEY, REQUEST, Batch, Tape, second_of
from loadkit.plan.errors import Halt
from loadkit.plan.units import SECOND
from loadkit.wire.base import Clock, Exchange, Failure, Request
from loadkit.wire.protocols import Connection

if TYPE_CHECKING:
    from loadkit.drive.journeys.runner import Visitor
    from loadkit.wire.reply import Reply


@dataclass(frozen=True, slots=True)
class Shot:
    """A request in one thread's hands: how to send it, what is good, where to write."""

    send: Callable[[Any], Exchange]
    """Called with `request`: a `Send`, or what runs a journey."""
    request: Request | None
    """None for a journey."""
    tape: Tape
    connection: Connection
    good: frozenset[int]
    check: Callable[[Reply], object] | None = None
    visitor: Visitor | None = None
    """What runs it, if it is a journey."""
    draw: Callable[[], None] | None = None
    """Takes the next row beforehand, if it has a feed."""
    put_back: Callable[[], None] | None = None
    """Gives a row back that was drawn and is not sent."""

    @property
    def turn(self) -> Turn:
        """What the hot path needs of it."""
        return self.send, self.request, self.tape, self.good if self.check is None else frozenset(), self


Turn: TypeAlias = tuple[Callable[[Any], Exchange], Request | None, Tape, frozenset[int], Shot]
"""Unpacked once for each request; the statuses are those of replies that need no look."""


class User:
    """One virtual user; `prepare` and `run` are called by its thread, the rest by the director's."""

    def __init__(self, shots: list[Shot], *, clock: Clock, state: RunState, hand_over: Callable[[Batch], None]) -> None:
        self._clock = clock
        self._state = state
        self._hand_over = hand_over
        self._measuring = False
        self._boundary = NEVER
        """Replies that are taken later than this need a look; 0 once it is stopped."""
        self._window_end = NEVER
        """It sends no longer than until then, whatever the run does."""
        self._second = 0
        self._phase = 0
        self._phase_end = NEVER
        self._is_refused = False
        """The last request did not get a connection."""
        self._checked: Tape | None = None
        """Where the reply is counted that a check looks at now."""
        self._own = tuple({id(shot.tape): shot.tape for shot in shots}.values())
        """Of what it is told to send; those of what its journeys request and time come later."""
        self._tapes = list(self._own)
        self._iterated = 0
        """Requests and journeys of its own that ended or were cut."""
        self._visitors = list({id(shot.visitor): shot.visitor for shot in shots if shot.visitor}.values())
        for visitor in self._visitors:
            visitor.user = self
        # each with the row that it is counted in, that of the first endpoint which uses it
        self._opening = list({id(shot.connection): (shot.connection, shot.tape) for shot in reversed(shots)}.values())
        self.connections = [connection for connection, _ in self._opening]
        self.resting = False
        """Neither sending nor waiting for a reply."""
        self.ready = False
        """It has connected, or has tried to."""
        self.has_connected = False
        """It has had a connection, or a reply."""
        self.is_turned_away = False
        """It was refused a connection, by its first request or before that was due."""
        self.refusals = 0
        """How many of its requests were refused a connection."""
        self.ended = 0
        """When its last reply was in."""
        self.active: list[Active] = []
        """Of each time for which the plan wanted it, by what it sent; none of an open workload."""
        self._first_sent = self._last_taken = 0
        """Of the time for which it is wanted now; 0 until it has sent something."""
        self.has_run = False
        """It has begun to, and closes its connections itself."""
        self.crash: BaseException | None = None

    def prepare(self) -> None:
        """Connect, before the first request is due; what fails here is met again by the first request."""
        for connection, tape in self._opening:
            note = connection.open()
            tape.counts.connected(note)
            self.has_connected = self.has_connected or bool(note.connects and not note.failure)
            self.is_turned_away = self.is_turned_away or is_refusal(note.failure)
        self.ready = True

    def run(self) -> None:
        """Warm up, measure, stop, hand over the rest."""
        connected = [batch for tape in self._own if (batch := tape.hand_over(0))]
        self.has_run = True
        try:
            self._warm_up()
            for tape in self._tapes:
                tape.clear()
            self._measuring = True
            self._phase_end = self._end_of_phase()
            self._measure()
        except Halt as halt:
            self._state.halt_at(self._clock.now(), halt)
        finally:
            self.ended = self._clock.now()
            self._give()
            self._count_unsent()
            for batch in connected:
                self._hand_over(batch)
            for connection in self.connections:
                connection.close()

    def _warm_up(self) -> None:
        raise NotImplementedError

    def _measure(self) -> None:
        raise NotImplementedError

    def leave(self) -> None:
        """The run does not take place: close what was opened."""
        for connection in self.connections:
            connection.close()

    def stop(self) -> None:
        """The run is stopped: look at that."""
        self._boundary = 0
        if not self._state.finishing:
            for visitor in self._visitors:
                visitor.halt()

    def abort(self) -> None:
        """End what is under way on its connections."""
        for connection in self.connections:
            connection.abort()

    @property
    def faults(self) -> list[str]:
        """Why tear-downs of its journeys failed."""
        return [fault for visitor in self._visitors for fault in visitor.faults]

    def abandon(self) -> None:
        """Its thread does not end: count the request it is in as cut, and take what it has written."""
        if self.has_run and not self.ended:
            self._abandon_activity(self._clock.now())
            self._tape_in_hand.counts.cut += self._in_hand
        self._give()
        self._count_unsent()

    @property
    def _in_hand(self) -> int:
        """How many requests or journeys it has begun and not ended, while it runs."""
        return 1

    @property
    def in_flight(self) -> int:
        """How many requests or journeys are under way and do not pause."""
        return 0 if self.resting or not self.ready or self.ended else self._in_hand

    @property
    def _tape_in_hand(self) -> Tape:
        """The tape of the check or journey that its thread is in."""
        if self._checked:
            return self._checked
        current = {visitor.current for visitor in self._visitors}
        return next((tape for tape in self._own if tape.kind == JOURNEY and tape.label in current), self._own[0])

    def _saw(self, sent: int, taken: int) -> None:
        """Note that it was active from this sending, or before it, until this reply."""
        self._first_sent = self._first_sent or sent or taken
        self._last_taken = taken

    def _abandon_activity(self, now: int) -> None:
        """Note that it was active until now."""

    def _count_unsent(self) -> None:
        """It has ended: count what it was to send and did not, if its number was planned."""

    def _settle(self, shot: Shot, due: int, exchange: Exchange) -> bool:
        """Count what was not ordinary: it crossed a second, failed, is to be checked, needed a new connection.

        Whether it is time to stop.
        """
        _, sent, _, taken, _, note = exchange
        self._saw(sent, taken)
        crossing = taken >= self._boundary
        over = crossing and self._cross(taken)
        failure = note.failure if note else None
        if note and note.connects:
            shot.tape.counts.connected(note)
        if failure is CUT or (failure and self._state.cutting):
            shot.tape.counts.cut += 1
            return True
        self._count(shot, due, exchange, failure)
        self._is_refused = shot.visitor.refused if shot.visitor else is_refusal(failure)
        if not shot.visitor:
            self._met(failure)
        if crossing:
            self._after_crossing(taken)
        return over

    def _met(self, failure: Failure | None) -> None:
        """Note whether a request got a connection."""
        if is_refusal(failure):
            self.refusals += 1
            self.is_turned_away = True
        else:
            self.has_connected = True

    def _after_crossing(self, instant: int) -> None:
        """The request that was under way when a second passed has been counted."""

    def _before_taking(self, due: int) -> None:
        """What was due then, within a journey, is about to be counted."""

    def _count(self, shot: Shot, due: int, exchange: Exchange, failure: Failure | None) -> None:
        status = exchange[0]
        if failure is None and status not in shot.good:
            failure = unexpected(status, shot.good)
        if failure is None and shot.check is not None:
            self._checked = shot.tape
            failure = verify(shot.check, shot.connection)
            self._checked = None
        self._write(shot.tape, due, exchange, failure)

    def _write(self, tape: Tape, due: int, exchange: Exchange, failure: Failure | None) -> None:
        status, sent, arrived, taken, size, _ = exchange
        if failure is None:
            tape.samples += (due, sent, arrived, taken, status, size)
            if arrived > self._state.stop_at:
                tape.counts.drained += 1
        else:
            tape.counts.fail(failure, at=taken, span=taken - due, status=status, size=size)
            tape.counts.bytes_sent += tape.request_size if sent else 0

    # -- for journeys

    @property
    def boundary(self) -> int:
        """Replies that are taken later than this need a look."""
        return self._boundary

    def add(self, tape: Tape) -> None:
        """Hand this tape over with the others."""
        self._tapes.append(tape)

    def take(self, tape: Tape, due: int, exchange: Exchange, failure: Failure | None) -> bool:
        """Count one exchange or span within a journey; whether it is time to stop."""
        taken, note = exchange[3], exchange[5]
        crossing = taken >= self._boundary
        if crossing:
            self._cross(taken)
            self._before_taking(due)
        if note and note.connects:
            tape.counts.connected(note)
        if failure is CUT or (failure and self._state.cutting):
            tape.counts.cut += 1
        else:
            self._write(tape, due, exchange, failure)
            if tape.kind == REQUEST:
                self._met(failure)
        if crossing:
            self._after_crossing(taken)
        return self._is_over(taken)

    def is_over_after(self, span: int) -> bool:
        """Rest in a journey; whether it is time to stop."""
        now, until = self._clock.now, self._clock.now() + span
        self.resting = True
        while (left := until - now()) > 0 and not self._is_over(now()):
            # not beyond the end, of which nobody needs to tell
            to_end = NEVER if self._state.finishing else self._state.stop_at - now()
            self._clock.pause(min(left, to_end), lambda: self._is_over(now()))
        self.resting = False
        return self._is_over(now())

    def _is_over(self, instant: int) -> bool:
        """Whether a journey ends at this instant: at the stop, but not with the warm-up or a phase."""
        state = self._state
        return state.cutting or (instant >= state.stop_at and not state.finishing)

    def _pause(self, until: int) -> None:
        """Rest, and no longer than until it is time to stop."""
        self.resting = True
        self._clock.pause(min(until, self._end()) - self._clock.now(), self._must_stop)
        self.resting = False

    def _must_stop(self) -> bool:
        return self._state.is_stopped

    def _end(self) -> int:
        """When this stage is over."""
        state = self._state
        return min(state.stop_at, self._window_end if self._measuring else state.measured_from)

    def _cross(self, instant: int) -> bool:
        """A second has passed, the warm-up, or all of it; whether this stage is over."""
        following = self._end()
        if self._measuring:
            self._give()
            start = self._state.measured_from
            self._second = second_of(instant, start)
            following = min(following, start + (self._second + 1) * SECOND)
            if instant < self._phase_end:
                following = min(following, self._phase_end)
        return instant >= self._bound(following)

    def _bound(self, following: int) -> int:
        """Look up at this instant again, or at the end of the stage, which is returned."""
        end = self._end()
        self._boundary = min(following, end)
        # the flag is set before `stop` is called, whose boundary may be overwritten here: so the flag is read last
        if self._state.is_stopped:
            self._boundary = 0
        return end

    def _enter_phase(self, instant: int) -> None:
        """What is due from this instant on belongs to the phase that it lies in."""
        ends = self._state.phase_ends
        if not ends:
            return
        self._give()
        while self._phase < len(ends) - 1 and instant - self._state.measured_from >= ends[self._phase]:
            self._phase += 1
        self._phase_end = self._end_of_phase()
        self._bound(min(self._boundary, self._phase_end))

    def _end_of_phase(self) -> int:
        """When the next phase begins, if there is one."""
        ends = self._state.phase_ends
        return self._state.measured_from + ends[self._phase] if self._phase < len(ends) - 1 else NEVER

    def _give(self) -> None:
        """Hand over what was written in the second that has passed."""
        self._iterated += sum(tape.ended for tape in self._own)
        for tape in self._tapes:
            if batch := tape.hand_over(self._second, self._phase):
                self._hand_over(batch)
