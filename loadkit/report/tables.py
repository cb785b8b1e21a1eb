"""The tables of a result: a row an endpoint, journey, phase, kind of time, percentile, status code or threshold.

They are the same in text and on a page, which has room for more: `for_page`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from loadkit.judge.confidence import percentile_interval
from loadkit.judge.merge.sums import all_journeys
from loadkit.judge.result import Result
from loadkit.judge.rows import Interval, Row, Timing
from loadkit.judge.threshold_results import ThresholdResult
from loadkit.judge.times import PERCENTILES, Times
from loadkit.measure.histogram import Histogram
from loadkit.plan.errors import UsageError
from loadkit.plan.labels import MAX_LABELS
from loadkit.plan.threshold import Threshold, threshold
from loadkit.plan.units import SECOND, show_seconds, three_digits
from loadkit.report.charts.timeline import between, rates
from loadkit.report.figures import (
    BRIEF,
    FIGURES,
    count_cell,
    errors_cell,
    histogram_of,
    percent_cell,
    show_level,
    show_throughput,
    throughput_cell,
    time_cell,
    time_columns,
)
from loadkit.report.table import Cell, Column, Table, Tone

MAX_ROWS_OF_TEXT: Final = 40
MAX_ROWS_OF_PAGE: Final = 1000

Measured = TypeVar("Measured", Row, Timing)

_OF_ROWS: Final = frozenset({*(one.name for one in BRIEF), "p95", "max"})


def endpoints(result: Result, *, for_page: bool = False) -> Table | None:
    """A row an endpoint and the total; of very many endpoints those with the highest p99."""
    rows = _slowest(result.endpoints, MAX_ROWS_OF_PAGE if for_page else MAX_ROWS_OF_TEXT)
    if not rows:
        return None
    # with one endpoint the total would say the same again
    has_total = [row.requests for row in result.endpoints] != [result.total.requests]
    shown = [*rows, result.total] if has_total else rows
    return Table(
        caption="Endpoints",
        head="endpoint",
        names=[row.name for row in rows] + ["total"] * has_total,
        columns=_with_statuses(rows, _of_rows(shown, "requests", limited(result), for_page=for_page)),
        has_total=has_total,
        notes=_more(rows, result.endpoints),
    )


def _with_statuses(rows: Sequence[Row], columns: list[Column]) -> list[Column]:
    """The columns with one of the status codes of each row behind its errors; the total has a line of its own."""
    place = 1 + [column.title for column in columns].index("errors")
    cells = [_status_cell(row) for row in rows] + [Cell("")] * (len(columns[0].cells) - len(rows))
    return [*columns[:place], Column("status", cells), *columns[place:]]


def _status_cell(row: Row) -> Cell:
    """The status codes of a row, those of failed replies among them, the most frequent first."""
    counts = Counter(row.statuses) + Counter(row.failed_statuses)
    return Cell(" ".join(str(code) for code, _ in counts.most_common()) or "-", min(counts, default=0))


def _slowest(rows: list[Measured], most: int) -> list[Measured]:
    """All rows, or of more than `most` those with the highest p99."""
    if len(rows) <= most:
        return rows
    # a row without one good reply has no p99, and is the first to be looked at
    return sorted(rows, key=lambda row: -math.inf if (p99 := row.response_time.p99) is None else -p99)[:most]


def _more(shown: Sequence[Row | Timing], rows: Sequence[Row | Timing]) -> list[Cell]:
    """A note of the rows that are not shown."""
    more = len(rows) - len(shown)
    note = f"these {len(shown):,} have the highest p99; {more:,} more row{'s' * (more != 1)} in the JSON"
    return [Cell(note)] if more else []


def timings(result: Result, *, for_page: bool = False) -> Iterator[Table]:
    """A table of journeys, one of their steps and one of timers, as far as there are any; of very many the slowest."""
    # of one run there are no more, and of tests each is a row that somebody looks for
    most = MAX_ROWS_OF_PAGE if for_page else MAX_LABELS
    for kind, caption in (("journey", "Journeys"), ("step", "Steps"), ("timer", "Timers")):
        of_kind = [one for one in result.timings if one.kind == kind]
        found = _slowest(of_kind, most)
        if found:
            yield Table(
                caption=caption,
                head=kind,
                names=[one.name for one in found],
                columns=_of_rows(found, "times", limited(result), for_page=for_page),
                notes=[*_more(found, of_kind), *(note for one in found for note in _left_out(one))],
            )


def _left_out(one: Timing) -> list[Cell]:
    """A note of what is in none of its figures."""
    parts = [
        *([f"{one.unsent:,} due and never begun"] if one.unsent else []),
        *([f"{one.cut:,} cut off when the run ended"] if one.cut else []),
    ]
    return [Cell(f"{one.name}: {', '.join(parts)}", tone="doubt")] if parts else []


def phases(result: Result, *, for_page: bool = False) -> Table | None:
    """A row a phase with the load asked for and the threads seen; None for less than two phases."""
    parts, is_rate = result.phases, result.scenario.rate is not None
    if len(parts) < 2:
        return None
    asked = Column("asked", [_level(part.asked, is_rate=is_rate) for part in parts], drop_order=2)
    seen = Column("threads", [_level(part.threads) for part in parts], drop_order=2)
    columns = [
        *([asked] if any(part.asked is not None for part in parts) else []),
        *([seen] if any(part.threads is not None for part in parts) else []),
        *_of_rows([part.total for part in parts], "requests", limited(result), for_page=for_page),
    ]
    return Table(caption="Phases", head="phase", names=[part.name for part in parts], columns=columns)


def _level(level: float | None, *, is_rate: bool = False) -> Cell:
    """Arrivals a second, or threads."""
    return Cell(show_level(level, is_rate=is_rate), level or 0.0)


def limited(result: Result) -> frozenset[str]:
    """The percentiles that thresholds limit, by the titles of their columns."""
    words = {word for one in result.thresholds for word in one.threshold.rpartition(": ")[2].split()}
    return frozenset(one.name for one in PERCENTILES if one.name in words)


def _of_rows(rows: Sequence[Row | Timing], counted: str, limits: frozenset[str], *, for_page: bool) -> list[Column]:
    """The columns of rows, with those of all percentiles that thresholds limit."""
    has_percent = any(sum(row.failures.values()) for row in rows)
    of_times = time_columns(_with(limits), [row.response_time for row in rows], limits)
    if for_page:
        cells = [confidence_cell(histogram_of(row.response_time), 99) for row in rows]
        of_times.insert(_with(limits).index("p99") + 1, Column("p99, 95 % sure", cells))
    return [
        Column(counted, [count_cell(row.requests) for row in rows]),
        Column("throughput", [throughput_cell(row) for row in rows], drop_order=4),
        Column("errors", [errors_cell(row) for row in rows]),
        *([Column("%", [percent_cell(row) for row in rows], drop_order=8)] if has_percent else []),
        *of_times,
    ]


def _with(limits: frozenset[str]) -> list[str]:
    return [title for title in FIGURES if title in _OF_ROWS | limits]


def times(result: Result, *, for_page: bool = False) -> Table | None:
    """A row a kind of time: response and service time, the generator's own, and that of failures."""
    total = result.total
    kinds = {
        "response time": total.response_time,
        "service time": total.service_time,
        "lateness": total.lateness,
        "pickup": total.pickup,
        "failure time": total.failure_time,
    }
    measured = {name: kind for name, kind in kinds.items() if kind.count}
    measured |= {name: kind for name, kind in _phases_of_requests(result, for_page=for_page) if kind}
    counts = Column("count", [count_cell(kind.count) for kind in measured.values()])
    columns = [*([counts] if for_page else []), *time_columns(FIGURES, list(measured.values()), limited(result))]
    return Table(caption="Kinds of time", head="time", names=list(measured), columns=columns) if measured else None


