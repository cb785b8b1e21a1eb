"""What a session's load tests say: below a failure, beside a compared figure, and in one table at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from loadkit.jobs.testing.baseline import no_baseline
from loadkit.jobs.testing.fixture import TargetDown
from loadkit.jobs.testing.runs import FOUND, Found, Run, as_markdown, kind_of, packed
from loadkit.jobs.testing.session import HANDED_ON, SHOWN, LoadSession, found_of, is_interrupted, node_id
from loadkit.jobs.testing.terminal import (
    caveat_lines,
    comparison_lines,
    comparisons_table,
    explain_value,
    limits_table,
    run_report,
    runs_table,
    word_of,
)
from loadkit.judge.limit.limit import Limit
from loadkit.report.comparison import comparison_report
from loadkit.report.escape import visible
from loadkit.report.layout import Layout, needs_ascii, report_width
from loadkit.report.limit import limit_report
from loadkit.report.summary import append_summary, summary_file
from loadkit.server.serving import running_servers
from loadkit.server.start import ended_output

CARRIED = "loadkit"
"""The attribute of a report that carries runs from a worker of pytest-xdist."""

OF_TEST = "loadkit_test"
"""The attribute of a report that holds the id of its test, without the group that pytest-xdist writes behind it."""


def complete(session: LoadSession, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Put the little report of each run below what failed, and hand results on from a worker."""
    found = found_of(item)
    session.unreported.clear()
    if session.is_worker and (new := _not_handed_on(item)):
        setattr(report, CARRIED, packed(new))
    if item.stash.get(FOUND, []):
        test = node_id(item)
        setattr(report, OF_TEST, test)
        if is_failure(report):
            session.failed.add(test)
    layout = session_layout(session.config)
    if report.failed and found:
        _add_output(session, layout, report)
    if call.excinfo and isinstance(call.excinfo.value, TargetDown):
        return
    # why a comparison fails its test comes before the run that it was of
    if session.options.report == "no":
        return
    for one in sorted(_to_show(item, found, report), key=lambda one: isinstance(one, Run)):
        title, text = _section(layout, one, found, is_of_failure=report.failed, full=session.options.report == "full")
        add = getattr(report.longrepr, "addsection", None)
        if report.failed and add:
            add(title, text, "-")
        else:
            # of what passed, -rP shows it
            report.sections.append((title, text))


def _not_handed_on(item: pytest.Item) -> list[Run | Found]:
    """What a test, or its module, has found that is in no report of a worker yet."""
    new: list[Run | Found] = []
    for node in item.listchain():
        found, reported = node.stash.get(FOUND, []), node.stash.get(HANDED_ON, 0)
        new += found[reported:]
        node.stash[HANDED_ON] = len(found)
    return new


def _add_output(session: LoadSession, layout: Layout, report: pytest.TestReport) -> None:
    """What the servers that loadkit started have printed during a test that failed, those that have ended first."""
    running = [one.last_lines(session.test.printed.get(one, 0)) for one in running_servers()]
    for lines in ([*ended_output], *running):
        if lines:
            report.sections.append((f"Captured server output {report.when}", "\n".join(map(layout.escape, lines))))


def _section(
    layout: Layout,
    one: Run | Found,
    found: Sequence[Run | Found],
    *,
    is_of_failure: bool,
    full: bool = True,
) -> tuple[str, str]:
    """The title and the text of what stands below a test of one thing that was found."""
    number = f" {one.number}" if sum(kind_of(other) == kind_of(one) for other in found) > 1 else ""
    if isinstance(one, Found):
        concluded = one.finding
        if isinstance(concluded, Limit):
            return layout.escape(f"limit{number}: {concluded.name}"), limit_report(concluded, layout)
        title = f"compared{number}: {concluded.new} against {concluded.old}"
        return layout.escape(title), comparison_report(concluded, layout)
    title = layout.escape(f"load{number}: {one.result.scenario.name}")
    return title, run_report(layout, one.result, is_of_failure=is_of_failure, full=full)


