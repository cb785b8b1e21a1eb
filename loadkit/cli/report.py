"""`loadkit report` on the command line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from loadkit.cli.console import (
    check_outputs,
    exit_code,
    print_finding,
    print_last_word,
    print_report,
    store,
    write_markdown,
    write_page,
)
from loadkit.cli.options import Full, Markdown, Page, Quiet, output_option
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
    full: Full = False,
    quiet: Quiet = False,
) -> int:
    """Make the report of stored results anew, merging what several files have of the same load.

    The same load is the same scenario of the same file, or the same test, with the same endpoints, workload and
    thresholds. Anything else, and all that is in one file, is reported apart. Comparisons and limits that were stored
    are shown again after the results. The exit code is that of all of them.
    """
    from loadkit.judge.merge import merge

    check_outputs(output, html, markdown, files)
    stored = _read(files)
    findings = {file: one for file, one in stored.items() if not isinstance(one, list)}
    if findings and output:
        file, one = next(iter(findings.items()))
        kind = type(one).__name__.lower()
        raise UsageError(f"{file} is a {kind}, and stored already; leave --output out")
    merged = [merge(results) for results in _of_same_load(one for one in stored.values() if isinstance(one, list))]
    found = [*merged, *findings.values()]
    faults = [
        store(output, merged) if output else 0,
        *([] if quiet else _print(merged, list(findings.values()), full=full)),
        write_page(html, found) if html else 0,
        write_markdown(markdown, found) if markdown else 0,
    ]
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