def _phases_of_requests(result: Result, *, for_page: bool) -> Iterator[tuple[str, Times | None]]:
    """What a request consists of, where there is more to say than the service time; all of it on a page."""
    total, scenario = result.total, result.scenario
    if for_page or total.connects > (scenario.max_threads or scenario.threads):
        # otherwise each thread has connected once, mostly before it began
        yield "connect", total.connect_time
        yield "TLS handshake", total.tls_time
    yield "first byte", total.first_byte_time


def slowest(result: Result, most: int) -> Table | None:
    """A row for each of the slowest requests, `most` at most: its URL, status, second of the run and times."""
    found = result.slowest[:most]
    if not found:
        return None
    columns = [
        Column("status", [Cell(str(one.status), one.status) for one in found], drop_order=3),
        Column("due at", [time_cell(one.at) for one in found]),
        Column("response time", [time_cell(one.response_time) for one in found]),
        Column("service time", [time_cell(one.service_time) for one in found], drop_order=2),
    ]
    base = (result.scenario.base_url or "").rstrip("/")
    names = [f"{one.method} {one.url.removeprefix(base)}" for one in found]
    return Table(caption="Slowest requests", head="slowest", names=names, columns=columns)


def percentiles(total: Row) -> Table | None:
    """A row a percentile of response and service time, each with its confidence interval."""
    kinds = {"response time": total.response_time, "service time": total.service_time}
    if histogram_of(total.response_time) is None:
        return None
    columns = []
    for name, kind in kinds.items():
        found = histogram_of(kind)
        columns.append(Column(name, [time_cell(one.of(kind)) for one in PERCENTILES]))
        columns.append(Column("95 % sure", [confidence_cell(found, one.percent) for one in PERCENTILES]))
    names = [one.name for one in PERCENTILES]
    return Table(caption="Percentiles of good replies", head="percentile", names=names, columns=columns)


