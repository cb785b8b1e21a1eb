"""What the journeys of one thread run in: their sessions, what is counted, what they are given, how they end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from loadkit.drive.failures import CUT, Interrupted, Stopped, failure_of_journey
from loadkit.drive.journeys.observer import JourneyObserver
from loadkit.drive.journeys.session import AsyncSession, JourneySession
from loadkit.measure.timer import KEEPER
from loadkit.plan.errors import Halt
from loadkit.plan.units import MILLISECOND, SECOND

if TYPE_CHECKING:
    from loadkit.drive.pauses import Pauses
    from loadkit.drive.recorder import Recorder
    from loadkit.measure.recording import RowRecorder
    from loadkit.plan.data import Row
    from loadkit.plan.journey import Journey
    from loadkit.plan.scenario import Scenario
    from loadkit.wire.base import Clock, Exchange, Failure, Seen
    from loadkit.wire.exchange_log import ExchangeLog
    from loadkit.wire.resolver import Resolver
    from loadkit.wire.session.call import Asked, Inspector

NAP: Final = 100 * MILLISECOND
"""How long a task may sleep before it asks whether the run goes on."""


class JourneyContext:
    """Of one thread; only `abort` and `halt` may be called by another one."""

    def __init__(
        self,
        scenario: Scenario,
        clock: Clock,
        resolver: Resolver,
        shared: object,
        recorder: Recorder,
        pauses: Pauses,
        log: ExchangeLog | None = None,
    ) -> None:
        self.http = JourneySession(scenario, clock, resolver, self._rest)
        self.async_http = AsyncSession(scenario, self._rest_task)
        self.observer = JourneyObserver(self.http, recorder, clock.now)
        self.http.inspect(_logged(self.observer.observe, log) if log else self.observer.observe)
        self.now = clock.now
        self.own: dict[str, object] = {}
        """What the set-up of each journey made, by its label."""
        self.shared = shared
        self.of_thread: object = None
        """What the scenario's set-up of this thread made."""
        self._clock = clock
        self._recorder = recorder
        self._pauses = pauses
        self._muted_unstamped = 0
        self._is_aborted = self._is_halted = self._is_tearing_down = False

    # -- a call

    def begin(self, row: RowRecorder) -> None:
        """A journey of this thread begins, which is counted in this row."""
        KEEPER.set(self.observer)
        self._recorder.begin_journey(row)
        self.observer.begin_journey(row.label)

    def given(self, journey: Journey, take_row: Callable[[], Row] | None) -> dict[str, Any]:
        """What a call of a journey may have, by name; takes the next row where it has a feed."""
        given = {"shared": self.shared, "own": self.own.get(journey.label, self.of_thread)}
        if take_row:
            given["row"] = take_row()
        return given

    def failure(self, error: BaseException) -> Failure:
        """What an exception of the user's is counted as; raises `Halt` where it ends the run."""
        if isinstance(error, Halt):
            raise error
        if self.observer.is_end(error):
            return CUT
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted from error
        return failure_of_journey(error)

    # -- what is in no figure

    @contextmanager
    def muted(self) -> Iterator[None]:
        """Count nothing meanwhile: no request, no time in which the thread would be under way."""
        self._pauses.count += 1
        unstamped = self.http.unstamped
        try:
            with self.observer.muted():
                yield
        finally:
            self._muted_unstamped += self.http.unstamped - unstamped
            self._pauses.count -= 1

    @contextmanager
    def tearing_down(self) -> Iterator[None]:
        """The same, and requests go out although the journeys were stopped or cut."""
        self._is_tearing_down = True
        if self.http.halted:
            self.http.revive()
        try:
            with self.muted():
                yield
        finally:
            self._is_tearing_down = False
            if self._is_halted:
                self.http.halt(Stopped)

    @property
    def unstamped(self) -> int:
        """Replies in its journeys whose arrival the kernel did not stamp."""
        return self.http.unstamped - self._muted_unstamped

    # -- the end

    @property
    def is_over(self) -> bool:
        """True if no journey may begin any more."""
        return self.http.halted or self._recorder.is_over(self.now())

    def halt(self) -> None:
        """Let no request or pause begin any more."""
        self._is_halted = True
        if not self._is_tearing_down:
            self.http.halt(Stopped)

    def abort(self) -> None:
        """End the request under way in another thread, and all later ones."""
        self._is_aborted = self.observer.is_ending = True
        self.http.abort()

    # -- rests

    def _rest(self, span: int) -> None:
        """Rest; raises `Stopped` when the run is over."""
        if self.observer.is_muted:
            self._clock.pause(span, lambda: self._is_aborted)
        elif self._pauses.within_journey(span):
            raise Stopped

    async def _rest_task(self, span: int) -> None:
        """Let other tasks go on meanwhile; raises `Stopped` when the run is over."""
        import asyncio

        until = self.now() + span
        self._pauses.count += 1
        try:
            # it is another thread that ends the run, and it sets no event of a loop that may be closed
            while (left := until - self.now()) > 0 and not self.http.halted:  # noqa: ASYNC110
                await asyncio.sleep(min(left, NAP) / SECOND)
        finally:
            self._pauses.count -= 1
        if self.http.halted:
            raise Stopped


def _logged(observe: Inspector, log: ExchangeLog) -> Inspector:
    def logged(asked: Asked, exchange: Exchange, size: int, seen: Seen) -> None:
        # first, for the observer raises where the run is over
        if log.is_open:
            log.add(asked.method, asked.url, exchange, seen)
        observe(asked, exchange, size, seen)

    return logged
