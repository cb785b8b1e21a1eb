"""Runs the journeys of one thread: sets them up, runs each as often as it is told to, and tears them down."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from loadkit.drive.failures import CUT, Interrupted, Stopped, failure_of_journey
from loadkit.drive.journeys.fixtures import Fixtures
from loadkit.drive.journeys.observer import JourneyObserver
from loadkit.drive.journeys.session import AsyncSession, JourneySession
from loadkit.measure.timer import KEEPER
from loadkit.plan.errors import Halt, SetupError
from loadkit.plan.journey import Journey
from loadkit.plan.units import MILLISECOND, SECOND
from loadkit.wire.base import Exchange, Failure, Note

if TYPE_CHECKING:
    import asyncio

    from loadkit.drive.pauses import Pauses
    from loadkit.drive.recorder import Recorder
    from loadkit.measure.recording import RowRecorder
    from loadkit.plan.data import Row
    from loadkit.plan.scenario import Scenario
    from loadkit.wire.base import Clock
    from loadkit.wire.resolver import Resolver

NAP: Final = 100 * MILLISECOND
"""How long a task may sleep before it asks whether the run goes on."""

Result = TypeVar("Result")

RunJourney: TypeAlias = Callable[[None], Exchange]
"""What runs a journey once; in the place of a `Send`, and of no single request."""

RunTask: TypeAlias = Callable[[None], Coroutine[Any, Any, Exchange]]
"""The same on an event loop."""


class JourneyRunner:
    """One thread's journeys; only `abort` and `halt` may be called by another thread."""

    def __init__(
        self, scenario: Scenario, clock: Clock, resolver: Resolver, shared: object, recorder: Recorder, pauses: Pauses
    ) -> None:
        self._http = JourneySession(scenario, clock, resolver, self._rest)
        self._async_http = AsyncSession(scenario, self._rest_task)
        self.observer = JourneyObserver(self._http, recorder, clock.now)
        self._http.observe = self.observer.observe
        self._fixtures = Fixtures(self._http, self._async_http, self._complete)
        self._clock = clock
        self._recorder = recorder
        self._pauses = pauses
        self._shared = shared
        self._journeys: list[Journey] = []
        self._own: dict[str, object] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._muted_unstamped = 0
        self._is_aborted = self._is_closed = False
        self.faults: list[str] = []
        """Why tear-downs failed."""

    # -- around the journeys

    def set_up(self) -> None:
        """Run what sets up the journeys; its requests are in no figure. Raises `SetupError` when it fails."""
        self.observer.belong_here()
        with self._muted():
            for journey in self._journeys:
                self._set_up(journey)

    def _set_up(self, journey: Journey) -> None:
        try:
            if journey.setup is not None:
                self._own[journey.label] = self._fixtures.set_up(journey.setup, {"shared": self._shared})
        except BaseException as error:
            message = failure_of_journey(error).message
            raise SetupError(f"the setup of {journey.label} failed: {message}", error) from error
        if journey.teardown is not None:
            own = self._own.get(journey.label)
            self._fixtures.add_teardown(journey.teardown, {"shared": self._shared, "own": own})

    def close(self) -> None:
        """Run what tears down, and close; once."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self._http.revive()
            with self._muted():
                self._fixtures.close()
        except BaseException as error:  # noqa: BLE001 - it is the user's
            self.faults.append(f"a teardown failed: {failure_of_journey(error).message}")
        finally:
            self._http.close()
            loop, self._loop = self._loop, None
            if loop:
                _end(loop)

    @contextmanager
    def _muted(self) -> Iterator[None]:
        unstamped = self._http.unstamped
        try:
            with self.observer.muted():
                yield
        finally:
            self._muted_unstamped += self._http.unstamped - unstamped

    @property
    def unstamped(self) -> int:
        """Replies in its journeys whose arrival the kernel did not stamp."""
        return self._http.unstamped - self._muted_unstamped

    def halt(self) -> None:
        """Let no request or pause begin any more."""
        self._http.halt(Stopped)

    def abort(self) -> None:
        """End the request under way in another thread, and all later ones."""
        self._is_aborted = self.observer.is_ending = True
        self._http.abort()
        if loop := self._loop:
            # it may be closed already, which is what we want
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._cancel_all)

    def _cancel_all(self) -> None:
        # a loop that is being ended has cancelled all, and what runs on it is its end
        if self._loop:
            _cancel_all(self._loop)

    # -- journeys

    def add(self, journey: Journey, row: RowRecorder, take_row: Callable[[], Row] | None = None) -> RunJourney:
        """What runs a journey once, and returns an exchange with status 0; it is counted in this row."""
        if journey.is_async:
            run_task = self.add_task(journey, row, take_row)
            return lambda _: self.until_complete(run_task(None))
        self._journeys.append(journey)
        wanted, run, http, now = journey.wanted, journey.run, self._http, self._clock.now

        def send(_: None) -> Exchange:
            KEEPER.set(self.observer)
            self._recorder.begin_journey(row)
            began = now()
            note = None
            try:
                made = run(http, **self._arguments(journey, take_row)) if wanted else run(http)
                if made is not None:
                    _check_made(made, journey)
            except BaseException as error:  # noqa: BLE001 - whatever it is, it ends this journey and not the thread
                note = Note(self._failure(error))
            return self._exchange(began, note)

        return send

    def add_task(self, journey: Journey, row: RowRecorder, take_row: Callable[[], Row] | None = None) -> RunTask:
        """What runs an `async def` once, on this thread's event loop."""
        self._journeys.append(journey)
        run, now = journey.run, self._clock.now

        async def run_task(_: None) -> Exchange:
            KEEPER.set(self.observer)
            self._recorder.begin_journey(row)
            began = now()
            note = None
            try:
                await run(self._async_http, **self._arguments(journey, take_row))
            except BaseException as error:  # noqa: BLE001 - whatever it is, it ends this journey and not the thread
                note = Note(self._failure(error))
            return self._exchange(began, note)

        return run_task

    def _exchange(self, began: int, note: Note | None) -> Exchange:
        ended = self._clock.now()
        self.observer.count_spans()
        return 0, began, ended, ended, 0, note

    def _arguments(self, journey: Journey, take_row: Callable[[], Row] | None) -> dict[str, object]:
        given: dict[str, object] = {"shared": self._shared, "own": self._own.get(journey.label)}
        if take_row:
            given["row"] = take_row()
        return {name: given[name] for name in journey.wanted}

    def _failure(self, error: BaseException) -> Failure:
        if isinstance(error, Halt):
            raise error
        if self.observer.is_end(error):
            return CUT
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted from error
        return failure_of_journey(error)

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

        until = self._clock.now() + span
        self._pauses.count += 1
        try:
            # it is another thread that ends the run, and it sets no event of a loop that may be closed
            while (left := until - self._clock.now()) > 0 and not self._http.halted:  # noqa: ASYNC110
                await asyncio.sleep(min(left, NAP) / SECOND)
        finally:
            self._pauses.count -= 1
        if self._http.halted:
            raise Stopped

    # -- the event loop

    def _complete(self, work: Coroutine[Any, Any, Result]) -> Result:
        if self._loop is None:
            import asyncio

            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(work)

    def until_complete(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run work on this thread's event loop."""
        try:
            return self._complete(work)
        except KeyboardInterrupt as error:
            # of a task that a journey started
            raise Interrupted from error


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    import asyncio

    for task in asyncio.all_tasks(loop):
        task.cancel()


def _end(loop: asyncio.AbstractEventLoop) -> None:
    """Close a loop as `asyncio.run` does."""
    import asyncio

    try:
        _cancel_all(loop)
        left = asyncio.all_tasks(loop)
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


def _check_made(made: object, journey: Journey) -> None:
    """Refuse what a journey returns if it is a coroutine or generator, which nobody runs: nothing has happened then."""
    if inspect.iscoroutine(made) or inspect.isgenerator(made) or inspect.isasyncgen(made):
        if not inspect.isasyncgen(made):
            made.close()
        raise TypeError(
            f"{journey.label} returned a {type(made).__name__}, and nobody runs that; "
            "write it as a plain function or an async def"
        )
