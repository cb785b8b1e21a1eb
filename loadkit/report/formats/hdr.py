"""Response times as the tools of HdrHistogram have them: its percentile output, and its log of histograms.

Both are of nanoseconds inside and show milliseconds, as these tools expect.
"""

from __future__ import annotations

import math
import string
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from loadkit.judge.merge.sums import all_journeys
from loadkit.measure.histogram import Histogram
from loadkit.plan.units import MILLISECOND, SECOND
from loadkit.report.figures import histogram_of, measured_from

if TYPE_CHECKING:
    from loadkit.judge.result import Result
    from loadkit.judge.times import Times

TICKS: Final = 5
"""Percentiles from one half of what is left to the next: from 0 to 50 %, from there to 75 %, and so on."""

_SHAPE: Final = (23, 2048)
"""Buckets and sub-buckets of a histogram from 1 us to 1 h with three digits."""

# what may stand in a tag as it is: it ends at a comma or a blank
_IN_TAGS: Final = "".join(set(string.punctuation) - set(",%"))


def percentile_distribution(result: Result) -> str:
    """The response times of all requests, or of all journeys where nothing else is timed, for HdrHistogram's plotter.

    The percentiles are those of the report: no value is beyond the exact maximum.
    """
    times = (all_journeys(result) or result.total).response_time
    found = histogram_of(times) or Histogram()
    buckets, sub_buckets = _SHAPE
    mean, deviation = _milliseconds(found.mean or 0), _milliseconds(_deviation(found))
    lines = [
        f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}\n",
        *_percentiles(found),
        f"#[Mean    = {mean:12.3f}, StdDeviation   = {deviation:12.3f}]",
        f"#[Max     = {_milliseconds(found.max):12.3f}, Total count    = {found.count:12d}]",
        f"#[Buckets = {buckets:12d}, SubBuckets     = {sub_buckets:12d}]",
    ]
    return "\n".join(lines) + "\n"


def _percentiles(found: Histogram) -> Iterator[str]:
    """A line each time that the share of values reaches the next level, and one for all of them."""
    level, seen, value = 0.0, 0, ""
    for _, highest, count in found.buckets():
        seen += count
        value = f"{_milliseconds(min(max(highest, found.min), found.max)):12.3f}"
        while 100.0 * seen / found.count >= level:
            share = level / 100.0
            yield f"{value} {share:2.12f} {seen:10d} {1 / (1 - share):14.2f}"
            level += 100.0 / (TICKS * 2 ** (int(math.log(100.0 / (100.0 - level)) / math.log(2)) + 1))
            if seen == found.count:
                break
    if seen:
        yield f"{value} {1:2.12f} {seen:10d}"


def _deviation(found: Histogram) -> float:
    """The standard deviation, of the middles of buckets, nanoseconds."""
    if not found.count or found.mean is None:
        return 0.0
    squares = (count * ((low + high + 1) // 2 - found.mean) ** 2 for low, high, count in found.buckets())
    return math.sqrt(sum(squares) / found.count)


def _milliseconds(span: float) -> float:
    return span / MILLISECOND


def histogram_log(results: Sequence[Result]) -> str:
    """A line an interval of all requests and of each endpoint, and one a journey, step and timer of the whole run.

    What is of all requests has no tag where there is one result. Tags are names, in which what a tag cannot have is
    written as in URLs: `GET%20/search`. Of several results each begins with that of its scenario.
    """
    starts = list(map(measured_from, results))
    base = min(starts)
    lines = sorted(
        (
            (start - base + round(since * SECOND), line)
            for one, start in zip(results, starts, strict=True)
            for since, line in _lines(one, start - base, one.title if len(results) > 1 else "")
        ),
        key=lambda timed: timed[0],
    )
    seconds = base / SECOND
    began = datetime.fromtimestamp(seconds, UTC)
    head = (
        "#[Histogram log format version 1.3]",
        f"#[StartTime: {seconds:.3f} (seconds since epoch), {began:%a %b %d %H:%M:%S UTC %Y}]",
        f"#[BaseTime: {seconds:.3f} (seconds since epoch)]",
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"',
    )
    return "\n".join([*head, *(line for _, line in lines)]) + "\n"


def _lines(result: Result, offset: int, head: str) -> Iterator[tuple[float, str]]:
    """The seconds since its start that each line begins at, and the line."""
    for one in result.intervals:
        for row in (one.total, *one.endpoints):
            tag = head if row is one.total else f"{head}:{row.name}" if head else row.name
            yield one.start, _line(tag, offset, one.start, one.length, row.response_time)
    for timing in result.timings:
        tag = ":".join([*([head] if head else []), timing.kind, timing.name])
        yield 0.0, _line(tag, offset, 0.0, result.duration, timing.response_time)


def _line(tag: str, offset: int, start: float, length: float, times: Times) -> str:
    tagged = f"Tag={quote(tag.encode(errors='surrogatepass'), safe=_IN_TAGS)}," if tag else ""
    return f"{tagged}{offset / SECOND + start:.3f},{length:.3f},{(times.max or 0.0) * 1000:.3f},{times.hdr}"
