"""One thread that carries users on an exchange loop: it goes through their plans, and does what the loop hands out.

What may block is done on other threads; only the loop's own has to do with users.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from loadkit.drive.blocking import BlockingThreads
from loadkit.drive.carried import CarriedUser, UnusualExchanges
from loadkit.drive.closed import Stage
from loadkit.drive.loop_rows import LoopRows
from loadkit.drive.state import NEVER
from loadkit.plan.errors import Halt
from loadkit.plan.think_time import BACK_OFF
from loadkit.plan.units import MILLISECOND
from loadkit.wire.channel import BUFFER
from loadkit.wire.exchange_loop.contract import Event, ExchangeLoop, What
from loadkit.wire.head_pattern import pattern_of

if TYPE_CHECKING:
    from loadkit.drive.loop_arrivals import LoopArrivals
    from loadkit.drive.rows.filled import FilledRequests
    from loadkit.drive.state import RunState
    from loadkit.drive.user import User
    from loadkit.measure.recording import Batch
    from loadkit.wire.base import Clock, Exchange

TICK: Final = 50 * MILLISECOND
"""So often at least what was done is counted."""
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
        feeds: Mapping[int, FilledRequests],
        arrivals: LoopArrivals | None = None,
    ) -> None:
        self.crash: BaseException | None = None
        self.has_run = False
        self.engine = loop.name
        """What carries its users."""
        self._users = list(users)
        self._joining: deque[CarriedUser] = deque()
        """Those that come later, and are not carried yet."""
        self._arrivals = arrivals
        self._loop = loop
        self._clock = clock
        self._state = state
        self._blocking = BlockingThreads("loadkit-connect", clock, loop.wake)
        self._unusual = UnusualExchanges(loop, self._blocking, self._count)
        self._rows = LoopRows(loop, state, feeds, hand_over)
        self._stages: Counter[Stage | None] = Counter({None: len(users)})
        """How many users are in each, None is before the first one; those that have ended are in none."""
        self._counted: set[CarriedUser] = set()
        """Users who have counted something themselves that is not handed over."""
        self._hand_over = hand_over
        for one in users:
            self._add(one)

    @property
    def users(self) -> list[User]:
        """Those it carries."""
        return [one.user for one in self._users]

    @property
    def in_flight(self) -> int:
        """How many of their requests are under way."""
        return max(0, sum(self._stages[one] for one in (Stage.SEND, Stage.SERVE, Stage.REST)) - self._loop.resting)

    def _add(self, one: CarriedUser) -> None:
        for position, (bound, _) in one.requests.items():
            self._rows.add(position, bound)
        one.join(self._loop, self._rows.numbers)

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
            if self._arrivals:
                self._arrivals.begin()
            for one in self._users:
                self._begin(one)
            self._carry()
        finally:
            self._record()
            if self._arrivals:
                self._arrivals.end()
            self._rows.hand_over()
            self.leave()

    def _begin(self, one: CarriedUser) -> None:
        for batch in one.user.begin():
            self._hand_over(batch)
        self._advance(one)

    def _carry(self) -> None:
        recorded = 0
        while self._stages.total():
            self._rows.supply()
            while self._joining:
                self._admit(self._joining.popleft())
            until = self._clock.now() + TICK
            events = self._loop.wait(self._arrivals.offer(until) if self._arrivals else until)
            for event in events:
                self._take(self._users[event.user], event)
            self._blocking.finish()
            if not events or self._clock.now() - recorded > TICK:
                self._record()
                recorded = self._clock.now()

    def join(self, one: CarriedUser) -> None:
        """Carry one more, who sends when it has connected."""
        self._joining.append(one)
        self._loop.wake()

    def _admit(self, one: CarriedUser) -> None:
        self._users.append(one)
        self._stages[None] += 1
        self._add(one)
        self._blocking.submit(one.user.prepare, lambda _: self._begin(one))

    def leave(self) -> None:
        """Close what was opened."""
        for one in self._users:
            if not one.user.ended:
                one.user.leave()
        self._blocking.close()
        self._loop.close()
        self._rows.put_back()

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
        elif stage is Stage.SERVE:
            one.show_connections()
            self._loop.serve(one.number)
        else:
            recorder = one.user.recorder
            now = self._clock.now()
            recorder.cross(now)
            one.show_connections()
            self._loop.resume(one.number, now, recorder.end, one.left if recorder.is_measuring else NEVER)

    def _leave_stage(self, one: CarriedUser) -> None:
        """It is over: go on to the next one."""
        one.note_stage()
        self._advance(one)

    def _halt(self, one: CarriedUser, halt: Halt | None) -> None:
        """The plan cannot go on, which ends the user; the run is ended by whoever directs it."""
        assert halt
        one.note_stage()
        with suppress(Halt):
            one.stages.throw(halt)
        self._state.halt_at(self._clock.now(), halt)
        self._stages[one.stage] -= 1
        self._end(one)

    def _end(self, one: CarriedUser) -> None:
        for slot in range(len(one.socks)):
            self._loop.connect(one.number, slot, None)
        one.user.recorder.iterations.ended += (one.plan.iterations or one.left) - one.left - one.unusual
        one.user.end()
        self._counted.discard(one)

    # -- exchanges that are not ordinary

    def _take(self, one: CarriedUser, event: Event) -> None:
        if event.what is What.OVER:
            self._leave_stage(one)
        elif event.what is What.REPLIED:
            self._go_on(one, event.due, event.taken)
        elif event.what is What.READABLE:
            self._unusual.read_on(one, event)
        elif event.what is What.UNSUPPLIED:
            self._fill(one, event)
        elif event.what is What.SHORT:
            cast("LoopArrivals", self._arrivals).grow()
        else:
            row = self._rows.of(event.request)
            one.position, one.due, one.request = row.position, event.due, row.request_of(event)
            self._unusual.go_on(one, event)

    def _fill(self, one: CarriedUser, event: Event) -> None:
        """Have the request filled that is due, which ends the run if there is no row left."""
        row = self._rows.of(event.request)
        if row.supply():
            self._loop.resume(one.number, event.due, one.user.recorder.end, self._loop.left(one.number))
        else:
            self._halt(one, cast("FilledRequests", row.filled).end)

    def _count(self, one: CarriedUser, exchange: Exchange) -> None:
        """Count it, and hand the user to the loop again."""
        one.partial = None
        bound, connection = one.requests[one.position]
        status, sent, _, taken, size, note = exchange
        if connection.memo and status in bound.good and size <= BUFFER:
            head, size, _, _ = connection.memo
            pattern = pattern_of(head, one.request.method)
            self._loop.learn(self._rows.numbers[one.position], head, size, status, pattern)
        one.show_connections()
        recorder, began = one.user.recorder, one.due
        one.user.active.saw(sent, taken)
        if began >= self._state.measured_from and not recorder.is_measuring:
            recorder.begin_measuring()
            recorder.cross(began)
        recorder.enter_phase(began)
        has_failed = note is not None and note.failure is not None
        if bound.filled and not (has_failed and (not sent or self._state.cutting)):
            bound.row.bytes_sent += len(one.request.payload)
        one.unusual += recorder.is_measuring
        self._counted.add(one)
        is_over = recorder.count(bound, began, exchange)
        if one.stage is Stage.SERVE:
            # whether it is over depends on what was offered, too
            self._loop.serve(one.number)
        elif is_over:
            self._leave_stage(one)
        else:
            self._go_on(one, began, taken + BACK_OFF if recorder.is_refused else taken)

    def _go_on(self, one: CarriedUser, began: int, free: int) -> None:
        """Its next request is due behind one that was due at `began` and done with at `free`."""
        due = one.next_due(began, free)
        self._loop.resume(one.number, due, one.user.recorder.end, self._loop.left(one.number))

    # -- counting

    def _record(self) -> None:
        """Count what the loop has done, and hand over what was written in a second that has passed."""
        if not self._rows.take(self._clock.now()):
            return
        for one in self._counted:
            if one.user.recorder.is_measuring:
                one.user.recorder.hand_over()
        self._counted.clear()
