"""`loadkit limit` on the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from loadkit.cli.console import say_waiting
from loadkit.cli.options import (
    Junit,
    Markdown,
    Page,
    Quiet,
    judgement_option,
    load_scenario,
    output_option,
    request_option,
)
from loadkit.cli.outputs import Outputs
from loadkit.cli.parser import argument, given_values


def limit(
    context: typer.Context,
    target: Annotated[str, argument(help="A scenario, file.py::name, or a URL.")],
    threshold: Annotated[
        list[str] | None,
        judgement_option("--threshold", "-t", help="What must hold: 'p99 < 100ms'; if not said, the scenario's."),
    ] = None,
    by: Annotated[str, judgement_option(help="rate, or threads: how many of a closed workload are enough.")] = "rate",
    base_url: Annotated[str | None, request_option(help="Aim the scenario at another server.")] = None,
    budget: Annotated[str, judgement_option(help="How long it may take.")] = "5m",
    at_least: Annotated[
        str | None, judgement_option("--at-least", help="Fail if less than this rate is held: 500/s.")
    ] = None,
    output: Annotated[Path | None, output_option("--output", "-o", help="Store what was found as JSON.")] = None,
    html: Page = None,
    markdown: Markdown = None,
    junit: Junit = None,
    quiet: Quiet = False,
) -> int:
    """Find the highest rate that a server holds: at which all thresholds are met; or how many threads are enough.

    Exit code: 0 found, 1 missed at the lowest rate or less than --at-least, 2 interrupted, 3 a fault of ours, 4 wrong
    usage, 6 it cannot be told, or something else than the server was the limit.
    """
    from loadkit.cli.functional import OF_LIMIT, are_tests, run_tests
    from loadkit.jobs.limit import limit as find_limit
    from loadkit.jobs.printing import printing_on_stderr
    from loadkit.report.limit import limit_progress
    from loadkit.report.progress import show_progress

    if are_tests([target]):
        return run_tests([target], given_values(context), OF_LIMIT)
    outputs = Outputs.of(output=output, html=html, markdown=markdown, junit=junit)
    outputs.check()
    scenario = load_scenario(target, to_be="searched")
    say_waiting(f"starting the server of {scenario.name}", quiet=quiet or not scenario.server or bool(base_url))
    with show_progress(sys.stderr, limit_progress, quiet=quiet) as watch, printing_on_stderr():
        found = find_limit(
            scenario.replace(base_url=base_url) if base_url else scenario,
            *(threshold or []),
            by=by,
            budget=budget,
            at_least=at_least,
            watch=watch,
        )
    fault = outputs.deliver(found, quiet=quiet)
    return fault or found.exit_code
