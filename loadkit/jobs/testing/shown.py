"""What a terminal shows of load tests: a table of all, the little report of one, a figure explained, a comparison."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Final

from loadkit.jobs.testing.baseline import Baseline, difference
from loadkit.jobs.testing.runs import Run
from loadkit.judge.result import Outcome, Result, Row, Times
from loadkit.plan.units import show_rate, show_seconds, three_digits
from loadkit.report.figures import show_share, show_throughput, show_time
from loadkit.report.paper import Paper
from loadkit.report.table import Column, table
from loadkit.report.text import text_report

_PERCENTILES: Final = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p99.9": 99.9}
_NAME: Final = 48
_SPARE: Final = {"p90": 3, "p95": 5, "p99.9": 2}
_WORDS: Final[dict[Outcome, str]] = {"interrupted": "interrupted", "not-applied": "not applied"}


def overview(paper: Paper, runs: Sequence[Run]) -> list[str]:
    """A row a run, and below it how often there is reason to doubt."""
    rows = [run.result.total for run in runs]
    failures = [sum(run.result.failures.values()) + _failed_journeys(run.result) for run in runs]
    columns = [
        Column(title="requests", cells=[f"{row.requests:,}" for row in rows], spare=6),
        Column(title="throughput", cells=[show_throughput(row.throughput) for row in rows]),
        Column(title="errors", cells=[f"{count:,}" for count in failures], alarm="red"),
        *(
            Column(title=name, cells=[show_time(figure(row.response_time)) for row in rows], spare=_SPARE.get(name, 0))
            for name, figure in _figures().items()
        ),
        Column(title="caveats", cells=[str(len(run.result.caveats) or "") for run in runs], spare=4, alarm="yellow"),
        Column(title="figures", cells=[_word(run.result) for run in runs], spare=1),
    ]
    return table(paper, "test", [paper.foreign(run.title) for run in runs], columns, names_first=_NAME)


def _word(result: Result) -> str:
    """How far to believe the figures; whether the test passed is pytest's to say."""
    worked = result.total.response_time.count or any(one.response_time.count for one in result.timings)
    return _WORDS.get(result.outcome, result.verdict if worked else "none")


def _failed_journeys(result: Result) -> int:
    return sum(sum(one.failures.values()) for one in result.timings if one.kind == "journey")


def _figures() -> dict[str, Callable[[Times], float | None]]:
    return {
        "p50": lambda times: times.p50,
        "p90": lambda times: times.p90,
        "p95": lambda times: times.p95,
        "p99": lambda times: times.p99,
        "p99.9": lambda times: times.p99_9,
    }


def doubts(paper: Paper, runs: Sequence[Run]) -> list[str]:
    """Each caveat once, with how many runs have it."""
    found: dict[str, list[str]] = {}
    for run in runs:
        for caveat in run.result.caveats:
            found.setdefault(caveat.code, []).append(caveat.message)
    lines: list[str] = []
    for code, messages in found.items():
        often = f" ({len(messages)} runs; the first:)" if len(messages) > 1 else ""
        lines += paper.wrap(paper.foreign(f"{messages[0]}"), first=f"  ! {code}{often}: ", margin="    ")
    return lines


def little_report(result: Result, *, width: int, ascii: bool = False) -> str:  # noqa: A002 - as in text_report
    """The report of a run as below a failed test: without colour, and with how sure its percentiles are."""
    paper = Paper(width=width, ascii=ascii)
    report = text_report(result, width=width, ascii=ascii)
    return "\n\n".join([report, *("\n".join(lines) for lines in [_intervals(paper, result.total)] if lines)])


def _intervals(paper: Paper, total: Row) -> list[str]:
    times = total.response_time
    if not times.count:
        return []
    found = {name: times.interval(percent) for name, percent in _PERCENTILES.items()}
    columns = [
        Column(
            title=name,
            cells=["?" if low is None else show_time(low), "?" if high is None else show_time(high)],
            spare=_SPARE.get(name, 0),
        )
        for name, (low, high) in found.items()
    ]
    return table(paper, "95 % confidence", ["at least", "at most"], columns)


