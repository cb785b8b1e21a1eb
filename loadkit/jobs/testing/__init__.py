"""Load tests within pytest: the `load` fixture, scenarios as tests, what is kept of them, and what is shown.

`loadkit.pytest_plugin` has the hooks and options, and imports this when the first load test is met.
"""

from __future__ import annotations

from loadkit.jobs.testing.collect import ScenarioFile, ScenarioItem
from loadkit.jobs.testing.fixture import Load, TargetDown
from loadkit.jobs.testing.reporting import CARRIED, compared, complete, summary
from loadkit.jobs.testing.runs import unpacked
from loadkit.jobs.testing.session import RUNS, LoadSession

__all__ = [
    "CARRIED",
    "RUNS",
    "Load",
    "LoadSession",
    "ScenarioFile",
    "ScenarioItem",
    "TargetDown",
    "compared",
    "complete",
    "summary",
    "unpacked",
]
