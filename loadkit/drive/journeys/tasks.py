"""The loop of a thread on which several tasks run an `async def` journey at once, on one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from loadkit.drive.closed import Pace, run_windows
from loadkit.drive.journeys.context import NAP
from loadkit.plan.errors import Halt
from loadkit.plan.units import SECOND

if TYPE_CHECKING:
    from loadkit.drive.journeys.runner import JourneyRunner
    from loadkit.drive.recorder import BoundParts, BoundRequest
    from loadkit.drive.user import User
    from loadkit.plan.workload import ThreadPlan
    from loadkit.wire.base import Exchange


def tasks_loop(
    user: User, request: BoundRequest, plan: ThreadPlan, pace: Pace, runner: JourneyRunner, tasks: int
) -> None:
    """Run one journey by so many tasks at once; think time and pace are those of each task.

    What the request's `send` returns is awaited.
    """
    group = _Tasks(user, pace, runner, tasks)
    run_windows(user, [request], plan, group.run_all)


class _Tasks:
    """The tasks of one thread."""

    __slots__ = ("_many", "_pace", "_runner", "_user")

    def __init__(self, user: User, pace: Pace, runner: JourneyRunner, many: int) -> None:
        self._user = user
        self._pace = pace
        self._runner = runner
        self._many = many

    def run_all(self, rotation: Iterator[BoundParts]) -> None:
        """Run all until this stage is over."""
        due = self._user.clock.now()
        if self._user.recorder.cross(due):
            return
        self._user.recorder.enter_phase(due)
        self._runner.until_complete(self._all(rotation))

    async def _all(self, rotation: Iterator[BoundParts]) -> None:
        tasks = [asyncio.ensure_future(self._one(rotation)) for _ in range(self._many)]
        # when the run is cut all tasks of the loop are cancelled, this one too
        with suppress(asyncio.CancelledError):
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        left = [task for task in tasks if not task.done()]
        if left and self._user.active.first_sent:
            # what they are in lasts until now, and no reply notes it
            self._user.active.last_taken = self._user.clock.now()
        self._runner.observer.is_ending = bool(left)
        for task in left:
            task.cancel()
        for found in await asyncio.gather(*tasks, return_exceptions=True):
            # those that were thinking are cancelled, and have nothing to tell
            if isinstance(found, BaseException) and not isinstance(found, asyncio.CancelledError):
                raise found

    async def _one(self, rotation: Iterator[BoundParts]) -> None:
        user, pace = self._user, self._pace
        due = user.clock.now()
        for send, request, _, _, bound in rotation:
            user.under_way += 1
            try:
                exchange = await send(request)
            except Halt as halt:
                if halt.is_fault or halt.is_interrupt:
                    raise
                # no more rows: the other tasks have theirs, and end what they began
                user.state.halt_at(user.clock.now(), halt)
                return
            finally:
                user.under_way -= 1
            began, due = due, exchange[3]
            if self._ends_with(bound, began, exchange):
                return
            if pace.is_leisurely:
                due = pace.next_due(began, due)
                if await self._sleep(due):
                    return

    def _ends_with(self, bound: BoundRequest, due: int, exchange: Exchange) -> bool:
        _, sent, arrived, taken, _, note = exchange
        self._user.active.saw(sent, taken)
        if note is None and taken < self._user.recorder.check_at:
            bound.row.samples += (due, sent, arrived, taken, 0, 0)
            return False
        return self._user.recorder.count(bound, due, exchange)

    async def _sleep(self, until: int) -> bool:
        """Wait, at most until it is time to stop; True if it is."""
        now, recorder, state = self._user.clock.now, self._user.recorder, self._user.state
        # it is another thread that ends the run, and it sets no event of a loop that may be closed
        while (left := min(until, recorder.end) - now()) > 0 and not state.is_stopped:  # noqa: ASYNC110
            await asyncio.sleep(min(left, NAP) / SECOND)
        instant = now()
        return instant >= recorder.check_at and recorder.cross(instant)
