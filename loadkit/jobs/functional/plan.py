"""Which fixtures a test needs, in which order, and what each is made of: computed once, before the load."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import RLock
from types import MethodType
from typing import Any, Final

import pytest

from loadkit.jobs.functional.replaced import IN_PLACE
from loadkit.jobs.functional.unsafe import reason_against

REQUEST: Final = -1
"""In the place of a step: the fixture `request`, which is made for whoever asks for it."""

NO_PARAM: Final = object()

PLUGIN: Final = "loadkit.pytest_plugin"

SERVER: Final = "load_server"
"""The fixture with the base URL of what tests send to: loadkit's own, or one of the user's in its place."""

OUR_LOOP: Final = frozenset(
    {f"_{scope}_scoped_runner" for scope in ("function", "class", "module", "package", "session")}
)
"""What pytest-asyncio makes an event loop by; a thread of a load has one already."""


@dataclass(frozen=True, slots=True)
class Step:
    """One fixture of a test."""

    name: str
    make: Callable[..., Any]
    scope: str
    owner: str
    """Of a wider scope, the node that it lasts for."""
    needs: tuple[tuple[str, int], ...]
    """Its arguments, and the steps that make them."""
    level: int
    """How many fixtures of the same name override it."""
    param: object = NO_PARAM
    param_index: int = 0
    against: str | None = None
    """Why threads cannot use it."""
    needs_server: bool = False
    """It is `load_server`, or made of that."""
    needs_loop: bool = False
    """It is an async fixture, or made of one."""

    @property
    def is_shared(self) -> bool:
        """True if it is made once, for all threads."""
        return self.scope != "function"

    @property
    def is_session(self) -> bool:
        """True for loadkit's own fixture `http`, in whose place a thread has its session."""
        return self.name == "http" and self.make.__module__ == PLUGIN

    @property
    def is_async(self) -> bool:
        """True if an event loop makes it."""
        return is_async(self.make)

    @property
    def teardown_place(self) -> str:
        """What is added to an exception of its tear-down."""
        return f"in the tear-down of the fixture {self.name}"

    def bound(self, instance: object) -> Callable[..., Any]:
        """What makes it; a method is bound to the object of one iteration, not to that of the collection."""
        owner = getattr(self.make, "__self__", None)
        if instance is None or owner is None or isinstance(owner, type) or not isinstance(instance, type(owner)):
            return self.make
        return MethodType(self.make.__func__, instance)  # type: ignore[attr-defined]


def is_async(make: Callable[..., Any]) -> bool:
    """True if an event loop makes what this function returns or yields."""
    return inspect.iscoroutinefunction(make) or inspect.isasyncgenfunction(make)


OF_TEST: Final = Step(name="", make=lambda: None, scope="function", owner="", needs=(), level=-1)
"""The test itself, where that asks for `request`."""


