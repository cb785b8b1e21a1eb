"""The values of fixtures: those that all threads share, and those of one iteration."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from threading import RLock
from typing import Any

import pytest

from loadkit.jobs.functional.fixture_loop import FixtureLoop
from loadkit.jobs.functional.plan import NO_PARAM, OF_TEST, REQUEST, SERVER, FixturePlan, Step
from loadkit.jobs.functional.unittests import is_unittest
from loadkit.plan.journey import begun, begun_async, ended, ended_async


class SharedValues:
    """Fixtures of a wider scope than the function: each is made once, for all threads, and torn down at the end.

    Where several servers are sent to, what is made of `load_server` is made for each of them.
    """

    def __init__(self, *, base: SharedValues | None = None, server: str = "", has_servers: bool = False) -> None:
        """Of one of several servers `base` has the values that are the same for all, and `has_servers` is that one."""
        self._base = base
        self._server = server
        self.has_servers = has_servers
        self._values: dict[object, tuple[Any, BaseException | None]] = {}
        self._keys: dict[tuple[int, int], object] = {}
        self._teardowns = ExitStack()
        self._loop: FixtureLoop | None = None
        self._lock = RLock()

    def value(self, plan: FixturePlan, index: int) -> Any:
        """What a step makes; raises again what it raised."""
        if self._base and not plan.steps[index].needs_server:
            return self._base.value(plan, index)
        key = self._key(plan, index)
        with self._lock:
            if key not in self._values:
                self._values[key] = self._made(plan, index)
            value, error = self._values[key]
        if error is not None:
            raise error
        return value

    def is_for_all(self, step: Step) -> bool:
        """True for what is made once for all servers, and for the one that says which server there is."""
        return not (self.has_servers and step.needs_server) or step.name == SERVER

    def close(self) -> None:
        """Tear down, the last one first; raises what the fixtures raise."""
        self._teardowns.close()

    def _key(self, plan: FixturePlan, index: int) -> object:
        """What is the same for two tests that share a value: the fixture, what it lasts for, and all parameters."""
        known = id(plan), index
        if known not in self._keys:
            step = plan.steps[index]
            needed = tuple(self._key(plan, one) for _, one in step.needs if one != REQUEST)
            self._keys[known] = step.make, step.owner, step.param is not NO_PARAM and step.param_index, needed
        return self._keys[known]

    def _made(self, plan: FixturePlan, index: int) -> tuple[Any, BaseException | None]:
        step = plan.steps[index]
        if self._server and step.name == SERVER:
            return self._server, None
        request = LoadRequest(plan, step, self, None)
        try:
            if not step.is_shared:
                pytest.fail(f"ScopeMismatch: one of a wider scope asks for the function scoped fixture {step.name}")
            arguments = {name: request if one == REQUEST else self.value(plan, one) for name, one in step.needs}
            made = step.make(**arguments)
            if step.is_async:
                return self._completed(made), None
            if not inspect.isgenerator(made):
                return made, None
            value = begun(made)
        except BaseException as error:  # noqa: BLE001 - whatever it is, each test that needs it meets it again
            _note_place(error, f"in the fixture {step.name}")
            return None, error
        self._teardowns.callback(ended, made)
        return value, None

    def _completed(self, made: Any) -> Any:
        """What an async fixture makes."""
        if self._loop is None:
            self._loop = FixtureLoop()
            self._teardowns.callback(self._loop.close)
        loop = self._loop
        if not inspect.isasyncgen(made):
            return loop.complete(made)
        value = loop.complete(begun_async(made))
        self._teardowns.callback(lambda: loop.complete(ended_async(made)))
        return value

    def add_teardown(self, teardown: Callable[[], object]) -> None:
        """Have it called at the end."""
        with self._lock:
            self._teardowns.callback(teardown)


class Iteration:
    """One call of a test, with fixtures of its own; `http` is the session of its thread."""

    __slots__ = ("_http", "_is_unittest", "_node", "_shared", "_teardowns", "_values", "instance", "plan")

    def __init__(self, plan: FixturePlan, shared: SharedValues, http: object) -> None:
        self.plan = plan
        self._is_unittest = is_unittest(plan.item)
        name = (plan.item.originalname,) if self._is_unittest else ()
        self.instance: Any = plan.item.cls(*name) if plan.item.cls else None
        """An object of the class of the test, if it has one."""
        self._shared = shared
        self._http = http
        self._values: dict[int, Any] = {}
        self._teardowns: list[tuple[str, Callable[[], Any]]] = []
        """Each with the place that an exception of it is said to be in."""
        self._node: pytest.Function | None = None

    @property
    def node(self) -> pytest.Function:
        """The test, with what is written to it in this iteration kept apart."""
        if self._node is None:
            self._node = copy.copy(self.plan.item)
            self._node.stash = pytest.Stash()
            self._node.user_properties = []
            self._node.funcargs = {}
            self._node.addfinalizer = partial(self.add_teardown, "in a finalizer")  # type: ignore[method-assign]
        return self._node

    @property
    def function(self) -> Callable[..., Any]:
        """The test, bound to its object."""
        item = self.plan.item
        bound: Callable[..., Any] = getattr(self.instance, item.originalname) if self.instance else item.obj
        return bound

    def arguments(self) -> dict[str, Any]:
        """What the test is called with."""
        found = self.plan.arguments.items()
        return {name: self.request(OF_TEST) if index == REQUEST else self.value(index) for name, index in found}

    # -- set-up and tear-down

    def set_up(self) -> None:
        """Make the fixtures in the order of pytest."""
        for index in self.plan.in_order:
            self.value(index)
        if self._is_unittest:
            # in this order: a setUp that fails is followed by the cleanups and not by tearDown
            self._teardowns.append(("in a cleanup", self._clean_up))
            self.instance.setUp()
            self._teardowns.append(("in tearDown", self.instance.tearDown))

    def _clean_up(self) -> None:
        """Have what `addCleanup` registered called next, the last one first, and then what that has registered."""
        # TestCase.doCleanups is public, and tells nobody what they raise
        if registered := self.instance._cleanups:
            self._teardowns.append(("in a cleanup", self._clean_up))
            self._teardowns.extend(("in a cleanup", partial(made, *args, **more)) for made, args, more in registered)
            registered.clear()

    def tear_down(self) -> None:
        """Tear down, the last one first; all of them, and raise the first error."""
        errors: list[BaseException] = []
        while self._teardowns:
            place, teardown = self._teardowns.pop()
            try:
                teardown()
            except BaseException as error:  # noqa: BLE001 - the others are torn down all the same
                _note_place(error, place)
                errors.append(error)
        if errors:
            raise errors[0]

    async def set_up_async(self) -> None:
        """The same for a test that an event loop runs."""
        for index in self.plan.in_order:
            step = self.plan.steps[index]
            if not step.is_async or step.is_shared:
                self.value(index)
                continue
            try:
                self._values[index] = await self._made_async(step)
            except BaseException as error:
                _note_place(error, f"in the fixture {step.name}")
                raise

    async def _made_async(self, step: Step) -> Any:
        made = step.bound(self.instance)(**self._needed(step))
        if not inspect.isasyncgen(made):
            return await made
        value = await begun_async(made)
        self._teardowns.append((step.teardown_place, partial(ended_async, made)))
        return value

    async def tear_down_async(self) -> None:
        """The same for a test that an event loop runs."""
        errors: list[BaseException] = []
        while self._teardowns:
            place, teardown = self._teardowns.pop()
            try:
                made = teardown()
                if inspect.isawaitable(made):
                    await made
            except BaseException as error:  # noqa: BLE001 - the same
                _note_place(error, place)
                errors.append(error)
        if errors:
            raise errors[0]

    # -- values

    def value(self, index: int) -> Any:
        """What a step makes, now if it was not made yet."""
        if index not in self._values:
            self._values[index] = self._made(self.plan.steps[index], index)
        return self._values[index]

    def _made(self, step: Step, index: int) -> Any:
        if step.is_session:
            return self._http
        if step.is_shared:
            return self._shared.value(self.plan, index)
        try:
            made = step.bound(self.instance)(**self._needed(step))
            if not inspect.isgenerator(made):
                return made
            value = begun(made)
        except BaseException as error:
            _note_place(error, f"in the fixture {step.name}")
            raise
        self._teardowns.append((step.teardown_place, partial(ended, made)))
        return value

    def _needed(self, step: Step) -> dict[str, Any]:
        return {name: self.request(step) if one == REQUEST else self.value(one) for name, one in step.needs}

    def request(self, step: Step) -> LoadRequest:
        """What a fixture gets as `request`."""
        return LoadRequest(self.plan, step, self._shared, self)

    def add_teardown(self, place: str, teardown: Callable[[], object]) -> None:
        """Have it called at the end of this iteration."""
        self._teardowns.append((place, teardown))


class LoadRequest(pytest.FixtureRequest):
    """The `request` of a fixture under load: that of pytest, but for who makes and tears down."""

    # pytest's own would register with the one test that runs
    def __init__(self, plan: FixturePlan, step: Step, shared: SharedValues, iteration: Iteration | None) -> None:
        super().__init__(
            pyfuncitem=plan.item, fixturename=step.name, arg2fixturedefs={}, fixture_defs={}, _ispytest=True
        )
        self._plan = plan
        self._step = step
        self._shared = shared
        self._iteration = iteration
        if step.param is not NO_PARAM:
            self.param = step.param
        self.param_index = step.param_index

    @property
    def scope(self) -> Any:
        """That of the fixture."""
        return self._step.scope

    @property
    def _scope(self) -> Any:
        from _pytest.scope import Scope

        return Scope(self._step.scope)

    @property
    def node(self) -> Any:
        """The test, or what the fixture lasts for."""
        item = self._plan.item
        if self._iteration is not None and not self._step.is_shared:
            return self._iteration.node
        return next((node for node in item.listchain() if node.nodeid == self._step.owner), item.session)

    @property
    def instance(self) -> Any:
        """The object of the test's class."""
        return None if self._iteration is None else self._iteration.instance

    @property
    def function(self) -> Any:
        """The test."""
        if self._iteration is None:
            raise AttributeError(f"function not available in {self.scope}-scoped context")
        return self._iteration.function

    @property
    def fixturenames(self) -> list[str]:
        """Names of the test's fixtures."""
        return list(self._pyfuncitem.fixturenames)

    def addfinalizer(self, finalizer: Callable[[], object]) -> None:
        """Have it called when what the fixture lasts for ends."""
        if self._iteration is None or self._step.is_shared:
            self._shared.add_teardown(finalizer)
        else:
            self._iteration.add_teardown(self._step.teardown_place, finalizer)

    def getfixturevalue(self, argname: str) -> Any:
        """What another fixture makes."""
        level = self._step.level + 1 if argname == self._step.name else 0
        try:
            index = self._plan.step_of(argname, level)
        except LookupError as error:
            raise pytest.FixtureLookupError(argname, self._pyfuncitem._request, str(error)) from None
        if index == REQUEST:
            return self
        if self._iteration is not None:
            return self._iteration.value(index)
        if self._step.is_async:
            # this thread is that of the event loop, and the one that has it made waits for it
            pytest.fail(f"{self._step.name} asks for {argname} on an event loop; take it as an argument")
        if self._shared.has_servers and self._plan.steps[index].needs_server:
            # nobody knew it when this one was made once for all
            pytest.fail(f"{argname} is another one for each version; take it as an argument of {self._step.name}")
        return self._shared.value(self._plan, index)

    def _check_scope(self, requested_fixturedef: Any, requested_scope: Any) -> None:
        """What threads share is made of nothing narrower, which is looked at where it is made."""


def _note_place(error: BaseException, place: str) -> None:
    """Add the fixture that raised it, and not those that asked for that one."""
    if not any(note.startswith("in ") for note in getattr(error, "__notes__", ())):
        error.add_note(place)
