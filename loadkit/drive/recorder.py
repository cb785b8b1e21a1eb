"""What one thread counts: in which row, second and phase; and the instant from which on it has to look up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from loadkit.drive.failures import CUT, failure_of_check, is_refusal, unexpected
from loadkit.drive.state import NEVER
from loadkit.measure.recording import REQUEST, Batch, RowRecorder, second_of
from loadkit.measure.samples import FailedSample
from loadkit.plan.units import SECOND
from loadkit.wire.failed_reply import ERRORS

if TYPE_CHECKING:
    from requests import Response

    from loadkit.drive.outstanding import Pending
    from loadkit.drive.state import RunState
    from loadkit.measure.slowest import Requested
    from loadkit.wire.base import Exchange, Failure, Note, Request
    from loadkit.wire.failed_reply import FailedReply


@dataclass(slots=True)
class BoundRequest:
    """A request, or a journey, as one thread has it: how to send it, what is good, where to write.

    Its `request` is another one once what sets up its thread has filled it, before the first one is sent.
    """

    send: Callable[[Any], Any]
    """Called with `request`: a `Send`, or what runs a journey, which returns an `Exchange`, too."""
    request: Request | None
    """None for a journey."""
    row: RowRecorder
    good: frozenset[int]
    check: Callable[[Response], object] | None = None
    reply: Callable[[], Response] | None = None
    """The last reply, for the check."""
    failed_reply: Callable[[], FailedReply | None] | None = None
    """What is shown of the last reply."""
    draw: Callable[[], None] | None = None
    """Takes the next row of data beforehand, if it has a feed."""
    prepare: Callable[[], None] | None = None
    """Sets up the next call of a journey beforehand, if it has a fixture."""
    put_back: Callable[[], None] | None = None
    """Gives a row of data back that was drawn and is not sent, or tears down what was set up for it."""
    filled: Callable[[], Request] | None = None
    """The request that was sent last, where each is filled from a row."""

    @property
    def is_journey(self) -> bool:
        """True if it is a function of several requests."""
        return self.request is None

    @property
    def is_followed(self) -> bool:
        """True if its thread does something after the reply that is in no figure."""
        return self.check is not None or self.prepare is not None

    @property
    def parts(self) -> BoundParts:
        """What the hot path needs of it."""
        return self.send, self.request, self.row, self.good if self.check is None else frozenset(), self


BoundParts: TypeAlias = "tuple[Callable[[Any], Any], Request | None, RowRecorder, frozenset[int], BoundRequest]"
"""Unpacked once for each request; the statuses are those of replies that need no look."""


class Iterations:
    """How many of what a thread is to send in turn have ended; `planned` is None where their number is open."""

    __slots__ = ("ended", "planned", "rotation")

    def __init__(self, rotation: Sequence[RowRecorder], planned: int | None) -> None:
        self.rotation = rotation
        self.planned = planned
        self.ended = 0

    def count_ended(self) -> None:
        """Note what its rows hold, before that is handed over."""
        self.ended += sum(row.ended for row in dict.fromkeys(self.rotation))

    def count_unsent(self) -> None:
        """What was planned and has not ended is unsent, of whatever would have been next."""
        left = (self.planned or 0) - self.ended
        if left <= 0:
            return
        each, more = divmod(left, len(self.rotation))
        for k in range(len(self.rotation)):
            row = self.rotation[(self.ended + k) % len(self.rotation)]
            if count := each + (k < more):
                row.counts.unsent += count


class Contact:
    """What one thread knows of the target: connections it got, and those it was refused; read by the director."""

    __slots__ = ("has_connected", "is_turned_away", "refusals", "waiting")

    def __init__(self) -> None:
        self.has_connected = False
        """It has had a connection, or a reply."""
        self.is_turned_away = False
        """It was refused a connection, by its first request or before that was due."""
        self.refusals = 0
        """How many of its requests were refused a connection."""
        self.waiting: dict[str, tuple[str, int]] = {}
        """By kind, label and since when: what is under way, in runs that a monitor looks at."""

    def opened(self, note: Note) -> None:
        """A connection was opened, or was not, before the first request."""
        self.has_connected = self.has_connected or bool(note.connects and not note.failure)
        self.is_turned_away = self.is_turned_away or is_refusal(note.failure)

    def ended(self, failure: Failure | None) -> None:
        """A request has ended."""
        if is_refusal(failure):
            self.refusals += 1
            self.is_turned_away = True
        else:
            self.has_connected = True


class Recorder:
    """Writes for one thread; `check_now` is for any.

    `rotation` has the row of each request in turn, `planned` how many are to be sent. What is requested within a
    journey belongs to the phase in which it is due, or, `by_arrival`, to that of the journey.
    """

    def __init__(
        self,
        rotation: Sequence[RowRecorder],
        state: RunState,
        hand_over: Callable[[Batch], None],
        *,
        planned: int | None = None,
        by_arrival: bool = False,
    ) -> None:
        self.rows = list(dict.fromkeys(rotation))
        """First those of the rotation; those of what its journeys request and time come later."""
        self.current = self.rows[0]
        """Where the journey is counted, or the reply that a check looks at, that the thread is in."""
        self.check_at = NEVER
        """Replies that are taken later than this need a look."""
        self.phase_end = NEVER
        self.stage_end = NEVER
        """It sends no longer than until then, whatever the run does."""
        self.is_measuring = False
        self.is_refused = False
        """The last request did not get a connection."""
        self.contact = Contact()
        self.iterations = Iterations(rotation, planned)
        self._state = state
        self.slow = state.slow
        self._hand_over = hand_over
        self._by_arrival = by_arrival
        self._second = self._phase = 0

    def begin_measuring(self) -> None:
        """Forget the warm-up."""
        for row in self.rows:
            row.clear()
            self._connect_sink(row)
        self.slow.begin()
        self.is_measuring = True
        self.phase_end = self._end_of_phase()

    def add_row(self, row: RowRecorder) -> None:
        """Hand over another row, too: of what a journey requests, or a redirect leads to."""
        self.rows.append(row)
        if self.is_measuring:
            self._connect_sink(row)

    def _connect_sink(self, row: RowRecorder) -> None:
        row.sink = self._state.samples if row.kind == REQUEST else None

    def begin_journey(self, row: RowRecorder) -> None:
        """A journey begins, which is counted in this row."""
        self.current = row
        self.is_refused = False

    # -- time

    @property
    def end(self) -> int:
        """When this stage is over."""
        state = self._state
        return min(state.stop_at, self.stage_end if self.is_measuring else state.measured_from)

    def check_now(self) -> None:
        """The run is stopped: look at that with the next reply."""
        self.check_at = 0

    def cross(self, instant: int) -> bool:
        """A second has passed, the warm-up, or all of it; True if this stage is over."""
        following = self.end
        if self.is_measuring:
            self.hand_over()
            start = self._state.measured_from
            self._second = second_of(instant, start)
            following = min(following, start + (self._second + 1) * SECOND)
            if instant < self.phase_end:
                following = min(following, self.phase_end)
        return instant >= self._look_up_at(following)

    def _look_up_at(self, following: int) -> int:
        """Look up at this instant again, or at the end of the stage, which is returned."""
        end = self.end
        self.check_at = min(following, end)
        # the flag is set before `check_now` is called, whose instant may be overwritten here: so the flag is read last
        if self._state.is_stopped:
            self.check_at = 0
        return end

    def enter_phase(self, instant: int) -> None:
        """What is due from this instant on belongs to the phase that it lies in."""
        ends = self._state.phase_ends
        if not ends:
            return
        self.hand_over()
        while self._phase < len(ends) - 1 and instant - self._state.measured_from >= ends[self._phase]:
            self._phase += 1
        self.phase_end = self._end_of_phase()
        self._look_up_at(min(self.check_at, self.phase_end))

    def follow_phase(self, instant: int) -> None:
        """The same where phases change by the clock, if one has passed."""
        if instant >= self.phase_end and not self._by_arrival:
            self.enter_phase(instant)

    def _end_of_phase(self) -> int:
        ends = self._state.phase_ends
        return self._state.measured_from + ends[self._phase] if self._phase < len(ends) - 1 else NEVER

    def is_over(self, instant: int) -> bool:
        """True if a journey ends at this instant: at the stop, but not with the warm-up or a phase."""
        state = self._state
        return state.cutting or (instant >= state.stop_at and not state.finishing)

    # -- counting

    def count(self, bound: BoundRequest, due: int, exchange: Exchange) -> bool:
        """Count what was not ordinary: it crossed a second, failed, is to be checked, needed a new connection.

        True if it is time to stop.
        """
        taken, note = exchange[3], exchange[5]
        crossing = taken >= self.check_at
        is_over = crossing and self.cross(taken)
        failure = note.failure if note else None
        if note and note.connects:
            bound.row.counts.connected(note)
        if note and note.is_prepared and not self._by_arrival:
            # its set-up came before it, and is in no figure
            due = exchange[1]
        if self._is_cut(failure):
            bound.row.counts.cut += 1
            return True
        if failure is None:
            failure = self._judged(bound, exchange[0])
        is_kept = exchange[0] >= ERRORS or (exchange[0] and bound.check)
        request = bound.filled() if bound.filled else bound.request
        self._write(bound.row, due, exchange, failure, request, bound.failed_reply if is_kept else None)
        if not bound.is_journey:
            self.is_refused = is_refusal(failure)
            self.contact.ended(failure)
        if crossing:
            self._hand_over_slow(exchange)
            self.follow_phase(taken)
        return is_over

    def count_within(
        self,
        row: RowRecorder,
        due: int,
        exchange: Exchange,
        failure: Failure | None,
        request: Requested | None = None,
        reply: Callable[[], FailedReply | None] | None = None,
    ) -> bool:
        """Count one exchange or span within a journey; True if it is time to stop.

        `request` is what was sent, where that is known, and `reply` returns what is shown of the reply if it failed.
        """
        taken, note = exchange[3], exchange[5]
        crossing = taken >= self.check_at
        if crossing:
            self.cross(taken)
            self.follow_phase(due)
        if note and note.connects:
            row.counts.connected(note)
        if self._is_cut(failure):
            row.counts.cut += 1
        else:
            self._write(row, due, exchange, failure, request, reply)
            if row.kind == REQUEST:
                self.contact.ended(failure)
        if row.kind == REQUEST:
            self.is_refused = is_refusal(failure)
        if crossing:
            self._hand_over_slow(exchange)
            self.follow_phase(taken)
        return self.is_over(taken)

    def _is_cut(self, failure: Failure | None) -> bool:
        return failure is CUT or (failure is not None and self._state.cutting)

    def _judged(self, bound: BoundRequest, status: int) -> Failure | None:
        if status not in bound.good:
            return unexpected(status, bound.good)
        if bound.check is None or bound.reply is None:
            return None
        before, self.current = self.current, bound.row
        failure = failure_of_check(bound.check, bound.reply)
        self.current = before
        return failure

    def _write(
        self,
        row: RowRecorder,
        due: int,
        exchange: Exchange,
        failure: Failure | None,
        request: Requested | None,
        reply: Callable[[], FailedReply | None] | None,
    ) -> None:
        status, sent, arrived, taken, size, note = exchange
        if failure is None:
            if note and note.first_byte:
                row.first_bytes.append(note.first_byte)
            row.samples += (due, sent, arrived, taken, status, size)
            if arrived > self._state.stop_at:
                row.counts.drained += 1
            if request and self.is_measuring and self.slow.offer(arrived - due):
                row.note_slow(arrived - due, due, arrived - sent, status, request)
        else:
            row.counts.fail(failure, at=taken, span=taken - due, status=status, size=size, reply=reply)
            row.counts.bytes_sent += row.request_size if sent else 0
            if row.sink:
                row.sink.put_failed(row.label, FailedSample(due, sent, taken, status, size, failure.kind))

    # -- handing over

    def _hand_over_slow(self, exchange: Exchange) -> None:
        """Hand over at once what took long, for the next one may, too, and nobody would know of this one until then."""
        if self.is_measuring and exchange[3] - exchange[1] > SECOND:
            self.hand_over()

    def pending(self) -> Iterator[Pending]:
        """What was taken and not handed over; another thread may ask."""
        for row in list(self.rows) if self.is_measuring else ():
            if count := row.ended:
                yield row.kind, row.label, self._second, count

    def batches(self) -> list[Batch]:
        """What was written in the second that has passed; it is no longer here."""
        self.iterations.count_ended()
        return [batch for row in self.rows if (batch := row.hand_over(self._second, self._phase))]

    def hand_over(self) -> None:
        """Hand over what was written in the second that has passed."""
        for batch in self.batches():
            self._hand_over(batch)

    def finish(self, connected: Sequence[Batch] = ()) -> None:
        """It has ended: hand over the rest, what it did not come to, and what it took to connect before the warm-up."""
        self.hand_over()
        self.iterations.count_unsent()
        self.hand_over()
        for batch in connected:
            self._hand_over(batch)
