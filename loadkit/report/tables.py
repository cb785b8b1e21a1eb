"""The tables of a result: a row an endpoint, journey, phase, kind of time, percentile, status code or threshold.

They are the same in text and on a page, which has room for more: `for_page`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from loadkit.judge.confidence import percentile_interval
from loadkit.judge.percentiles import PERCENTILES
from loadkit.judge.result import Interval, Phase, Result, Row, ThresholdResult, Times, Timing
from loadkit.measure.histogram import Histogram
from loadkit.plan.errors import UsageError
from loadkit.plan.threshold import threshold
from loadkit.plan.units import SECOND, show_seconds, three_digits
from loadkit.report.charts.timeline import between, rates
from loadkit.report.figures import (
    all_journeys,
    count_cell,
    errors_cell,
    figure_cell,
    histogram_of,
    percent_cell,
    show_level,
    show_throughput,
    throughput_cell,
    time_cell,
)
from loadkit.report.table import Cell, Column, Table, Tone, table_of

MAX_ROWS_OF_TEXT: Final = 40
MAX_ROWS_OF_PAGE: Final = 1000

# by the title of a column, how soon a terminal drops it
_OF_ROWS: Final = {"p50": 0, "p90": 3, "p99": 0, "p99.9": 2, "max": 1}
_OF_TIMES: Final = {"min": 4, "mean": 2, "p50": 0, "p75": 6, "p90": 3, "p95": 5, "p99": 0, "p99.9": 2, "max": 1}

_Figure = tuple[Column, Callable[[Row | Timing], Cell]]


def endpoints(result: Result, *, for_page: bool = False) -> Table | None:
    """A row an endpoint and the total; of very many endpoints those with the highest p99."""
    rows = _slowest(result.endpoints, MAX_ROWS_OF_PAGE if for_page else MAX_ROWS_OF_TEXT)
    if not rows:
        return None
    more = len(result.endpoints) - len(rows)
    note = f"these {len(rows):,} have the highest p99; {more:,} more row{'s' * (more != 1)} in the JSON"
    # with one endpoint the total would say the same again
    has_total = [row.requests for row in result.endpoints] != [result.total.requests]
    return table_of(
        [(row.name, row) for row in rows],
        _of_rows([*rows, result.total], "requests", limited(result), for_page=for_page),
        caption="Endpoints",
        names="endpoint",
        total=result.total if has_total else None,
        notes=[Cell(note)] if more else [],
    )


def _slowest(rows: list[Row], most: int) -> list[Row]:
    """All rows, or of more than `most` those with the highest p99."""
    if len(rows) <= most:
        return rows
    # a row without one good reply has no p99, and is the first to be looked at
    return sorted(rows, key=lambda row: -math.inf if (p99 := row.response_time.p99) is None else -p99)[:most]


def timings(result: Result, *, for_page: bool = False) -> Iterator[Table]:
    """A table of journeys, one of their steps and one of timers, as far as there are any."""
    for kind, caption in (("journey", "Journeys"), ("step", "Steps"), ("timer", "Timers")):
        found = [one for one in result.timings if one.kind == kind]
        if found:
            yield table_of(
                [(one.name, one) for one in found],
                _of_rows(found, "times", limited(result), for_page=for_page),
                caption=caption,
                names=kind,
                notes=[note for one in found for note in _left_out(one)],
            )


def _left_out(one: Timing) -> list[Cell]:
    """What is in no figure of it."""
    parts = [
        *([f"{one.unsent:,} due and never begun"] if one.unsent else []),
        *([f"{one.cut:,} cut off when the run ended"] if one.cut else []),
    ]
    return [Cell(f"{one.name}: {', '.join(parts)}", tone="doubt")] if parts else []


def phases(result: Result, *, for_page: bool = False) -> Table | None:
    """A row a phase, where there is more than one, with the load asked for and the threads seen."""
    parts, is_rate = result.phases, result.scenario.rate is not None
    if len(parts) < 2:
        return None
    of_rows = _of_rows([part.total for part in parts], "requests", limited(result), for_page=for_page)
    asked = (Column("asked", drop_order=2), lambda part: _level(part.asked, is_rate=is_rate))
    seen = (Column("threads", drop_order=2), lambda part: _level(part.threads))
    figures: list[tuple[Column, Callable[[Phase], Cell]]] = [
        *([asked] if any(part.asked is not None for part in parts) else []),
        *([seen] if any(part.threads is not None for part in parts) else []),
        *((column, partial(_of_phase, cell)) for column, cell in of_rows),
    ]
    return table_of([(part.name, part) for part in parts], figures, caption="Phases", names="phase")


def _of_phase(cell: Callable[[Row | Timing], Cell], part: Phase) -> Cell:
    return cell(part.total)


def _level(level: float | None, *, is_rate: bool = False) -> Cell:
    """Arrivals a second, or threads."""
    return Cell(show_level(level, is_rate=is_rate), level or 0.0)


def limited(result: Result) -> frozenset[str]:
    """The percentiles that thresholds limit, by the titles of their columns."""
    words = {word for one in result.thresholds for word in one.threshold.rpartition(": ")[2].split()}
    return frozenset(one.name for one in PERCENTILES if one.name in words)


def _of_rows(rows: Sequence[Row | Timing], counted: str, limits: frozenset[str], *, for_page: bool) -> list[_Figure]:
    """What is shown of a row, with all percentiles that thresholds limit."""
    times = {title: _OF_ROWS.get(title, order) for title, order in _OF_TIMES.items() if title in {*_OF_ROWS, *limits}}
    has_percent = for_page or any(sum(row.failures.values()) for row in rows)
    figures: list[_Figure] = [
        (Column(counted), lambda row: count_cell(row.requests)),
        (Column("throughput", drop_order=4), throughput_cell),
        (Column("errors"), errors_cell),
        *([(Column("%", drop_order=5), percent_cell)] if has_percent else []),
    ]
    for column in _kept(times, limits):
        figures.append((column, partial(_of_response, column.title)))
        if for_page and column.title == "p99":
            figures.append((Column("p99, 95 % sure"), lambda row: confidence_cell(histogram_of(row.response_time), 99)))
    return figures


def _of_response(title: str, row: Row | Timing) -> Cell:
    return figure_cell(title, row.response_time)


def _kept(titles: dict[str, int], limits: frozenset[str]) -> list[Column]:
    """The columns, of which a terminal drops those last that a threshold limits."""
    return [
        Column(title, drop_order=order and (1 if title in limits else order + len(limits)))
        for title, order in titles.items()
    ]


def times(result: Result, *, for_page: bool = False) -> Table | None:
    """A row a kind of time: response and service time, then what is the generator's own."""
    total = result.total
    kinds = {
        "response time": total.response_time,
        "service time": total.service_time,
        "lateness": total.lateness,
        "pickup": total.pickup,
        "failure time": total.failure_time,
    }
    measured = [(name, kind) for name, kind in kinds.items() if kind.count]
    figures: list[tuple[Column, Callable[[Times], Cell]]] = [
        *([(Column("count"), _count_of)] if for_page else []),
        *((column, partial(figure_cell, column.title)) for column in _kept(_OF_TIMES, limited(result))),
    ]
    return table_of(measured, figures, caption="Kinds of time", names="time") if measured else None


