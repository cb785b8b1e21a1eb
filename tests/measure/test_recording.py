"""Every sample is counted once, however a run is split; and memory has bounds."""

from __future__ import annotations

import random
from array import array
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadkit.measure.counts import STRIDE, SUMS, Counts, bounds
from loadkit.measure.histogram import Histogram
from loadkit.measure.reasons import MAX_REASONS, Reason
from loadkit.measure.recording import FOLD, JOURNEY, Batch, Recording, RowRecorder, second_of
from loadkit.measure.series import MAX_INTERVALS
from loadkit.plan.labels import MAX_LABELS, OTHER
from loadkit.plan.units import SECOND
from loadkit.wire.base import Failure, Note, Opened

REFUSED = Failure("connect", "connection refused h:1")


class Sample(NamedTuple):
    """One request of a made-up run."""

    second: int
    label: str
    span: int
    failure: Failure | None


samples = st.builds(
    Sample,
    second=st.integers(0, 5),
    label=st.sampled_from(["a", "b", "c"]),
    span=st.integers(1, 10**10),
    failure=st.none() | st.sampled_from([REFUSED, Failure("timeout", "no whole reply within 1 s")]),
)


def write(row: RowRecorder, sample: Sample) -> None:
    """As a thread does it: into the list of samples, or as a failure."""
    due = sample.second * SECOND
    if sample.failure:
        row.counts.fail(sample.failure, at=due + sample.span, span=sample.span, status=0, size=7)
    else:
        row.samples += (due, due + 2, due + sample.span + 2, due + sample.span + 9, 200, 100)


def batch(sample: Sample) -> Batch:
    """A thread that has sent a single request."""
    row = RowRecorder(sample.label, 40)
    write(row, sample)
    made = row.hand_over(sample.second)
    assert made
    return made


def recorded(batches: list[Batch], labels: tuple[str, ...] = ("a", "b", "c")) -> Recording:
    """All absorbed, then closed."""
    recording = Recording(labels)
    for one in batches:
        recording.absorb(one)
    recording.finish()
    return recording


Found = tuple[dict[str, Counts], list[tuple[int, int, dict[str, tuple[int, int, Histogram]]]]]


def found(recording: Recording) -> Found:
    """All that a recording holds, in a form that can be compared."""
    series = [
        (
            piece.second,
            piece.length,
            {label: (n, m, Histogram.unpack(packed)) for label, (n, m, packed) in piece.rows.items()},
        )
        for piece in recording.series
    ]
    return recording.labels, series


@given(st.lists(samples, max_size=40), st.integers(1, 5), st.randoms(use_true_random=False))
def test_any_split_over_threads_and_seconds_in_any_order_is_the_whole_with_each_sample_once(
    run: list[Sample], threads: int, chance: random.Random
) -> None:
    rows: dict[tuple[int, int, str], RowRecorder] = {}
    for sample in run:
        key = chance.randrange(threads), sample.second, sample.label
        write(rows.setdefault(key, RowRecorder(sample.label, 40)), sample)
        if chance.random() < 0.3:
            rows[key].fold()
    handed = [made for (_, second, _), row in rows.items() if (made := row.hand_over(second))]
    chance.shuffle(handed)
    recording = Recording(("a", "b", "c"))
    for one in handed:
        recording.absorb(one)
        recording.close_before(chance.randrange(7))  # a second may be closed before all of it is in
    recording.finish()
    assert found(recording) == found(recorded([batch(sample) for sample in run]))

    total, failed = recording.total(), sum(sample.failure is not None for sample in run)
    assert (total.requests, total.good, total.failed) == (len(run), len(run) - failed, failed)
    assert total.requests == sum(total.statuses.values()) + sum(total.failures.kinds.values())
    assert total.response_time.count == total.service_time.count == total.lateness.count == total.pickup.count
    assert recording.requests_and_failures() == (len(run), failed)
    assert sum(n for piece in recording.series for n, _, _ in piece.rows.values()) == len(run)
    assert sum(m for piece in recording.series for _, m, _ in piece.rows.values()) == failed