def confidence_cell(found: Histogram | None, percent: float) -> Cell:
    """The 95 % confidence interval of a percentile; a dash without a histogram."""
    if found is None:
        return Cell("-", -1.0)
    low, high = (None if edge is None else edge / SECOND for edge in percentile_interval(found, percent))
    if low is None and high is None:
        return Cell("too few replies", -1.0)
    if low is None or high is None:
        return Cell(f"at most {show_seconds(high)}" if low is None else f"at least {show_seconds(low)}", low or high)
    return Cell(f"{show_seconds(low)} to {show_seconds(high)}", low)


def statuses(total: Row) -> Table | None:
    """A row a status code: good replies, and replies that failed a check."""
    codes = sorted({*total.statuses, *total.failed_statuses})
    columns = [
        Column("good replies", [count_cell(total.statuses.get(code, 0)) for code in codes]),
        Column("failed", [count_cell(total.failed_statuses.get(code, 0), "bad") for code in codes]),
    ]
    return Table(caption="Status codes", head="status", names=list(map(str, codes)), columns=columns) if codes else None


def thresholds(found: Sequence[ThresholdResult]) -> Table | None:
    """A row a threshold: met or not, its value, and by how much."""
    if not found:
        return None
    met, missed = Cell("met", tone="good"), Cell("missed", tone="bad")
    columns = [
        Column("result", [met if one.passed else missed for one in found]),
        Column("value", [Cell(one.shown, one.value) for one in found]),
        Column("margin", [Cell(_margin(one)) for one in found]),
    ]
    # `(implied)`: no threshold on errors was written
    names = [f"{one.threshold} (implied)" if one.implied else one.threshold for one in found]
    return Table(caption="Thresholds", head="threshold", names=names, columns=columns, words=1)


def _margin(one: ThresholdResult) -> str:
    """By how much a threshold was met or missed."""
    found = _read(one.threshold)
    limit = found and found.limit
    if one.value is None or not found or not limit or not math.isfinite(one.value):
        return ""
    if found.over and one.passed and not found.passes(one.value):
        return ""
    if abs(one.value) >= 2 * limit:
        return f"{three_digits(one.value / limit)} times the limit"
    share = three_digits(abs(one.value - limit) / limit * 100)
    return f"{share} % to spare" if one.passed else f"missed by {share} %"


def _read(text: str) -> Threshold | None:
    try:
        return threshold(text)
    except UsageError:
        return None


def intervals(result: Result) -> Table | None:
    """A row an interval; None for journeys without requests, of which intervals have no figures."""
    if not result.intervals or all_journeys(result):
        return None
    series = result.intervals
    columns = [
        Column("requests", [count_cell(one.total.requests) for one in series]),
        Column("good", [_rate(one, 0) for one in series]),
        Column("failed", [_rate(one, 1, "bad" if one.total.failures else "") for one in series]),
        *time_columns(("p50", "p90", "p99", "max"), [one.total.response_time for one in series]),
    ]
    return Table(caption="Each interval", head="interval", names=list(map(between, series)), columns=columns)


def _rate(one: Interval, which: int, tone: Tone = "") -> Cell:
    found = rates(one)
    return Cell(show_throughput(found[which]), found[which], tone) if found else Cell("-", tone=tone)
