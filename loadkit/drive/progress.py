"""What a run tells while it is under way: a small value, made a few times a second, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """How far a run has come.

    Times are float seconds; `rate` (good replies a second) and `p99` (response time) are of the last few
    whole seconds, and None before there was one.
    """

    name: str
    stage: str
    """`starting`, `warm-up`, `running` or the name of a phase, `draining`."""
    elapsed: float
    """Since the stage began: the warm-up, or the time that is measured."""
    planned: float | None
    """The planned duration; None when the run ends by a number of iterations."""
    iterations: int | None
    """Requests or journeys planned in all; None when the run ends by the clock."""
    threads: int
    in_flight: int
    requests: int
    failures: int
    rate: float | None
    p99: float | None
    asked_rate: float | None = None
    """Arrivals a second that an open workload asks for now."""
    asked_threads: float | None = None
    """Threads that a phase asks for now."""
    journeys: int | None = None
    """Those that ended; None where there are none. Then it is they who are iterations."""


Watcher: TypeAlias = Callable[[Snapshot], None]
