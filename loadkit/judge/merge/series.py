"""The series of several results on one time line."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from loadkit.judge.instants import instant, united, whole
from loadkit.judge.merge.overlap import interval_length, start_of
from loadkit.judge.merge.sums import in_order_of, mean, merged_times
from loadkit.judge.result import Result
from loadkit.judge.rows import Interval, IntervalRow
from loadkit.judge.spans import RunSpan
from loadkit.judge.summary import TOTAL
from loadkit.plan.units import SECOND

if TYPE_CHECKING:
    from collections.abc import Sequence


def merged_series(parts: Sequence[Result], spans: Sequence[RunSpan], names: Sequence[str]) -> list[Interval]:
    """All intervals on one time line, as long as the longest of them, each on a multiple of its length in UTC.

    The intervals of a run begin when it does. They are moved, all by the same, to such a multiple, and so is the time
    that was measured.
    """
    length = max(interval_length(part) for part in parts)
    at: dict[float, list[Interval]] = {}
    for part in parts:
        for interval in part.intervals:
            start = _zero(start_of(part), interval_length(part)) + interval.start
            at.setdefault(start - start % length, []).append(interval)
    first, measured = _zero(start_of(parts[0]), length), united(map(_on_the_line, spans))
    return [
        _interval(found, names, start=start - first, length=length, measured=_overlap(measured, start, start + length))
        for start, found in sorted(at.items())
    ]


def _zero(start: int, length: float) -> float:
    """Where on the time line the intervals of a part begin that starts at an instant."""
    second = (start + SECOND // 2) // SECOND
    return second - second % length


def _on_the_line(span: RunSpan) -> tuple[int, int]:
    start = whole(_zero(instant(span.start), span.interval or 1.0))
    return start, start + whole(span.length)


def _overlap(spans: Sequence[tuple[int, int]], begins: float, ends: float) -> float:
    """How many seconds between two instants lie in spans, which are in order and apart."""
    start, end, found = whole(begins), whole(ends), 0
    for place in range(max(0, bisect_right(spans, (start,)) - 1), len(spans)):
        if spans[place][0] >= end:
            break
        found += max(0, min(end, spans[place][1]) - max(start, spans[place][0]))
    return found / SECOND


def _interval(
    parts: Sequence[Interval], names: Sequence[str], *, start: float, length: float, measured: float
) -> Interval:
    by_name: dict[str, list[IntervalRow]] = {}
    for part in parts:
        for row in part.endpoints:
            by_name.setdefault(row.name, []).append(row)
    return Interval(
        start=start,
        length=length,
        measured=measured,
        threads=mean([(one.threads, one.measured) for one in parts], measured),
        asked=mean([(one.asked, one.measured) for one in parts], measured),
        total=_interval_row(TOTAL, [part.total for part in parts]),
        endpoints=[_interval_row(name, by_name[name]) for name in sorted(by_name, key=in_order_of(names))],
    )


def _interval_row(name: str, rows: list[IntervalRow]) -> IntervalRow:
    return IntervalRow(
        name=name,
        requests=sum(row.requests for row in rows),
        failures=sum(row.failures for row in rows),
        response_time=merged_times(row.response_time for row in rows),
    )
