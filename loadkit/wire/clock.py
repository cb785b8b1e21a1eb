"""Time, through one small door: the real clock, and one that is moved by hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from loadkit.plan.units import MILLISECOND, SECOND

NAP: Final = 1000 * MILLISECOND
"""How long a pause may sleep before it asks whether it is still wanted."""


class SystemClock:
    """The monotonic clock, and where the wall clock (which the kernel stamps with) stands against it."""

    __slots__ = ("now", "steps", "wall_offset")

    def __init__(self) -> None:
        # the function itself, not a method around it: 45 ns a call against 75, two calls a request
        self.now = time.monotonic_ns
        self.wall_offset = _offset()
        self.steps: list[int] = []
        """How far the wall clock was set, each time it was, in nanoseconds."""

    def pause(self, span: int, woken: Callable[[], bool]) -> None:
        """Wait; see `Clock.pause`.

        It sleeps. Locks with a timeout, which could be woken at once, are futexes, and the kernel searches those of a
        process in 16 lists: with 5,000 threads waiting that took a CPU and a half (Linux 6.18).
        """
        until = self.now() + span
        while (left := until - self.now()) > 0 and not woken():
            time.sleep(min(left, NAP) / SECOND)

    def reanchor(self) -> int:
        """Measure the wall clock again; how far it had moved against the monotonic one."""
        offset = _offset()
        moved = offset - self.wall_offset
        # reading two clocks one after the other is this inexact when the thread is interrupted between
        if abs(moved) > 100_000:
            self.wall_offset = offset
            self.steps.append(moved)
            return moved
        return 0


def _offset() -> int:
    """The wall clock less the monotonic one: the best of a few readings, each framed by two of the monotonic."""
    readings = []
    for _ in range(5):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        readings.append((after - before, wall - (before + after) // 2))
    return min(readings)[1]


class ManualClock:
    """A clock that stands still until it is moved; for tests without waiting."""

    __slots__ = ("_now", "wall_offset")

    def __init__(self, now: int = SECOND) -> None:
        self._now = now
        self.wall_offset = 0

    def now(self) -> int:
        """The time it was last set to."""
        return self._now

    def advance(self, span: int) -> None:
        """Let `span` nanoseconds pass."""
        assert span >= 0, "time does not go back"
        self._now += span

    def pause(self, span: int, woken: Callable[[], bool]) -> None:
        """A pause takes no time to wait for: the clock is moved."""
        if not woken():
            self.advance(max(span, 0))

    def reanchor(self) -> int:
        """It never drifts."""
        return 0
