"""The figures of a result as tables: a row an endpoint or phase, and a row a kind of time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from loadkit.judge.merge import timing
from loadkit.judge.result import Phase, Result, Row, Times, Timing, journeys_among
from loadkit.plan.units import show_rate, show_seconds, three_digits
from loadkit.report.layout import Paper
from loadkit.report.table import Column, table

MAX_ROWS = 40

_Figure = tuple[str, Callable[[Times], float | None], int]

# title, figure, and how soon its column goes on narrow paper
OF_ROWS: tuple[_Figure, ...] = (
    ("p50", lambda times: times.p50, 0),
    ("p90", lambda times: times.p90, 3),
    ("p99", lambda times: times.p99, 0),
    ("p99.9", lambda times: times.p99_9, 2),
    ("max", lambda times: times.max, 1),
)
OF_TIMES: tuple[_Figure, ...] = (
    ("min", lambda times: times.min, 4),
    ("mean", lambda times: times.mean, 2),
    ("p50", lambda times: times.p50, 0),
    ("p75", lambda times: times.p75, 6),
    ("p90", lambda times: times.p90, 3),
    ("p95", lambda times: times.p95, 5),
    ("p99", lambda times: times.p99, 0),
    ("p99.9", lambda times: times.p99_9, 2),
    ("max", lambda times: times.max, 1),
)


def endpoints(paper: Paper, result: Result) -> list[str]:
    """A row an endpoint and the total; of very many endpoints those with the highest p99."""
    if result.timings and not result.endpoints:
        return []
    rows = slowest(result.endpoints)
    # with one endpoint the total would say the same again
    has_total = [row.requests for row in result.endpoints] != [result.total.requests]
    shown = [*rows, result.total] if has_total else rows
    names = [paper.foreign(row.name) for row in rows] + ["total"] * has_total
    table_of_all = _rows(paper, "endpoint", names, shown, total=has_total, limited=limited(result))
    return [*table_of_all, *_more(paper, len(result.endpoints) - len(rows))]


def all_journeys(result: Result) -> Timing | None:
    """All journeys as one, where none made a request of loadkit's own: then the total has no figures."""
    found = journeys_among(result.timings)
    total = result.total
    if not found or total.requests or total.unsent or total.cut:
        return None
    return timing(found, result.duration)


def limited(result: Result) -> frozenset[str]:
    """The percentiles that thresholds limit, by the titles of their columns."""
    words = {word for one in result.thresholds for word in one.threshold.rpartition(": ")[2].split()}
    return frozenset(title for title, _, _ in OF_TIMES if title in words and title.startswith("p"))


def timings(paper: Paper, timed: Sequence[Timing], limited: frozenset[str] = frozenset()) -> list[str]:
    """A table of journeys, one of their steps and one of timers, as far as there are any."""
    lines: list[str] = []
    for kind in ("journey", "step", "timer"):
        found = [one for one in timed if one.kind == kind]
        if found:
            names = [paper.foreign(one.name) for one in found]
            lines += [*([""] if lines else []), *_rows(paper, kind, names, found, counted="times", limited=limited)]
            lines += [line for one in found for line in _left_out(paper, one)]
    return lines


def _left_out(paper: Paper, one: Timing) -> list[str]:
    """What is in no figure of it."""
    parts = [
        *([f"{one.unsent:,} due and never begun"] if one.unsent else []),
        *([f"{one.cut:,} cut off when the run ended"] if one.cut else []),
    ]
    note = f"{paper.foreign(one.name)}: {', '.join(parts)}"
    return [paper.paint(line, "yellow") for line in paper.wrap(note, first="  ", margin="  ")] if parts else []


def phases(paper: Paper, result: Result) -> list[str]:
    """A row a phase, where there is more than one, with the load asked for and the threads seen."""
    parts = result.phases
    if len(parts) < 2:
        return []
    names = [paper.foreign(part.name) for part in parts]
    return _rows(
        paper,
        "phase",
        names,
        [part.total for part in parts],
        more=_levels(parts, is_open=result.scenario.rate is not None),
        limited=limited(result),
    )


