"""The event loop of async fixtures that all threads share, and which of their values stand that."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

_PLAIN: Final = (type(None), str, bytes, int, float, date, time, timedelta, Decimal, Enum, PurePath, UUID)


class FixtureLoop:
    """An event loop in a thread of its own, so that what fixtures have started on it goes on during the load."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="loadkit-fixtures", daemon=True)
        self._thread.start()

    def complete(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What the work returns; raises what it raises."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """End it, and what still runs on it."""
        self.complete(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def is_plain(value: object) -> bool:
    """True for numbers, text and the like, and collections of them: they belong to no event loop."""
    if isinstance(value, dict):
        return all(map(is_plain, value)) and all(map(is_plain, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(is_plain, value))
    return isinstance(value, _PLAIN)