def explained(value: object, runs: Sequence[Run]) -> list[str]:
    """What a number that a test compared is, if it is a figure of its runs: in words, the last run's first.

    A figure is a plain float and says nothing of where it comes from. But a result keeps its floats, and what a test
    reads of it is the same object. `percentile` makes a new one each time: that is looked for by its value, which to
    the nanosecond is hardly ever that of another figure.
    """
    if not isinstance(value, float) or not runs:
        return []
    if math.isnan(value):
        return [f"{_of(runs[-1], runs[-1].result.total)}: nothing was measured, for there was no good reply"]
    for is_same in (operator.is_, operator.eq):
        for run in reversed(runs):
            for row in (run.result.total, *run.result.endpoints):
                if lines := _named(value, run, row, is_same):
                    return lines
    return []


def _named(value: float, run: Run, row: Row, is_same: Callable[[object, object], bool]) -> list[str]:
    times, of = row.response_time, _of(run, row)
    if names := [name for name, figure in _figures().items() if is_same(figure(times), value)]:
        return [_sure(f"{name} of {of}", times, _PERCENTILES[name]) for name in names]
    others = {"mean": times.mean, "fastest": times.min, "slowest": times.max}
    if found := next((name for name, figure in others.items() if is_same(figure, value)), None):
        return [f"{found} of {of}: {show_seconds(value)}"]
    if value and is_same(row.throughput, value):
        return [f"throughput of {of}: {show_rate(value)}, {row.requests:,} requests"]
    if value and is_same(row.error_rate, value):
        failed = sum(row.failures.values())
        return [f"error rate of {of}: {three_digits(value * 100)} %, {failed:,} of {row.requests:,} requests"]
    return []


def _of(run: Run, row: Row) -> str:
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


def comparison(paper: Paper, runs: Sequence[Run], baseline: Baseline) -> list[str]:
    """Each run beside the one of the baseline: then, now, and the change. It decides nothing."""
    names: list[str] = []
    cells: list[tuple[str, str, str]] = []
    for run in runs:
        if then := baseline.get(run.title):
            names.append(paper.foreign(run.title))
            cells.append(("", "", ""))
            for name, change in _changes(then, run.result).items():
                names.append(f"  {name}")
                cells.append(change)
    columns = [
        Column(title=title, cells=[row[k] for row in cells]) for k, title in enumerate(("then", "now", "change"))
    ]
    lines = table(paper, "test", names, columns) if names else []
    missing = [run.title for run in runs if paper.foreign(run.title) not in names]
    if missing:
        lines += paper.wrap(paper.foreign(f"not in the baseline: {', '.join(missing)}"), first="  ", margin="  ")
    differences = {
        found
        for run in runs
        if (then := baseline.get(run.title)) and (found := difference(run.result.environment, then.environment))
    }
    for one in sorted(differences):
        lines += paper.wrap(
            paper.foreign(f"measured on another machine, so hardly comparable: {one}"),
            first="  ! ",
            margin="    ",
        )
    return lines


def _changes(then: Result, now: Result) -> dict[str, tuple[str, str, str]]:
    """Of each figure: as it was, as it is, and by how much it changed."""
    changes = {"throughput": (show_throughput(then.throughput), show_throughput(now.throughput))}
    shares = {"throughput": _change(then.throughput, now.throughput)}
    for name, figure in _figures().items():
        old, new = figure(then.response_time), figure(now.response_time)
        changes[name] = (show_time(old), show_time(new))
        shares[name] = _change(old, new)
    changes["errors"] = (show_share(then.error_rate), show_share(now.error_rate))
    return {name: (*pair, shares.get(name, "")) for name, pair in changes.items()}


def _change(old: float | None, new: float | None) -> str:
    if not old or new is None:
        return "-"
    return f"{(new / old - 1) * 100:+.1f} %"
