"""The laws a result keeps, looked for in one that comes from a file: who knows who wrote it."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import msgspec

from loadkit.judge.instants import covered, instant
from loadkit.judge.summary import times as figures_of
from loadkit.judge.summary import without_hops
from loadkit.judge.times import PERCENTILES
from loadkit.judge.validity import validity_of
from loadkit.plan.errors import UsageError
from loadkit.plan.threshold import threshold
from loadkit.plan.units import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from loadkit.judge.result import Result
    from loadkit.judge.rows import Interval, Row, Timing
    from loadkit.judge.threshold_results import ThresholdResult
    from loadkit.judge.times import Times

LARGEST: Final = 10**15
"""More than anything that is counted, measured in seconds, or a rate; sums of nanoseconds are more."""
LONGEST: Final = 10**9
"""Seconds that a run may last: 30 years."""

_FREE: Final = frozenset({"seed", "options", "sum_ns", "clock_offset"})
_CLOSE: Final = 1e-6
_BUCKET: Final = 2e-3
"""By how much a percentile may lie beside its histogram's, which has three digits."""
_COUNTS: Final = ("requests", "drained", "cut", "unsent")


def violations(result: Result) -> Iterator[str]:
    """What does not add up, a sentence each; nothing for what loadkit wrote."""
    unsound = [*_numbers(result, "the result"), *_instants(result)]
    yield from unsound
    if unsound:
        # nothing can be made of such numbers
        return
    yield from _outcome(result)
    for row in (result.total, *result.endpoints):
        yield from _row(row, result.duration)
    for one in result.timings:
        yield from _timing(one, result.duration)
    yield from _sums("the total", result.total, result.endpoints)
    yield from _phases(result)
    yield from _intervals(result)
    yield from _slowest(result)


# -- numbers and instants


def _numbers(value: Any, name: str) -> Iterator[str]:
    """Numbers that are none, are less than nothing, or more than can be."""
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        if not 0 <= value <= LARGEST:  # NaN is neither
            yield f"{name} is {value:g}" if isinstance(value, float) else f"{name} is {str(value)[:40]}"
    elif isinstance(value, list):
        for one in value:
            yield from _numbers(one, name)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _numbers(key, name)
            yield from _numbers(one, name)
    elif isinstance(value, msgspec.Struct):
        of = f" of {value.name[:60]!r}" if hasattr(value, "name") else ""
        for field in value.__struct_fields__:
            if field not in _FREE:
                yield from _numbers(getattr(value, field), f"{field}{of}")


def _instants(result: Result) -> Iterator[str]:
    spans = [*result.spans, *(span for phase in result.phases for span in phase.spans)]
    for what, text in [("started_at", result.started_at), *(("a span's start", span.start) for span in spans)]:
        try:
            instant(text)
        except (ValueError, OverflowError):
            yield f"{what} {text[:40]!r} is no time"
            return
    lengths = [result.duration, *(span.length for span in spans), *(part.start + part.length for part in result.phases)]
    lengths += [one.start + one.length for one in result.intervals]
    if max(lengths) > LONGEST:
        yield f"{max(lengths):g} s are longer than any run"
    elif not result.spans:
        yield "it was measured at no time"
    elif not _is_close(seconds := covered(span.ends for span in result.spans) / SECOND, result.duration):
        yield f"its duration is {result.duration:g} s, and its spans cover {seconds:g} s"


def _is_close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_CLOSE, abs_tol=_CLOSE)


# -- what it comes to


def _outcome(result: Result) -> Iterator[str]:
    if result.validity == "invalid" and result.outcome in ("passed", "failed"):
        yield f"its figures are invalid, and yet it {result.outcome}"
    if (found := validity_of(result.caveats)) != result.validity:
        yield f"its figures are {result.validity}, and by its caveats they are {found}"
    for one in result.thresholds:
        yield from _threshold(one)
    missed = [one.threshold for one in result.thresholds if not one.passed]
    if result.outcome == "passed" and missed:
        yield f"it passed, and yet {missed[0][:60]!r} was missed"
    if result.outcome == "passed" and not _has_worked(result):
        yield "it passed, and yet nothing in it went well"


def _threshold(one: ThresholdResult) -> Iterator[str]:
    try:
        limit = threshold(one.threshold)
        passes = limit.passes(one.value)
    except UsageError:
        # another loadkit may have had other thresholds
        return
    if passes != one.passed and not (limit.over and one.passed):
        state = "passed" if one.passed else "missed"
        yield f"the threshold {one.threshold[:60]!r} is said to be {state} at {one.shown[:40]}"


def _has_worked(result: Result) -> bool:
    # a fetch of which all was there already has nothing to do
    timed = any(one.response_time.count for one in result.timings)
    return bool(result.total.statuses or timed or not (result.total.requests or result.total.cut))


# -- rows


def _row(row: Row, duration: float) -> Iterator[str]:
    good, failed = sum(row.statuses.values()), sum(row.failures.values())
    if row.requests != good + failed:
        yield f"{row.name[:60]!r} has {row.requests:,} requests, but {good:,} statuses and {failed:,} failures"
    for what, times, count in (("response_time", row.response_time, good), ("failure_time", row.failure_time, failed)):
        if times.count != count:
            yield f"the {what} of {row.name[:60]!r} counts {times.count:,} and not {count:,}"
    always = (row.response_time, row.service_time, row.lateness, row.pickup, row.failure_time)
    sometimes = (row.connect_time, row.tls_time, row.first_byte_time)
    for times in (*always, *filter(None, sometimes)):
        yield from _times(row.name, times)
    yield from _rates(row, row.requests, good, failed, duration)


