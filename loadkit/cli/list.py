"""`loadkit list` on the command line."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import typer

from loadkit.cli.console import print_text
from loadkit.cli.options import Targets, load_scenarios

if TYPE_CHECKING:
    from loadkit.plan.scenario import Scenario


def list_targets(targets: Targets) -> None:
    """List the scenarios that files and folders hold."""
    from loadkit.judge.description import describe
    from loadkit.report.escape import visible
    from loadkit.report.headline import describe_load

    lines = []
    for scenario in load_scenarios(targets):
        lines.append(f"{visible(_target(scenario))}  {describe_load(describe(scenario))}")
        lines += [f"  {visible(label)}" for label in scenario.labels]
        lines += [f"  {visible(journey.label)} (journey)" for journey in scenario.journeys]
    raise typer.Exit(print_text("\n".join(lines)))


def _target(scenario: Scenario) -> str:
    """What to type to run this one alone: `scenarios/shop.py::browse`; of a URL without its secrets."""
    from loadkit.plan.redact import redact_url

    if scenario.source is None:
        return scenario.name or ""
    path, separator, name = scenario.source.target.partition("::")
    if not separator:
        return redact_url(path)
    with contextlib.suppress(ValueError):  # on another disk
        path = min(path, os.path.relpath(path), key=len)
    return f"{path}::{name}"
