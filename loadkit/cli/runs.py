"""Scenarios run on the command line, one after the other or together: reported, stored and written."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadkit.cli.console import (
    check_samples,
    complain,
    exit_code,
    keep_run,
    partial_of,
    partials_of,
    print_last_word,
    print_report,
    revision_of_history,
    sample_file,
    say_waiting,
    showing,
    store,
    summarize,
    without_secrets,
)
from loadkit.cli.options import target_of
from loadkit.plan.errors import Interrupted, NothingToRun, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadkit.cli.outputs import Outputs
    from loadkit.jobs.live import LivePage
    from loadkit.jobs.otlp import OtlpTarget
    from loadkit.judge.result import Result
    from loadkit.plan.part import Part
    from loadkit.plan.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporting:
    """Where results go, and what is shown of them."""

    outputs: Outputs
    history: Path | None
    samples: Path | None
    otlp: OtlpTarget | None
    exchanges: int
    """How many exchanges are shown whole."""
    full: bool
    quiet: bool


def run_all(
    scenarios: list[Scenario],
    to: Reporting,
    *,
    once: bool,
    broken: dict[str, str],
    fail_fast: bool,
    machines: Mapping[str, Any],
    part: Part,
    live: LivePage | None,
) -> int:
    """Run one after the other; the others go on where one cannot be run, and `broken` takes its name and why."""
    from loadkit.jobs.interrupts import counted_signals
    from loadkit.plan.scenario import addressed

    errors = [UsageError(message) for message in broken.values()]
    if not scenarios and not errors:
        raise NothingToRun("there is nothing to run")
    outputs = to.outputs
    outputs.check(count=len(scenarios))
    for error in errors:
        complain(error)
    for scenario in () if once else scenarios:
        addressed(scenario)
    revision = revision_of_history(to.history) if to.history else None
    results: list[Result] = []
    faults = [error.exit_code for error in errors]
    partial = partial_of(outputs.stored, live)
    titles = _titles(scenarios)
    left = Counter(titles[target_of(scenario)] for scenario in scenarios)
    with outputs.text_on_stderr(), counted_signals() as signals, sample_file(to.samples) as lines:
        interrupts = live.with_stops(signals) if live else signals
        for scenario in scenarios:
            left -= Counter([titles[target_of(scenario)]])
            if target_of(scenario) in broken:  # in an earlier round
                continue
            try:
                results.append(
                    _run_one(
                        scenario,
                        to,
                        interrupts=interrupts,
                        partial=partial,
                        samples=lines,
                        part=part,
                        **machines,
                    )
                )
            except UsageError as error:
                complain(error)
                broken[target_of(scenario)] = str(error)
                faults.append(error.exit_code)
                faults += outputs.write(results, broken)
                if fail_fast:
                    break
                continue
            # after each, for the next may be ended by force
            faults.append(store(outputs.stored, results, [partial] if partial else ()) if outputs.stored else 0)
            faults.append(
                0 if to.quiet else print_report(results[-1], once=once, full=to.full, is_first=len(results) == 1)
            )
            faults += outputs.write(results, broken)
            faults.append(keep_run(to.history, results[-1], revision) if to.history and revision else 0)
            if interrupts() or (fail_fast and not results[-1].passed):
                break
    if live:
        live.finish(results, without_secrets(broken))
    faults.append(check_samples(lines, results) if lines else 0)
    if not to.quiet:
        with outputs.text_on_stderr():
            faults.append(print_last_word(results, broken, once=once))
        summarize(results)
    if left:
        _say_not_run(left, why="interrupted" if interrupts() else "ended by --fail-fast")
    return exit_code(results, [*faults, outputs.print(results, broken)])


def _run_one(scenario: Scenario, to: Reporting, **given: Any) -> Result:
    """Run one and show its progress; what else is `given` is for the run."""
    from loadkit.jobs.printing import printing_on_stderr
    from loadkit.jobs.run import run
    from loadkit.report.progress import watcher
    from loadkit.wire.exchange_log import ExchangeLog

    log = ExchangeLog(to.exchanges) if to.exchanges else None
    say_waiting(f"starting the server of {scenario.name}", quiet=to.quiet or not scenario.server)
    # stdout is the report's: what the user's code prints goes where that of worker processes goes
    with showing(log), watcher(sys.stderr, quiet=to.quiet) as watch, printing_on_stderr():
        return run(scenario, watch=None if to.quiet else watch, log=log, otlp=to.otlp, **given)


def _say_not_run(left: Counter[str], *, why: str) -> None:
    names = (f"{count} rounds of {name}" if count > 1 else name for name, count in left.items())
    complain(Interrupted(f"{why} before {', '.join(names)}"))


def _titles(scenarios: list[Scenario]) -> dict[str, str]:
    """The names of scenarios by what is to be typed for each; that itself where another file has the same name."""
    names = {target_of(scenario): str(scenario.name) for scenario in scenarios}
    counts = Counter(names.values())
    return {target: name if counts[name] == 1 else target for target, name in names.items()}


def check_together(given: Mapping[str, Any]) -> None:
    """Refuse what is about scenarios one after the other; defaults of the project are left out."""
    for name in ("once", "repeat", "fail_fast"):
        if given.get(name):
            option = name.replace("_", "-")
            raise UsageError(f"--{option} is for scenarios one after the other; leave it or --together out")


def run_all_together(scenarios: list[Scenario], to: Reporting, live: LivePage | None) -> int:
    """Run all at the same time, and report each when the last one has ended."""
    from loadkit.jobs.interrupts import counted_signals
    from loadkit.jobs.printing import printing_on_stderr
    from loadkit.jobs.together import run_together
    from loadkit.report.progress import watcher
    from loadkit.wire.exchange_log import ExchangeLog

    if not scenarios:
        raise NothingToRun("there is nothing to run")
    outputs = to.outputs
    outputs.check(count=len(scenarios))
    revision = revision_of_history(to.history) if to.history else None
    partials = partials_of(outputs.stored, live, len(scenarios))
    logs = [ExchangeLog(to.exchanges) for _ in scenarios] if to.exchanges else []
    names = ", ".join(str(scenario.name) for scenario in scenarios if scenario.server)
    say_waiting(f"starting the server of {names}", quiet=to.quiet or not names)
    with counted_signals() as signals, sample_file(to.samples) as lines:
        with ExitStack() as stack:
            for log in reversed(logs):
                stack.enter_context(showing(log))
            watch = stack.enter_context(watcher(sys.stderr, quiet=to.quiet))
            stack.enter_context(printing_on_stderr())
            results = run_together(
                *scenarios,
                watch=None if to.quiet else watch,
                interrupts=live.with_stops(signals) if live else signals,
                partials=partials,
                logs=logs,
                samples=lines,
                otlp=to.otlp,
            )
        faults = [store(outputs.stored, results, partials) if outputs.stored else 0]
        faults.append(check_samples(lines, results) if lines else 0)
    if live:
        live.finish(results)
    if not to.quiet:
        with outputs.text_on_stderr():
            faults += [print_report(one, full=to.full, is_first=one is results[0]) for one in results]
            faults.append(print_last_word(results))
        summarize(results)
    faults += [*outputs.write(results), outputs.print(results)]
    faults += [keep_run(to.history, one, revision) for one in results if to.history and revision]
    return exit_code(results, faults)
