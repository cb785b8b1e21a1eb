"""pytest for load and latency: threads send what a scenario says, histograms count it, a report tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

from loadkit.plan.endpoint import Endpoint
from loadkit.plan.errors import LoadkitError, NothingToRun, OutputError, UsageError
from loadkit.plan.scenario import Scenario

if TYPE_CHECKING:
    from loadkit.jobs.fetch import FetchReply, FetchResult, fetch
    from loadkit.jobs.run import run
    from loadkit.judge.result import Result

__all__ = [
    "Endpoint",
    "FetchReply",
    "FetchResult",
    "LoadkitError",
    "NothingToRun",
    "OutputError",
    "Result",
    "Scenario",
    "UsageError",
    "__version__",
    "fetch",
    "run",
]

# what a scenario file does not need is imported when it is asked for: 20 ms against 130
_LATE = {
    "FetchReply": "loadkit.jobs.fetch",
    "FetchResult": "loadkit.jobs.fetch",
    "Result": "loadkit.judge.result",
    "fetch": "loadkit.jobs.fetch",
    "run": "loadkit.jobs.run",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LATE[name]), name)
