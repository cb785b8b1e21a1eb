"""The figures of a round that are compared, taken from the result of its run."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

from loadkit.judge.comparison.blocks import Metric, Round
from loadkit.judge.merge.sums import all_journeys
from loadkit.judge.rows import journeys_among

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadkit.judge.comparison.blocks import Version
    from loadkit.judge.result import Result
    from loadkit.judge.rows import IntervalRow, Row, Timing
    from loadkit.judge.times import Times

PERCENTS: Final = {"p50": 50.0, "p90": 90.0, "p99": 99.0}
ERRORS: Final = Metric("error_rate")
SERVER_CPU: Final = Metric("server_cpu")
"""CPU seconds of the server a request, where loadkit started it."""

_ABOVE: Final = 10
"""Replies that a window has above a percentile at least, for it to be that of the window."""
_WINDOWS: Final = 3


def round_of(version: Version, result: Result) -> Round:
    """A round from its run."""
    # of journeys that request nothing, their own figures
    whole, journeys = all_journeys(result) or result.total, journeys_among(result.timings)
    figures = dict(_figures(None, whole, [one.total for one in result.intervals] if whole is result.total else []))
    # a journey may fail although each of its requests went well
    figures[ERRORS] = max([whole.error_rate, *(one.error_rate for one in journeys)])
    for row in result.endpoints if len(result.endpoints) > 1 else ():
        windows = [one for interval in result.intervals for one in interval.endpoints if one.name == row.name]
        figures.update(_figures(row.name, row, windows))
    for one in journeys if result.requests or len(journeys) > 1 else ():
        figures.update(_figures(one.name, one, []))
    if result.server and result.requests:
        figures[SERVER_CPU] = result.server.cpu_seconds / result.requests
    return Round(
        version=version,
        figures=figures,
        unsound=next((one.message for one in result.caveats if one.level == "grave"), None),
        # where nothing was sent, it was not the server that failed
        has_failed=bool(whole.failures) and not whole.response_time.count,
        failure=_failure(result),
        loss=next((one.message for one in result.caveats if one.code == "server-lost"), ""),
        response_time=whole.response_time,
    )


def _failure(result: Result) -> str:
    """The first reason for failures: what was asked, and what came of it; nothing where none is known."""
    rows: list[Row | Timing] = [*result.endpoints, *result.timings]
    for row in rows:
        for one in row.examples:
            asked = f"{one.reply.method} {one.reply.url}" if one.reply else row.name
            return f"{asked}: {' '.join(one.message.split())}"
    return ""


def _figures(label: str | None, row: Row | Timing, windows: Sequence[IntervalRow]) -> Iterator[tuple[Metric, float]]:
    yield Metric("throughput", label), row.throughput
    yield Metric("error_rate", label), row.error_rate
    times = row.response_time
    if times.mean is not None:
        yield Metric("mean", label), times.mean
    for name, percent in PERCENTS.items():
        value = _percentile(percent, times, [one.response_time for one in windows])
        if value is not None:
            yield Metric(name, label), value


def _percentile(percent: float, times: Times, windows: Sequence[Times]) -> float | None:
    """The median of the windows that are large enough, so that a slow second is outvoted; else that of the round."""
    least = _ABOVE / (1 - percent / 100)
    found = [one.percentile(percent) for one in windows if one.count >= least]
    known = [one for one in found if one is not None]
    return median(known) if len(known) >= _WINDOWS else times.percentile(percent)
