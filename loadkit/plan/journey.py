"""A journey: a plain function of several requests, in which one reply makes the next request."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Unpack

from loadkit.plan.data import Rows
from loadkit.plan.errors import UsageError
from loadkit.plan.fields import check_name, check_share, check_whole_number, replace_fields
from loadkit.plan.redact import redacted_repr

if TYPE_CHECKING:
    from loadkit.plan.keywords import JourneyFields

GIVEN: Final = ("http", "row", "shared", "own", "fixture")
"""What a journey may have as parameters: its session, the next row of its feed, what the scenario's `setup` returned,
what its own `setup` returned, and what its `fixture` yielded."""
GIVEN_SETUP: Final = ("http", "row", "shared")
GIVEN_FIXTURE: Final = ("http", "row", "shared", "own")
GIVEN_TEARDOWN: Final = ("http", "shared", "own")


@dataclass(frozen=True, slots=True)
class Journey:
    """A function of several requests; a plain function among a scenario's endpoints becomes one.

    >>> def buy(http):
    ...     sku = http.get("/search", params={"q": "tea"}).json()["items"][0]["sku"]
    ...     assert http.post("/orders", json={"sku": sku}).status_code == 201
    >>> Journey(buy, weight=2).label
    'buy'

    Args:
        run: called again and again with a `Session` as `http`. It may also take `row` (the next of `feed`), `shared`
            (what the scenario's `setup` returned) and `own` (what `setup` returned). What it raises fails the journey,
            and not the run; an `assert` is reported with its values. An `async def` runs on an event loop.
        weight: its share of what the scenario does, against the other endpoints and journeys.
        threads: threads of its own, beside those that the scenario's endpoints share.
        tasks_per_thread: of an `async def`, how many run at once on each thread.
        feed: rows, each of which goes to one call, or to the `setup` of one thread, as `row`; see `rows`.
        setup, teardown: called by each thread before its first and after its last time, in no figure; `setup` may
            take a `row`, and be a generator, as a fixture of pytest: what stands behind its `yield` tears down. Both
            may be `async`.
        fixture: a generator that runs up to its `yield` before each call and on after it, in no figure: a user made
            for this call alone, say. What it yields is given as `fixture`. Its failures count as those of the journey.
        times_fixture: give its set-up and its tear-down rows of their own: `buy setup`, `buy teardown`.
        name: the label in reports; the function's name if not said.

    Raises `UsageError` for a value it cannot use, when it is made.
    """

    run: Callable[..., Any]
    _: dataclasses.KW_ONLY
    weight: float = 1
    threads: int | None = None
    tasks_per_thread: int = 1
    feed: Rows | None = None
    setup: Callable[..., Any] | None = None
    teardown: Callable[..., Any] | None = None
    fixture: Callable[..., Any] | None = None
    times_fixture: bool = False
    name: str | None = None

    def __post_init__(self) -> None:
        if not callable(self.run) or isinstance(self.run, type):
            raise UsageError(f"a journey is a function like def buy(http): ..., not {self.run!r}")
        check_name(self.name)
        check_share(self)
        _check_functions(self)
        check_whole_number(self.tasks_per_thread, what="tasks_per_thread")
        if self.tasks_per_thread > 1 and not self.is_async:
            raise UsageError(f"tasks_per_thread belongs to an async def, and {self.label} is none; give it threads")
        if self.feed is not None and not isinstance(self.feed, Rows):
            raise UsageError(
                f"feed takes rows like rows('users.csv'), not {type(self.feed).__name__}; write feed=rows(…)"
            )
        row = inspect.signature(self.run).parameters.get("row")
        if self.feed is not None and not (self.takes_rows or self.sets_up_with_row):
            raise UsageError(f"{self.label} has a feed and takes no row; write def {self.label}(http, row): ...")
        if self.feed is None and row is not None and row.default is row.empty:
            raise UsageError(
                f"{self.label} takes a row and has no feed; write Journey({self.label}, feed=rows('users.csv'))"
            )

    def __repr__(self) -> str:
        return redacted_repr(self)

    @property
    def label(self) -> str:
        """The name of its row in reports."""
        return self.name or function_name(self.run)

    @property
    def wanted(self) -> tuple[str, ...]:
        """What it is given beside its session."""
        lacking = {"row": self.feed, "fixture": self.fixture}
        given = tuple(name for name in GIVEN if lacking.get(name, self) is not None)
        return wanted_parameters(self.run, what=self.label, given=given)[1:]

    @property
    def takes_rows(self) -> bool:
        """True if each call takes a row of its feed, for itself or for its fixture."""
        functions = [one for one in (self.run, self.fixture) if one is not None]
        return self.feed is not None and any("row" in inspect.signature(one).parameters for one in functions)

    @property
    def sets_up_with_row(self) -> bool:
        """True if the set-up of each thread takes a row of its feed."""
        return self.feed is not None and self.setup is not None and "row" in inspect.signature(self.setup).parameters

    @property
    def is_async(self) -> bool:
        """True if the journey runs on an event loop."""
        return inspect.iscoroutinefunction(self.run)

    def replace(self, **changes: Unpack[JourneyFields]) -> Journey:
        """The same journey with some fields changed."""
        return replace_fields(self, changes)


def function_name(function: Callable[..., Any]) -> str:
    """The name of a function, of what a `functools.partial` calls, or of an object's class."""
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


def _check_functions(journey: Journey) -> None:
    run, what = journey.run, journey.label
    if inspect.isgeneratorfunction(run) or inspect.isasyncgenfunction(run):
        raise UsageError(f"{what} yields; what is done once for each thread goes to Journey(setup=...)")
    taken = wanted_parameters(run, what=what)
    try:
        inspect.signature(run).bind(None, **dict.fromkeys(taken[1:]))
    except TypeError:
        taken = ()
    if taken[:1] != ("http",):
        name = what if what.isidentifier() else "buy"
        raise UsageError(f"{what} does not take its session first; write it like def {name}(http): ...")
    given_setup = tuple(name for name in GIVEN_SETUP if name != "row" or journey.feed is not None)
    for name, given in (("setup", given_setup), ("teardown", GIVEN_TEARDOWN)):
        function = getattr(journey, name)
        if function is None:
            continue
        if not callable(function) or isinstance(function, type):
            raise UsageError(f"{name} takes a function like def {name}(http): ..., not {function!r}")
        wanted_parameters(function, what=f"the {name} of {what}", given=given)
        if name == "teardown":
            check_no_generator(function, what=f"the {name} of {what}")
    if journey.fixture is not None:
        _check_fixture(journey, journey.fixture)


def _check_fixture(journey: Journey, fixture: Callable[..., Any]) -> None:
    what, is_async = f"the fixture of {journey.label}", inspect.isasyncgenfunction(fixture)
    if not is_async and not inspect.isgeneratorfunction(fixture):
        raise UsageError(f"{what} has no yield; write it like def user(http): yield http.post('/users').json()")
    if is_async and not journey.is_async:
        raise UsageError(f"{what} is async, and {journey.label} is not; write one as the other")
    given = tuple(name for name in GIVEN_FIXTURE if name != "row" or journey.feed is not None)
    wanted_parameters(fixture, what=what, given=given)


def check_no_generator(function: Callable[..., Any], *, what: str) -> None:
    """Refuse a generator where nothing would run it on."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise UsageError(f"{what} yields, and is called once; what stands behind a yield tears down in a setup")


def wanted_parameters(function: Callable[..., Any], *, what: str, given: tuple[str, ...] = GIVEN) -> tuple[str, ...]:
    """What of `given` a function wants: by the names of its parameters, but the first may call its session anything.

    >>> def buy(client, row, retries=3): ...
    >>> wanted_parameters(buy, what="buy")
    ('http', 'row')

    Those that are no session are given by name. Raises `UsageError` for a function that wants something else.
    """
    try:
        taken = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise UsageError(f"{what}: cannot see what it takes: {error}") from None
    wanted: list[str] = []
    for k, one in enumerate(taken):
        is_session = k == 0 and one.kind is not one.KEYWORD_ONLY and (one.name == "http" or one.name not in GIVEN)
        if one.kind is one.VAR_KEYWORD or (one.kind is one.VAR_POSITIONAL and not is_session):
            continue
        if is_session:
            wanted.append("http")
        elif one.name in given and one.kind is not one.POSITIONAL_ONLY:
            wanted.append(one.name)
        elif one.default is one.empty:
            known = ", ".join(f"{name} (by any name)" if name == given[0] else name for name in given)
            raise UsageError(f"{what} takes {one.name!r}; it is given {known}")
    return tuple(wanted)


def begun(generator: Iterator[Any]) -> object:
    """What a set-up yields; `RuntimeError` if it yields nothing."""
    for value in generator:
        return value
    raise RuntimeError("it ended before its yield")


def ended(generator: Iterator[Any]) -> None:
    """Run what stands behind the yield; `RuntimeError` if there is another one."""
    for _ in generator:
        raise RuntimeError("it yields more than once")


async def begun_async(generator: AsyncIterator[Any]) -> object:
    """The same of an async one."""
    async for value in generator:
        return value
    raise RuntimeError("it ended before its yield")


async def ended_async(generator: AsyncIterator[Any]) -> None:
    """The same of an async one."""
    async for _ in generator:
        raise RuntimeError("it yields more than once")


def call(function: Callable[..., Any], given: Mapping[str, Any], *, http: object) -> Any:
    """Call a function with what it wants of `given`, and with `http` as its session."""
    taken = wanted_parameters(function, what=function_name(function), given=("http", *given))
    if taken[:1] == ("http",):
        return function(http, **{name: given[name] for name in taken[1:]})
    return function(**{name: http if name == "http" else given[name] for name in taken})
