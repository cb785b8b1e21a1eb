"""What is asked of the comparisons of a session, on the command line and in settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from loadkit.jobs.compare import BUDGET
from loadkit.jobs.tolerances import tolerances_of
from loadkit.plan.errors import UsageError
from loadkit.plan.fields import parse_positive_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonOptions:
    """What a session says of its comparisons, where their tests say nothing else."""

    against: str | None
    tolerances: Mapping[str, float]
    budget: float
    prepare: str | None
    is_undecided_passed: bool


def comparison_options(config: pytest.Config) -> ComparisonOptions:
    """The options, or the settings where those are not given; `UsageError` for what cannot be followed."""
    undecided = config.getoption("load_undecided") or config.getini("load_undecided") or "fail"
    if undecided not in ("pass", "fail"):
        raise UsageError(f"--load-undecided takes pass or fail, not {undecided!r}")
    budget = config.getoption("load_budget") or config.getini("load_budget") or BUDGET
    return ComparisonOptions(
        against=config.getoption("load_against"),
        tolerances=tolerances_of(config.getoption("load_tolerance") or config.getini("load_tolerance")),
        budget=parse_positive_seconds(budget, what="--load-budget"),
        prepare=config.getini("load_prepare") or None,
        is_undecided_passed=undecided == "pass",
    )
