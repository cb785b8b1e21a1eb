"""A recording as figures: rows, intervals, and the laws they must keep."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from loadkit.judge.rows import KINDS, FailureExample, Interval, IntervalRow, Phase, Row, SlowRequest, Timing
from loadkit.judge.times import PERCENTILES, Times, seconds
from loadkit.measure.counts import Counts
from loadkit.measure.histogram import Histogram
from loadkit.measure.reasons import summed
from loadkit.measure.recording import JOURNEY
from loadkit.measure.series import MAX_INTERVALS, Slice
from loadkit.measure.slowest import slowest
from loadkit.plan.labels import OTHER, is_hop, other
from loadkit.plan.units import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from loadkit.measure.recording import Recording
    from loadkit.plan.phases import Segment

ToTimes: TypeAlias = "Callable[[Histogram], Times]"

AnyRow = TypeVar("AnyRow", Row, IntervalRow)

TOTAL = "total"


def times(histogram: Histogram) -> Times:
    """A histogram's figures in seconds."""
    values = histogram.percentiles([one.percent for one in PERCENTILES])
    percentiles = {one.field: seconds(value) for one, value in zip(PERCENTILES, values, strict=True)}
    empty = not histogram.count
    return Times(
        count=histogram.count,
        sum_ns=histogram.sum,
        min=None if empty else histogram.min / SECOND,
        mean=None if histogram.mean is None else histogram.mean / SECOND,
        **percentiles,
        max=None if empty else histogram.max / SECOND,
        hdr=histogram.encode(),
    )


def row(name: str, counts: Counts, *, duration: float, started: int, to_times: ToTimes = times) -> Row:
    """One label's figures over `duration` seconds; `started` is when measuring began.

    `throughput` is good replies that came before the stop, a second.
    """
    assert sum(counts.statuses.values()) == counts.good, "each good reply has one status"
    assert sum(counts.failures.kinds.values()) == counts.failed, "each failed request has one kind"
    made = counts.connections
    return Row(
        name=name,
        requests=counts.requests,
        statuses=dict(sorted(counts.statuses.items())),
        failed_statuses=dict(sorted(counts.failures.statuses.items())),
        drained=counts.drained,
        unsent=counts.unsent,
        cut=counts.cut,
        connects=made.made,
        reconnects=made.again,
        connect_seconds=made.time / SECOND,
        bytes_sent=counts.bytes_sent,
        bytes_received=counts.bytes_received,
        response_time=to_times(counts.response_time),
        service_time=to_times(counts.service_time),
        lateness=to_times(counts.lateness),
        pickup=to_times(counts.pickup),
        connect_time=to_times(made.connect) if made.connect.count else None,
        tls_time=to_times(made.tls) if made.tls.count else None,
        first_byte_time=to_times(counts.first_byte) if counts.first_byte.count else None,
        **_outcomes(counts, duration=duration, started=started, to_times=to_times),
    )


def _outcomes(counts: Counts, *, duration: float, started: int, to_times: ToTimes) -> dict[str, Any]:
    """The fields that rows and timings have in common: what came through a second, and what failed and why."""
    kinds = counts.failures.kinds.items()
    reasons = sorted(
        summed(counts.failures.reasons).items(),
        key=lambda item: (-item[1].count, item[1].first, item[0].kind, item[0].message),
    )
    return {
        "throughput": (counts.good - counts.drained) / duration if duration > 0 else 0.0,
        "error_rate": counts.failed / counts.requests if counts.requests else 0.0,
        # the most frequent first; in one order, whatever order they were counted in
        "failures": dict(sorted(kinds, key=lambda item: (-item[1], item[0]))),
        "examples": [
            FailureExample(
                kind=failure.kind,
                message=failure.message,
                count=reason.count,
                first_at=max(0.0, (reason.first - started) / SECOND),
                reply=reason.reply,
            )
            for failure, reason in reasons
        ],
        "failure_time": to_times(counts.failures.time),
    }


def rows(recording: Recording, *, duration: float, started: int, to_times: ToTimes = times) -> tuple[Row, list[Row]]:
    """The total and a row for each label; the total is their sum but for hops of redirects, asserted."""
    total, each = _rows(recording.labels, duration=duration, started=started, to_times=to_times)
    assert total.requests == sum(one.requests for one in without_hops(each)), "every request is in one row"
    assert total.requests == sum(total.statuses.values()) + sum(total.failures.values()), "and counted once"
    return total, each


def without_hops(rows: Iterable[AnyRow]) -> list[AnyRow]:
    """The rows that a total is the sum of."""
    return [row for row in rows if not is_hop(row.name)]


