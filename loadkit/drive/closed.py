"""A thread of a closed workload: its next request is due when it has the last reply, plus a pause or at a pace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle, islice
from typing import TYPE_CHECKING

from loadkit.drive.state import NEVER, RunState
from loadkit.drive.user import Shot, Turn, User
from loadkit.measure.recording import FOLD, Batch
from loadkit.plan.errors import Halt
from loadkit.plan.think_time import BACK_OFF

if TYPE_CHECKING:
    from loadkit.plan.workload import Seat
    from loadkit.wire.base import Clock


class ClosedUser(User):
    """See `User`. It sends within the windows of its seat."""

    def __init__(
        self,
        shots: list[Shot],
        *,
        clock: Clock,
        state: RunState,
        hand_over: Callable[[Batch], None],
        seat: Seat,
        draw_pause: Callable[[], int] | None,
        pacing: int,
    ) -> None:
        super().__init__(shots, clock=clock, state=state, hand_over=hand_over)
        self._turns = cycle([shot.turn for shot in shots])
        self._order = [shot.tape for shot in shots]
        self._left = seat.iterations
        self._windows = seat.windows
        self._delay = seat.delay
        self._draw_pause = draw_pause
        self._pacing = pacing
        self._is_leisurely = bool(draw_pause or pacing)
        self._came = NEVER
        """When it began with the window it is in."""
        # one that begins later connects when it does, as a user who comes later would
        self._begins = bool(self._windows) and self._windows[0][0] == 0

    def prepare(self) -> None:
        """Connect, unless its time comes later."""
        if self._begins:
            super().prepare()

    def _warm_up(self) -> None:
        if self._begins:
            self.resting = True
            self._clock.pause(min(self._delay, self._state.stop_at - self._clock.now()), self._must_stop)
            self.resting = False
            self._stage(self._turns)

    def _measure(self) -> None:
        turns = self._turns if self._left is None else islice(self._turns, self._left)
        for start, end in self._windows:
            opens = self._state.measured_from + start
            self._window_end = self._state.measured_from + end
            if self._clock.now() < opens:
                self._pause(opens)
            if self._clock.now() >= self._end():
                continue
            # one that waits for a reply from before, or of the warm-up, is on its way
            self._come(opens if self._last_taken >= opens else self._clock.now())
            if not self.ready:
                super().prepare()
            try:
                self._stage(turns)
            except Halt:
                self._last_taken = self._clock.now()
                raise
            finally:
                self._go()

    def _come(self, instant: int) -> None:
        self._came, self._first_sent, self._last_taken = instant, 0, 0

    def _go(self) -> None:
        """Note from when to when it was active in this window, if it sent anything."""
        if self._first_sent:
            self.active.append((self._came, self._first_sent, self._last_taken))
        self._came = NEVER

    def _abandon_activity(self, now: int) -> None:
        if self._came < now:
            self._first_sent, self._last_taken = self._first_sent or self._came, now
            self._go()

    def _count_unsent(self) -> None:
        """Iterations that it did not come to are unsent, of whatever would have been next."""
        left = (self._left or 0) - self._iterated
        if left <= 0:
            return
        each, more = divmod(left, len(self._order))
        for k in range(len(self._order)):
            tape = self._order[(self._iterated + k) % len(self._order)]
            if count := each + (k < more):
                tape.counts.unsent += count
        self._give()

    def _stage(self, turns: Iterator[Turn]) -> None:
        due = self._clock.now()
        if self._cross(due):
            return
        self._enter_phase(due)
        # the first one alone, to see when it was sent
        many = 1
        while some := list(islice(turns, many)):
            # read anew after folding, for that pause is between two requests and not a part of one
            after = self._send(some, due if self._is_leisurely else self._clock.now())
            many = FOLD
            if after is None:
                return
            due = after
            for tape in self._tapes:
                tape.fold()

    def _send(self, turns: list[Turn], due: int) -> int | None:
        """The hot path: some requests, one after the other. When the next one is due; None if it is time to stop."""
        is_leisurely = self._is_leisurely
        for send, request, tape, ordinary, shot in turns:
            exchange = status, sent, arrived, taken, size, note = send(request)
            began = due
            if note is None and status in ordinary and taken < self._boundary:
                tape.samples += (due, sent, arrived, taken, status, size)
                due = taken
            else:
                if self._settle(shot, due, exchange):
                    return None
                due = taken if shot.check is None else self._clock.now()
                if self._is_refused:
                    due += BACK_OFF
                    if self._rest(due):
                        return None
            if is_leisurely:
                self._saw(sent, taken)
                due = self._next(began, due)
                if self._rest(due):
                    return None
        self._saw(sent, taken)
        return due

    def _next(self, began: int, free: int) -> int:
        """When the next request is due, after one that was due at `began` and done with at `free`."""
        if self._draw_pause:
            return free + self._draw_pause()
        return max(free, began + self._pacing)

    def _rest(self, until: int) -> bool:
        """Wait, at most until it is time to stop; whether it is."""
        self._pause(until)
        instant = self._clock.now()
        over = instant >= self._boundary and self._cross(instant)
        self._enter_due_phase(instant)
        return over

    def _before_taking(self, due: int) -> None:
        self._enter_due_phase(due)

    def _after_crossing(self, instant: int) -> None:
        self._enter_due_phase(instant)

    def _enter_due_phase(self, instant: int) -> None:
        if instant >= self._phase_end:
            self._enter_phase(instant)
