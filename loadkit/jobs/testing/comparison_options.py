"""What is asked of the comparisons of a session, on the command line and in settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from loadkit.jobs.against_stored import are_stored
from loadkit.jobs.compare import BUDGET, names_scenario
from loadkit.jobs.revisions import commit_of
from loadkit.jobs.tolerances import tolerances_of
from loadkit.plan.errors import UsageError
from loadkit.plan.fields import parse_positive_seconds
from loadkit.plan.urls import check_url


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
    if (against := config.getoption("load_against")) is not None:
        _check_against(against, config.rootpath)
    budget = config.getoption("load_budget") or config.getini("load_budget") or BUDGET
    return ComparisonOptions(
        against=against,
        tolerances=tolerances_of(config.getoption("load_tolerance") or config.getini("load_tolerance")),
        budget=parse_positive_seconds(budget, what="--load-budget"),
        prepare=config.getini("load_prepare") or None,
        is_undecided_passed=undecided == "pass",
    )


def _check_against(against: str, root: Path) -> None:
    """Refuse what there is not to compare with: no URL, no file below `root` or here, no revision of its project."""
    if "://" in against:
        check_url(against, what="--load-against")
    elif are_stored(against) or names_scenario(against):
        file = against.partition("::")[0]
        if not Path(file).exists() and not (root / file).exists():
            raise UsageError(f"--load-against: there is no file or folder {file!r}")
    elif not against.strip():
        raise UsageError("--load-against takes a revision like main, a URL, or a scenario like old.py::browse")
    else:
        commit_of(against, root)
