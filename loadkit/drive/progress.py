"""What a run tells while it is under way: a small value, made a few times a second, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from loadkit.plan.phases import Stretch


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
    is_interrupted: bool = False
    """The user has asked for its end."""


Watcher: TypeAlias = Callable[[Snapshot], None]


def stage_at(stretches: Sequence[Stretch], since: int, until: int) -> str:
    """The stage of a run `since` nanoseconds after measuring began, with `until` as its end."""
    if since < 0:
        return "warm-up"
    if since >= until:
        return "draining"
    return next((one.name for one in stretches if since < one.end), "running")


def level_at(stretches: Sequence[Stretch], since: int) -> float | None:
    """How many threads or arrivals a second phases ask for then; None where it is always the same."""
    return next((one.level(since) for one in stretches if one.start <= since < one.end), None)
