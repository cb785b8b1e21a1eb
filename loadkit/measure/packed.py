"""Counts on their way to another process: packed without loss, so that merging there is as exact as here."""

from __future__ import annotations

from collections import Counter

import msgspec

from loadkit.measure.histogram import Histogram
from loadkit.measure.recording import SUMS, TIMES, Batch, Counts
from loadkit.wire.base import Failure


class Parcel(msgspec.Struct, frozen=True, array_like=True):
    """What one label had in one second and phase.

    Instants are nanoseconds from the start of what is measured: another process has another clock.
    """

    second: int
    phase: int
    label: str
    kind: str
    times: list[bytes]
    """Packed histograms in the order of `TIMES`, nothing for an empty one."""
    statuses: dict[int, int]
    failures: dict[str, int]
    failed_statuses: dict[int, int]
    reasons: list[tuple[str, str, int, int]]
    """Kind, message, how often, when first."""
    sums: list[int]
    """In the order of `SUMS`."""


def packed(batch: Batch, *, start: int) -> Parcel:
    """Pack what was counted (samples are counted before); `start` is when measuring began, by our clock."""
    counts = batch.counts or Counts()
    return Parcel(
        second=batch.second,
        phase=batch.phase,
        label=batch.label,
        kind=batch.kind,
        times=[one.pack() if one.count else b"" for one in (getattr(counts, name) for name in TIMES)],
        statuses=dict(counts.statuses),
        failures=dict(counts.failures),
        failed_statuses=dict(counts.failed_statuses),
        reasons=[
            (failure.kind, failure.message, count, first - start) for failure, (count, first) in counts.reasons.items()
        ],
        sums=[getattr(counts, name) for name in SUMS],
    )


def unpacked(parcel: Parcel, *, start: int) -> Batch:
    """What was packed, with its instants on our clock, by which measuring began at `start`."""
    counts = Counts(
        statuses=Counter(parcel.statuses),
        failures=Counter(parcel.failures),
        failed_statuses=Counter(parcel.failed_statuses),
        reasons={Failure(kind, message): (count, start + first) for kind, message, count, first in parcel.reasons},
    )
    for name, times in zip(TIMES, parcel.times, strict=True):
        if times:
            setattr(counts, name, Histogram.unpack(times))
    for name, value in zip(SUMS, parcel.sums, strict=True):
        setattr(counts, name, value)
    return Batch(parcel.second, parcel.phase, parcel.label, [], 0, counts, kind=parcel.kind)
