"""The event loop of one thread's `async` journeys."""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from loadkit.drive.failures import Interrupted

if TYPE_CHECKING:
    import asyncio

Result = TypeVar("Result")


class EventLoop:
    """Made when it is first needed; only `cancel_all` may be called by another thread."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def complete(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run work until it is done."""
        if self._loop is None:
            import asyncio

            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(work)

    def complete_journey(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The same; a KeyboardInterrupt, of a task that a journey started, ends the run."""
        try:
            return self.complete(work)
        except KeyboardInterrupt as error:
            raise Interrupted from error

    def cancel_all(self) -> None:
        """Have all tasks cancelled soon."""
        if loop := self._loop:
            # it may be closed already, which is what we want
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._cancel_now)

    def _cancel_now(self) -> None:
        # a loop that is being ended has cancelled all, and what runs on it is its end
        if self._loop:
            _cancel_all(self._loop)

    def close(self) -> None:
        """End it as `asyncio.run` does."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
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


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    import asyncio

    for task in asyncio.all_tasks(loop):
        task.cancel()
