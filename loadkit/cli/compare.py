"""`loadkit compare` on the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loadkit.cli.console import check_file, print_text, write
from loadkit.cli.options import Quiet, judgement_option, load_scenarios, output_option, request_option, whole_number
from loadkit.plan.errors import UsageError

if TYPE_CHECKING:
    from loadkit.judge.comparison.comparison import Comparison
    from loadkit.plan.scenario import Scenario


def compare(
    target: Annotated[str, typer.Argument(help="A scenario, file.py::name, or a URL: the new version.")],
    against: Annotated[
        str, judgement_option("--against", help="What was before: a URL, a scenario (file.py::name), or a revision.")
    ],
    base_url: Annotated[str | None, request_option(help="Where the new version answers.")] = None,
    tolerance: Annotated[
        list[str] | None,
        judgement_option("--tolerance", help="How much worse a figure may become, and that it decides: p99=10%."),
    ] = None,
    budget: Annotated[str, judgement_option(help="How long it may take.")] = "5m",
    seed: Annotated[str | None, judgement_option(help="Of the order of the rounds.")] = None,
    undecided: Annotated[str, judgement_option(help="pass: exit with 0 where it cannot be told.")] = "fail",
    output: Annotated[Path | None, output_option("--output", "-o", help="Store the comparison as JSON.")] = None,
    quiet: Quiet = False,
) -> None:
    """Measure two versions in turns and say whether the new one is worse.

    Exit code: 0 no worse or better, 1 worse, 2 interrupted, 3 a fault of ours, 4 wrong usage, 6 it cannot be told or
    a version could not be measured.
    """
    from loadkit.jobs.compare import compare as compare_versions
    from loadkit.jobs.tolerances import tolerances_of
    from loadkit.report.comparison import progress_of
    from loadkit.report.progress import show_progress

    if undecided not in ("pass", "fail"):
        raise UsageError(f"--undecided takes pass or fail, not {undecided!r}")
    check_file("--output", output)
    new = _one(target)
    with show_progress(sys.stderr, progress_of, quiet=quiet) as watch:
        found = compare_versions(
            new.replace(base_url=base_url, server=None) if base_url else new,
            against=_one(against) if _is_scenario(against) else against,
            tolerances=tolerances_of(tolerance or []),
            budget=budget,
            watch=watch,
            seed=whole_number("--seed", seed) or 0,
        )
    faults = [write(output, _json(found)) if output else 0, 0 if quiet else _print(found)]
    code = 0 if undecided == "pass" and found.verdict == "cannot tell" else found.exit_code
    raise typer.Exit(max(faults) or (2 if found.reason == "interrupted" else code))


def _is_scenario(against: str) -> bool:
    # main:shop.py is what git calls a file of a revision
    return "::" in against or (against.endswith(".py") and ":" not in against)


def _json(found: Comparison) -> str:
    import msgspec

    return msgspec.json.format(msgspec.json.encode(found), indent=1).decode() + "\n"


def _print(found: Comparison) -> int:
    from loadkit.report.comparison import comparison_report
    from loadkit.report.layout import layout_of

    return print_text(comparison_report(found, layout_of(sys.stdout)))


def _one(target: str) -> Scenario:
    found = load_scenarios([target])
    if len(found) > 1:
        names = ", ".join(f"{target}::{one.name}" for one in found)
        raise UsageError(f"{target} has {len(found)} scenarios, and one is compared; name it: {names}")
    return found[0]
