"""One thread that carries users on an exchange loop: it goes through their plans, and does what the loop hands out.

What may block is done on other threads; only the loop's own has to do with users.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from loadkit.drive.blocking import BlockingThreads
from loadkit.drive.carried import CarriedUser, UnusualExchanges
from loadkit.drive.closed import Stage
from loadkit.drive.loop_rows import LoopRow
from loadkit.drive.state import NEVER
from loadkit.measure.recording import second_of
from loadkit.plan.think_time import BACK_OFF
from loadkit.plan.units import MILLISECOND
from loadkit.wire.channel import BUFFER
from loadkit.wire.exchange_loop.contract import Event, ExchangeLoop, What

if TYPE_CHECKING:
    from loadkit.drive.state import RunState
    from loadkit.drive.user import User
    from loadkit.measure.recording import Batch
    from loadkit.wire.base import Clock, Exchange, Request

TICK: Final = 50 * MILLISECOND
"""So often at least what was done is counted."""
PAUSES: Final = 16
"""Pauses of a user that are drawn at once."""
CONNECTING: Final = 5 * MILLISECOND
"""So often it is looked whether all have connected."""


Runnable: TypeAlias = "User | LoopThread"
"""What one thread runs: a user, or many of them."""


class LoopThread:
    """See the module; `prepare` and `run` are called by its thread, the rest by the director's."""

    def __init__(
        self,
        users: Sequence[CarriedUser],
        loop: ExchangeLoop,
        clock: Clock,
        state: RunState,
        hand_over: Callable[[Batch], None],
    ) -> None:
        self.crash: BaseException | None = None
        self.has_run = False
        self.engine = loop.name
        self._users = users
        self._loop = loop
        self._clock = clock
        self._state = state
        self._blocking = BlockingThreads("loadkit-connect", clock, loop.wake)
        self._unusual = UnusualExchanges(loop, self._blocking, self._count)
        self._numbers: dict[int, int] = {}
        """The loop's, of requests by their positions in the scenario."""
        self._positions: list[int] = []
        """The positions of the loop's requests."""
        self._rows: list[LoopRow] = []
        self._stages: Counter[Stage | None] = Counter({None: len(users)})
        """How many users are in each, None is before the first one; those that have ended are in none."""
        self._counted: set[CarriedUser] = set()
        """Users who have counted something themselves that is not handed over."""
        self._second = 0
        self._hand_over = hand_over
        self._add_all()

    @property
    def users(self) -> list[User]:
        """Those it carries."""
        return [one.user for one in self._users]

    @property
    def in_flight(self) -> int:
        """How many of their requests are under way."""
        return max(0, self._stages[Stage.SEND] + self._stages[Stage.REST] - self._loop.resting)

    def _add_all(self) -> None:
        numbers = self._numbers
        for one in self._users:
            for position, (bound, _) in one.requests.items():
                if position in numbers:
                    continue
                request = cast("Request", bound.request)
                numbers[position] = self._loop.add_request(
                    request.payload, request.timeout, repeatable=request.idempotent
                )
                self._positions.append(position)
                self._rows.append(LoopRow(bound.row.label, request, self._state, self._hand_over))
            places = {connection: slot for slot, connection in enumerate(one.connections)}
            one.number = self._loop.add_user(
                [(numbers[position], places[one.requests[position][1]]) for position in one.plan.rotation]
            )
            if one.pace.is_leisurely:
                self._loop.pace(one.number, (), 0 if one.pace.draw_pause else one.pace.pacing)
            one.user.pauses.elsewhere = partial(self._loop.is_resting, one.number)

    # -- the start and the end

    def prepare(self) -> None:
        """Connect all who are wanted at once, as many at the same time as it takes."""
        connected = 0

        def count(_: None) -> None:
            nonlocal connected
            connected += 1

        for one in self._users:
            self._blocking.submit(one.user.prepare, count)
        while connected < len(self._users):
            self._loop.wait(self._clock.now() + CONNECTING)
            self._blocking.finish()

    def run(self) -> None:
        """Carry all users to the ends of their plans."""
        self.has_run = True
        try:
            for one in self._users:
                for batch in one.user.begin():
                    self._hand_over(batch)
            for one in self._users:
                self._advance(one)
            self._carry()
        finally:
            self._record()
            for row in self._rows:
                row.hand_over()
            self.leave()

    def _carry(self) -> None:
        recorded = 0
        while self._stages.total():
            events = self._loop.wait(self._clock.now() + TICK)
            for event in events:
                self._take(self._users[event.user], event)
            self._blocking.finish()
            if not events or self._clock.now() - recorded > TICK:
                self._record()
                recorded = self._clock.now()

    def leave(self) -> None:
        """Close what was opened."""
        for one in self._users:
            if not one.user.ended:
                one.user.leave()
        self._blocking.close()
        self._loop.close()

    def stop(self) -> None:
        """The run is stopped: look at that."""
        self._loop.stop(self._state.stop_at)

    def abandon(self) -> None:
        """Its thread does not end: count what its users are in as cut."""
        for one in self._users:
            if not one.user.ended:
                one.user.abandon()

    # -- the plan of a user

    def _advance(self, one: CarriedUser) -> None:
        """Go on to the next stage of a user's plan."""
        stage, until, end = next(one.stages, (None, 0, 0))
        self._stages[one.stage] -= 1
        if stage is None:
            self._end(one)
            return
        self._stages[stage] += 1
        one.stage = stage
        if stage is Stage.REST:
            self._loop.resume(one.number, until, end, 0)
        elif stage is Stage.CONNECT:
            self._blocking.submit(one.user.connect, lambda _: self._advance(one))
        else:
            recorder = one.user.recorder
            now = self._clock.now()
            recorder.cross(now)
            self._show_connections(one)
            self._loop.resume(one.number, now, recorder.end, one.left if recorder.is_measuring else NEVER)

    def _leave_stage(self, one: CarriedUser) -> None:
        """It is over: note when the user sent, and how many more it may send."""
        if one.stage is Stage.SEND and one.user.recorder.is_measuring:
            one.left = self._loop.left(one.number)
        spell, active = self._loop.spell(one.number), one.user.active
        if spell.first_sent:
            active.first_sent = min(active.first_sent or NEVER, spell.first_sent)
            active.last_taken = max(active.last_taken, spell.last_taken)
        self._advance(one)

    def _end(self, one: CarriedUser) -> None:
        for slot in range(len(one.connections)):
            self._loop.connect(one.number, slot, None)
        one.user.recorder.iterations.ended += (one.plan.iterations or one.left) - one.left - one.unusual
        one.user.end()
        self._counted.discard(one)

    def _show_connections(self, one: CarriedUser) -> None:
        """Tell the loop of connections that were opened or closed."""
        for slot, connection in enumerate(one.connections):
            sock = connection.channel.sock if connection.channel else None
            if sock is not one.socks[slot]:
                one.socks[slot] = sock
                self._loop.connect(one.number, slot, sock)

    # -- exchanges that are not ordinary

    def _take(self, one: CarriedUser, event: Event) -> None:
        if event.what is What.OVER:
            self._leave_stage(one)
        elif event.what is What.REPLIED:
            self._go_on(one, event.due, event.taken)
        elif event.what is What.READABLE:
            self._unusual.read_on(one, event)
        else:
            one.position, one.due = self._positions[event.request], event.due
            self._unusual.go_on(one, event)

    def _count(self, one: CarriedUser, exchange: Exchange) -> None:
        """Count it, and hand the user to the loop again."""
        one.partial = None
        bound, connection = one.requests[one.position]
        status, sent, _, taken, size, _ = exchange
        if connection.memo and status in bound.good and size <= BUFFER:
            head, size, _, _ = connection.memo
            self._loop.learn(self._numbers[one.position], head, size, status)
        self._show_connections(one)
        recorder, began = one.user.recorder, one.due
        one.user.active.saw(sent, taken)
        recorder.enter_phase(began)
        one.unusual += recorder.is_measuring
        self._counted.add(one)
        if recorder.count(bound, began, exchange):
            self._leave_stage(one)
            return
        self._go_on(one, began, taken + BACK_OFF if recorder.is_refused else taken)

    def _go_on(self, one: CarriedUser, began: int, free: int) -> None:
        """Its next request is due behind one that was due at `began` and done with at `free`."""
        due, pace = free, one.pace
        if pace.draw_pause:
            pause = self._loop.take_pause(one.number)
            if pause is None:
                pause = pace.draw_pause()
                self._loop.pace(one.number, [pace.draw_pause() for _ in range(PAUSES)], 0)
            due += pause
        elif pace.pacing:
            due = pace.next_due(began, free)
        self._loop.resume(one.number, due, one.user.recorder.end, self._loop.left(one.number))

    # -- counting

    def _record(self) -> None:
        """Count what the loop has done, and hand over what was written in a second that has passed."""
        for row, samples in zip(self._rows, self._loop.take(), strict=True):
            if samples:
                row.take(samples)
        if self._state.measured_from > (now := self._clock.now()):
            return
        second = second_of(now, self._state.measured_from)
        if second == self._second:
            return
        self._second = second
        for row in self._rows:
            row.end_second(second)
        for one in self._counted:
            if one.user.recorder.is_measuring:
                one.user.recorder.hand_over()
        self._counted.clear()
