"""pytest for load and latency: threads send what a scenario says, histograms count it, a report tells.

PYTEST_DONT_REWRITE: a program that imports this and then calls `pytest.main` would be warned that it came too early for
its asserts to be rewritten, and there are none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from loadkit.jobs.run import run
    from loadkit.jobs.serving import serving
    from loadkit.judge.result import Result
    from loadkit.plan.endpoint import Endpoint
    from loadkit.plan.errors import LoadkitError, NothingToRun, OutputError, UsageError
    from loadkit.plan.scenario import Scenario

__all__ = [
    "Endpoint",
    "LoadkitError",
    "NothingToRun",
    "OutputError",
    "Result",
    "Scenario",
    "UsageError",
    "__version__",
    "run",
    "serving",
]

# each is imported when it is asked for: every pytest in an environment with loadkit in it imports this file, and the
# plan takes 20 ms, the rest 110
_LATE = {
    "Endpoint": "loadkit.plan.endpoint",
    "LoadkitError": "loadkit.plan.errors",
    "NothingToRun": "loadkit.plan.errors",
    "OutputError": "loadkit.plan.errors",
    "Result": "loadkit.judge.result",
    "Scenario": "loadkit.plan.scenario",
    "UsageError": "loadkit.plan.errors",
    "run": "loadkit.jobs.run",
    "serving": "loadkit.jobs.serving",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LATE[name]), name)
