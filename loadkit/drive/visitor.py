"""What one thread needs for its journeys: a session, a tape for each row, and a way out when time is up."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import loadkit
from loadkit.drive.check import CUT, is_refusal, unexpected
from loadkit.measure.recording import Tape
from loadkit.measure.timer import KEEPER, step
from loadkit.plan.endpoint import GOOD, Expect, statuses
from loadkit.plan.errors import Halt, UsageError
from loadkit.plan.journey import Journey, parameters
from loadkit.plan.label import pattern
from loadkit.plan.units import MILLISECOND, SECOND, Duration, nanoseconds, seconds
from loadkit.wire.base import Exchange, Failure, Note, Sender
from loadkit.wire.session import Session

if TYPE_CHECKING:
    import asyncio

    from loadkit.plan.data import Row
    from loadkit.plan.scenario import Scenario
    from loadkit.wire.adapter import Asked
    from loadkit.wire.base import Carrier, Clock, Request
    from loadkit.wire.lookups import Lookups
    from loadkit.wire.reply import Reply

NAP: Final = 100 * MILLISECOND
"""How long a task may sleep before it asks whether the run goes on."""

MAX_KNOWN: Final = 1000
"""Different URLs of which a thread remembers the row."""

MAX_MESSAGE: Final = 2000

_OURS: Final = str(loadkit.__path__[0])


class Stopped(BaseException):
    """Raised in a journey at its next request or pause when the run is over; no `except Exception` holds it up."""


class Interrupted(Halt):
    """A journey raised KeyboardInterrupt, which ends the run as Ctrl-C does."""

    is_interrupt = True


class Host(Protocol):
    """The thread that a visitor's exchanges are counted by."""

    @property
    def boundary(self) -> int:
        """Replies that are taken later than this need a look."""

    def add(self, tape: Tape) -> None:
        """Hand this tape over with the others."""

    def take(self, tape: Tape, due: int, exchange: Exchange, failure: Failure | None) -> bool:
        """Count one exchange or span; whether it is time to stop."""

    def is_over_after(self, span: int) -> bool:
        """Rest; whether it is time to stop."""


class JourneySession(Session):
    """The session of a journey: a `Session` that can pause and group."""

    def __init__(self, visitor: Visitor, scenario: Scenario, clock: Clock, lookups: Lookups) -> None:
        timeout = scenario.timeout
        super().__init__(base_url=scenario.base_url, deadline=timeout, lookups=lookups, clock=clock)
        self._visitor = visitor
        settle(self, scenario)

    def pause(self, span: Duration) -> None:
        """Think for `span` (seconds, or text such as "500ms"); the end of the run interrupts it."""
        self._visitor.pause(nanoseconds(seconds(span, what="pause")))

    def step(self, name: str) -> AbstractContextManager[object]:
        """Group what is within: `with http.step("checkout"):` has a row of its own."""
        return step(name)

    @contextmanager
    def expecting(self, expect: Expect) -> Iterator[None]:
        """Count other statuses as good: `with http.expecting(404):`; 200 to 399 are without it."""
        before, self._visitor.good = self._visitor.good, statuses(expect)
        try:
            yield
        finally:
            self._visitor.good = before


class AsyncVisit:
    """What an `async def` journey is given as `http`: no client, for the user brings one, but the rest.

    >>> async def buy(http):
    ...     async with aiohttp.ClientSession(http.base_url) as client:
    ...         with timer("GET /items"):
    ...             async with client.get("/items") as reply:
    ...                 assert reply.status == 200
    ...         await http.pause("100ms")
    """

    def __init__(self, visitor: Visitor, base_url: str, headers: dict[str, str]) -> None:
        self._visitor = visitor
        self.base_url = base_url
        self.headers = headers
        """Those of the scenario."""

    async def pause(self, span: Duration) -> None:
        """Think for `span`; the end of the run interrupts it."""
        await self._visitor.rest(nanoseconds(seconds(span, what="pause")))

    def step(self, name: str) -> AbstractContextManager[object]:
        """Group what is within: `with http.step("checkout"):` has a row of its own."""
        return step(name)


def settle(session: Session, scenario: Scenario) -> None:
    """Give a session what a scenario says of all requests."""
    session.headers.update(scenario.headers)
    session.verify = str(scenario.ca) if scenario.ca is not None and scenario.verify else scenario.verify
    cert = scenario.cert
    if cert is not None:
        session.cert = (str(cert[0]), str(cert[1])) if isinstance(cert, tuple) else str(cert)


