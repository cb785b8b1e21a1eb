"""Counts on their way to another process: packed without loss, so that merging there is as exact as here."""

from __future__ import annotations

from collections import Counter

import msgspec

from loadkit.measure.counts import SUMS, TIMES, Connections, Counts
from loadkit.measure.histogram import Histogram
from loadkit.measure.reasons import Reason
from loadkit.measure.recording import Batch
from loadkit.measure.slowest import SlowSample
from loadkit.wire.base import Failure
from loadkit.wire.failed_reply import FailedReply


class Parcel(msgspec.Struct, frozen=True, array_like=True):
    """What one label had in one second and phase.

    Instants are nanoseconds from the start of what is measured: another process has another clock.
    """

    second: int
    phase: int
    label: str
    kind: str
    times: list[bytes]
    """Packed histograms in the order of `TIMES`, and that of failures; nothing for an empty one."""
    statuses: dict[int, int]
    failures: dict[str, int]
    failed_statuses: dict[int, int]
    reasons: list[tuple[str, str, int, int, FailedReply | None]]
    """Kind, message, how often, when first, and what is shown of the reply."""
    sums: list[int]
    """In the order of `SUMS`."""
    connections: tuple[int, int, int, bytes, bytes]
    """How many, how many again, their time, and packed histograms of connecting and handshakes."""
    slowest: list[SlowSample]


def packed(batch: Batch, *, start: int) -> Parcel:
    """Pack what was counted (samples are counted before); `start` is when measuring began, by our clock."""
    counts = batch.counts or Counts()
    failures, made = counts.failures, counts.connections
    times = [*(getattr(counts, name) for name in TIMES), failures.time]
    return Parcel(
        second=batch.second,
        phase=batch.phase,
        label=batch.label,
        kind=batch.kind,
        times=[_packed(one) for one in times],
        statuses=dict(counts.statuses),
        failures=dict(failures.kinds),
        failed_statuses=dict(failures.statuses),
        reasons=[
            (failure.kind, failure.message, one.count, one.first - start, one.reply)
            for failure, one in failures.reasons.items()
        ],
        sums=[getattr(counts, name) for name in SUMS],
        connections=(made.made, made.again, made.time, _packed(made.connect), _packed(made.tls)),
        slowest=[one._replace(due=one.due - start) for one in counts.slowest],
    )


def unpacked(parcel: Parcel, *, start: int) -> Batch:
    """What was packed, with its instants on our clock, by which measuring began at `start`."""
    counts = Counts(statuses=Counter(parcel.statuses))
    counts.slowest = [one._replace(due=one.due + start) for one in parcel.slowest]
    *times, counts.failures.time = map(_unpacked, parcel.times)
    made, again, time, connect, tls = parcel.connections
    counts.connections = Connections(made, again, time, _unpacked(connect), _unpacked(tls))
    counts.failures.kinds.update(parcel.failures)
    counts.failures.statuses.update(parcel.failed_statuses)
    for kind, message, count, first, reply in parcel.reasons:
        counts.failures.reasons[Failure(kind, message)] = Reason(count, start + first, reply)
    for name, value in (*zip(TIMES, times, strict=True), *zip(SUMS, parcel.sums, strict=True)):
        setattr(counts, name, value)
    return Batch(parcel.second, parcel.phase, parcel.label, [], 0, counts, kind=parcel.kind)


def _packed(times: Histogram) -> bytes:
    return times.pack() if times.count else b""


def _unpacked(times: bytes) -> Histogram:
    return Histogram.unpack(times) if times else Histogram()