def _timing(one: Timing, duration: float) -> Iterator[str]:
    good, failed = one.response_time.count, sum(one.failures.values())
    if one.count != good + failed:
        name = f"{one.kind} {one.name[:60]!r}"
        yield f"{name} counts {one.count:,}, but {good:,} that came through and {failed:,} failures"
    if one.failure_time.count != failed:
        yield f"the failure_time of {one.name[:60]!r} counts {one.failure_time.count:,} and not {failed:,}"
    for times in (one.response_time, one.service_time, one.failure_time):
        yield from _times(one.name, times)
    yield from _rates(one, one.count, good, failed, duration)


def _rates(row: Row | Timing, count: int, good: int, failed: int, duration: float) -> Iterator[str]:
    share, rate = failed / count if count else 0.0, (good - row.drained) / duration if duration else 0.0
    if row.drained > good:
        yield f"{row.name[:60]!r} has {good:,} good replies, and {row.drained:,} of them after the stop"
    elif not _is_close(row.error_rate, share):
        yield f"the error_rate of {row.name[:60]!r} is {row.error_rate:g}, and {failed:,} of {count:,} failed"
    elif not _is_close(row.throughput, rate):
        yield f"the throughput of {row.name[:60]!r} is {row.throughput:g}/s, and from what it counts follow {rate:g}/s"


def _times(name: str, times: Times) -> Iterator[str]:
    try:
        found = figures_of(times.histogram)
    except UsageError as error:
        yield f"in {name[:60]!r} {error}"
        return
    percentiles = [one.of(times) for one in PERCENTILES]
    known = [figure for figure in (times.min, *percentiles, times.max) if figure is not None]
    if not times.count:
        if known or times.mean is not None:
            yield f"in {name[:60]!r} a time has figures, and counts nothing"
        return
    if len(known) < len(percentiles) + 2 or times.mean is None:
        yield f"in {name[:60]!r} a time counts {times.count:,}, and lacks a figure"
        return
    for field in (*(one.field for one in PERCENTILES), "mean"):
        mine, theirs = getattr(times, field), getattr(found, field)
        if not math.isclose(mine, theirs, rel_tol=_BUCKET, abs_tol=_CLOSE):
            yield f"in {name[:60]!r} the {field} of a time is {mine:g} s, and that of its histogram {theirs:g} s"
    if any(before > after * (1 + _BUCKET) + _CLOSE for before, after in pairwise(known)):
        yield f"in {name[:60]!r} the percentiles of a time do not lie between its ends, in their order"


def _sums(what: str, total: Row, endpoints: Sequence[Row]) -> Iterator[str]:
    rows = without_hops(endpoints)
    for name in _COUNTS:
        count, sum_of_rows = getattr(total, name), sum(getattr(row, name) for row in rows)
        if count != sum_of_rows:
            yield f"{what} has {count:,} {name} and its endpoints have {sum_of_rows:,}"
    for name in ("statuses", "failures", "failed_statuses"):
        if getattr(total, name) != _added(getattr(row, name) for row in rows):
            yield f"{what} has other {name} than its endpoints"


def _added(counts: Iterable[dict[Any, int]]) -> dict[Any, int]:
    whole: Counter[Any] = Counter()
    for count in counts:
        whole.update(count)
    return dict(whole)


# -- parts


def _phases(result: Result) -> Iterator[str]:
    for phase in result.phases:
        for row in (phase.total, *phase.endpoints):
            yield from (f"in phase {phase.name[:60]!r} {sentence}" for sentence in _row(row, phase.length))
        yield from _sums(f"the phase {phase.name[:60]!r}", phase.total, phase.endpoints) if phase.endpoints else ()
    requests = sum(phase.total.requests for phase in result.phases)
    if requests > result.total.requests:
        yield f"the total has {result.total.requests:,} requests and its phases have {requests:,}"


def _intervals(result: Result) -> Iterator[str]:
    for one in result.intervals:
        yield from _interval(one)
    if any(before.start + before.length > after.start for before, after in pairwise(result.intervals)):
        yield "its intervals are not one behind the other"
    requests = sum(one.total.requests for one in result.intervals)
    if requests > result.total.requests:
        yield f"the total has {result.total.requests:,} requests and its intervals have {requests:,}"
    failures = sum(one.total.failures for one in result.intervals)
    if failures > sum(result.total.failures.values()):
        yield f"its intervals have {failures:,} failures, more than the total"


def _slowest(result: Result) -> Iterator[str]:
    times, longest = [one.response_time for one in result.slowest], result.total.response_time.max or 0.0
    if times != sorted(times, reverse=True):
        yield "its slowest requests are not in their order"
    elif times and times[0] > longest + _CLOSE:
        yield f"its slowest request took {times[0]:g} s, and the longest response time is {longest:g} s"


def _interval(one: Interval) -> Iterator[str]:
    when = f"the interval at {one.start:g} s"
    if not one.length > 0 or one.measured > one.length + _CLOSE:
        yield f"{when} is {one.length:g} s long, and {one.measured:g} s of it were measured"
    for row in (one.total, *one.endpoints):
        # its histogram is looked at when it is needed: there are thousands
        if row.failures > row.requests or row.response_time.count != row.requests - row.failures:
            yield (
                f"{when} has {row.requests:,} requests of {row.name[:60]!r}, of which {row.failures:,} failed and "
                f"{row.response_time.count:,} have a response time"
            )
    for name in ("requests", "failures"):
        count, sum_of_rows = getattr(one.total, name), sum(getattr(row, name) for row in without_hops(one.endpoints))
        if one.endpoints and count != sum_of_rows:
            yield f"{when} has {count:,} {name} and its endpoints have {sum_of_rows:,}"
