"""`loadkit list` on the command line."""

from __future__ import annotations

from loadkit.cli.console import complain, print_text
from loadkit.cli.options import Targets, load_scenarios, target_of
from loadkit.plan.errors import UsageError


def list_targets(targets: Targets) -> int:
    """List the scenarios that files and folders hold."""
    from loadkit.judge.description import describe
    from loadkit.report.escape import visible
    from loadkit.report.headline import describe_load

    broken: dict[str, str] = {}
    lines = []
    for scenario in load_scenarios(targets, broken=broken):
        lines.append(f"{visible(target_of(scenario))}  {describe_load(describe(scenario))}")
        lines += [f"  {visible(label)}" for label in scenario.labels]
        lines += [f"  {visible(journey.label)} (journey)" for journey in scenario.journeys]
    fault = print_text("\n".join(lines)) if lines else 0
    for message in broken.values():
        complain(UsageError(message))
    return fault or (UsageError.exit_code if broken else 0)
