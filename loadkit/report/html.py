"""Results as one HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from loadkit.judge.comparison.comparison import Comparison
from loadkit.judge.merge.sums import all_journeys
from loadkit.judge.result import Result
from loadkit.measure.slowest import MOST
from loadkit.report import tables
from loadkit.report.all_results import results_table
from loadkit.report.charts.distribution import distribution_charts
from loadkit.report.charts.timeline import endpoint_charts, timeline_charts
from loadkit.report.comparison_page import comparison_view
from loadkit.report.failures import failure_reasons
from loadkit.report.figures import (
    BRIEF,
    histogram_of,
    show_share,
    show_throughput,
    show_time,
)
from loadkit.report.headline import (
    CAVEAT_TONES,
    PARTIAL,
    TONES,
    describe_outcome,
    describe_run,
    describe_target,
    describe_times,
    is_believable,
    is_partial,
)
from loadkit.report.json import Finding
from loadkit.report.limit_page import limit_view
from loadkit.report.machines import machine_table
from loadkit.report.overview import setup_tables, totals
from loadkit.report.render import HeadFigure, render
from loadkit.report.table import Cell, Column, Table

MAX_FAILURES: Final = 50
MAX_ARTICLES: Final = 100
"""Of results: one takes some 60 kB."""


def html_report(
    found: Sequence[Result | Finding],
    titles: Sequence[str] | None = None,
    *,
    errors: Mapping[str, str] | None = None,
    version: int = 0,
    is_over: bool = False,
) -> str:
    """One page of all results, then of all comparisons and limits, each in their order.

    Of very many results those that did not pass come first, and the rest has a row each, or none.
    The same ones make the same page. `titles` are their headings; by default each has its own. `errors` say why the
    rest was not run, by name. With a `version` it is a page of a run under way, or one that `is_over`, which asks where
    it came from for newer versions.
    """
    is_live = version > 0 and not is_over
    titled = list(zip(found, titles or [""] * len(found), strict=True))
    results = [(one, title or one.title) for one, title in titled if isinstance(one, Result)]
    if len(results) > MAX_ARTICLES:
        # what goes on before all others
        results.sort(key=lambda pair: (not is_partial(pair[0]), pair[0].passed))
    listed, shown = results[: tables.MAX_ROWS_OF_PAGE], results[:MAX_ARTICLES]
    findings = [_finding_view(one, title) for one, title in titled if not isinstance(one, Result)]
    # each with the numbers of the articles that its first rows lead to
    overview: list[tuple[Table, range]] = []
    if results:
        overview.append((results_table(*zip(*listed, strict=True), is_live=is_live), range(1, 1 + len(shown))))
    if findings:
        overview.append((_findings_table(findings), range(1 + len(shown), 1 + len(shown) + len(findings))))
    return render(
        "page.html",
        count=len(found),
        note=_left_out(len(results)),
        views=[*(_view(one, title, is_live=is_live) for one, title in shown), *findings],
        overview=overview,
        not_run=_not_run_table(errors) if errors else None,
        tones=TONES,
        caveat_tones=CAVEAT_TONES,
        live=version,
    )


def _finding_view(one: Finding, title: str) -> dict[str, Any]:
    return comparison_view(one, title) if isinstance(one, Comparison) else limit_view(one, title)


def _left_out(count: int) -> str:
    """What is said of so many results, of which not all are shown."""
    if count <= MAX_ARTICLES:
        return ""
    note = f"The first {MAX_ARTICLES} of {count:,} results are shown whole, those that did not pass before the others"
    more = count - tables.MAX_ROWS_OF_PAGE
    return f"{note}; {more:,} more in the JSON." if more > 0 else f"{note}."


def _not_run_table(errors: Mapping[str, str]) -> Table:
    reasons = [Cell(message, tone="bad") for message in errors.values()]
    return Table(caption="Not run", head="scenario", names=list(errors), columns=[Column("why", reasons)], words=1)


def _findings_table(views: Sequence[Mapping[str, Any]]) -> Table:
    columns = [
        Column("outcome", [Cell(view["word"], tone=view["tone"]) for view in views]),
        Column("", [Cell(view["sentence"]) for view in views]),
    ]
    caption = "All comparisons and limits"
    return Table(
        caption=caption, head="comparison or limit", names=[view["title"] for view in views], columns=columns, words=2
    )


def _view(result: Result, title: str, *, is_live: bool) -> dict[str, Any]:
    """What the template shows of a result."""
    word, rest, tone = describe_outcome(result, is_live=is_live)
    reasons = failure_reasons(result)
    shown = (
        tables.endpoints(result, for_page=True),
        *tables.timings(result, for_page=True),
        tables.phases(result, for_page=True),
        machine_table(result, tables.MAX_ROWS_OF_PAGE),
        tables.percentiles(result.total),
        tables.times(result, for_page=True),
        tables.slowest(result, MOST),
        tables.statuses(result.total),
    )
    return {
        "template": "result.html",
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
        "caveats": [one for one in result.caveats if not (is_live and one.code == PARTIAL)],
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
