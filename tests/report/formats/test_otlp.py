"""Metrics of OpenTelemetry, read by its own protobuf: the counts are those of the report, and so are the times."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from loadkit.measure.counts import Counts
from loadkit.measure.histogram import Histogram
from loadkit.plan.units import SECOND
from loadkit.wire.base import Failure
from tests.report.pages import HOSTILE, ODD

pytest.importorskip("opentelemetry.proto", reason="the extra otel is not installed")

from loadkit.report.formats.otlp import (
    MOST_BUCKETS,
    ExponentialHistogram,
    MetricRow,
    Times,
    export_request,
    rejected,
)
from tests.otlp import Points, points_of

NOW = Times(1_000, 2_000, is_delta=False)


def row(spans: Sequence[int], failed: int = 0) -> MetricRow:
    counts, made = Counts(), MetricRow()
    counts.take([value for span in spans for value in (0, 1_000, span, span + 10, 200 + (span % 2), 100)], 50)
    for _ in range(failed):
        counts.fail(Failure("timeout", "too late"), at=SECOND, span=SECOND, status=0, size=0)
    made.add(counts)
    return made


def read(rows: dict[tuple[str, str], MetricRow], times: Times = NOW) -> Points:
    return points_of([export_request(rows, {"service.name": "loadkit"}, {"loadkit.scenario": "browse"}, times)])


@pytest.mark.parametrize(
    ("spans", "why"),
    [
        ([5_000_000], "one"),
        ([k * 1_009 for k in range(3, 5_000)], "three decades, in fine buckets"),
        ([2**k for k in range(12, 41)], "from 4 us to 18 min, in coarse ones"),
        ([900, 1_100, 3_600 * SECOND], "the ends of what is measured"),
    ],
    ids=["one", "decades", "all", "ends"],
)
def test_each_percentile_is_in_its_exponential_bucket(spans: list[int], why: str):
    found = Histogram.of(spans)
    made = ExponentialHistogram()
    for span in spans:  # in parts, as they come
        made.add(Histogram.of([span]))

    assert (made.count, made.sum, made.min, made.max) == (found.count, found.sum, found.min, found.max), why
    assert max(made.counts) - min(made.counts) < MOST_BUCKETS
    width = 2 ** (2**-made.scale)
    for percent in (50, 75, 90, 95, 99, 99.9):
        rank, seen = math.ceil(percent / 100 * made.count), made.near_zero
        for index in sorted(made.counts):
            seen += made.counts[index]
            if seen >= rank:
                break
        value = (found.percentile(percent) or 0) / SECOND
        # a bucket of ours is a thousandth wide, or half a microsecond
        assert width**index * 0.999 - 5e-7 < value < width ** (index + 1) * 1.001 + 5e-7, percent


def test_what_is_below_half_a_microsecond_is_near_zero():
    made = ExponentialHistogram()
    made.add(Histogram.of([0, 100, 511, 512]))

    assert (made.near_zero, sum(made.counts.values()), made.min, made.max) == (3, 1, 0, 512)


def test_requests_are_counted_by_status_and_by_kind_of_failure():
    found = read({("request", "GET /search"): row([5_000_000, 7_000_001], failed=3)})

    about = {"loadkit.scenario": "browse", "loadkit.endpoint": "GET /search", "http.request.method": "GET"}
    assert found.sum_of("loadkit.requests", about | {"http.response.status_code": 200}) == 1
    assert found.sum_of("loadkit.requests", about | {"http.response.status_code": 201}) == 1
    assert found.sum_of("loadkit.requests", about | {"error.type": "timeout"}) == 3
    times = found.histogram("http.client.request.duration", about)
    assert (times.count, times.sum, times.min) == (2, 0.011998001, 0.004999)
    assert found.histogram("http.client.request.duration", about | {"error.type": "_OTHER"}).count == 3
    assert found.histogram("loadkit.response_time", about).max == 0.007000001
    assert found.units == {
        "http.client.request.duration": "s",
        "loadkit.response_time": "s",
        "loadkit.requests": "{request}",
    }


def test_journeys_have_metrics_of_their_own():
    found = read({("journey", "buy"): row([5_000_000], failed=1)})

    about = {"loadkit.scenario": "browse", "loadkit.timing.kind": "journey", "loadkit.timing.name": "buy"}
    assert found.histogram("loadkit.timing.duration", about).count == 1
    assert found.sum_of("loadkit.timing.failures", about | {"error.type": "timeout"}) == 1


@pytest.mark.parametrize("is_delta", [True, False])
def test_points_say_of_which_time_they_are(is_delta: bool):
    found = read({("request", "a"): row([5_000_000])}, Times(7, 9, is_delta))

    assert found.temporalities == {1 if is_delta else 2}
    assert found.times == {(7, 9)}


@pytest.mark.parametrize("name", [*HOSTILE, ODD, "\x00", "\udcff", "a\nb"])
def test_a_hostile_name_is_an_attribute_without_control_characters(name: str):
    found = read({("request", name): row([5_000_000], failed=1), ("timer", name): row([1])})

    assert all(str(value).isprintable() for value in found.values)


def test_a_reply_that_is_none_says_nothing_of_what_was_rejected():
    assert rejected(b"\xff\xff") == rejected(b"") == ""
