"""`loadkit history` on the command line."""

from __future__ import annotations

import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from loadkit.cli.console import check_file, complain, print_document, print_text, write
from loadkit.cli.options import Page, output_option, whole_number
from loadkit.cli.outputs import STDOUT
from loadkit.cli.parser import argument, option
from loadkit.plan.errors import UsageError

if TYPE_CHECKING:
    from loadkit.judge.history.series import Series

_MOST_FAULTS: Final = 5
_METRICS: Final = ("throughput", "p50", "p99", "error_rate")


def history(
    scenario: Annotated[
        str | None, argument(help="A scenario, its file, or the key of a series; all if not said.")
    ] = None,
    folder: Annotated[
        Path, option("--history", envvar="LOADKIT_HISTORY", help="The folder that runs were kept in.")
    ] = Path(".loadkit/history"),
    branch: Annotated[str | None, option(help="Only runs of this branch.")] = None,
    last: Annotated[
        str | None, output_option(help="How many runs of a series to show: 20 if not said, 100 on the page.")
    ] = None,
    metric: Annotated[
        list[str] | None, output_option("--metric", help="A figure: p99.9, server_cpu, 'GET /search: p50'.")
    ] = None,
    html: Page = None,
    csv: Annotated[Path | None, output_option("--csv", help="Write all runs of one series as CSV.")] = None,
) -> int:
    """Show the last runs of each scenario, and from which on a figure had another level.

    Only runs of the same load on the same kind of machine are in one series. loadkit run --history DIR keeps them.
    Exit code: 0, also where a level changed; 3 a fault of ours, 4 wrong usage or no history.
    """
    from loadkit.jobs.history import read_history
    from loadkit.judge.history.series import metric_of, series_of
    from loadkit.report.history import history_csv, history_report
    from loadkit.report.history_page import history_page
    from loadkit.report.layout import layout_of

    count = whole_number("--last", last)
    if count is not None and count < 1:
        raise UsageError(f"--last takes a number of runs like 20, not {last}")
    on_stdout = [path for path in (csv, html) if path == STDOUT]
    if len(on_stdout) > 1:
        raise UsageError("--csv and --html cannot share stdout; give a file to one of them")
    check_file("--csv", None if csv == STDOUT else csv)
    check_file("--html", None if html == STDOUT else html)
    asked = list(map(metric_of, metric or []))
    runs, faults = read_history(folder)
    for fault in faults[:_MOST_FAULTS]:
        complain(UsageError(fault))
    if len(faults) > _MOST_FAULTS:
        complain(UsageError(f"and {len(faults) - _MOST_FAULTS:,} more lines"))
    series = _named(series_of(run for run in runs if branch in (None, run.revision.branch)), scenario, folder)
    shown = asked or list(map(metric_of, _METRICS))
    codes = [
        _deliver(csv, history_csv(_only(series), asked)) if csv else 0,
        _deliver(html, history_page(series, shown, last=count or 100)) if html else 0,
    ]
    with redirect_stdout(sys.stderr) if on_stdout else nullcontext():
        codes.append(print_text(history_report(series, shown, last=count or 20, layout=layout_of(sys.stdout))))
    return max(codes)


def _deliver(path: Path, text: str) -> int:
    return print_document(text) if path == STDOUT else write(path, text)


def _named(series: list[Series], scenario: str | None, folder: Path) -> list[Series]:
    found = [one for one in series if scenario is None or one.is_called(scenario)]
    if not series:
        raise UsageError(f"there is no run in {folder} that can be shown")
    if not found:
        known = ", ".join(dict.fromkeys(one.name for one in series))
        raise UsageError(f"there is no run of {scenario!r} in {folder}; it has {known}")
    return found


def _only(series: list[Series]) -> Series:
    if len(series) > 1:
        keys = ", ".join(f"{one.key} ({one.name})" for one in series)
        raise UsageError(f"--csv takes one series of these; name one, as in loadkit history {series[-1].key}: {keys}")
    return series[0]
