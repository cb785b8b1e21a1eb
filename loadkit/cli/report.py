"""`loadkit report` on the command line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from loadkit.cli.console import exit_code, print_finding, print_last_word, print_report, store
from loadkit.cli.options import Csv, Full, Hgrm, Hlog, Junit, Markdown, Page, Prometheus, Quiet, output_option
from loadkit.cli.outputs import Outputs
from loadkit.cli.parser import argument
from loadkit.plan.errors import UsageError

if TYPE_CHECKING:
    from loadkit.judge.identity import Identity
    from loadkit.judge.result import Result
    from loadkit.report.json import Finding


def report(
    files: Annotated[list[Path], argument(help="Stored results; those of one load in several files are merged.")],
    output: Annotated[Path | None, output_option("--output", "-o", help="Store the merged result as JSON.")] = None,
    html: Page = None,
    markdown: Markdown = None,
    csv: Csv = None,
    junit: Junit = None,
    hgrm: Hgrm = None,
    hlog: Hlog = None,
    prometheus: Prometheus = None,
    full: Full = False,
    quiet: Quiet = False,
) -> int:
    """Make the report of stored results anew, merging what several files have of the same load.

    The same load is the same scenario of the same file, or the same test, with the same endpoints, workload and
    thresholds. Anything else, and all that is in one file, is reported apart. Comparisons and limits that were stored
    are shown again after the results. The exit code is that of all of them.
    """
    from loadkit.judge.merge import merge

    outputs = Outputs.of(
        output=output,
        html=html,
        markdown=markdown,
        csv=csv,
        junit=junit,
        hgrm=hgrm,
        hlog=hlog,
        prometheus=prometheus,
    )
    outputs.check(files)
    stored = _read(files)
    findings = {file: one for file, one in stored.items() if not isinstance(one, list)}
    outputs.check_found(findings)
    results = {file: one for file, one in stored.items() if isinstance(one, list)}
    _check_parts(results)
    merged = [merge(of_one_load) for of_one_load in _of_same_load(results.values())]
    outputs.check_count(len(merged))
    found = [*merged, *findings.values()]
    faults = [store(outputs.stored, merged) if outputs.stored else 0]
    with outputs.text_on_stderr():
        faults += [] if quiet else _print(merged, list(findings.values()), full=full)
    faults += [*outputs.write(found), outputs.print(found)]
    return exit_code(merged, [*faults, *(one.exit_code for one in findings.values())])


def _print(merged: list[Result], findings: list[Finding], *, full: bool) -> Iterable[int]:
    """Print all, and give the exit code of each attempt."""
    for one in merged:
        yield print_report(one, full=full, is_first=one is merged[0])
    yield print_last_word(merged)
    for finding in findings:
        yield print_finding(finding, is_first=not merged and finding is findings[0])


def _read(files: list[Path]) -> dict[Path, list[Result] | Finding]:
    """The results of each file, or the comparison or limit in it."""
    from loadkit.report.json import load_stored

    for file in files:
        if [other.resolve() for other in files].count(file.resolve()) > 1:
            raise UsageError(f"{file} is named more than once, and would be counted as often")
    return {file: load_stored(file) for file in files}


def _check_parts(stored: Mapping[Path, Sequence[Result]]) -> None:
    """See that what are parts of loads are those of one run each; `UsageError` naming the files."""
    from loadkit.judge.other_load import other_load
    from loadkit.judge.parts import is_part

    found = [(file, result) for file, results in stored.items() for result in results if is_part(result)]
    for (file, one), (other, another) in permutations(found, 2):
        mine, theirs = one.machines[0], another.machines[0]
        if one.identity == another.identity and (mine.part, mine.parts) == (theirs.part, theirs.parts):
            raise UsageError(f"{file} and {other} are both part {mine.part}/{mine.parts} of {one.title}; leave one out")
        if one.identity.name == another.identity.name and one.identity.plan != another.identity.plan:
            differs = other_load(one, another)
            raise UsageError(f"{other} is a part of another load than {file}: {differs}; run all parts of the same one")
        if one.identity != another.identity and _parts_of(one, found).isdisjoint(_parts_of(another, found)):
            raise UsageError(
                f"part {theirs.part}/{theirs.parts} of {one.title} is missing, and {other} is that of {another.title}; "
                "run all parts of the same scenario"
            )


def _parts_of(one: Result, found: Sequence[tuple[Path, Result]]) -> set[tuple[int, int]]:
    """The parts that there are of what a result is of."""
    of_same = [result for _, result in found if result.identity == one.identity]
    return {(machine.part, machine.parts) for result in of_same for machine in result.machines}


def _of_same_load(stored: Iterable[list[Result]]) -> Iterable[list[Result]]:
    """The results of files, those of one load together."""
    of_same: dict[tuple[Identity, int], list[Result]] = {}
    for results in stored:
        seen: Counter[Identity] = Counter()
        for result in results:
            # two results of one load in one file are two runs of it, to be compared
            seen[result.identity] += 1
            of_same.setdefault((result.identity, seen[result.identity]), []).append(result)
    return of_same.values()
