"""One virtual user: a thread with its connections and journeys, which sends requests in a loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from loadkit.drive.state import NEVER
from loadkit.measure.recording import REQUEST
from loadkit.plan.errors import Halt

if TYPE_CHECKING:
    from loadkit.drive.journeys.runner import JourneyRunner
    from loadkit.drive.outstanding import Waiting
    from loadkit.drive.pauses import Pauses
    from loadkit.drive.recorder import Recorder
    from loadkit.drive.state import RunState
    from loadkit.drive.stats import Active
    from loadkit.measure.recording import Batch, RowRecorder
    from loadkit.wire.base import Clock
    from loadkit.wire.protocols import Connection


class User:
    """One virtual user; `prepare` and `run` are called by its thread, the rest by the director's.

    `loop` sends its requests: it warms up, measures, and returns at the stop; None where others do. `connections` come
    each with the row of the first endpoint that uses it. `fill` puts what was set up into its requests. `under_way` is
    how many requests or journeys it has begun, until the loop says.
    """

    def __init__(
        self,
        loop: Callable[[User], None] | None,
        *,
        clock: Clock,
        state: RunState,
        recorder: Recorder,
        pauses: Pauses,
        connections: Sequence[tuple[Connection, RowRecorder]],
        runner: JourneyRunner | None = None,
        fill: Callable[[], None] | None = None,
        connects_late: bool = False,
        under_way: int = 1,
    ) -> None:
        self.clock = clock
        self.state = state
        self.recorder = recorder
        self.pauses = pauses
        self.active = ActiveSpans()
        self.under_way = under_way
        self.ready = False
        """It has connected, or has tried to."""
        self.ended = 0
        """When its last reply was in."""
        self.has_run = False
        """It has begun to, and closes its connections itself."""
        self.crash: BaseException | None = None
        self._loop = loop
        self._connections = connections
        self._runner = runner
        self._fill = fill
        self._connects_late = connects_late

    def prepare(self) -> None:
        """Connect, before the first request is due; one that begins later connects when it does."""
        if not self._connects_late:
            self.connect()

    def connect(self) -> None:
        """Connect and set up journeys; the first request meets again what fails here, but for a `SetupError`."""
        for connection, row in self._connections:
            note = connection.open()
            row.counts.connected(note)
            self.recorder.contact.opened(note)
        if self._runner:
            self._runner.set_up()
        if self._fill:
            self._fill()
        self.ready = True

    def run(self) -> None:
        """Warm up, measure, stop, hand over the rest."""
        assert self._loop, "a user whose thread this is"
        connected = self.begin()
        try:
            self._loop(self)
        except Halt as halt:
            self.state.halt_at(self.clock.now(), halt)
        finally:
            self.end(connected)

    def begin(self) -> Sequence[Batch]:
        """It sends from now on; what it took to connect, which the warm-up's end would forget."""
        self.has_run = True
        return self.recorder.batches()

    def end(self, connected: Sequence[Batch] = ()) -> None:
        """It sends no more: hand over the rest, and what it took to connect."""
        self.ended = self.clock.now()
        self.recorder.finish(connected)
        self.leave()

    def leave(self) -> None:
        """Close what was opened."""
        for connection, _ in self._connections:
            connection.close()
        if self._runner:
            self._runner.close()

    def stop(self) -> None:
        """The run is stopped: look at that."""
        self.recorder.check_now()
        if self._runner and not self.state.finishing:
            self._runner.halt()

    def abort(self) -> None:
        """End what is under way on its connections."""
        for connection, _ in self._connections:
            connection.abort()
        if self._runner:
            self._runner.abort()

    def abandon(self) -> None:
        """Its thread does not end: count the request it is in as cut, and take what it has written."""
        if self.has_run and not self.ended:
            self.active.abandon(self.clock.now())
            self.recorder.current.counts.cut += self.under_way
        self.recorder.finish()

    def waiting(self, now: int) -> Iterator[Waiting]:
        """What it has under way, and since when, in a run that a monitor looks at; it may have begun earlier."""
        if self.recorder.is_measuring and self.in_flight:
            for kind, (label, since) in self.recorder.contact.waiting.copy().items():
                yield kind, label, since
            if self._runner and (seen := self._runner.waiting_since(now)):
                yield REQUEST, "", seen

    @property
    def in_flight(self) -> int:
        """How many requests or journeys are under way and do not pause."""
        return max(0, self.under_way - self.pauses.resting) if self.ready and not self.ended else 0

    @property
    def unstamped(self) -> int:
        """Replies whose arrival the kernel did not stamp."""
        own = sum(connection.unstamped for connection, _ in self._connections)
        return own + (self._runner.unstamped if self._runner else 0)

    @property
    def faults(self) -> list[str]:
        """Why tear-downs of its journeys failed."""
        return self._runner.faults if self._runner else []

    @property
    def requested(self) -> set[tuple[str, str]]:
        """Its journeys, each with the label of a request that was seen within it."""
        return self._runner.observer.requested if self._runner else set()


class ActiveSpans:
    """Notes when a thread comes, what it sends, and when it goes; times are nanoseconds of the monotonic clock."""

    __slots__ = ("_came", "first_sent", "last_taken", "spans")

    def __init__(self) -> None:
        self.spans: list[Active] = []
        self._came = NEVER
        self.first_sent = 0
        """Since it came; 0 until it has sent something."""
        self.last_taken = 0
        """The same of its last reply."""

    def come(self, instant: int) -> None:
        """It is wanted from now on."""
        self._came, self.first_sent, self.last_taken = instant, 0, 0

    def saw(self, sent: int, taken: int) -> None:
        """It was active from this sending, or before it, until this reply."""
        self.first_sent = self.first_sent or sent or taken
        self.last_taken = taken

    def go(self) -> None:
        """It is not wanted any more: keep when it was active, if it sent anything."""
        if self.first_sent:
            self.spans.append((self._came, self.first_sent, self.last_taken))
        self._came = NEVER

    def abandon(self, now: int) -> None:
        """It is held by code of others, and counts as active until now."""
        if self._came < now:
            self.first_sent, self.last_taken = self.first_sent or self._came, now
            self.go()