def slow_requests(recording: Recording, *, started: int) -> list[SlowRequest]:
    """The slowest requests of all labels; `started` is when measuring began."""
    return [
        SlowRequest(
            method=one.method,
            url=one.url,
            status=one.status,
            at=max(0.0, (one.due - started) / SECOND),
            response_time=one.response_time / SECOND,
            service_time=one.service_time / SECOND,
            endpoint=one.label,
        )
        for one in slowest(sample for counts in recording.labels.values() for sample in counts.slowest)
    ]


def _rows(by_label: Mapping[str, Counts], *, duration: float, started: int, to_times: ToTimes) -> tuple[Row, list[Row]]:
    merged, each = Counts(), []
    for label, counts in by_label.items():
        # one after the other: `to_times` may pause
        if not is_hop(label):
            merged.add(counts)
        each.append(row(label, counts, duration=duration, started=started, to_times=to_times))
    return row(TOTAL, merged, duration=duration, started=started, to_times=to_times), each


def phases(
    recording: Recording, segments: Sequence[Segment], *, started: int, stopped: int, to_times: ToTimes = times
) -> list[Phase]:
    """The figures of each phase that was reached; a step, which lasts no time, has none."""
    found = []
    for segment, by_label in zip(segments, recording.phases, strict=True):
        length = (min(segment.end, stopped - started) - segment.start) / SECOND
        if length <= 0:
            continue
        ordered = {label: by_label[label] for label in recording.labels if label in by_label}
        total, each = _rows(ordered, duration=length, started=started, to_times=to_times)
        found.append(Phase(name=segment.name, start=segment.start / SECOND, length=length, total=total, endpoints=each))
    return found


def timings(
    recording: Recording,
    *,
    requested: Collection[tuple[str, str]] = (),
    duration: float,
    started: int,
    to_times: ToTimes = times,
) -> list[Timing]:
    """Journeys, then steps, then timers, in the order in which they were first met.

    `requested` has journeys, each with the label of a request that was seen within it.
    """
    within: dict[str, set[str]] = {}
    for journey, label in requested:
        # as the recording folds them
        row = journey if (JOURNEY, journey) in recording.timings else OTHER
        within.setdefault(row, set()).add(label if label in recording.labels else other(label))
    return [
        timing(
            *(kind, name, counts),
            endpoints=within.get(name, ()) if kind == JOURNEY else (),
            duration=duration,
            started=started,
            to_times=to_times,
        )
        for (kind, name), counts in sorted(recording.timings.items(), key=lambda item: KINDS.index(item[0][0]))
    ]


def timing(
    kind: str,
    name: str,
    counts: Counts,
    *,
    endpoints: Collection[str] = (),
    duration: float,
    started: int,
    to_times: ToTimes = times,
) -> Timing:
    """The figures of a journey, step or timer over `duration` seconds; `started` is when measuring began."""
    return Timing(
        kind=kind,  # type: ignore[arg-type]  # one of the three
        name=name,
        count=counts.requests,
        drained=counts.drained,
        cut=counts.cut,
        unsent=counts.unsent,
        endpoints=sorted(endpoints),
        response_time=to_times(counts.response_time),
        service_time=to_times(counts.service_time),
        **_outcomes(counts, duration=duration, started=started, to_times=to_times),
    )


def intervals(series: list[Slice], *, duration: float) -> list[Interval]:
    """The series, second by second, of a run of which `duration` seconds were measured."""
    return [interval(piece, duration) for piece in without_gaps(series, duration)]


def without_gaps(series: list[Slice], duration: float) -> list[Slice]:
    """The same with an interval where no request ended, and none is kept: it was measured all the same."""
    # all have the same length; a run of journeys that send no requests of ours has none at all
    length = series[0].length if series else 1
    while not series and duration / length > MAX_INTERVALS:
        length *= 2
    found = {piece.second: piece for piece in series}
    for second in range(0, ceil(duration), length):
        found.setdefault(second, Slice(second, length, {}))
    return [piece for _, piece in sorted(found.items())]


def interval(piece: Slice, duration: float, to_times: ToTimes = times) -> Interval:
    """One interval of the series."""
    merged = Histogram()
    endpoints = []
    for label, (requests, failures, packed) in piece.rows.items():
        one = Histogram.unpack(packed)
        if not is_hop(label):
            merged.add(one)
        endpoints.append(IntervalRow(name=label, requests=requests, failures=failures, response_time=to_times(one)))
    total = IntervalRow(
        name=TOTAL,
        requests=sum(one.requests for one in without_hops(endpoints)),
        failures=sum(one.failures for one in without_hops(endpoints)),
        response_time=to_times(merged),
    )
    start, length = float(piece.second), float(piece.length)
    measured = within(start, length, duration)
    return Interval(start=start, length=length, measured=measured, total=total, endpoints=endpoints)


def within(start: float, length: float, duration: float) -> float:
    """How many seconds of an interval lie before the stop."""
    return min(length, max(0.0, duration - start))