class Visitor:
    """One thread's journeys; to the thread it is a connection like others (`wire.base.Connection`)."""

    def __init__(self, scenario: Scenario, clock: Clock, lookups: Lookups, shared: object) -> None:
        self.http = JourneySession(self, scenario, clock, lookups)
        self.http.observe = self.observe
        self.unstamped = 0
        self.good = GOOD
        self._visit = AsyncVisit(self, scenario.base_url or "", dict(scenario.headers))
        self._loop: asyncio.AbstractEventLoop | None = None
        self.refused = False
        """The last request did not get a connection."""
        self._base = (scenario.base_url or "").rstrip("/")
        self._clock = clock
        self._given = {"http": self.http, "row": None, "shared": shared, "own": None}
        self._known: dict[Asked, Tape] = {}
        self._tapes: dict[tuple[str, str], Tape] = {}
        self._journeys: dict[str, Journey] = {}
        self._own: dict[str, object] = {}
        self._ends = ExitStack()
        self.faults: list[str] = []
        self._is_muted = False
        self._is_aborted = False
        self.user: Host

    # -- as a connection

    def open(self) -> Note:
        """Run what sets up the journeys; its requests are in no figure. Raises `UsageError` when it fails."""
        with self._muted():
            for journey in self._journeys.values():
                self._set_up(journey)
        return Note()

    def sender(self, request: Request) -> Sender:
        """A visitor sends journeys, and no single request."""
        raise NotImplementedError

    def carrier(self, request: Request) -> Carrier:
        """A visitor sends journeys, and no single request."""
        raise NotImplementedError

    def reply(self) -> Reply:
        """A journey looks at its replies itself."""
        raise NotImplementedError

    def abort(self) -> None:
        """End the request under way in another thread, and all later ones."""
        self._is_aborted = True
        self.http.abort()
        if loop := self._loop:
            # it may be closed already, which is what we want
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_cancel_all, loop)

    def halt(self) -> None:
        """Let no request or pause begin any more."""
        self.http.halt(Stopped())

    def close(self) -> None:
        """Run what tears down, and close."""
        try:
            if not self._is_aborted:
                self.http.halt(None)
                with self._muted():
                    self._ends.close()
        except Exception as error:  # noqa: BLE001 - it is the user's
            self.faults.append(f"a teardown failed: {failure_of(error).message}")
        finally:
            self.http.close()
            if self._loop:
                _end(self._loop)

    # -- journeys

    def journey(self, journey: Journey, take_row: Callable[[], Row] | None = None) -> Sender:
        """What runs a journey once, and tells of it as of an exchange with status 0."""
        self._journeys[journey.label] = journey
        wanted = parameters(journey.run, what=journey.label)[1:]
        run, http, now, given = journey.run, self.http, self._clock.now, self._given
        if journey.is_async:
            visit = self.task(journey, take_row)
            return lambda: self.loop.run_until_complete(visit())

        def send() -> Exchange:
            KEEPER.set(self)
            self.refused = False
            began = now()
            note = None
            try:
                if wanted:
                    given["row"] = take_row() if take_row else None
                    given["own"] = self._own.get(journey.label)
                    run(http, *(given[name] for name in wanted))
                else:
                    run(http)
            except BaseException as error:  # noqa: BLE001 - whatever it is, it ends this journey and not the thread
                note = Note(self._failure(error))
            ended = now()
            return 0, began, ended, ended, 0, note

        return send

    def task(self, journey: Journey, take_row: Callable[[], Row] | None) -> Callable[[], Coroutine[Any, Any, Exchange]]:
        """What runs an `async def` once, on this thread's event loop."""
        wanted = parameters(journey.run, what=journey.label)[1:]
        run, now, shared = journey.run, self._clock.now, self._given["shared"]

        async def visit() -> Exchange:
            KEEPER.set(self)
            began = now()
            note = None
            try:
                row = take_row() if take_row else None
                given = {"row": row, "shared": shared, "own": self._own.get(journey.label)}
                await run(self._visit, *(given[name] for name in wanted))
            except BaseException as error:  # noqa: BLE001 - whatever it is, it ends this journey and not the thread
                note = Note(self._failure(error))
            ended = now()
            return 0, began, ended, ended, 0, note

        return visit

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of this thread, made when it is first asked for."""
        if self._loop is None:
            import asyncio

            self._loop = asyncio.new_event_loop()
        return self._loop

    async def rest(self, span: int) -> None:
        """Let other tasks go on meanwhile; raises `Stopped` when the run is over."""
        import asyncio

        until = self._clock.now() + span
        # it is another thread that ends the run, and it sets no event of a loop that may be closed
        while (left := until - self._clock.now()) > 0 and not self.http.halted:  # noqa: ASYNC110
            await asyncio.sleep(min(left, NAP) / SECOND)
        if self.http.halted:
            raise Stopped

    def _failure(self, error: BaseException) -> Failure:
        if isinstance(error, Stopped):
            return CUT
        if isinstance(error, Halt):
            raise error
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted("a journey raised KeyboardInterrupt") from error
        return CUT if self.http.halted else failure_of(error)

    def _set_up(self, journey: Journey) -> None:
        self._given["own"] = None
        try:
            if journey.setup is not None:
                self._own[journey.label] = self._called(journey.setup)
        except Exception as error:
            raise UsageError(f"the setup of {journey.label} failed: {failure_of(error).message}") from error
        if journey.teardown is not None:
            self._ends.callback(self._torn_down, journey)

    def _called(self, function: Callable[..., Any]) -> object:
        """What a set-up returns, or yields; what stands behind its yield is kept for the end."""
        made = self._call(function)
        if not isinstance(made, Iterator):
            return made
        value = next(made, None)
        self._ends.callback(next, made, None)
        return value

    def _torn_down(self, journey: Journey) -> None:
        assert journey.teardown
        self._given["own"] = self._own.get(journey.label)
        self._call(journey.teardown)

    def _call(self, function: Callable[..., Any]) -> Any:
        return function(*(self._given[name] for name in parameters(function, what="it")))

    @contextmanager
    def _muted(self) -> Iterator[None]:
        before, self._is_muted = self._is_muted, True
        try:
            yield
        finally:
            self._is_muted = before

    def pause(self, span: int) -> None:
        """Rest; raises `Stopped` when the run is over."""
        if self._is_muted:
            self._clock.pause(span, lambda: self._is_aborted)
        elif self.user.is_over_after(span):
            raise Stopped

    # -- what is counted

    def observe(self, asked: Asked, exchange: Exchange, size: int) -> None:
        """Take down an exchange of the session."""
        if self._is_muted:
            return
        tape = self._known.get(asked)
        if tape is None:
            tape = self._tape_of(asked)
        status, sent, arrived, taken, received, note = exchange
        if note is None and status in self.good and taken < self.user.boundary:
            tape.samples += (sent, sent, arrived, taken, status, received)
        else:
            self._take_unusual(tape, exchange)
        if sent:
            # each is of another size, so they are counted here
            tape.bytes_sent += size

    def _take_unusual(self, tape: Tape, exchange: Exchange) -> None:
        status, sent, _, taken, _, note = exchange
        failure = note.failure if note else None
        if failure is None and status not in self.good:
            failure = unexpected(status, self.good)
        # what it took to connect is a part of what a user waited
        due = (sent or taken) - (note.connect_time if note else 0)
        if self.user.take(tape, due, exchange, failure):
            self.halt()
        self.refused = is_refusal(failure)

    def begin(self) -> None:
        """A timer begins; raises `Stopped` when the run is over."""
        if self.http.halted and not self._is_muted:
            raise Stopped

    def keep(self, kind: str, name: str, began: int, ended: int, error: BaseException | None) -> None:
        """Take down a timer or a step."""
        if self._is_muted:
            return
        tape = self._timing(kind, name)
        failure = None if error is None else CUT if isinstance(error, Stopped) else failure_of(error)
        self.user.take(tape, began, (0, began, ended, ended, 0, Note(failure) if failure else None), failure)

    def _timing(self, kind: str, name: str) -> Tape:
        tape = self._tapes.get((kind, name))
        if tape is None:
            tape = self._tapes[kind, name] = Tape(name, 0, kind)
            self.user.add(tape)
        return tape

    def _tape_of(self, asked: Asked) -> Tape:
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        label = self._label(asked)
        tape = self._tapes.get(("request", label))
        if tape is None:
            tape = self._tapes["request", label] = Tape(label, 0)
            self.user.add(tape)
        self._known[asked] = tape
        return tape

    def _label(self, asked: Asked) -> str:
        if asked.name is not None:
            return asked.name if asked.name.startswith(f"{asked.method} ") else f"{asked.method} {asked.name}"
        url = asked.url
        if self._base and url.startswith(f"{self._base}/"):
            url = url[len(self._base) :]
        return f"{asked.method} {pattern(url)}"


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
    finally:
        loop.close()


def failure_of(error: BaseException) -> Failure:
    """What ended a journey: an assertion by its message, anything else by its type, its place and the way there."""
    if isinstance(error, AssertionError):
        return Failure("check", _shortened(str(error) or f"assertion failed at {_places(error)[-1].strip()}"))
    lines = [f"{type(error).__name__}: {error}".rstrip(": "), *_places(error)]
    return Failure(type(error).__name__, _shortened("\n".join(lines)))


def _places(error: BaseException) -> list[str]:
    """The way through files that are not ours: `  at shop.py:12 in buy: item = …`."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith(_OURS)] or list(frames)[-1:]
    return [f"  at {Path(frame.filename).name}:{frame.lineno} in {frame.name}: {frame.line}" for frame in theirs]


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]} …"
