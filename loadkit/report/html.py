"""Results as one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from loadkit.judge.result import Result
from loadkit.measure.slowest import MOST
from loadkit.report import tables
from loadkit.report.all_results import results_table
from loadkit.report.charts.distribution import distribution_charts
from loadkit.report.charts.timeline import endpoint_charts, timeline_charts
from loadkit.report.failures import failure_reasons
from loadkit.report.figures import (
    BRIEF,
    all_journeys,
    histogram_of,
    show_share,
    show_throughput,
    show_time,
)
from loadkit.report.headline import (
    CAVEAT_TONES,
    TONES,
    describe_outcome,
    describe_run,
    describe_target,
    describe_times,
    is_believable,
)
from loadkit.report.overview import setup_tables, totals
from loadkit.report.render import HeadFigure, render

MAX_FAILURES: Final = 50


def html_report(results: Sequence[Result], titles: Sequence[str] | None = None) -> str:
    """One page of all results, in this order; the same results make the same page.

    `titles` are the headings of the results; by default those of the results themselves.
    """
    names = titles or [result.title for result in results]
    return render(
        "page.html",
        views=[_view(result, name) for result, name in zip(results, names, strict=True)],
        overview=results_table(results, names),
        tones=TONES,
        caveat_tones=CAVEAT_TONES,
    )


def _view(result: Result, title: str) -> dict[str, Any]:
    """What the template shows of a result."""
    word, rest, tone = describe_outcome(result)
    reasons = failure_reasons(result)
    shown = (
        tables.endpoints(result, for_page=True),
        *tables.timings(result, for_page=True),
        tables.phases(result, for_page=True),
        tables.percentiles(result.total),
        tables.times(result, for_page=True),
        tables.slowest(result, MOST),
        tables.statuses(result.total),
    )
    return {
        "title": title,
        "about": _about(result, title),
        "word": word,
        "outcome": rest.lstrip(": "),
        "tone": tone,
        "validity": result.validity if is_believable(result) else "",
        "doubts": sum(reason.level != "note" for reason in result.caveats),
        "bottleneck": result.bottleneck.sentence,
        "figures": _figures(result),
        "thresholds": tables.thresholds(result.thresholds),
        "caveats": result.caveats,
        "failures": reasons[:MAX_FAILURES],
        "more_failures": max(0, len(reasons) - MAX_FAILURES),
        "charts": [*timeline_charts(result), *distribution_charts(result.total), *endpoint_charts(result)],
        "tables": [table for table in shown if table],
        "intervals": tables.intervals(result),
        "facts": [totals(result), *setup_tables(result)],
        "definition": describe_times(result),
    }


def _about(result: Result, title: str) -> list[str]:
    """The lines below the heading: scenario, load, target and time."""
    scenario = result.scenario
    lines = (
        f"Scenario {scenario.name}" if title not in (result.title, scenario.name) else "",
        scenario.description.strip(),
        describe_run(result),
        describe_target(scenario),
    )
    return [line for line in lines if line]


def _figures(result: Result) -> list[HeadFigure]:
    timed = all_journeys(result)
    total = timed or result.total
    times, failed = total.response_time, sum(total.failures.values())
    share = show_share(total.error_rate) if total.requests else "-"
    shown = [
        HeadFigure("throughput", show_throughput(total.throughput), "journeys" if timed else "good replies"),
        HeadFigure("errors", share, f"{failed:,} of {total.requests:,}", "bad" if failed else ""),
    ]
    found = None if timed else histogram_of(times)
    for one in BRIEF:
        note = f"95 %: {tables.confidence_cell(found, one.percent).text}" if found else ""
        shown.append(HeadFigure(f"{one.name} response time", show_time(one.of(times)), note))
    return shown
