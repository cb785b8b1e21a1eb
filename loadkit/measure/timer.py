"""Timing what is no request: a step of a journey, a database, a queue, any callable."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import ContextDecorator
from contextvars import ContextVar
from types import TracebackType
from typing import Any, ParamSpec, Protocol, Self, TypeVar, overload

from loadkit.plan.errors import UsageError

Params = ParamSpec("Params")
Returned = TypeVar("Returned")


class TimeKeeper(Protocol):
    """Who writes down what a timer has measured."""

    def begin(self) -> int:
        """A timer begins: the time now, nanoseconds; may raise what ends a journey."""

    def keep(self, kind: str, name: str, began: int, error: BaseException | None) -> None:
        """A timer that began then ends now, by this error if there is one."""


KEEPER: ContextVar[TimeKeeper | None] = ContextVar("loadkit_keeper", default=None)
"""Of the journey that runs here; each thread and task has its own."""


_RUNNING: ContextVar[tuple[tuple[timer, int | None], ...]] = ContextVar("loadkit_timers", default=())
"""Timers that have begun, and when, if somebody keeps time: one may be in use by many threads and tasks."""


class timer(ContextDecorator):  # noqa: N801 - it reads like a function
    """Record how long a block takes, in the histograms and reports of the run that its journey belongs to.

    >>> with timer("redis get"):
    ...     redis.get("tea")

    What the block raises is counted as a failure and passed on. Outside of a run nothing is recorded.
    """

    kind = "timer"

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name.strip():
            raise UsageError(f"timer takes a name like 'redis get', not {name!r}")
        self._name = name

    def _recreate_cm(self) -> Self:
        # one for each call, for a function may be called by many threads
        return type(self)(self._name)

    def __enter__(self) -> Self:
        keeper = KEEPER.get()
        _RUNNING.set((*_RUNNING.get(), (self, keeper.begin() if keeper else None)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running = _RUNNING.get()
        # the last of this one: within a generator others may have begun that end later
        place = max((k for k, (one, _) in enumerate(running) if one is self), default=None)
        if place is None:
            # begun in a task that was another one
            return
        began = running[place][1]
        _RUNNING.set(running[:place] + running[place + 1 :])
        keeper = KEEPER.get()
        if keeper and began is not None:
            keeper.keep(self.kind, self._name, began, error)


class step(timer):  # noqa: N801 - it reads like a function
    """A part of a journey with a row of its own; `http.step("checkout")` is the same."""

    kind = "step"


@overload
def timed(function: Callable[Params, Returned], /) -> Callable[Params, Returned]:
    """Under the function's own name."""


@overload
def timed(name: str, /) -> Callable[[Callable[Params, Returned]], Callable[Params, Returned]]:
    """Under this name."""


def timed(function: Any, /) -> Any:
    """Record how long each call of a function takes, under its name or the one that is given.

    >>> @timed
    ... def lookup(key): ...
    >>> @timed("redis get")
    ... async def get(key): ...
    """
    if isinstance(function, str):
        return functools.partial(_timed, function)
    return _timed(getattr(function, "__name__", type(function).__name__), function)


def _timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    if not callable(function):
        raise UsageError(f"timed takes a function, or a name like timed('redis get'), not {function!r}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise UsageError(f"timed would only time how {name} begins, for it yields; write a timer(…) within it")
    if not inspect.iscoroutinefunction(function):
        return timer(name)(function)

    @functools.wraps(function)
    async def timed_call(*args: Any, **options: Any) -> Any:
        with timer(name):
            return await function(*args, **options)

    return timed_call