def _levels(parts: Sequence[Phase], *, is_open: bool) -> list[Column]:
    """The load of each phase, asked for and seen, as far as it is known."""
    found = [
        Column(title="asked", cells=[show_level(part.asked, is_rate=is_open) for part in parts], spare=2),
        Column(title="threads", cells=[show_level(part.threads) for part in parts], spare=2),
    ]
    is_known = [any(part.asked is not None for part in parts), any(part.threads is not None for part in parts)]
    return [column for column, known in zip(found, is_known, strict=True) if known]


def show_level(level: float | None, *, is_rate: bool = False) -> str:
    """Threads, or arrivals a second: `12`, `3.5`, `200/s`; a dash where it is not known."""
    if level is None or not math.isfinite(level):
        return "-"
    return show_rate(level) if is_rate else three_digits(level)


def times(paper: Paper, result: Result) -> list[str]:
    """A row a kind of time: response and service time, then what is the generator's own."""
    measured = measured_times(result.total)
    if not measured:
        return []
    return table(paper, "time", list(measured), _columns(_kept(OF_TIMES, limited(result)), list(measured.values())))


def measured_times(total: Row) -> dict[str, Times]:
    """The kinds of time of which there are any."""
    kinds = {
        "response time": total.response_time,
        "service time": total.service_time,
        "lateness": total.lateness,
        "pickup": total.pickup,
        "failure time": total.failure_time,
    }
    return {name: kind for name, kind in kinds.items() if kind.count}


def show_time(span: float | None) -> str:
    """A time, or a dash for what is no number: a report is never worth a traceback."""
    return show_seconds(span if span is not None and math.isfinite(span) else None)


def show_share(share: float) -> str:
    """A share of one in percent."""
    return f"{three_digits(share * 100)} %" if math.isfinite(share) else "-"


def show_throughput(rate: float) -> str:
    """A rate, or a dash for what is no number."""
    return show_rate(rate) if math.isfinite(rate) else "-"


def _rows(
    paper: Paper,
    title: str,
    names: list[str],
    rows: Sequence[Row | Timing],
    *,
    total: bool = False,
    counted: str = "requests",
    more: Sequence[Column] = (),
    limited: frozenset[str] = frozenset(),
) -> list[str]:
    failures = [sum(row.failures.values()) for row in rows]
    percents = [Column(title="%", cells=[error_percent(row) for row in rows], spare=5, alarm="red")]
    columns = [
        *more,
        Column(title=counted, cells=[f"{row.requests:,}" for row in rows]),
        Column(title="throughput", cells=[show_throughput(row.throughput) for row in rows], spare=4),
        Column(title="errors", cells=[f"{count:,}" for count in failures], alarm="red"),
        *(percents if any(failures) else ()),
        *_columns(_of_rows(limited), [row.response_time for row in rows]),
    ]
    return table(paper, title, names, columns, total=total)


def _of_rows(limited: frozenset[str]) -> list[_Figure]:
    """The columns of a row, with those of all percentiles that thresholds limit."""
    usual = {title: spare for title, _, spare in OF_ROWS}
    found = [(title, figure, usual.get(title, spare)) for title, figure, spare in OF_TIMES]
    return _kept([one for one in found if one[0] in usual or one[0] in limited], limited)


def _kept(figures: Iterable[_Figure], limited: frozenset[str]) -> list[_Figure]:
    """The same, of which those that a threshold limits go the last."""
    return [
        (title, figure, spare and (1 if title in limited else spare + len(limited))) for title, figure, spare in figures
    ]


def _columns(figures: Iterable[_Figure], rows: Sequence[Times]) -> list[Column]:
    return [
        Column(title=title, cells=[show_time(figure(row)) for row in rows], spare=spare)
        for title, figure, spare in figures
    ]


def error_percent(row: Row | Timing) -> str:
    """The share of failures in percent, without the sign; nothing where there are none."""
    return show_share(row.error_rate).removesuffix(" %") if row.failures else ""


def slowest(rows: list[Row]) -> list[Row]:
    """All rows, or of very many those with the highest p99."""
    if len(rows) <= MAX_ROWS:
        return rows
    # a row without one good reply has no p99, and is the first to be looked at
    return sorted(rows, key=lambda row: -math.inf if (p99 := row.response_time.p99) is None else -p99)[:MAX_ROWS]


def _more(paper: Paper, count: int) -> list[str]:
    note = f"these {MAX_ROWS} have the highest p99; {count:,} more row{'s' * (count != 1)} in the JSON"
    return paper.wrap(note, first="  ", margin="  ") if count else []
