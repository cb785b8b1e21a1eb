"""`loadkit compare` on the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from loadkit.cli.console import print_document, print_text, say_waiting, write
from loadkit.cli.options import (
    Junit,
    Markdown,
    Page,
    Quiet,
    judgement_option,
    load_scenario,
    output_option,
    request_option,
    whole_number,
)
from loadkit.cli.outputs import Outputs
from loadkit.cli.parser import argument, given_values
from loadkit.plan.errors import UsageError

if TYPE_CHECKING:
    from loadkit.plan.scenario import Scenario

_AGAINST_TESTS: Final = "of tests a revision, the URL of another server, or before.json"


def compare(
    context: typer.Context,
    target: Annotated[
        str, argument(help="The new version: a scenario, file.py::name, or a URL. Or before.json, and AFTER.")
    ],
    after: Annotated[str | None, argument(help="Stored rounds of the new version: after.json.")] = None,
    against: Annotated[
        str | None,
        judgement_option(
            "--against", help="What was before: a URL, a scenario (file.py::name), a revision, or before.json."
        ),
    ] = None,
    calibrate: Annotated[
        bool, judgement_option("--calibrate", help="Compare with itself: how small a change can be seen here?")
    ] = False,
    base_url: Annotated[str | None, request_option(help="Where the new version answers.")] = None,
    prepare: Annotated[
        str | None, request_option(help="Sets up the environment of the revision: 'pip install -e .'.")
    ] = None,
    tolerance: Annotated[
        list[str] | None,
        judgement_option("--tolerance", help="How much worse a figure may become, and that it decides: p99=10%."),
    ] = None,
    control: Annotated[
        str | None, judgement_option(help="What the change cannot touch: an endpoint's label, or demo.")
    ] = None,
    simultaneous: Annotated[
        bool, judgement_option("--simultaneous", help="Load both versions at once, not in turns.")
    ] = False,
    budget: Annotated[
        str | None, judgement_option(help="How long it may take: 5m, or 3m to calibrate, if not said.")
    ] = None,
    seed: Annotated[str | None, judgement_option(help="Of the order of the rounds.")] = None,
    strict_machine: Annotated[
        bool,
        judgement_option(
            "--strict-machine", help="Exit with 6 where stored rounds are of another machine or load, or too few."
        ),
    ] = False,
    undecided: Annotated[str, judgement_option(help="pass: exit with 0 where it cannot be told.")] = "fail",
    output: Annotated[Path | None, output_option("--output", "-o", help="Store what was found as JSON.")] = None,
    html: Page = None,
    markdown: Markdown = None,
    junit: Junit = None,
    quiet: Quiet = False,
) -> int:
    """Measure two versions in turns and say whether the new one is worse; or look at rounds that are stored.

    Rounds are stored by loadkit run --repeat 5 -o before.json. Those of different machines, programs or loads, or too
    few, decide nothing: exit code 0, or 6 with --strict-machine.

    Exit code: 0 no worse or better (or calibrated), 1 worse, 2 interrupted, 3 a fault of ours, 4 wrong usage, 6 it
    cannot be told or a version could not be measured.
    """
    from loadkit.cli.functional import OF_COMPARE, are_tests, run_tests
    from loadkit.jobs.against_stored import are_stored
    from loadkit.jobs.compare import BUDGET, names_scenario
    from loadkit.jobs.compare import compare as compare_versions
    from loadkit.jobs.tolerances import tolerances_of
    from loadkit.judge.comparison.comparison import EXIT_CODES
    from loadkit.report.comparison import progress_of
    from loadkit.report.progress import show_progress

    if are_tests([target]):
        if against is None:
            raise UsageError(f"Missing option '--against': {_AGAINST_TESTS}")
        return run_tests([target], given_values(context), OF_COMPARE)
    if undecided not in ("pass", "fail"):
        raise UsageError(f"--undecided takes pass or fail, not {undecided!r}")
    read = [Path(name.partition("::")[0]) for name in (target, after, against) if name and are_stored(name)]
    outputs = Outputs.of(output=output, html=html, markdown=markdown, junit=junit)
    outputs.check(read)
    if output and output.resolve() in [file.resolve() for file in read]:
        raise UsageError(f"--output would overwrite the result {output}; write it like --output found.json")
    if after is not None:
        if against or not (are_stored(target) and are_stored(after)):
            raise UsageError(f"two files of results are compared, like before.json after.json, not {target} {after}")
        target, against = after, target
    new: Scenario | str = target
    if are_stored(target):
        if base_url or calibrate or prepare:
            raise UsageError(f"{target} is measured already; leave --base-url, --prepare and --calibrate out")
    else:
        new = load_scenario(target, to_be="compared")
        new = new.replace(base_url=base_url) if base_url else new
        new = new if prepare is None else new.replace(prepare=prepare)
        if calibrate:
            if against or tolerance or control or simultaneous or html or markdown or junit:
                others = "--against, --tolerance, --control, --simultaneous, --html, --markdown or --junit"
                raise UsageError(f"--calibrate compares with itself and takes no {others}")
            return _calibrate(new, budget, whole_number("--seed", seed) or 0, outputs, quiet=quiet)
    if against is None:
        raise UsageError("Missing option '--against': a URL, a scenario (file.py::name), a revision, or before.json")
    say_waiting(f"setting up both versions, {target} and {against}", quiet=quiet or are_stored(target))
    with show_progress(sys.stderr, progress_of, quiet=quiet) as watch:
        found = compare_versions(
            new,
            against=load_scenario(against, to_be="compared") if names_scenario(against) else against,
            tolerances=tolerances_of(tolerance or []),
            control=control,
            simultaneous=simultaneous,
            budget=budget or BUDGET,
            watch=watch,
            seed=whole_number("--seed", seed) or 0,
            strict_machine=strict_machine,
        )
    fault = outputs.deliver(found, quiet=quiet)
    code = found.exit_code
    return fault or (0 if undecided == "pass" and code == EXIT_CODES["cannot tell"] else code)


def _calibrate(scenario: Scenario, budget: str | None, seed: int, outputs: Outputs, *, quiet: bool) -> int:
    from loadkit.jobs.calibrate import BUDGET, INTERRUPTED, calibrate
    from loadkit.report.calibration import calibration_report
    from loadkit.report.comparison import progress_of
    from loadkit.report.json import document
    from loadkit.report.layout import layout_of
    from loadkit.report.progress import show_progress

    with show_progress(sys.stderr, progress_of, quiet=quiet) as watch:
        found = calibrate(scenario, budget=budget or BUDGET, seed=seed, watch=watch)
    name = scenario.name or "the scenario"
    with outputs.text_on_stderr():
        shown = 0 if quiet else print_text(calibration_report(found, name, layout_of(sys.stdout)))
    written = write(outputs.stored, document(found)) if outputs.stored else 0
    if outputs.on_stdout:
        written = print_document(document(found))
    return max(shown, written) or (2 if found.fault == INTERRUPTED else found.exit_code)