def _count_of(kind: Times) -> Cell:
    return count_cell(kind.count)


def percentiles(total: Row) -> Table | None:
    """The percentiles of response and service time, each with how sure it is."""
    response, service = total.response_time, total.service_time
    found, other = histogram_of(response), histogram_of(service)
    if found is None:
        return None
    rows = [
        [
            Cell(one.name),
            time_cell(one.of(response)),
            confidence_cell(found, one.percent),
            time_cell(one.of(service)),
            confidence_cell(other, one.percent),
        ]
        for one in PERCENTILES
    ]
    heads = ("percentile", "response time", "95 % sure", "service time", "95 % sure")
    return Table(caption="Percentiles of good replies", columns=list(map(Column, heads)), rows=rows)


def confidence_cell(found: Histogram | None, percent: float) -> Cell:
    """Between which times a percentile is, with 95 % confidence; a dash without a histogram."""
    if found is None:
        return Cell("-", -1.0)
    low, high = (None if edge is None else edge / SECOND for edge in percentile_interval(found, percent))
    if low is None and high is None:
        return Cell("too few replies", -1.0)
    if low is None or high is None:
        return Cell(f"at most {show_seconds(high)}" if low is None else f"at least {show_seconds(low)}", low or high)
    return Cell(f"{show_seconds(low)} to {show_seconds(high)}", low)


def statuses(total: Row) -> Table | None:
    """A row a status code: good replies, and those that failed nevertheless."""
    codes = sorted({*total.statuses, *total.failed_statuses})
    figures: list[tuple[Column, Callable[[int], Cell]]] = [
        (Column("good replies"), lambda code: count_cell(total.statuses.get(code, 0))),
        (Column("failed"), lambda code: count_cell(total.failed_statuses.get(code, 0), "bad")),
    ]
    rows = [(str(code), code) for code in codes]
    return table_of(rows, figures, caption="Status codes", names="status") if codes else None


def thresholds(found: Sequence[ThresholdResult]) -> Table | None:
    """A row a threshold: met or not, its value, and by how much."""
    figures: list[tuple[Column, Callable[[ThresholdResult], Cell]]] = [
        (Column("result"), lambda one: Cell("met", tone="good") if one.passed else Cell("missed", tone="bad")),
        (Column("value"), lambda one: Cell(one.shown, one.value)),
        (Column("margin"), lambda one: Cell(_margin(one))),
    ]
    # `(implied)`: nobody wrote it
    rows = [(f"{one.threshold} (implied)" if one.implied else one.threshold, one) for one in found]
    return table_of(rows, figures, caption="Thresholds", names="threshold", words=1) if rows else None


def _margin(one: ThresholdResult) -> str:
    """By how much a threshold was met or missed."""
    limit = _limit(one.threshold)
    if one.value is None or not limit or not math.isfinite(one.value):
        return ""
    if abs(one.value) >= 2 * limit:
        return f"{three_digits(one.value / limit)} times the limit"
    share = three_digits(abs(one.value - limit) / limit * 100)
    return f"{share} % to spare" if one.passed else f"missed by {share} %"


def _limit(text: str) -> float | None:
    try:
        return threshold(text).limit
    except UsageError:
        return None


def intervals(result: Result) -> Table | None:
    """A row an interval: what the charts over time are drawn from; nothing where they have no requests."""
    if not result.intervals or all_journeys(result):
        return None
    figures: list[tuple[Column, Callable[[Interval], Cell]]] = [
        (Column("requests"), lambda one: count_cell(one.total.requests)),
        (Column("good"), lambda one: _rate(one, 0)),
        (Column("failed"), lambda one: _rate(one, 1, "bad" if one.total.failures else "")),
        *((Column(title), partial(_of_interval, title)) for title in ("p50", "p90", "p99", "max")),
    ]
    rows = [(between(one), one) for one in result.intervals]
    return table_of(rows, figures, caption="Each interval", names="interval")


def _of_interval(title: str, one: Interval) -> Cell:
    return figure_cell(title, one.total.response_time)


def _rate(one: Interval, which: int, tone: Tone = "") -> Cell:
    found = rates(one)
    return Cell(show_throughput(found[which]), found[which], tone) if found else Cell("-", tone=tone)