def test_the_four_times_are_those_of_the_laws() -> None:
    counts = Counts()
    counts.take([100_000, 101_000, 109_000, 109_500, 200, 321, 0, 5, 10, 12, 404, 1], request_size=40)
    figures = [
        (one.min, one.max) for one in (counts.response_time, counts.service_time, counts.lateness, counts.pickup)
    ]
    assert figures == [(10, 9_000), (5, 8_000), (5, 1_000), (2, 500)]
    assert (counts.statuses, counts.bytes_received, counts.bytes_sent) == (Counter({200: 1, 404: 1}), 322, 80)


def test_a_failed_request_is_counted_apart() -> None:
    counts = Counts()
    counts.fail(Failure("check", "no items"), at=50, span=40, status=200, size=7)
    counts.fail(Failure("check", "no items"), at=30, span=20, status=200, size=7)
    counts.fail(REFUSED, at=60, span=5, status=0, size=0)
    assert (counts.good, counts.failed, counts.requests) == (0, 3, 3)
    assert (counts.failures.kinds, counts.failures.statuses) == (Counter(check=2, connect=1), Counter({200: 2}))
    assert counts.failures.reasons == {Failure("check", "no items"): Reason(2, 30), REFUSED: Reason(1, 60)}
    assert (counts.failures.time.count, counts.response_time.count, counts.bytes_received) == (3, 0, 14)


def test_merging_adds_each_number() -> None:
    threes: dict[str, Any] = dict.fromkeys(SUMS, 3)
    fours: dict[str, Any] = dict.fromkeys(SUMS, 4)
    one, other = Counts(**threes), Counts(**fours)
    one.connected(Note(connects=2, reconnects=1, connect_time=500, openings=(Opened(200, None), Opened(200, 90))))
    other.connected(Note(connects=1, connect_time=7, openings=(Opened(5, 2),)))
    one.add(other)
    assert {name: getattr(one, name) for name in SUMS} == dict.fromkeys(SUMS, 7)
    made = one.connections
    assert (made.made, made.again, made.time) == (3, 1, 507)
    assert (made.connect, made.tls) == (Histogram.of([200, 200, 5]), Histogram.of([90, 2]))


# -- bounds


@pytest.mark.parametrize("known", [0, MAX_LABELS + 50])
def test_labels_beyond_the_limit_fold_into_one(known: int) -> None:
    labels = tuple(f"GET /{k}" for k in range(MAX_LABELS + 80))
    recording = recorded([batch(Sample(0, label, 5000, None)) for label in labels], labels[:known])
    assert [recording.labels[label].requests for label in labels[:MAX_LABELS]] == [1] * MAX_LABELS
    assert recording.labels[OTHER].requests == 80
    assert recording.total().requests == MAX_LABELS + 80
    assert len(recording.labels) == len(recording.series[0].rows) == MAX_LABELS + 1


