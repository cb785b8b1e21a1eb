"""Runs the journeys of one thread: sets them up, runs each as often as it is told to, and tears them down."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from loadkit.drive.failures import failure_of_journey
from loadkit.drive.journeys.context import JourneyContext
from loadkit.drive.journeys.event_loop import EventLoop
from loadkit.drive.journeys.fixtures import Fixtures
from loadkit.drive.journeys.prepared import PreparedJourney
from loadkit.drive.rows.values import by_name, check_filled
from loadkit.plan.errors import SetupError
from loadkit.plan.journey import Journey
from loadkit.plan.placeholders import filled_headers, header_columns
from loadkit.wire.base import Exchange, Note

if TYPE_CHECKING:
    from loadkit.measure.recording import RowRecorder
    from loadkit.plan.data import Row
    from loadkit.plan.scenario import Scenario

Result = TypeVar("Result")

RunJourney: TypeAlias = Callable[[None], Exchange]
"""What runs a journey once; in the place of a `Send`, and of no single request."""

RunTask: TypeAlias = Callable[[None], Coroutine[Any, Any, Exchange]]
"""The same on an event loop."""


class JourneyRunner:
    """One thread's journeys; only `abort` and `halt` may be called by another thread."""

    def __init__(self, context: JourneyContext, scenario: Scenario, take_row: Callable[[], Row] | None = None) -> None:
        """`take_row` takes the row of this thread."""
        self.observer = context.observer
        self._context = context
        self._loop = EventLoop()
        self._fixtures = Fixtures(context.http, context.async_http, self._loop.complete)
        self._scenario = scenario
        self._take_row = take_row
        self._journeys: list[tuple[Journey, Callable[[], Row] | None]] = []
        self.values: Mapping[str, Any] = {}
        """What set-ups have made for the placeholders of this thread's requests, by name."""
        self._is_closed = False
        self._seen_waiting: tuple[object, int] = None, 0
        self.faults: list[str] = []
        """Why tear-downs failed."""

    # -- around the journeys

    def set_up(self) -> None:
        """Run what sets up the journeys; its requests are in no figure. Raises `SetupError` when it fails."""
        self.observer.belong_here()
        with self._context.muted():
            self._set_up_thread()
            for journey, take_row in self._journeys:
                self._set_up(journey, take_row)

    def _set_up_thread(self) -> None:
        context, scenario = self._context, self._scenario
        try:
            row = self._take_row() if self._take_row else {}
            if scenario.thread_setup is not None:
                given = {"shared": context.shared, "row": row}
                context.of_thread = self._fixtures.set_up(scenario.thread_setup, given)
        except BaseException as error:
            raise SetupError(f"the thread_setup failed: {failure_of_journey(error).message}", error) from error
        self.values = {**by_name(context.shared), **row, **by_name(context.of_thread)}
        if scenario.has_values:
            check_filled(header_columns(scenario.headers), self.values, what="the headers of the scenario")
            headers = filled_headers(scenario.headers, self.values)
            context.http.headers.update(headers)
            context.async_http.headers.update(headers)

    def _set_up(self, journey: Journey, take_row: Callable[[], Row] | None) -> None:
        shared, own = self._context.shared, self._context.own
        try:
            if journey.setup is not None:
                given = {"shared": shared}
                if take_row and journey.sets_up_with_row:
                    given["row"] = take_row()
                own[journey.label] = self._fixtures.set_up(journey.setup, given)
        except BaseException as error:
            message = failure_of_journey(error).message
            raise SetupError(f"the setup of {journey.label} failed: {message}", error) from error
        if journey.teardown is not None:
            given = {"shared": shared, "own": own.get(journey.label)}
            self._fixtures.add_teardown(journey.teardown, given)

    def close(self) -> None:
        """Run what tears down, and close; once."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            with self._context.tearing_down():
                self._fixtures.close()
        except BaseException as error:  # noqa: BLE001 - it is the user's
            self.faults.append(f"a teardown failed: {failure_of_journey(error).message}")
        finally:
            self._context.http.close()
            self._loop.close()

    @property
    def unstamped(self) -> int:
        """Replies in its journeys whose arrival the kernel did not stamp."""
        return self._context.unstamped

    def waiting_since(self, now: int) -> int | None:
        """Since when its session is known to wait for a reply: since an earlier look, if it has had none meanwhile."""
        before, since = self._seen_waiting
        exchange = None if self.observer.is_muted else self._context.http.exchange
        self._seen_waiting = exchange, since if exchange == before else now
        return None if exchange is None else self._seen_waiting[1]

    def halt(self) -> None:
        """Let no request or pause begin any more."""
        self._context.halt()

    def abort(self) -> None:
        """End the request under way in another thread, and all later ones."""
        self._context.abort()
        self._loop.cancel_all()

    def until_complete(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run work on this thread's event loop."""
        return self._loop.complete_journey(work)

    # -- journeys

    def add(self, journey: Journey, row: RowRecorder, take_row: Callable[[], Row] | None = None) -> RunJourney:
        """What runs a journey once, and returns an exchange with status 0; it is counted in this row."""
        if journey.is_async:
            run_task = self.add_task(journey, row, take_row)
            return lambda _: self.until_complete(run_task(None))
        take_row = self._registered(journey, take_row)
        context, wanted, run = self._context, journey.wanted, journey.run
        http, now = context.http, context.now

        def send(_: None) -> Exchange:
            context.begin(row)
            began = now()
            note = None
            try:
                made = run(http, **self._wanted(journey, take_row)) if wanted else run(http)
                if made is not None:
                    _check_made(made, journey)
            except BaseException as error:  # noqa: BLE001 - whatever it is, it ends this journey and not the thread
                note = Note(context.failure(error))
            return self._exchange(began, note)

        return send

    def add_prepared(
        self, journey: Journey, row: RowRecorder, take_row: Callable[[], Row] | None = None
    ) -> PreparedJourney:
        """The same of a journey with a fixture."""
        return PreparedJourney(self._context, self._loop, journey, row, self._registered(journey, take_row))

    def add_task(self, journey: Journey, row: RowRecorder, take_row: Callable[[], Row] | None = None) -> RunTask:
        """What runs an `async def` once, on this thread's event loop."""
        if journey.fixture is not None:
            return self.add_prepared(journey, row, take_row).run_task
        take_row = self._registered(journey, take_row)
        context, run = self._context, journey.run

        async def run_task(_: None) -> Exchange:
            context.begin(row)
            began = context.now()
            note = None
            try:
                await run(context.async_http, **self._wanted(journey, take_row))
            except BaseException as error:  # noqa: BLE001 - whatever it is, it ends this journey and not the thread
                note = Note(context.failure(error))
            return self._exchange(began, note)

        return run_task

    def _registered(self, journey: Journey, take_row: Callable[[], Row] | None) -> Callable[[], Row] | None:
        """Have it set up; what takes a row for each of its calls."""
        self._journeys.append((journey, take_row))
        return take_row if journey.takes_rows else None

    def _exchange(self, began: int, note: Note | None) -> Exchange:
        ended = self._context.now()
        self.observer.count_spans()
        return 0, began, ended, ended, 0, note

    def _wanted(self, journey: Journey, take_row: Callable[[], Row] | None) -> dict[str, object]:
        given = self._context.given(journey, take_row)
        return {name: given[name] for name in journey.wanted}


def _check_made(made: object, journey: Journey) -> None:
    """Refuse what a journey returns if it is a coroutine or generator, which nobody runs: nothing has happened then."""
    if inspect.iscoroutine(made) or inspect.isgenerator(made) or inspect.isasyncgen(made):
        if not inspect.isasyncgen(made):
            made.close()
        raise TypeError(
            f"{journey.label} returned a {type(made).__name__}, and nobody runs that; "
            "write it as a plain function or an async def"
        )