def _to_show(item: pytest.Item, runs: list[Run | Found], report: pytest.TestReport) -> list[Run | Found]:
    """Each once below what failed, though subtests and a tear-down may fail beside their test."""
    if report.failed:
        shown, item.stash[SHOWN] = item.stash.get(SHOWN, 0), len(runs)
        return runs[shown:]
    return runs if report.passed and report.when == "call" else []


def is_failure(report: pytest.TestReport) -> bool:
    """True for a phase after which a test has not passed: an expected failure is one, too."""
    return report.failed or (report.when == "call" and not report.passed)


def compared(session: LoadSession, op: str, left: object, right: object) -> list[str] | None:
    """Say which figures of the current test two compared numbers are, and how sure they are; None for others."""
    if not all(isinstance(one, int | float) for one in (left, right)):
        return None
    lines = [
        visible(line)
        for value in (left, right)
        for line in explain_value(value, [*session.test.of_module, *session.test.found])
    ]
    return [f"{left!r} {op} {right!r}", *lines] if lines else None


def summary(session: LoadSession, reporter: pytest.TerminalReporter) -> None:
    """Write one table of all runs, comparisons and limits each, and what was asked to be shown beside them."""
    layout = session_layout(session.config)
    if session.runs or session.faults:
        reporter.write_sep("=", "load tests")
    for line in _lines(session) if session.runs else ():
        reporter.write_line(line)
    for title, lines in (
        ("load comparisons", comparisons_table(layout, session.findings)),
        ("load limits", limits_table(layout, session.findings)),
    ):
        if lines:
            reporter.write_sep("=", title)
        for line in lines:
            reporter.write_line(line)
    for one in session.unreported:
        if is_interrupted(one):
            reporter.write_line(f"\n{_section(layout, one, [one], is_of_failure=False)[1]}")
    if summary_file() and (session.runs or session.findings):
        warning = append_summary(as_markdown(session.runs, session.findings))
        if warning:
            reporter.write_line(f"loadkit: {warning}", yellow=True)
    for fault in (*session.faults, *filter(None, [session.unjudged()])):
        reporter.write_line(f"loadkit: {visible(fault)}", red=True)


def _lines(session: LoadSession) -> Iterator[str]:
    layout, runs = session_layout(session.config), session.runs
    if runs[0].of_tests:
        from loadkit.jobs.functional.table import tests_table

        result, full = runs[0].result, session.options.report == "full"
        yield from tests_table(layout, result, title=runs[0].title, word=word_of(result), full=full)
    else:
        yield from runs_table(layout, runs)
    # what a collector lacks is said to whoever asked for it, as a file that could not be written is
    yield from caveat_lines(layout, runs, only="" if session.config.get_verbosity() > 0 else "otlp")
    if session.baseline is not None:
        yield f"\nbeside the baseline {session.options.compare}:"
        yield from comparison_lines(layout, runs, {title: then[0] for title, then in session.baseline.items()})
    elif session.options.compare:
        yield f"\n{no_baseline(session.options.folder, session.options.compare)}"
    if session.options.html and not session.faults:
        yield f"\none page of all: {layout.escape(str(session.options.html))}"
    if session.options.save and not session.faults:
        yield from _kept(session, layout)


def _kept(session: LoadSession, layout: Layout) -> Iterator[str]:
    if session.kept:
        yield f"saved as the baseline {session.options.save}"
    left = [f"{run.title} ({session.flaw(run)})" for run in session.runs if run not in session.kept]
    if left:
        yield from layout.wrap(
            layout.escape(f"not saved in the baseline {session.options.save}: {', '.join(left)}"), margin="    "
        )


def session_layout(config: pytest.Config) -> Layout:
    """As wide as the terminal, from 60 to 120, without colour: a report goes to files and other processes, too."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    columns = config.get_terminal_writer().fullwidth if reporter else None
    # a buffer that captures has no encoding, and takes everything
    encoding = getattr(getattr(config.get_terminal_writer(), "_file", None), "encoding", None) if reporter else None
    return Layout(width=report_width(columns, widest=120), ascii=bool(encoding) and needs_ascii(encoding))
