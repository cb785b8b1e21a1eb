"""Whatever a run is split into, and in whatever order the parts come in, the whole is the same to the byte."""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadkit.measure.counts import SUMS, TIMES, Counts
from loadkit.measure.histogram import LARGEST, Histogram
from loadkit.measure.packed import Parcel, packed, unpacked
from loadkit.measure.reasons import Reason
from loadkit.measure.recording import NO_SECOND, Batch, Recording
from loadkit.plan.units import SECOND
from loadkit.wire.base import Failure, Note, Opened

LABELS = ("a", "b", "c")
PHASES = 2
FAILURES = (
    Failure("connect", "connection refused h:1"),
    Failure("timeout", "no whole reply within 1 s"),
    Failure("timeout", "no whole reply within 1 s", headed=True),
    Failure("check", "status 503, expected 200-399"),
)
OURS = 7_000_000_000
"""When measuring began, by the clock of the one who merges."""


class Sample(NamedTuple):
    """One request of a made-up run, and what happens to it on the way."""

    second: int
    phase: int
    label: str
    span: int
    failure: Failure | None
    part: int
    is_drained_after: bool
    """The part hands on what it has after this one."""
    turn: int
    """When its parcel comes in, among the others."""


samples = st.builds(
    Sample,
    second=st.integers(0, 4),
    phase=st.integers(0, PHASES - 1),
    label=st.sampled_from(LABELS),
    span=st.integers(0, 10**13),
    failure=st.none() | st.sampled_from(FAILURES),
    part=st.integers(0, 3),
    is_drained_after=st.booleans(),
    turn=st.integers(0, 100),
)


def batch(sample: Sample, start: int) -> Batch:
    """What a thread hands over that has sent this request, by a clock by which measuring began at `start`."""
    due = start + sample.second * SECOND
    counts = Counts()
    counts.connected(
        Note(connects=1, connect_time=sample.span % 1000, openings=(Opened(sample.span % 700, sample.span % 300),))
    )
    if sample.failure:
        counts.fail(sample.failure, at=due + sample.span, span=sample.span, status=503, size=7)
        return Batch(sample.second, sample.phase, sample.label, [], 40, counts)
    samples = [due, due + 2, due + sample.span + 2, due + sample.span + 9, 200 + sample.span % 3, 100]
    return Batch(sample.second, sample.phase, sample.label, samples, 40, counts)


def whole(run: list[Sample]) -> Recording:
    """The run on threads of one process."""
    recording = Recording(LABELS, phases=PHASES)
    for sample in run:
        recording.absorb(batch(sample, OURS))
    recording.finish()
    return recording


def parcels(run: list[Sample], part: int) -> list[tuple[int, bytes]]:
    """What one process tells of its part, as bytes, and when each comes in."""
    start = 1000 * (part + 1) * SECOND  # each has a clock of its own
    recording, sent = Recording(LABELS, phases=PHASES), []
    mine = [sample for sample in run if sample.part == part]
    for sample in mine:
        recording.absorb(batch(sample, start))
        if sample.is_drained_after or sample is mine[-1]:
            sent += [(sample.turn, msgspec.msgpack.encode(packed(one, start=start))) for one in recording.drain()]
    return sent


def merged(sent: list[tuple[int, bytes]]) -> Recording:
    """The parcels absorbed in the order in which they come in, older seconds having been closed meanwhile."""
    recording = Recording(LABELS, phases=PHASES)
    for turn, data in sorted(sent, key=lambda one: one[0]):
        recording.absorb(unpacked(msgspec.msgpack.decode(data, type=Parcel), start=OURS))
        recording.close_before(turn // 20)
    recording.finish()
    return recording


def encoded(counts: Counts) -> list[str]:
    """Its histograms as they are stored."""
    return [*(getattr(counts, name).encode() for name in TIMES), counts.failures.time.encode()]


@given(run=st.lists(samples, max_size=40))
def test_any_split_over_processes_and_seconds_in_any_order_is_the_whole_to_the_byte(run: list[Sample]) -> None:
    expected, found = whole(run), merged([one for part in range(4) for one in parcels(run, part)])

    assert found.labels == expected.labels
    assert [encoded(counts) for counts in found.labels.values()] == [
        encoded(counts) for counts in expected.labels.values()
    ]
    assert encoded(found.total()) == encoded(expected.total())
    assert found.phases == expected.phases
    assert found.series == expected.series


@given(run=st.lists(samples, min_size=1, max_size=30))
def test_what_was_drained_is_not_counted_twice(run: list[Sample]) -> None:
    recording = Recording(LABELS, phases=PHASES)
    for sample in run:
        recording.absorb(batch(sample, OURS))

    drained = recording.drain()
    recording.finish()

    assert sum(one.counts.requests for one in drained if one.counts) == len(run)
    assert recording.total() == Counts()
    assert recording.series == []
    assert recording.drain() == []


@given(values=st.lists(st.integers(0, 2**62), min_size=len(SUMS), max_size=len(SUMS)))
def test_each_sum_arrives_as_itself_and_instants_on_the_clock_of_the_one_who_merges(values: list[int]) -> None:
    counts = Counts(**cast("dict[str, Any]", dict(zip(SUMS, values, strict=True))))
    counts.fail(FAILURES[0], at=1_000_300, span=5, status=0, size=0)
    sent = packed(Batch(3, 1, "a", [], 0, counts), start=1_000_000)

    arrived = unpacked(msgspec.msgpack.decode(msgspec.msgpack.encode(sent), type=Parcel), start=OURS)

    counts.failures.reasons = {FAILURES[0]: Reason(1, OURS + 300)}
    assert arrived == Batch(3, 1, "a", [], 0, counts)


def test_what_has_no_second_is_in_the_totals_and_the_phase_and_not_in_the_series() -> None:
    recording = Recording(LABELS, phases=PHASES)

    recording.absorb(Batch(NO_SECOND, 1, "b", [], 0, Counts(unsent=3)))
    recording.finish()

    assert recording.labels["b"].unsent == recording.phases[1]["b"].unsent == 3
    assert recording.series == []


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"no histogram", "incorrect header"),
        (zlib.compress(b"12345"), "not a multiple of item size"),
        (zlib.compress(b"\0" * 8), "not enough values"),
        # a bucket without a count
        (zlib.compress(b"\0" * 40), "is shorter"),
        # a thousand times as long when it is inflated
        (zlib.compress(b"\0" * (LARGEST + 8)), "^more than 1,048,576 bytes$"),
    ],
)
def test_what_is_no_packed_histogram_is_refused(sent: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Histogram.unpack(sent)