class FixturePlan:
    """The fixtures of one test, or of one case of a parametrized one.

    Fixtures that are asked for by `request.getfixturevalue` are added when that happens.
    """

    def __init__(self, item: pytest.Function) -> None:
        self.item = item
        self.steps: list[Step] = []
        self._is_made = False
        self._made: dict[tuple[str, int], int] = {}
        self._depth: dict[str, int] = {}
        self._lock = RLock()
        info = item._fixtureinfo
        self._definitions: dict[str, Sequence[Any]] = info.name2fixturedefs
        for name in self._wanted(info.initialnames):
            self.step_of(name)
        self.in_order = tuple(range(len(self.steps)))
        """Those that pytest itself makes before the test, in its order."""
        self.arguments = {name: self.step_of(name) for name in info.argnames}
        self._is_made = True

    @property
    def used(self) -> set[int]:
        """The steps whose values the test and its own fixtures are given."""
        own = [self.steps[index] for index in self.in_order if not self.steps[index].is_shared]
        return {*self.arguments.values(), *(index for step in own for _, index in step.needs)} - {REQUEST}

    def step_of(self, name: str, level: int = 0) -> int:
        """The step that makes a fixture; of those of one name the nearest, or `level` levels above it.

        Raises `LookupError` for a name that the test does not see, and fails the test for one that is refused, which
        nobody could know before.
        """
        if name == "request":
            return REQUEST
        with self._lock:
            # a fixture that asks for its own name, by way of others too, gets the one that it overrides
            level = max(self._depth.get(name, 0), level)
            if (name, level) not in self._made:
                found = self._visible(name)
                if level < len(found):
                    self._made[name, level] = self._add(name, found[-1 - level], level)
                elif self._is_made:
                    raise LookupError(f"fixture {name!r} not found")
                else:
                    self._made[name, level] = self._add_missing(name)
            return self._made[name, level]

    def _wanted(self, initial: Sequence[str]) -> list[str]:
        """What pytest makes before the test, in its order.

        Not what an installed plugin has made for each test that threads cannot have, such as a check of templates.
        """
        packages = packages_of_plugins(self.item.config)
        named = self._named()
        useless = {name for name in initial if name not in named and self._is_useless(name, packages)}
        wanted = self._closure([name for name in initial if name not in useless])
        return [name for name in self.item.fixturenames if name in wanted - OUR_LOOP - {"request"}]

    def _is_useless(self, name: str, packages: set[str]) -> bool:
        """True for a fixture of these packages that threads cannot have."""
        found = self._visible(name)
        return (
            bool(found) and package_of(found[-1].func) in packages and any(map(self._is_refused, self._closure([name])))
        )

    def _is_refused(self, name: str) -> bool:
        return any(self._against(name, one) for one in self._visible(name))

    def _against(self, name: str, definition: Any) -> str | None:
        return reason_against(self.item, name, definition.func.__module__)

    def _named(self) -> set[str]:
        """What the test asks for by name."""
        marks = self.item.iter_markers("usefixtures")
        return {*self.item._fixtureinfo.argnames, *(name for mark in marks for name in mark.args)}

    def _closure(self, names: Sequence[str]) -> set[str]:
        """These and all that they need."""
        found: set[str] = set()
        left = list(names)
        while left:
            name = left.pop()
            if name not in found:
                found.add(name)
                left += [needed for one in self._visible(name) for needed in one.argnames]
        return found

    def _add(self, name: str, definition: Any, level: int) -> int:
        self._depth[name] = level + 1
        try:
            needs = tuple((one, self.step_of(one)) for one in definition.argnames)
        finally:
            self._depth[name] = level
        step = self._step(name, definition, level, needs)
        if step.against and self._is_made:
            pytest.fail(f"{name} cannot be used by threads: {step.against}")
        if step.is_shared and step.needs_loop and self._is_made:
            pytest.fail(f"{name} is made of an async fixture, which is made before the load; take it as an argument")
        self.steps.append(step)
        return len(self.steps) - 1

    def _add_missing(self, name: str) -> int:
        """A step that fails before the load, as pytest has it: the others run."""

        def missing() -> None:
            raise pytest.FixtureLookupError(name, self.item._request)

        owner = self.item.nodeid
        self.steps.append(Step(name=name, make=missing, scope="session", owner=owner, needs=(), level=0))
        return len(self.steps) - 1

    def _step(self, name: str, definition: Any, level: int, needs: tuple[tuple[str, int], ...]) -> Step:
        called = getattr(self.item, "callspec", None)
        scope, param, index = definition.scope, NO_PARAM, 0
        if called is not None and name in called.params:
            param, index = called.params[name], called.indices[name]
            scope = called._arg2scope[name].value
        needed = [self.steps[one] for _, one in needs if one != REQUEST]
        return Step(
            name=name,
            make=IN_PLACE.get((definition.func.__module__, name), definition.func),
            scope=scope,
            owner=_owner(self.item, scope),
            needs=needs,
            level=level,
            param=param,
            param_index=index,
            against=self._against(name, definition),
            needs_server=name == SERVER or any(one.needs_server for one in needed),
            needs_loop=is_async(definition.func) or any(one.needs_loop for one in needed),
        )

    def _visible(self, name: str) -> Sequence[Any]:
        if name in self._definitions:
            return self._definitions[name]
        manager = self.item.session._fixturemanager
        return manager.getfixturedefs(name, self.item) or ()


def package_of(make: Callable[..., Any]) -> str:
    """The package that has it."""
    return str(make.__module__).partition(".")[0]


def packages_of_plugins(config: pytest.Config) -> set[str]:
    """The packages of pytest itself and of all plugins that are installed: fixtures of others are the user's own."""
    plugins = [plugin for plugin, _ in config.pluginmanager.list_plugin_distinfo()]
    return {"_pytest", *(getattr(one, "__name__", type(one).__module__).partition(".")[0] for one in plugins)}


def _owner(item: pytest.Item, scope: str) -> str:
    kinds: dict[str, type[pytest.Collector]] = {
        "class": pytest.Class,
        "module": pytest.Module,
        "package": pytest.Package,
    }
    node = item.getparent(kinds[scope]) if scope in kinds else None
    if node is not None:
        return node.nodeid
    return item.nodeid if scope in ("class", "function") else ""
