"""A journey: a plain function of several requests, in which one reply makes the next request."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from loadkit.plan.data import Rows
from loadkit.plan.endpoint import check_share, label, replace
from loadkit.plan.errors import UsageError
from loadkit.plan.shown import told

GIVEN: Final = ("http", "row", "shared", "own")
"""What a journey may have as parameters: its session, the next row of its feed, what the scenario's `setup` returned,
and what its own `setup` returned."""


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
        feed: rows, each of which goes to one call as `row`; see `rows`.
        setup, teardown: called by each thread before its first and after its last time, in no figure; `setup` may
            be a generator, as a fixture of pytest: what stands behind its `yield` tears down.
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
    name: str | None = None

    def __post_init__(self) -> None:
        if not callable(self.run) or isinstance(self.run, type):
            raise UsageError(f"a journey is a function like def buy(http): ..., not {self.run!r}")
        label(self.name)
        check_share(self)
        for what in ("run", "setup", "teardown"):
            function = getattr(self, what)
            if function is not None:
                parameters(function, what=self.label if what == "run" else f"the {what} of {self.label}")
        if not isinstance(self.tasks_per_thread, int) or self.tasks_per_thread < 1:
            raise UsageError(f"tasks_per_thread takes a whole number of at least 1, not {self.tasks_per_thread!r}")
        if self.tasks_per_thread > 1 and not self.is_async:
            raise UsageError(f"tasks_per_thread belongs to an async def, and {self.label} is none; give it threads")
        if self.feed is not None and not isinstance(self.feed, Rows):
            raise UsageError(
                f"feed takes rows like rows('users.csv'), not {type(self.feed).__name__}; write feed=rows(…)"
            )
        if (self.feed is None) == ("row" in parameters(self.run, what=self.label)):
            raise UsageError(
                f"{self.label} takes a row and has no feed; write Journey({self.label}, feed=rows('users.csv'))"
                if self.feed is None
                else f"{self.label} has a feed and takes no row; write def {self.label}(http, row): ..."
            )
        if inspect.isgeneratorfunction(self.run) or inspect.isasyncgenfunction(self.run):
            raise UsageError(f"{self.label} yields; what is done once for each thread goes to Journey(setup=...)")

    def __repr__(self) -> str:
        return told(self)

    @property
    def label(self) -> str:
        """The name of its row in reports."""
        return self.name or str(getattr(self.run, "__name__", "journey"))

    @property
    def is_async(self) -> bool:
        """Whether it runs on an event loop."""
        return inspect.iscoroutinefunction(self.run)

    def replace(self, **changes: Any) -> Journey:
        """The same journey with some fields changed."""
        return replace(self, changes)


def parameters(function: Callable[..., Any], *, what: str) -> tuple[str, ...]:
    """The names of those of `GIVEN` that a function wants, the first of which may be called anything.

    Raises `UsageError` for a function that wants something else.
    """
    try:
        wanted = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise UsageError(f"{what}: cannot see what it takes: {error}") from None
    needed = [
        one for one in wanted if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    names = ["http", *(one.name for one in needed[1:])][: len(needed)]
    if unknown := [name for name in names if name not in GIVEN]:
        raise UsageError(f"{what} takes {unknown[0]!r}; a journey is given {', '.join(GIVEN)}, the first by any name")
    return tuple(names)
