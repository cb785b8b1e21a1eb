"""What is another in the load of one result than in that of another, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadkit.judge.description import PhasePlan
from loadkit.judge.parts import missing_parts
from loadkit.plan.units import three_digits

if TYPE_CHECKING:
    from loadkit.judge.result import Result

_LOAD: Final = (
    "threads",
    "duration",
    "iterations",
    "iterations_per_thread",
    "rate",
    "arrivals",
    "max_threads",
    "phases",
    "warmup",
    "think_time",
    "pacing",
    "timeout",
    "verify",
    "endpoints",
    "journeys",
)
"""What is stored of a load in words; the rest of it is in the digest of its identity."""


def other_load(then: Result, now: Result) -> str:
    """What is another in the load of `now`, in words; nothing where both are the same."""
    if then.identity.plan == now.identity.plan:
        parts = _parts(then), _parts(now)
        return " -> ".join(parts) if parts[0] != parts[1] else ""
    pairs = {name: (getattr(then.scenario, name), getattr(now.scenario, name)) for name in _LOAD}
    differences = [
        f"{name.replace('_', ' ')} {_shown(old)} -> {_shown(new)}" for name, (old, new) in pairs.items() if old != new
    ]
    return ", ".join(differences) or "something else of what is sent, checked or limited"


def _parts(result: Result) -> str:
    missing = missing_parts(result.machines)
    return f"{len(result.machines)} of {result.machines[0].parts} parts" if missing else "all parts"


def _shown(value: object) -> str:
    if isinstance(value, float):
        return three_digits(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, PhasePlan):
        return f"{value.name} {_shown(value.start)} to {_shown(value.end)} in {_shown(value.duration)} s"
    return "none" if value in (None, "") else str(value)
