"""What a terminal shows of load tests: a table of all, the report of one, a figure explained, a comparison."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from loadkit.jobs.testing.baseline import difference
from loadkit.jobs.testing.runs import Found, Run
from loadkit.judge.comparison.comparison import Changed, Comparison, describe_change, show_figure
from loadkit.judge.limit.limit import Limit, describe_limit
from loadkit.judge.other_load import other_load
from loadkit.judge.result import Result
from loadkit.judge.rows import Row, Timing, journeys_among
from loadkit.judge.threshold_results import Outcome
from loadkit.judge.times import SHOWN, Times
from loadkit.judge.validity import Caveat
from loadkit.plan.units import show_count, show_rate, show_seconds, show_span, three_digits
from loadkit.report.comparison import TONES, all_changes, figure_name
from loadkit.report.figures import (
    count_cell,
    drop_order,
    errors_cell,
    show_share,
    show_throughput,
    show_time,
    throughput_cell,
    time_cell,
    time_columns,
)
from loadkit.report.layout import Layout
from loadkit.report.limit import answer_of, facts_of, tone_of
from loadkit.report.table import Cell, Column, Table
from loadkit.report.text import text_report
from loadkit.report.text_table import text_table

_NAME: Final = 48
_WORDS: Final[dict[Outcome, str]] = {
    "interrupted": "interrupted",
    "not-applied": "not applied",
    "server-lost": "server lost",
}


def runs_table(layout: Layout, runs: Sequence[Run]) -> list[str]:
    """A row a run, one below it for each of its journeys, and how often there is reason to doubt."""
    lines = [line for run in runs for line in _rows(run)]
    rows = [line.row for line in lines]
    columns = [
        Column("requests", [count_cell(row.requests) for row in rows], drop_order=6),
        Column("throughput", [throughput_cell(row) for row in rows], drop_order=1),
        Column("errors", [errors_cell(row) for row in rows]),
        *time_columns([one.name for one in SHOWN], [row.response_time for row in rows]),
        Column("caveats", [Cell(line.caveats, tone="doubt") for line in lines], drop_order=4),
        Column("figures", [Cell(line.word) for line in lines]),
    ]
    table = Table(caption="load tests", head="test", names=[line.name for line in lines], columns=columns)
    return text_table(layout, table, name_width=_NAME)


class _Line(NamedTuple):
    name: str
    row: Row | Timing
    caveats: str = ""
    word: str = ""


def _rows(run: Run) -> list[_Line]:
    """The requests of a run, and its journeys; of one journey without requests of its own there is but one row."""
    result = run.result
    journeys = journeys_among(result.timings)
    head: Row | Timing = result.total
    if not result.requests and len(journeys) == 1:
        head, journeys = journeys[0], []
    first = _Line(run.title, head, str(len(result.caveats) or ""), word_of(result))
    return [first, *(_Line(f"  {one.name}", one) for one in journeys)]


def word_of(result: Result) -> str:
    """How far to believe the figures; whether the test passed is pytest's to say."""
    worked = result.total.response_time.count or any(one.response_time.count for one in result.timings)
    return _WORDS.get(result.outcome, result.validity if worked else "none")


def comparisons_table(layout: Layout, findings: Sequence[Found]) -> list[str]:
    """A row a comparison with its verdict, and one below it for each figure that decides; nothing without one."""
    rows: list[tuple[str, Changed | Comparison]] = []
    found = [(one.title, one.finding) for one in findings if isinstance(one.finding, Comparison)]
    if not found:
        return []
    for title, comparison in found:
        rows.append((title, comparison))
        rows += [(f"  {figure_name(change)}", change) for change in all_changes(comparison) if change.decides]
    cells = [one if isinstance(one, Changed) else None for _, one in rows]
    columns = [
        Column("before", [Cell(show_figure(one.metric, one.before) if one else "") for one in cells], drop_order=1),
        Column("after", [Cell(show_figure(one.metric, one.after) if one else "") for one in cells], drop_order=1),
        Column("change (interval)", [Cell(_change_or_old(layout, one)) for _, one in rows]),
        Column("verdict", [Cell(one.verdict, tone=TONES[one.verdict]) for _, one in rows]),
    ]
    table = Table(caption="comparisons", head="test", names=[name for name, _ in rows], columns=columns)
    reasons = [f"{title}: {comparison.reason}" for title, comparison in found if comparison.reason]
    return [
        *text_table(layout, table, name_width=_NAME),
        *(line for text in reasons for line in layout.wrap(layout.escape(text), first="  ", margin="    ")),
    ]


