"""Set-ups and tear-downs of the user's, of a scenario or of a journey, plain or `async`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack
from typing import Any

from loadkit.plan.journey import begun, begun_async, call, ended, ended_async


class Fixtures:
    """Runs set-ups, and keeps what tears down for `close`.

    Each is given `http`, or `async_http` if it is `async`; then `complete` runs it on an event loop.
    """

    def __init__(
        self,
        http: object,
        async_http: object = None,
        complete: Callable[[Coroutine[Any, Any, Any]], Any] | None = None,
    ) -> None:
        self._http = http
        self._async_http = async_http
        self._complete = complete
        self._teardowns = ExitStack()

    def set_up(self, setup: Callable[..., Any], given: Mapping[str, Any]) -> Any:
        """What a set-up returns, or yields; what stands behind its yield is kept for the end."""
        made = self._call(setup, given)
        if inspect.isgeneratorfunction(setup):
            value = begun(made)
            self._teardowns.callback(ended, made)
            return value
        if inspect.isasyncgenfunction(setup):
            value = self._completed(begun_async(made))
            self._teardowns.callback(lambda: self._completed(ended_async(made)))
            return value
        return made

    def add_teardown(self, teardown: Callable[..., Any], given: Mapping[str, Any]) -> None:
        """Have it called at the end."""
        self._teardowns.callback(self._call, teardown, given)

    def close(self) -> None:
        """Tear down, the last set-up first; raises what the user's code raises."""
        self._teardowns.close()

    def _call(self, function: Callable[..., Any], given: Mapping[str, Any]) -> Any:
        is_async = inspect.iscoroutinefunction(function)
        http = self._async_http if is_async or inspect.isasyncgenfunction(function) else self._http
        made = call(function, given, http=http)
        return self._completed(made) if is_async else made

    def _completed(self, work: Coroutine[Any, Any, Any]) -> Any:
        assert self._complete, "only journeys are async"
        return self._complete(work)
