"""Journeys with a fixture: it is made before each call and torn down after it, and neither is in a figure."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from loadkit.drive.failures import CUT
from loadkit.measure.timer import KEEPER
from loadkit.plan.journey import begun, begun_async, call, ended, ended_async
from loadkit.wire.base import Exchange, Failure, Note

if TYPE_CHECKING:
    from loadkit.drive.journeys.context import JourneyContext
    from loadkit.drive.journeys.event_loop import EventLoop
    from loadkit.measure.recording import RowRecorder
    from loadkit.plan.data import Row
    from loadkit.plan.journey import Journey

SETUP: Final = "setup"
TEARDOWN: Final = "teardown"
"""What failures of a fixture are counted as."""


@dataclass(slots=True)
class PreparedCall:
    """One call of a journey, from the set-up of its fixture to the tear-down."""

    given: dict[str, Any]
    at_yield: Any = ()
    """The generator of the fixture, where what it has made is in use."""
    began: int = 0
    ended: int = 0
    failures: list[Failure] = field(default_factory=list)

    @property
    def exchange(self) -> Exchange:
        """What is counted: the first failure, and the time of the call alone."""
        note = Note(self.failures[0] if self.failures else None, is_prepared=True)
        return 0, self.began, self.ended, self.ended, 0, note


class PreparedJourney:
    """Calls a journey on one thread, one call after the other."""

    def __init__(
        self,
        context: JourneyContext,
        loop: EventLoop,
        journey: Journey,
        row: RowRecorder,
        take_row: Callable[[], Row] | None,
    ) -> None:
        assert journey.fixture
        self._context = context
        self._loop = loop
        self._journey = journey
        self._fixture = journey.fixture
        self._row = row
        self._take_row = take_row
        self._next: PreparedCall | None = None

    def prepare(self) -> None:
        """Set up the next call, so that it can begin the instant it is due."""
        if self._journey.is_async:
            self._next = self._loop.complete_journey(self._set_up_async())
        else:
            self._next = self._set_up()

    def discard(self) -> None:
        """Tear down what was set up for a call that is not made."""
        done, self._next = self._next, None
        if done and self._journey.is_async:
            self._loop.complete_journey(self._tear_down_async(done))
        elif done:
            self._tear_down(done)

    def send(self, _: None) -> Exchange:
        """Call the journey once."""
        if self._next is None:
            self.prepare()
        done, self._next = self._next, None
        assert done
        if self._journey.is_async:
            return self._loop.complete_journey(self._call_async(done))
        run, http = self._journey.run, self._context.http
        self._begin(done)
        if not done.failures:
            try:
                run(http, **self._wanted(done))
            except BaseException as error:  # noqa: BLE001 - whatever it is, it ends this call and not the thread
                done.failures.append(self._context.failure(error))
        self._end(done)
        self._tear_down(done)
        return done.exchange

    async def run_task(self, _: None) -> Exchange:
        """The same in one of several tasks of an event loop."""
        return await self._call_async(await self._set_up_async())

    async def _call_async(self, done: PreparedCall) -> Exchange:
        self._begin(done)
        if not done.failures:
            try:
                await self._journey.run(self._context.async_http, **self._wanted(done))
            except BaseException as error:  # noqa: BLE001 - the same
                done.failures.append(self._context.failure(error))
        self._end(done)
        await self._tear_down_async(done)
        return done.exchange

    def _begin(self, done: PreparedCall) -> None:
        if self._context.is_over and not done.failures:
            # the run was over before the set-up was
            done.failures.append(CUT)
        self._context.begin(self._row)
        done.began = self._context.now()

    def _end(self, done: PreparedCall) -> None:
        done.ended = self._context.now()
        self._context.observer.count_spans()

    def _wanted(self, done: PreparedCall) -> dict[str, Any]:
        return {name: done.given[name] for name in self._journey.wanted}

    # -- the fixture

    def _set_up(self) -> PreparedCall:
        done = PreparedCall(self._context.given(self._journey, self._take_row))
        began = self._context.now()
        with self._context.muted():
            try:
                done.at_yield = call(self._fixture, done.given, http=self._context.http)
                done.given["fixture"] = begun(done.at_yield)
            except BaseException as error:  # noqa: BLE001 - the same
                self._failed(done, SETUP, error)
        self._count_fixture(done, SETUP, began)
        return done

    async def _set_up_async(self) -> PreparedCall:
        if not inspect.isasyncgenfunction(self._fixture):
            return self._set_up()
        done = PreparedCall(self._context.given(self._journey, self._take_row))
        began = self._context.now()
        try:
            # other tasks go on meanwhile, and are counted, so that the observer is not muted
            KEEPER.set(None)
            done.at_yield = call(self._fixture, done.given, http=self._context.async_http)
            done.given["fixture"] = await begun_async(done.at_yield)
        except BaseException as error:  # noqa: BLE001 - the same
            self._failed(done, SETUP, error)
        self._count_fixture(done, SETUP, began)
        return done

    def _tear_down(self, done: PreparedCall) -> None:
        began = self._context.now()
        with self._context.tearing_down():
            try:
                ended(done.at_yield)
            except BaseException as error:  # noqa: BLE001 - the same
                self._failed(done, TEARDOWN, error)
        self._count_fixture(done, TEARDOWN, began)

    async def _tear_down_async(self, done: PreparedCall) -> None:
        if not inspect.isasyncgenfunction(self._fixture):
            self._tear_down(done)
            return
        began = self._context.now()
        KEEPER.set(None)
        try:
            await ended_async(done.at_yield)
        except BaseException as error:  # noqa: BLE001 - the same
            self._failed(done, TEARDOWN, error)
        self._count_fixture(done, TEARDOWN, began)

    def _count_fixture(self, done: PreparedCall, kind: str, began: int) -> None:
        if self._journey.times_fixture and not (kind == TEARDOWN and SETUP in [one.kind for one in done.failures]):
            failure = next((one for one in done.failures if one is CUT or one.kind == kind), None)
            self._context.observer.count_span(f"{self._journey.label} {kind}", began, failure)

    def _failed(self, done: PreparedCall, kind: str, error: BaseException) -> None:
        found = self._context.failure(error)
        done.failures.append(found if found is CUT else Failure(kind, found.message))