def limits_table(layout: Layout, findings: Sequence[Found]) -> list[str]:
    """A row a limit with its answer; nothing without one."""
    found = [(one.title, one.finding) for one in findings if isinstance(one.finding, Limit)]
    if not found:
        return []
    limits = [limit for _, limit in found]
    columns = [
        Column("limit", [Cell(answer_of(one) or "-") for one in limits]),
        Column("missed at", [Cell(show_rate(one.failed) if one.failed else "-") for one in limits], drop_order=1),
        Column("took", [Cell(show_span(round(one.seconds))) for one in limits], drop_order=2),
        Column("ended", [Cell(one.ending, tone=tone_of(one)) for one in limits]),
    ]
    table = Table(caption="limits", head="test", names=[title for title, _ in found], columns=columns)
    said = [f"{title}: {one.reason or one.gave_way}" for title, one in found if one.reason or one.gave_way]
    return [
        *text_table(layout, table, name_width=_NAME),
        *(line for text in said for line in layout.wrap(layout.escape(text), first="  ", margin="    ")),
    ]


def _change_or_old(layout: Layout, one: Changed | Comparison) -> str:
    return describe_change(one) if isinstance(one, Changed) else layout.escape(f"against {one.old}")


def caveat_lines(layout: Layout, runs: Sequence[Run], *, only: str = "") -> list[str]:
    """Each caveat (of one code only, if that is said) once, with how many runs have it; marked as in a report.

    It is marked `-` where it is a note in all of them.
    """
    found: dict[str, list[Caveat]] = {}
    for run in runs:
        for caveat in run.result.caveats:
            if only in ("", caveat.code):
                found.setdefault(caveat.code, []).append(caveat)
    lines: list[str] = []
    for code, alike in found.items():
        sign = "-" if all(caveat.level == "note" for caveat in alike) else "!"
        often = f" ({len(alike)} runs; the first:)" if len(alike) > 1 else ""
        lines += layout.wrap(layout.escape(alike[0].message), first=f"  {sign} {code}{often}: ", margin="    ")
    return lines


def run_report(layout: Layout, result: Result, *, is_of_failure: bool = False, full: bool = True) -> str:
    """The report of a run as below a test; the full one with how sure its percentiles are.

    Where the test failed, PASSED would be read as said of the test: a sentence tells them apart.
    """
    passed = "The test failed; the run by itself passed" if is_of_failure else "PASSED"
    report = text_report(result, layout, full=full, passed=passed, more="--load-report full")
    if not full:
        return report
    return "\n\n".join([report, *("\n".join(lines) for lines in [_intervals(layout, result.total)] if lines)])


def _intervals(layout: Layout, total: Row) -> list[str]:
    times = total.response_time
    if not times.count:
        return []
    columns = [Column(one.name, list(map(_edge, times.interval(one.percent))), drop_order(one.name)) for one in SHOWN]
    names = ["at least", "at most"]
    return text_table(layout, Table(caption="Confidence", head="95 % confidence", names=names, columns=columns))


def _edge(span: float | None) -> Cell:
    return Cell("?") if span is None else time_cell(span)


def explain_value(value: object, found: Sequence[Run | Found]) -> list[str]:
    """What a number that a test compared is, if it is a figure of its runs or comparisons: in words, the last's first.

    A figure is a plain float and says nothing of where it comes from. But a result keeps its floats, and what a test
    reads of it is the same object. `percentile` makes a new one each time: that is looked for by its value, which to
    the nanosecond is hardly ever that of another figure.
    """
    runs = [one for one in found if isinstance(one, Run)]
    findings = [one.finding for one in reversed(found) if isinstance(one, Found)]
    if lines := next((_limit_lines(one) for one in findings if isinstance(one, Limit) and _is_answer(value, one)), []):
        return lines
    if not isinstance(value, float) or not found:
        return []
    if math.isnan(value):
        return [_nothing(runs[-1])] if runs else []
    for comparison in findings:
        if isinstance(comparison, Comparison) and (lines := _changed(value, comparison)):
            return lines
    for is_same in (operator.is_, operator.eq):
        for run in reversed(runs):
            rows: list[Row | Timing] = [run.result.total, *run.result.endpoints, *run.result.timings]
            for row in rows:
                if lines := _named(value, run, row, is_same):
                    return lines
    return []


def _is_answer(value: object, limit: Limit) -> bool:
    """True if it is what a search found: of threads any equal number, for numbers of threads have no identity."""
    if limit.by == "threads":
        return limit.threads is not None and value == limit.threads
    return value is limit.rate


def _limit_lines(limit: Limit) -> list[str]:
    return [f"limit of {limit.name}: {describe_limit(limit)}", *facts_of(limit)]


def _changed(value: float, comparison: Comparison) -> list[str]:
    return [
        f"{figure_name(one)} of {comparison.new} against {comparison.old}: {describe_change(one)}"
        for one in all_changes(comparison)
        if any(value is figure for figure in (one.ratio, one.difference, one.low, one.high, one.before, one.after))
    ]


def _nothing(run: Run) -> str:
    """Why a figure is no number."""
    result = run.result
    timed = next((one.name for one in result.timings if one.response_time.count), None)
    if result.requests or timed is None:
        return f"{_of(run, result.total)}: nothing was measured, for there was no good reply"
    return (
        f"{_of(run, result.total)}: nothing was requested with the session given as http; "
        f"write result.timing({timed!r}) for what was timed"
    )


