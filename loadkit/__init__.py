"""pytest for load and latency: threads send what a scenario says, histograms count it, a report tells.

PYTEST_DONT_REWRITE: a program that imports this and then calls `pytest.main` would be warned that it came too early for
its asserts to be rewritten, and there are none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loadkit._version import __version__

if TYPE_CHECKING:
    from loadkit.fetcher import FetchReply, FetchResult, fetch
    from loadkit.jobs.calibrate import calibrate
    from loadkit.jobs.compare import compare
    from loadkit.jobs.limit import limit
    from loadkit.jobs.run import run
    from loadkit.jobs.testing.fixture import LoadFixture
    from loadkit.jobs.together import run_together
    from loadkit.judge.comparison.calibration import Calibration
    from loadkit.judge.comparison.comparison import Comparison
    from loadkit.judge.limit.limit import Limit
    from loadkit.judge.result import Result
    from loadkit.measure.timer import timed, timer
    from loadkit.plan.data import rows
    from loadkit.plan.endpoint import Endpoint
    from loadkit.plan.errors import LoadkitError, NothingToRun, OutputError, UsageError
    from loadkit.plan.journey import Journey
    from loadkit.plan.phases import hold, ramp
    from loadkit.plan.scenario import Scenario, scenario
    from loadkit.plan.threshold import Threshold
    from loadkit.server.serving import serving
    from loadkit.wire.session.session import Session

__all__ = [
    "Calibration",
    "Comparison",
    "Endpoint",
    "FetchReply",
    "FetchResult",
    "Journey",
    "Limit",
    "LoadFixture",
    "LoadkitError",
    "NothingToRun",
    "OutputError",
    "Result",
    "Scenario",
    "Session",
    "Threshold",
    "UsageError",
    "__version__",
    "calibrate",
    "compare",
    "fetch",
    "hold",
    "limit",
    "ramp",
    "rows",
    "run",
    "run_together",
    "scenario",
    "serving",
    "timed",
    "timer",
]

# each is imported when it is asked for: every pytest in an environment with loadkit in it imports this file, and the
# plan takes 20 ms, the rest 110
_LATE = {
    "Calibration": "loadkit.judge.comparison.calibration",
    "Comparison": "loadkit.judge.comparison.comparison",
    "Endpoint": "loadkit.plan.endpoint",
    "FetchReply": "loadkit.fetcher",
    "FetchResult": "loadkit.fetcher",
    "Journey": "loadkit.plan.journey",
    "Limit": "loadkit.judge.limit.limit",
    "LoadFixture": "loadkit.jobs.testing.fixture",
    "LoadkitError": "loadkit.plan.errors",
    "NothingToRun": "loadkit.plan.errors",
    "OutputError": "loadkit.plan.errors",
    "Result": "loadkit.judge.result",
    "Scenario": "loadkit.plan.scenario",
    "Session": "loadkit.wire.session.session",
    "Threshold": "loadkit.plan.threshold",
    "UsageError": "loadkit.plan.errors",
    "calibrate": "loadkit.jobs.calibrate",
    "compare": "loadkit.jobs.compare",
    "fetch": "loadkit.fetcher",
    "hold": "loadkit.plan.phases",
    "limit": "loadkit.jobs.limit",
    "ramp": "loadkit.plan.phases",
    "rows": "loadkit.plan.data",
    "run": "loadkit.jobs.run",
    "run_together": "loadkit.jobs.together",
    "scenario": "loadkit.plan.scenario",
    "serving": "loadkit.server.serving",
    "timed": "loadkit.measure.timer",
    "timer": "loadkit.measure.timer",
}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LATE[name]), name)
