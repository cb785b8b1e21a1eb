"""The tables of a page: cells as they are read, beside the numbers they are sorted by."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from loadkit.judge.confidence import interval
from loadkit.judge.result import Environment, Interval, Phase, Result, Row, ScenarioInfo, Times, Timing
from loadkit.measure.histogram import Histogram
from loadkit.plan.units import SECOND, show_seconds, show_size, show_span
from loadkit.report.charts.distribution import histogram_of
from loadkit.report.charts.timeline import between, rates
from loadkit.report.figures import (
    OF_ROWS,
    OF_TIMES,
    all_journeys,
    error_percent,
    measured_times,
    show_level,
    show_throughput,
    show_time,
)

Tone = Literal["", "good", "bad", "doubt"]

MAX_ROWS = 1000

_SURE: tuple[float, ...] = (50, 75, 90, 95, 99, 99.9)


@dataclass(frozen=True, slots=True)
class Cell:
    """What is shown, and what it is sorted by: its text unless it has a number."""

    text: str
    number: float | None = None
    tone: Tone = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table: the first column names its rows; `total` is the row that is not sorted among the others."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    total: Sequence[Cell] = ()
    note: str = ""
    words: int = 0
    """How many columns after the first hold words, which stand on the left."""


def endpoints(result: Result) -> Grid | None:
    """A row an endpoint, with how sure its p99 is; a total where there are several."""
    if not result.endpoints:
        return None
    total = _row(result.total, "total") if len(result.endpoints) > 1 else ()
    return _of_rows("Endpoints", "endpoint", [(row.name, row) for row in result.endpoints], total=total)


def phases(result: Result) -> Grid | None:
    """A row a phase, where there is more than one, with the load asked for and the threads seen."""
    parts, is_open = result.phases, result.scenario.rate is not None
    if len(parts) < 2:
        return None
    made = _of_rows("Phases", "phase", [(part.name, part.total) for part in parts])
    if all(part.asked is None for part in parts):
        return made
    head = "asked" if is_open else "threads"
    rows = [[row[0], _level(part, is_open=is_open), *row[1:]] for row, part in zip(made.rows, parts, strict=False)]
    return replace(made, heads=[made.heads[0], head, *made.heads[1:]], rows=rows)


def _level(part: Phase, *, is_open: bool) -> Cell:
    """Arrivals a second, or the threads that were active of those asked for."""
    asked, seen = show_level(part.asked, is_rate=is_open), show_level(part.threads)
    return Cell(asked if is_open else f"{seen} of {asked}", part.asked or 0.0)


def timings(timed: Sequence[Timing]) -> list[Grid]:
    """A table of journeys, one of their steps and one of timers, as far as there are any."""
    kinds = {"journey": "Journeys", "step": "Steps", "timer": "Timers"}
    found = {kind: [(one.name, one) for one in timed if one.kind == kind] for kind in kinds}
    return [_of_rows(kinds[kind], kind, rows, counted="times") for kind, rows in found.items() if rows]


def _of_rows(
    caption: str,
    title: str,
    rows: Sequence[tuple[str, Row | Timing]],
    *,
    total: Sequence[Cell] = (),
    counted: str = "requests",
) -> Grid:
    figures = [name for name, *_ in OF_ROWS]
    at = figures.index("p99") + 1
    more = len(rows) - MAX_ROWS
    return Grid(
        caption=caption,
        heads=[title, counted, "throughput", "errors", "%", *figures[:at], "p99, 95 % sure", *figures[at:]],
        rows=[_row(row, name) for name, row in rows[:MAX_ROWS]],
        total=total,
        note=f"{more:,} more in the JSON" if more > 0 else "",
    )


def _row(row: Row | Timing, name: str) -> list[Cell]:
    failed, times = sum(row.failures.values()), row.response_time
    found = histogram_of(times)
    figures = [_time(figure(times)) for _, figure, _ in OF_ROWS]
    at = [name for name, *_ in OF_ROWS].index("p99") + 1
    return [
        Cell(name),
        Cell(f"{row.requests:,}", row.requests),
        Cell(show_throughput(row.throughput), row.throughput),
        Cell(f"{failed:,}", failed, "bad" if failed else ""),
        Cell(error_percent(row), row.error_rate, "bad" if failed else ""),
        *figures[:at],
        _sure(found, 99),
        *figures[at:],
    ]


def _time(span: float | None) -> Cell:
    return Cell(show_time(span), -1.0 if span is None or not math.isfinite(span) else span)


def _sure(found: Histogram | None, percent: float) -> Cell:
    """Between which times a percentile is, with 95 % confidence."""
    if found is None:
        return Cell("-", -1.0)
    low, high = (None if edge is None else edge / SECOND for edge in interval(found, percent))
    if low is None and high is None:
        return Cell("too few replies", -1.0)
    if low is None or high is None:
        return Cell(f"at most {show_seconds(high)}" if low is None else f"at least {show_seconds(low)}", low or high)
    return Cell(f"{show_seconds(low)} to {show_seconds(high)}", low)


def percentiles(total: Row) -> Grid | None:
    """The percentiles of response and service time, each with how sure it is."""
    response, service = histogram_of(total.response_time), histogram_of(total.service_time)
    if response is None:
        return None
    rows = []
    for percent in _SURE:
        name = f"p{percent:g}"
        values = [
            cell
            for times, found in ((total.response_time, response), (total.service_time, service))
            for cell in (_time(_percentile(times, percent)), _sure(found, percent))
        ]
        rows.append([Cell(name), *values])
    heads = ["percentile", "response time", "95 % sure", "service time", "95 % sure"]
    return Grid(caption="Percentiles of good replies", heads=heads, rows=rows)


def _percentile(times: Times, percent: float) -> float | None:
    found: float | None = getattr(times, f"p{percent:g}".replace(".", "_"))
    return found


def times(total: Row) -> Grid | None:
    """A row a kind of time."""
    measured = measured_times(total)
    rows = [
        [Cell(name), Cell(f"{kind.count:,}", kind.count), *(_time(figure(kind)) for _, figure, _ in OF_TIMES)]
        for name, kind in measured.items()
    ]
    heads = ["time", "count", *(name for name, *_ in OF_TIMES)]
    return Grid(caption="Kinds of time", heads=heads, rows=rows) if rows else None


def statuses(total: Row) -> Grid | None:
    """A row a status code: good replies, and those that failed nevertheless."""
    codes = sorted({*total.statuses, *total.failed_statuses})
    rows = [
        [
            Cell(str(code)),
            Cell(f"{total.statuses.get(code, 0):,}", total.statuses.get(code, 0)),
            _failed(total.failed_statuses.get(code, 0)),
        ]
        for code in codes
    ]
    return Grid(caption="Status codes", heads=["status", "good replies", "failed"], rows=rows) if rows else None


def _failed(count: int) -> Cell:
    return Cell(f"{count:,}", count, "bad" if count else "")


def intervals(result: Result) -> Grid | None:
    """A row an interval: what the charts over time are drawn from; nothing where they have no requests."""
    if not result.intervals or all_journeys(result):
        return None
    heads = ["interval", "requests", "good", "failed", "p50", "p90", "p99", "max"]
    return Grid(caption="Each interval", heads=heads, rows=[_interval(one) for one in result.intervals])


def _interval(one: Interval) -> list[Cell]:
    found, kind = rates(one), one.total.response_time
    good, failed = (Cell(show_throughput(rate), rate) for rate in found) if found else (Cell("-"), Cell("-"))
    return [
        Cell(between(one)),
        Cell(f"{one.total.requests:,}", one.total.requests),
        good,
        Cell(failed.text, failed.number, "bad" if one.total.failures else ""),
        *(_time(span) for span in (kind.p50, kind.p90, kind.p99, kind.max)),
    ]


def facts(result: Result) -> Iterator[Grid]:
    """What was asked, and where it ran."""
    yield _pairs("What was asked", _asked(result.scenario))
    yield _pairs("Where it ran", _ran(result.environment))


def _pairs(caption: str, pairs: Iterator[tuple[str, str]]) -> Grid:
    return Grid(caption=caption, heads=(), rows=[[Cell(name), Cell(value)] for name, value in pairs], words=1)


def _asked(scenario: ScenarioInfo) -> Iterator[tuple[str, str]]:
    if scenario.rate is None:
        yield "threads", f"{scenario.threads:,}"
    else:
        yield "rate", f"{show_throughput(scenario.rate)}{' in the mean' if scenario.phases else ''}"
        yield "arrivals", scenario.arrivals or "-"
        yield "threads", f"up to {scenario.max_threads or scenario.threads:,}"
    if scenario.duration is not None:
        yield "duration", show_span(scenario.duration)
    for plan in scenario.phases:
        yield f"phase {plan.name}", f"{plan.start:g} to {plan.end:g} in {show_span(plan.duration)}"
    if scenario.iterations is not None:
        yield "iterations", f"{scenario.iterations:,}"
    if scenario.iterations_per_thread is not None:
        yield "iterations a thread", f"{scenario.iterations_per_thread:,}"
    yield "processes", str(scenario.processes)
    yield "warm-up", show_span(scenario.warmup)
    yield "think time", scenario.think_time or "none"
    yield "pacing", show_span(scenario.pacing) if scenario.pacing else "none"
    yield "timeout of a request", show_span(scenario.timeout)
    yield "seed", str(scenario.seed)
    yield "certificates", "verified" if scenario.verify else "not verified"
    for name, value in scenario.options.items():
        yield name, str(value)


def _ran(environment: Environment) -> Iterator[tuple[str, str]]:
    yield "loadkit", environment.loadkit
    yield "Python", environment.python
    yield "system", f"{environment.system}, {environment.machine}"
    yield "CPUs", str(environment.cpu_count)
    yield "transport", environment.transport
    yield "clock of arrivals", environment.clock
    yield "CPU of the generator", show_time(environment.cpu_seconds)
    for k, spent in enumerate(environment.cpu_by_process, 1):
        yield f"CPU of process {k}", show_time(spent)
    yield "memory of the generator", show_size(environment.peak_memory)
