"""A machine that shared a load, as results have it."""

from __future__ import annotations

from typing import Any

from loadkit.drive.machines import Machine
from loadkit.judge.instants import later
from tests.results import BEGAN

START = BEGAN.isoformat(timespec="microseconds")


def machine(part: int = 1, parts: int = 2, *, after: float = 0.0, **changes: Any) -> Machine:
    """One that began so many seconds after the first, and sent 100/s for 10 s on half of a CPU."""
    values: dict[str, Any] = {
        "host": f"web-{part}",
        "part": part,
        "parts": parts,
        "started_at": later(START, after),
        "duration": 10.0,
        "processes": 1,
        "threads": 8,
        "requests": 1000,
        "throughput": 100.0,
        "failures": 0,
        "cpu_seconds": 5.0,
        "cpu_capacity": 4.0,
        "lateness_p99": 0.0002,
        "lateness_max": 0.002,
    }
    return Machine(**(values | changes))
