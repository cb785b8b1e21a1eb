"""pytest for load and latency: threads send what a scenario says, histograms count it, a report tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

from loadkit.plan.endpoint import Endpoint
from loadkit.plan.errors import LoadkitError, NothingToRun, OutputError, UsageError
from loadkit.plan.journey import Journey
from loadkit.plan.phases import hold, ramp
from loadkit.plan.scenario import Scenario, scenario

if TYPE_CHECKING:
    from loadkit.jobs.run import run
    from loadkit.judge.result import Result
    from loadkit.measure.timer import timed, timer
    from loadkit.plan.data import rows
    from loadkit.wire.session import Session

__all__ = [
    "Endpoint",
    "Journey",
    "LoadkitError",
    "NothingToRun",
    "OutputError",
    "Result",
    "Scenario",
    "Session",
    "UsageError",
    "__version__",
    "hold",
    "ramp",
    "rows",
    "run",
    "scenario",
    "timed",
    "timer",
]

# what a scenario file does not need is imported when it is asked for: 20 ms against 130
_LATE = {
    "run": "loadkit.jobs.run",
    "Result": "loadkit.judge.result",
    "Session": "loadkit.wire.session",
    "rows": "loadkit.plan.data",
    "timed": "loadkit.measure.timer",
    "timer": "loadkit.measure.timer",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LATE[name]), name)
