"""Scenarios run one after the other on the command line: each reported, stored and written as it ends."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from loadkit.cli.console import (
    check_outputs,
    check_samples,
    complain,
    exit_code,
    keep_run,
    partial_of,
    print_last_word,
    print_report,
    revision_of_history,
    sample_file,
    say_waiting,
    showing,
    store,
    summarize,
    write_markdown,
    write_page,
)
from loadkit.cli.options import target_of
from loadkit.plan.errors import Interrupted, NothingToRun, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadkit.judge.history.kept_run import Revision
    from loadkit.judge.result import Result
    from loadkit.plan.scenario import Scenario


def run_all(
    scenarios: list[Scenario],
    output: Path | None,
    html: Path | None,
    markdown: Path | None,
    history: Path | None,
    samples: Path | None,
    exchanges: int,
    *,
    broken: dict[str, str] | None,
    fail_fast: bool,
    full: bool,
    quiet: bool,
) -> int:
    """Run one after the other; those of `once` go on where one is not run, and `broken` takes its name and why."""
    from loadkit.jobs.interrupts import counted_signals
    from loadkit.jobs.printing import printing_on_stderr
    from loadkit.jobs.run import run as run_one
    from loadkit.plan.scenario import addressed
    from loadkit.report.progress import watcher
    from loadkit.wire.exchange_log import ExchangeLog

    once = broken is not None
    errors = [UsageError(message) for message in (broken or {}).values()]
    if not scenarios and not errors:
        raise NothingToRun("there is nothing to run")
    check_outputs(output, html, markdown)
    for error in errors:
        complain(error)
    for scenario in () if once else scenarios:
        addressed(scenario)
    revision = revision_of_history(history) if history else None
    results: list[Result] = []
    faults = [error.exit_code for error in errors]
    partial = partial_of(output) if output else None
    left = Counter(str(scenario.name) for scenario in scenarios)
    with counted_signals() as signals, sample_file(samples) as lines:
        for scenario in scenarios:
            left -= Counter([str(scenario.name)])
            log = ExchangeLog(exchanges) if exchanges else None
            say_waiting(f"starting the server of {scenario.name}", quiet=quiet or not scenario.server)
            try:
                # stdout is the report's: what the user's code prints goes where that of worker processes goes
                with showing(log), watcher(sys.stderr, quiet=quiet) as watch, printing_on_stderr():
                    results.append(
                        run_one(
                            scenario,
                            watch=None if quiet else watch,
                            interrupts=signals,
                            partial=partial,
                            log=log,
                            samples=lines,
                        )
                    )
            except UsageError as error:
                if broken is None:
                    raise
                complain(error)
                broken[target_of(scenario)] = str(error)
                faults.append(error.exit_code)
                continue
            # after each, for the next may be ended by force
            faults.append(store(output, results, partial) if output else 0)
            faults.append(0 if quiet else print_report(results[-1], once=once, full=full, is_first=len(results) == 1))
            faults += _write(results, html, markdown, history, revision)
            if signals() or (fail_fast and not results[-1].passed):
                break
    faults.append(check_samples(lines, results) if lines else 0)
    if not quiet:
        faults.append(print_last_word(results, broken, once=once))
        summarize(results)
    if left:
        names = (f"{count} rounds of {name}" if count > 1 else name for name, count in left.items())
        complain(Interrupted(f"{'interrupted' if signals() else 'ended by --fail-fast'} before {', '.join(names)}"))
    return exit_code(results, faults)


def _write(
    results: list[Result], html: Path | None, markdown: Path | None, history: Path | None, revision: Revision | None
) -> Iterator[int]:
    """Write what was found so far where it is wanted, and give the exit code of each attempt."""
    if html:
        yield write_page(html, results)
    if markdown:
        yield write_markdown(markdown, results)
    if history and revision:
        yield keep_run(history, results[-1], revision)
