"""Time, through one small door: the real clock, and one that is moved by hand."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import BuiltinFunctionType
from typing import Final

from loadkit.plan.units import MILLISECOND, SECOND

NAP: Final = 1000 * MILLISECOND
"""How long a pause may sleep before it asks whether it is still wanted."""
REPORTED_STEP: Final = 100_000
"""A step of the wall clock by less, in nanoseconds, is corrected and not reported."""


class SystemClock:
    """The monotonic clock, and where the wall clock (which the kernel stamps with) stands against it.

    Both are the kernel's, also while a test has put others in the place of those in `time`.
    """

    __slots__ = ("_error", "now", "steps", "wall_offset")

    def __init__(self) -> None:
        # the function itself, not a method around it: 45 ns a call against 75, two calls a request
        self.now: Callable[[], int] = _Kernel.monotonic
        self.wall_offset, self._error = offset_of(_Kernel.wall)
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
        offset, error = offset_of(_Kernel.wall)
        moved = offset - self.wall_offset
        if abs(moved) <= error + self._error:
            # the same as far as reading two clocks one after the other can tell
            if error < self._error:
                self.wall_offset, self._error = offset, error
            return 0
        self.wall_offset, self._error = offset, error
        if abs(moved) > REPORTED_STEP:
            self.steps.append(moved)
        return moved


def _monotonic() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


class _Kernel:
    """The clocks of the kernel.

    Those who freeze time put other functions into modules, or have `time.time` and CLOCK_REALTIME say something else.
    A class keeps what it has, and CLOCK_TAI is the wall clock but for whole seconds.
    """

    monotonic: Final[Callable[[], int]] = staticmethod(
        time.monotonic_ns if isinstance(time.monotonic_ns, BuiltinFunctionType) else _monotonic
    )

    @staticmethod
    def wall() -> int:
        """Nanoseconds of the wall clock."""
        if sys.platform != "linux":
            return time.time_ns()
        exact, coarse = time.clock_gettime_ns(time.CLOCK_TAI), time.clock_gettime_ns(_COARSE)
        return exact - round((exact - coarse) / SECOND) * SECOND


MONOTONIC: Final = _Kernel.monotonic
"""The `now` of a `SystemClock`, which the extension reads, too."""

# CLOCK_REALTIME_COARSE of Linux, which is behind the wall clock by the length of a tick, and missing from `time`
_COARSE: Final = 5


def offset_of(clock: Callable[[], int], *, readings: int = 5) -> tuple[int, int]:
    """A clock less the monotonic one, and how wrong that may be, nanoseconds: the best of a few readings.

    Each is framed by two of the monotonic clock.
    """
    framed = []
    for _ in range(readings):
        before = _Kernel.monotonic()
        read = clock()
        after = _Kernel.monotonic()
        framed.append((after - before, read - (before + after) // 2))
    width, offset = min(framed)
    return offset, (width + 1) // 2


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