def _named(value: float, run: Run, row: Row | Timing, is_same: Callable[[object, object], bool]) -> list[str]:
    times, of = row.response_time, _of(run, row)
    if alike := [one for one in SHOWN if is_same(one.of(times), value)]:
        return [_sure(f"{one.name} of {of}", times, one.percent) for one in alike]
    others = {"mean": times.mean, "fastest": times.min, "slowest": times.max}
    if found := next((name for name, figure in others.items() if is_same(figure, value)), None):
        return [f"{found} of {of}: {show_seconds(value)}"]
    if value and is_same(row.throughput, value):
        return [f"throughput of {of}: {show_rate(value)}, {_counted(row)}"]
    if value and is_same(row.error_rate, value):
        failed = sum(row.failures.values())
        return [f"error rate of {of}: {three_digits(value * 100)} %, {failed:,} of {_counted(row)}"]
    return []


def _counted(row: Row | Timing) -> str:
    return show_count(row.requests, "request" if isinstance(row, Row) else "time")


def _of(run: Run, row: Row | Timing) -> str:
    return (
        run.result.scenario.name if row.name == run.result.total.name else f"{row.name} in {run.result.scenario.name}"
    )


def _sure(name: str, times: Times, percent: float) -> str:
    low, high = times.interval(percent)
    value = times.percentile(percent)
    if low is None and high is None:
        between = "too few replies to say how sure that is"
    elif high is None:
        between = f"at least {show_time(low)} with 95 % confidence, too few replies to say at most"
    elif low is None:
        between = f"at most {show_time(high)} with 95 % confidence, too few replies to say at least"
    else:
        between = f"{show_time(low)} to {show_time(high)} with 95 % confidence"
    return f"{name}: {show_time(value)} ({between})"


def comparison_lines(layout: Layout, runs: Sequence[Run], baseline: Mapping[str, Result]) -> list[str]:
    """Each run beside the one of the baseline, if that is of the same load: then, now, and the change."""
    found = [(run, baseline[run.title]) for run in runs if run.title in baseline]
    others = {run.title: other for run, then in found if (other := other_load(then, run.result))}
    same = [(run, then) for run, then in found if run.title not in others]
    lines = _beside(layout, same) if same else []
    for title, other in others.items():
        lines += layout.wrap(
            layout.escape(f"{title} is not compared, for its load is another: {other}"), first="  ", margin="    "
        )
    if missing := [run.title for run in runs if run.title not in baseline]:
        lines += layout.wrap(layout.escape(f"not in the baseline: {', '.join(missing)}"), first="  ", margin="  ")
    machines = {machine for run, then in same if (machine := difference(run.result.environment, then.environment))}
    for machine in sorted(machines):
        text = layout.escape(f"measured on another machine, so hardly comparable: {machine}")
        lines += layout.wrap(text, first="  ! ", margin="    ")
    return lines


def _beside(layout: Layout, pairs: Sequence[tuple[Run, Result]]) -> list[str]:
    names: list[str] = []
    rows: list[tuple[str, str, str]] = []
    for run, then in pairs:
        changes = _changes(then, run.result)
        names += [run.title, *(f"  {name}" for name in changes)]
        rows += [("", "", ""), *changes.values()]
    columns = [Column(title, [Cell(row[k]) for row in rows]) for k, title in enumerate(("then", "now", "change"))]
    return text_table(layout, Table(caption="Changes", head="test", names=names, columns=columns))


def _changes(then: Result, now: Result) -> dict[str, tuple[str, str, str]]:
    """Of each figure, and of those of journeys, steps and timers: as it was, as it is, and by how much it changed."""
    changes = _of_rows(then.total, now.total) if then.requests or now.requests else {}
    before = {(one.kind, one.name): one for one in then.timings}
    for one in now.timings:
        if old := before.get((one.kind, one.name)):
            changes |= {f"{one.name}: {name}": change for name, change in _of_rows(old, one).items()}
    return changes


def _of_rows(then: Row | Timing, now: Row | Timing) -> dict[str, tuple[str, str, str]]:
    changes = {"throughput": (show_throughput(then.throughput), show_throughput(now.throughput))}
    shares = {"throughput": _change(then.throughput, now.throughput)}
    for one in SHOWN:
        old, new = one.of(then.response_time), one.of(now.response_time)
        changes[one.name] = (show_time(old), show_time(new))
        shares[one.name] = _change(old, new)
    changes["errors"] = (show_share(then.error_rate), show_share(now.error_rate))
    return {name: (*pair, shares.get(name, "")) for name, pair in changes.items()}


def _change(old: float | None, new: float | None) -> str:
    if not old or new is None:
        return "-"
    return f"{(new / old - 1) * 100:+.1f} %"
