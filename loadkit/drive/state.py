"""When a run measures and ends: written by the one who directs it, read by its threads."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from loadkit.measure.slowest import SlowLimit
from loadkit.plan.errors import Halt

if TYPE_CHECKING:
    from loadkit.measure.samples import SampleBuffer

NEVER: Final = 1 << 62


class RunState:
    """The instants of a run, nanoseconds of the monotonic clock, and what its threads are to do now."""

    __slots__ = (
        "_halting",
        "began",
        "cutting",
        "finishing",
        "halt",
        "is_interrupted",
        "is_stopped",
        "measured_from",
        "phase_ends",
        "samples",
        "slow",
        "stop_at",
    )

    def __init__(self, phase_ends: tuple[int, ...] = ()) -> None:
        self.began = NEVER
        self.measured_from = NEVER
        self.stop_at = NEVER
        self.phase_ends = phase_ends
        """Nanoseconds from `measured_from`."""
        self.is_interrupted = False
        """Somebody has asked for its end."""
        self.is_stopped = False
        """`stop_at` has passed, or was moved: no thread rests or begins anything more."""
        self.cutting = False
        """Exchanges that fail now were cut off by us."""
        self.finishing = False
        """The stop is for want of rows: journeys that have theirs go on to their end."""
        self.halt: tuple[int, Halt] | None = None
        """From when on the plan cannot go on, and why; the earliest of what threads found."""
        self.slow = SlowLimit()
        self.samples: SampleBuffer | None = None
        """Takes each request that is measured, where they are wanted one by one."""
        self._halting = threading.Lock()

    def halt_at(self, instant: int, halt: Halt) -> None:
        """Note that the plan cannot go on from this instant on."""
        with self._halting:
            if self.halt is None or instant < self.halt[0]:
                self.halt = instant, halt

    def stop_at_halt(self) -> None:
        """Stop where the plan cannot go on any more, if that is so."""
        if self.halt:
            at, halt = self.halt
            self.is_interrupted = self.is_interrupted or halt.is_interrupt
            self.finishing = not (halt.is_fault or self.is_interrupted)
            self.stop(at)

    def stop(self, at: int) -> None:
        """Stop at this instant if nothing stops the run before it."""
        if at < self.stop_at:
            self.measured_from = min(self.measured_from, at)
            self.stop_at = at
            self.is_stopped = True
