"""A thread on which several tasks run an `async def` journey at once, on one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from loadkit.drive.closed import ClosedUser
from loadkit.drive.journeys.runner import NAP
from loadkit.drive.user import Shot, Turn
from loadkit.plan.errors import Halt
from loadkit.plan.units import SECOND

if TYPE_CHECKING:
    from loadkit.drive.journeys.runner import Visitor
    from loadkit.wire.base import Exchange


class TaskUser(ClosedUser):
    """See `ClosedUser`; all that it sends is one journey. Think time and pace are those of each task."""

    def run_tasks(self, visitor: Visitor, visit: Callable[[], Coroutine[Any, Any, Exchange]], tasks: int) -> TaskUser:
        """Say what its tasks run, and how many there are."""
        self._visitor, self._visit, self._tasks = visitor, visit, tasks
        self._under_way = 0
        return self

    @property
    def _in_hand(self) -> int:
        return self._under_way

    @property
    def in_flight(self) -> int:
        """How many journeys are under way and do not pause."""
        return super().in_flight and max(0, self._under_way - self._visitor.pausing)

    def _stage(self, turns: Iterator[Turn]) -> None:
        due = self._clock.now()
        if self._cross(due):
            return
        self._enter_phase(due)
        self._visitor.until_complete(self._all(turns))

    async def _all(self, turns: Iterator[Turn]) -> None:
        tasks = [asyncio.ensure_future(self._one(turns)) for _ in range(self._tasks)]
        # when the run is cut all tasks of the loop are cancelled, this one too
        with suppress(asyncio.CancelledError):
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        left = [task for task in tasks if not task.done()]
        if left and self._first_sent:
            # what they are in lasts until now, and no reply notes it
            self._last_taken = self._clock.now()
        self._visitor.is_ending = bool(left)
        for task in left:
            task.cancel()
        for found in await asyncio.gather(*tasks, return_exceptions=True):
            # those that were thinking are cancelled, and have nothing to tell
            if isinstance(found, BaseException) and not isinstance(found, asyncio.CancelledError):
                raise found

    async def _one(self, turns: Iterator[Turn]) -> None:
        due = self._clock.now()
        for _, _, _, _, shot in turns:
            self._under_way += 1
            try:
                exchange = await self._visit()
            except Halt as halt:
                if halt.is_fault or halt.is_interrupt:
                    raise
                # no more rows: the other tasks have theirs, and end what they began
                self._state.halt_at(self._clock.now(), halt)
                return
            finally:
                self._under_way -= 1
            began, due = due, exchange[3]
            if self._ends_with(shot, began, exchange):
                return
            if self._is_leisurely:
                due = self._next(began, due)
                if await self._sleep(due):
                    return

    def _ends_with(self, shot: Shot, due: int, exchange: Exchange) -> bool:
        if exchange[5] is None and exchange[3] < self._boundary:
            _, sent, arrived, taken, _, _ = exchange
            self._saw(sent, taken)
            shot.tape.samples += (due, sent, arrived, taken, 0, 0)
            return False
        return self._settle(shot, due, exchange)

    async def _sleep(self, until: int) -> bool:
        """Wait, at most until it is time to stop; whether it is."""
        now = self._clock.now
        # it is another thread that ends the run, and it sets no event of a loop that may be closed
        while (left := min(until, self._end()) - now()) > 0 and not self._must_stop():  # noqa: ASYNC110
            await asyncio.sleep(min(left, NAP) / SECOND)
        instant = now()
        return instant >= self._boundary and self._cross(instant)
