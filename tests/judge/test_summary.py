"""Figures of a recording, in seconds, and the laws they keep."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadkit.judge.summary import intervals, row, rows, times
from loadkit.measure.counts import Counts, Failures
from loadkit.measure.histogram import HIGHEST, Histogram
from loadkit.plan.errors import UsageError
from loadkit.plan.units import SECOND
from loadkit.wire.base import Failure
from tests.results import REFUSED, Sample, recorded


def test_times_are_in_seconds_and_none_of_nothing() -> None:
    found = times(Histogram.of([1_000_000] * 999 + [2_000_000_000]))
    assert (found.count, found.min, found.max, found.mean) == (1000, 0.001, 2.0, 0.002999)
    assert found.p50 == found.p99 == found.p99_9 == pytest.approx(0.001, rel=0.001)
    assert found.sum_ns == 2_999_000_000
    nothing = times(Histogram())
    assert (nothing.count, nothing.sum_ns) == (0, 0)
    assert nothing.min is nothing.mean is nothing.p50 is nothing.p99_9 is nothing.max is None


@given(st.lists(st.integers(0, HIGHEST), max_size=50))
def test_stored_times_hold_the_exact_histogram(values: list[int]) -> None:
    assert times(Histogram.of(values)).histogram == Histogram.of(values)


def test_a_histogram_that_is_not_the_one_described_is_the_file_s_mistake() -> None:
    import msgspec

    stored = times(Histogram.of([5000, 6000]))
    with pytest.raises(UsageError, match=r"^a stored histogram holds 2 values, and 3 is said of it$"):
        _ = msgspec.structs.replace(stored, count=3).histogram
    with pytest.raises(UsageError, match=r"^a stored histogram cannot be read: not an encoded histogram: 'x'$"):
        _ = msgspec.structs.replace(stored, hdr="x").histogram


def test_a_row_says_what_became_of_each_request() -> None:
    samples = [Sample(0), Sample(0, status=404), Sample(1, failure=REFUSED), Sample(1, label="b")]
    total, (a, b) = rows(recorded(samples), duration=2.0, started=0)
    assert (total.requests, a.requests, b.requests) == (4, 3, 1)
    assert (total.statuses, total.failures, total.error_rate) == ({200: 2, 404: 1}, {"connect": 1}, 0.25)
    assert (total.throughput, a.throughput, b.throughput) == (1.5, 1.0, 0.5), "good replies a second"
    assert (a.name, b.name, total.name) == ("a", "b", "total")
    assert (total.response_time.count, total.failure_time.count) == (3, 1)
    assert (total.bytes_sent, total.bytes_received, total.connects) == (120, 360, 3)


def test_replies_after_the_stop_are_good_but_not_throughput() -> None:
    recording = recorded([Sample(), Sample(), Sample()])
    recording.labels["a"].drained = 2
    total, _ = rows(recording, duration=2.0, started=0)
    assert (total.throughput, total.drained, total.requests) == (0.5, 2, 3)


def test_without_time_there_is_no_throughput() -> None:
    total, _ = rows(recorded([]), duration=0.0, started=0)
    assert (total.throughput, total.error_rate, total.requests) == (0.0, 0.0, 0)


def test_examples_are_the_most_frequent_first_and_tell_when_it_began() -> None:
    rare, common = Failure("check", "rare"), Failure("check", "common")
    samples = [Sample(3, failure=rare, span=1), *(Sample(second, failure=common, span=1) for second in (5, 4))]
    total, _ = rows(recorded(samples), duration=2.0, started=1 * SECOND)
    assert [(one.message, one.count, one.first_at) for one in total.examples] == [
        ("common", 2, pytest.approx(3.0)),
        ("rare", 1, pytest.approx(2.0)),
    ]
    total, _ = rows(recorded(samples), duration=2.0, started=9 * SECOND)
    assert [one.first_at for one in total.examples] == [0.0, 0.0], "what failed before the start began at the start"


def test_failures_of_one_number_have_one_order() -> None:
    samples = [Sample(failure=Failure(kind, "x")) for kind in ("timeout", "dns", "timeout", "check")]
    for order in (samples, samples[::-1]):
        total, _ = rows(recorded(order), duration=2.0, started=0)
        assert list(total.failures) == ["timeout", "check", "dns"]


@pytest.mark.parametrize(
    ("counts", "law"),
    [
        (Counts(statuses=Counter({200: 1})), "each good reply has one status"),
        (Counts(failures=Failures(kinds=Counter(send=1))), "each failed request has one kind"),
    ],
)
def test_a_request_counted_twice_is_our_fault_and_said(counts: Counts, law: str) -> None:
    with pytest.raises(AssertionError, match=law):
        row("a", counts, duration=1.0, started=0)


def test_intervals_are_the_series_and_their_total_is_the_sum() -> None:
    samples = [Sample(0), Sample(0, label="b", failure=REFUSED), Sample(2, span=7_000_000)]
    found = intervals(recorded(samples).series, duration=2.25)
    assert [(one.start, one.length, one.measured, one.total.requests, one.total.failures) for one in found] == [
        (0.0, 1.0, 1.0, 2, 1),
        (1.0, 1.0, 1.0, 0, 0),  # nothing ended in it, and it was measured all the same
        (2.0, 1.0, 0.25, 1, 0),
    ]
    assert [(one.name, one.requests) for one in found[0].endpoints] == [("a", 1), ("b", 1)]
    assert found[2].total.response_time.max == 0.007


def test_a_run_without_requests_of_ours_has_intervals_for_its_threads() -> None:
    assert [(one.start, one.length, one.measured) for one in intervals([], duration=2.25)] == [
        (0.0, 1.0, 1.0),
        (1.0, 1.0, 1.0),
        (2.0, 1.0, 0.25),
    ]
    assert len(intervals([], duration=7200)) <= 600