@pytest.mark.parametrize(
    ("seconds", "length"),
    [
        (MAX_INTERVALS, 1),  # ten minutes, second by second
        (MAX_INTERVALS + 1, 2),
        (2 * MAX_INTERVALS + 1, 4),
    ],
)
def test_a_long_series_folds_into_longer_intervals_with_nothing_lost(seconds: int, length: int) -> None:
    recording = Recording(("a",))
    for second in range(seconds):
        recording.absorb(batch(Sample(second, "a", 5000 + second, REFUSED if second % 3 == 0 else None)))
        recording.close_before(second - 3)
    recording.finish()
    assert [piece.second for piece in recording.series] == list(range(0, seconds, length))
    assert {piece.length for piece in recording.series} == {length}
    rows = [piece.rows["a"] for piece in recording.series]
    assert sum(requests for requests, _, _ in rows) == seconds
    assert sum(failures for _, failures, _ in rows) == -(-seconds // 3)
    whole = Histogram()
    for _, _, packed in rows:
        whole.add(Histogram.unpack(packed))
    assert whole == recording.labels["a"].response_time


def test_seconds_without_a_reply_do_not_shift_those_after() -> None:
    seconds = [*range(MAX_INTERVALS + 1), 701, 704, 705, 709]  # the server hung now and then
    recording = recorded([batch(Sample(second, "a", 5000, None)) for second in seconds])
    assert [(piece.second, piece.length) for piece in recording.series[-4:]] == [(600, 2), (700, 2), (704, 2), (708, 2)]


def test_a_thread_that_waited_long_hands_its_second_over_late_and_it_is_counted_there() -> None:
    recording = Recording(("a",))
    for second in range(40):
        recording.absorb(batch(Sample(second, "a", 5000, None)))
    recording.close_before(36)
    recording.absorb(batch(Sample(7, "a", 29 * SECOND, None)))
    recording.finish()
    assert [(piece.second, piece.rows["a"][0]) for piece in recording.series] == [
        (second, 2 if second == 7 else 1) for second in range(40)
    ]


def test_the_series_is_bounded_in_bytes_too() -> None:
    recording = Recording(("a",), series_bytes=8_000)
    for second in range(256):
        samples = [value for k in range(20) for value in (0, 0, (second * 20 + k) * 10_000, 0, 200, 1)]
        recording.absorb(Batch(second, 0, "a", samples, 40, None))
        recording.close_before(second)
    recording.finish()
    assert sum(piece.size for piece in recording.series) <= 8_000
    (length,) = {piece.length for piece in recording.series}
    assert length > 1
    assert sum(piece.rows["a"][0] for piece in recording.series) == 256 * 20

    again = Recording(("a",), series_bytes=5_000)
    for second in [0] * 200 + [1]:
        again.absorb(batch(Sample(second, "a", 5000, None)))
        again.close_before(1)
    again.finish()
    assert [piece.length for piece in again.series] == [1, 1], "what merges into an interval is no more bytes"


def failed_with(messages: Iterable[int]) -> Counts:
    counts = Counts()
    for message in messages:
        counts.fail(Failure("check", word(message)), at=9, span=5, status=0, size=0)
    return counts


def word(number: int) -> str:
    """One that is alike to no other."""
    return chr(ord("a") + number // 26) + chr(ord("a") + number % 26)


def test_of_many_different_messages_some_are_kept_and_all_counted_with_room_for_other_kinds() -> None:
    counts = failed_with([*range(100), 3])
    counts.fail(REFUSED, at=1, span=1, status=0, size=0)
    reasons = counts.failures.reasons
    assert len(reasons) == MAX_REASONS + 2
    assert reasons[Failure("check", "… more than 20 different messages")] == Reason(80, 9)
    assert (reasons[Failure("check", word(3))], reasons[REFUSED]) == (Reason(2, 9), Reason(1, 1))
    assert counts.failures.kinds == Counter(check=101, connect=1)


@given(st.lists(st.integers(0, 60), max_size=80), st.integers(0, 80))
def test_messages_merged_are_bounded_and_all_counted(messages: list[int], cut: int) -> None:
    merged = failed_with(messages[:cut])
    merged.add(failed_with(messages[cut:]))
    assert sum(one.count for one in merged.failures.reasons.values()) == len(messages)
    assert len(merged.failures.reasons) <= MAX_REASONS + 1


# -- rows


def test_samples_that_were_folded_count_like_those_that_were_not() -> None:
    folded, plain = RowRecorder("a", 40), RowRecorder("a", 40)
    for number in range(2 * FOLD):
        for row in (folded, plain):
            write(row, Sample(0, "a", 5000 + number, REFUSED if number % 7 == 0 else None))
        folded.fold()

    (one, other) = (recorded([batch]).total() for row in (folded, plain) if (batch := row.hand_over(0)))
    assert one.requests == other.requests == 2 * FOLD
    assert one == other


def test_what_is_handed_over_is_another_s_and_nothing_is_left() -> None:
    row = RowRecorder("a", 40)
    assert row.hand_over(3) is None
    write(row, Sample(3, "a", 5000, None))
    write(row, Sample(3, "a", 5000, REFUSED))
    handed = row.hand_over(3)
    assert handed
    write(row, Sample(4, "a", 5000, None))
    assert (handed.second, handed.label, len(handed.samples), handed.request_size) == (3, "a", STRIDE, 40)
    assert recorded([handed]).total().requests == 2

    row.clear()  # as at the end of the warm-up
    assert row.hand_over(4) is None


def test_what_was_before_the_measured_time_is_counted_but_not_in_the_series() -> None:
    # connections are opened before the first second
    recording = recorded([batch(Sample(-1, "a", 5000, None)), batch(Sample(0, "a", 5000, None))])
    assert recording.total().requests == 2
    assert [piece.second for piece in recording.series] == [0]


# -- while it runs


def test_open_seconds_can_be_looked_at() -> None:
    recording = Recording(("a", "b"))
    for second, label in [(0, "a"), (1, "a"), (1, "b"), (2, "b")]:
        recording.absorb(batch(Sample(second, label, 5000, None)))
    recording.close_before(1)
    assert [recording.between(0, 1).good, recording.between(1, 2).good, recording.between(1, 3).good] == [0, 2, 3]
    assert recording.requests_and_failures() == (4, 0)
    recording.finish()
    assert recording.total().requests == 4


@pytest.mark.parametrize(
    ("instant", "second"),
    [(100, 0), (100 + SECOND - 1, 0), (100 + SECOND, 1), (99, -1)],
)
def test_a_second_begins_with_its_first_nanosecond(instant: int, second: int) -> None:
    assert second_of(instant, 100) == second


def journey_of(second: int, *spans: int) -> Batch:
    return Batch(second, 0, "buy", [one for span in spans for one in (0, 0, span, span, 0, 0)], 0, None, kind=JOURNEY)


@pytest.mark.parametrize("complete", [0, 1, 2])
@pytest.mark.parametrize("phases", [0, 1])
def test_a_copy_holds_what_the_seconds_before_one_hold_and_changes_no_more(complete: int, phases: int) -> None:
    recording = Recording(("GET /",), phases=phases)
    for second in range(4):
        recording.absorb(Batch(second, 0, "GET /", [0, 0, 5, 5, 200, 10] * (second + 1), 1, None))
        recording.absorb(journey_of(second, *range(second + 1)))
    recording.close_before(complete)

    copy = recording.so_far(2)
    recording.finish()
    while copy.close_next():
        pass

    assert copy.complete == 2
    assert copy.total().requests == copy.timings[JOURNEY, "buy"].requests == 1 + 2
    assert recording.total().requests == recording.timings[JOURNEY, "buy"].requests == recording.journeys() == 10
    assert [piece.second for piece in copy.series] == [0, 1]
    assert [rows["GET /"].requests for rows in copy.phases] == [3] * phases
    assert [piece.second for piece in recording.series] == [0, 1, 2, 3]


def test_a_copy_is_of_no_fewer_seconds_than_are_complete() -> None:
    recording = Recording(("GET /",))
    recording.absorb(Batch(1, 0, "GET /", [0, 0, 5, 5, 200, 10], 1, None))
    recording.close_before(3)

    copy = recording.so_far(1)

    assert not copy.close_next()
    assert (copy.complete, copy.total().requests) == (3, 1)


def test_journeys_that_are_handed_on_are_handed_on_once_and_come_late_without_loss() -> None:
    part, whole = Recording(), Recording()
    for second in (0, 1, 0):
        part.absorb(journey_of(second, 7, 8))
        assert part.journeys() == 2
        for batch in part.drain():
            whole.absorb(batch)
        whole.close_before(1)
    whole.finish()

    assert whole.journeys() == whole.timings[JOURNEY, "buy"].requests == 6


SAMPLES = st.lists(
    st.tuples(*[st.integers(-(10**9), 10**14)] * 4, st.sampled_from([200, 201, 404]), st.integers(0, 1 << 40)),
    min_size=1,
    max_size=50,
)


@given(SAMPLES, st.booleans())
def test_samples_are_counted_as_their_times_one_by_one(samples: list[tuple[int, ...]], in_a_buffer: bool) -> None:
    flat = [value for sample in samples for value in sample]
    counts = Counts()

    counts.take(memoryview(array("q", flat)) if in_a_buffer else flat, 7)

    assert counts.response_time == Histogram.of([arrived - due for due, _, arrived, *_ in samples])
    assert counts.service_time == Histogram.of([arrived - sent for _, sent, arrived, *_ in samples])
    assert counts.lateness == Histogram.of([sent - due for due, sent, *_ in samples])
    assert counts.pickup == Histogram.of([taken - arrived for _, _, arrived, taken, *_ in samples])
    assert counts.statuses == Counter(sample[4] for sample in samples)
    assert counts.bytes_received == sum(sample[5] for sample in samples)
    assert counts.bytes_sent == 7 * len(samples)
    dues = [sample[0] for sample in samples]
    assert bounds(flat) == (min(dues), max(dues), max(arrived - due for due, _, arrived, *_ in samples))
