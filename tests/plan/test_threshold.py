"""Limits as people write them, k6's spelling included."""

from __future__ import annotations

import dataclasses
import re
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadkit.plan.errors import UsageError
from loadkit.plan.threshold import OPERATORS, Threshold, threshold

RIGHT = "write it like 'p99 < 250ms', 'throughput > 500/s' or 'GET /search: error_rate < 1%'"
METRICS = "use p99 (or any percentile), mean, min, max, throughput, error_rate, requests or failures"


def read(text: str) -> tuple[str | None, str, str, str, float]:
    """All that was read, in the order it is written."""
    found = threshold(text)
    return found.label, found.time, found.metric, found.comparison, found.limit


@pytest.mark.parametrize(
    ("text", "metric", "comparison", "limit"),
    [
        ("p99 < 250ms", "p99", "<", 0.25),
        ("p99<250ms", "p99", "<", 0.25),
        ("  p99  <  250ms ", "p99", "<", 0.25),
        ("p99.9 <= 1.5s", "p99.9", "<=", 1.5),
        ("p100 < 1m", "p100", "<", 60.0),
        ("mean < 15us", "mean", "<", 15e-6),
        ("min >= 0s", "min", ">=", 0.0),
        ("max < 2s", "max", "<", 2.0),
        ("throughput > 500/s", "throughput", ">", 500.0),
        ("throughput > 500", "throughput", ">", 500.0),
        ("throughput > 600/m", "throughput", ">", 10.0),
        ("error_rate < 1%", "error_rate", "<", 0.01),
        ("error_rate < 0.1 %", "error_rate", "<", 0.001),
        ("error_rate < 0.01", "error_rate", "<", 0.01),
        ("error_rate == 0%", "error_rate", "==", 0.0),
        ("error_rate <= 100%", "error_rate", "<=", 1.0),
        ("requests > 1,000", "requests", ">", 1000.0),
        ("requests > 1_000_000", "requests", ">", 1e6),
        ("failures == 0", "failures", "==", 0.0),
        ("errors == 0", "failures", "==", 0.0),
        # k6: parentheses, other names, and times without a unit are milliseconds
        ("p(95)<200", "p95", "<", 0.2),
        ("p(99.9) < 1500", "p99.9", "<", 1.5),
        ("p(95) < 200ms", "p95", "<", 0.2),
        ("avg<200", "mean", "<", 0.2),
        ("med<200", "p50", "<", 0.2),
        ("rate<0.01", "error_rate", "<", 0.01),
        ("count>10", "requests", ">", 10.0),
    ],
)
def test_a_limit_on_everything(text: str, metric: str, comparison: str, limit: float) -> None:
    assert read(text) == (None, "response_time", metric, comparison, limit)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("GET /search: p99 < 1ms", "GET /search"),
        ("GET http://h:1/x: p99 < 1ms", "GET http://h:1/x"),  # the colons of a URL have no blank behind
        ("GET http://[::1]:8000/: p99 < 1ms", "GET http://[::1]:8000/"),
        ("buy: p99 < 1ms", "buy"),
        ("buy : p99 < 1ms", "buy"),
        ("shop: buy: p99 < 1ms", "shop: buy"),  # a label with a colon and a blank in it
        ("p50: p99 < 1ms", "p50"),  # a label that looks like a metric
        ("a < 1ms: p99 < 1ms", "a < 1ms"),  # or like a limit
        ("max: p99 < 1ms", "max"),
        ("(other): p99 < 1ms", "(other)"),
        ("two\nlines: p99 < 1ms", "two\nlines"),
    ],
)
def test_a_limit_on_one_endpoint(text: str, label: str) -> None:
    assert read(text) == (label, "response_time", "p99", "<", 0.001)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("service_time p99 < 1ms", "service_time"),
        ("service_time.p99 < 1ms", "service_time"),
        ("response_time p99 < 1ms", "response_time"),
        ("GET /: service_time p99 < 1ms", "service_time"),
    ],
)
def test_a_limit_on_the_other_time(text: str, time: str) -> None:
    assert threshold(text).time == time


@pytest.mark.parametrize(
    "text",
    [
        "",
        "p99",
        "p99 <",
        "< 250ms",
        "p99 != 250ms",
        "p99 250ms",
        "p99 < fast",
        "p99 < -1ms",
        "p99 < 250ms and p95 < 100ms",
        "GET /:p99 < 1ms",  # without the blank it could be a part of the label
        "throughput > fast",
        "throughput > 250ms",
        "error_rate < 101%",
        "error_rate < 1/m",
        "error_rate < nan",
        "error_rate < -1%",
        "error_rate < 1%%",
        "requests > 1.5",
        "requests > 1,5",  # not fifteen
        "requests > -1",
        "requests > " + "9" * 400,  # was an OverflowError
        "P99 < 250ms",
        "p99_9 < 250ms",
    ],
)
def test_what_cannot_be_read_is_answered_with_how_to_write_it(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        threshold(text)
    assert str(caught.value) == f"cannot read the threshold {text!r}; {RIGHT}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("p99 < 250", ": 250 has no unit; write it like 'p99 < 250ms'"),  # seconds or milliseconds?
        ("mean < 0.25", ": 0.25 has no unit; write it like 'mean < 0.25s'"),
        ("p999 < 1s", ": there is no 'p999'; write p99.9"),
        ("p99 =< 1s", "; write <="),
        ("throughput => 5/s", "; write >="),
    ],
)
def test_what_was_likely_meant_is_named(text: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        threshold(text)
    assert str(caught.value) == f"cannot read the threshold {text!r}{reason}"


@pytest.mark.parametrize("metric", ["latency", "p0", "p101", "p(99", "p99)", "p99.9.9x", "stddev"])
def test_a_metric_there_is_not_is_answered_with_those_there_are(metric: str) -> None:
    text = f"{metric} < 1ms"
    with pytest.raises(UsageError) as caught:
        threshold(text)
    assert str(caught.value) in (
        f"cannot read the threshold {text!r}: there is no {metric!r}; {METRICS}",
        f"cannot read the threshold {text!r}; {RIGHT}",
    )


def test_only_times_are_of_a_time() -> None:
    with pytest.raises(UsageError, match="'service_time error_rate < 1%': service_time has no error_rate; write it"):
        threshold("service_time error_rate < 1%")


@pytest.mark.parametrize("value", [None, 5, b"p99 < 1ms", ["p99 < 1ms"]])
def test_what_is_no_text_is_no_threshold(value: Any) -> None:
    with pytest.raises(UsageError, match=re.escape(f"cannot read the threshold {value!r}; ")):
        threshold(value)


@pytest.mark.parametrize(
    ("comparison", "below", "equal", "above"),
    [
        ("<", True, False, False),
        ("<=", True, True, False),
        (">", False, False, True),
        (">=", False, True, True),
        ("==", False, True, False),
    ],
)
def test_at_its_limit_a_value_passes_as_the_sign_says(comparison: str, below: bool, equal: bool, above: bool) -> None:
    limit = threshold(f"p99 {comparison} 250ms")
    assert [limit.passes(0.249), limit.passes(0.25), limit.passes(0.251)] == [below, equal, above]


@pytest.mark.parametrize(
    ("text", "measured"),
    [
        ("p99 <= 15us", 15_000 / 1e9),  # 15 * 1e-6 is less than that
        ("p(95)<=1.1", 1_100_000 / 1e9),
        ("error_rate <= 0.7%", 7 / 1000),  # 0.7 / 100 is less than that
        ("throughput >= 1000/h", 1000 / 3600),
    ],
)
def test_a_limit_is_the_very_float_that_would_be_measured(text: str, measured: float) -> None:
    assert threshold(text).passes(measured)


@pytest.mark.parametrize("comparison", OPERATORS)
def test_what_was_not_measured_passes_no_threshold(comparison: str) -> None:
    assert not threshold(f"p99 {comparison} 0s").passes(None)


@pytest.mark.parametrize(
    ("text", "value", "shown"),
    [
        ("p99 < 1s", 0.2123, "212 ms"),
        ("throughput > 1/s", 1234.5, "1,234/s"),
        ("error_rate < 1%", 0.0031, "0.31 %"),
        ("error_rate < 1%", 0.0, "0 %"),
        ("requests > 1", 12345, "12,345"),
        ("failures < 1", 2, "2"),
        ("p99 < 1s", None, "nothing measured"),
    ],
)
def test_a_value_is_shown_in_its_unit(text: str, value: float | None, shown: str) -> None:
    assert threshold(text).show(value) == shown


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        (Threshold("p99 < 1s over 10s"), "p99 < 1s over 10s"),
        (Threshold("p99 < 1s", over="10s"), "p99 < 1s over 10s"),
        (Threshold(" p99<1s   over 10"), "p99<1s over 10s"),
        (Threshold("p99 < 1s over 90s or abort"), "p99 < 1s over 1m30s or abort"),
        (Threshold("p99 < 1s", over=10, abort=True), "p99 < 1s over 10s or abort"),
        (Threshold("p99 < 1s over 10s", abort=True), "p99 < 1s over 10s or abort"),
        (Threshold("p99 < 1s or abort", over="1m"), "p99 < 1s over 1m or abort"),
        (Threshold("p99 < 1s over 10s or abort", abort=True), "p99 < 1s over 10s or abort"),
        # the words may be those of a label
        (Threshold("over or abort: p99 < 1s"), "over or abort: p99 < 1s"),
        (Threshold("over: p99 < 1s", over=1), "over: p99 < 1s over 1s"),
    ],
)
def test_a_window_is_said_by_text_or_by_arguments(limit: Threshold, text: str) -> None:
    assert limit.text == text
    assert limit == Threshold(text)
    assert (limit.limit, limit.metric) == (1.0, "p99")


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("p99 < 1s over 10s", {"over": 3}, "the threshold 'p99 < 1s over 10s' says itself over how long; leave over=3"),
        (
            "p99 < 1s",
            {"over": 2.5},
            "cannot read the threshold 'p99 < 1s': it holds over whole seconds, from 1s to 10m",
        ),
        ("p99 < 1s", {"over": True}, ", like 'p99 < 1s over 10s', and not over True"),
        ("p99 < 1s over", {}, "and not over ''"),
        ("p99 < 1s over 0s", {}, "and not over '0s'"),
        ("p99 < 1s over 11m", {}, "and not over '11m'"),
        ("p99 < 1s over 10s or die", {}, "and not over '10s or die'"),
        (
            "GET /: p99 < 1s or abort",
            {},
            "'GET /: p99 < 1s' is about all of it; write it like 'GET /: p99 < 1s over 10s'",
        ),
        ("p99 < 1s", {"abort": 1}, "abort takes True or False, not 1"),
        ("p99 < 1s within 10s", {}, "; a window is written like 'p99 < 1s over 10s', without 'within'"),
    ],
)
def test_a_window_that_cannot_be_is_answered_with_how_to_write_it(
    text: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        Threshold(text, **arguments)


def test_a_threshold_is_a_frozen_value() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        threshold("p99 < 1s").limit = 2  # type: ignore[misc]
    assert threshold("p99 < 1s") == threshold(" p99 < 1s ")


@given(st.text(max_size=40) | st.from_regex(r"\A[a-z0-9()_.<>= :%/]{0,40}\Z"))
def test_no_text_makes_it_fail_in_any_other_way(text: str) -> None:
    with suppress(UsageError):
        assert isinstance(threshold(text), Threshold)


@given(st.text(min_size=1, max_size=30).map(str.strip).filter(bool))
def test_any_label_can_be_limited(label: str) -> None:
    assert threshold(f"{label}: p99 < 1ms").label == label


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("error_rate < 1", "error_rate < 1%"),  # held for any run in which one request went well
        ("error_rate <= 1", "error_rate < 1%"),
        ("GET /: error_rate < 1.0", "error_rate < 1.0%"),
        ("error_rate < 5", "error_rate < 5%"),
        ("error_rate == 100", "error_rate < 100%"),
    ],
)
def test_a_bare_share_of_one_or_more_is_refused_with_its_percent(text: str, right: str) -> None:
    with pytest.raises(UsageError) as caught:
        threshold(text)
    assert str(caught.value) == (
        f"cannot read the threshold {text!r}: as a share, 1 is every request; of percent write {right!r}"
    )


@pytest.mark.parametrize("text", ["rate > 500", "rate>500/s", "GET /: rate > 1"])
def test_who_means_requests_a_second_by_a_rate_is_told_how_to_write_them(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        threshold(text)
    assert str(caught.value) == (
        f"cannot read the threshold {text!r}: rate is the share of requests that failed, like 'rate < 1%'; "
        "of requests a second write 'throughput > 500/s'"
    )


@pytest.mark.parametrize(
    "text", ["error_rate < 0.99", "error_rate == 0", "error_rate <= 100%", "rate<0.01", "rate < 1%"]
)
def test_a_share_below_one_and_any_percentage_are_taken(text: str) -> None:
    assert threshold(text).metric == "error_rate"


@pytest.mark.parametrize("text", ["x" * 200_000, ": " * 100_000, "p99 <" + " " * 200_000 + "x y", "a: " * 70_000])
def test_a_text_that_is_too_long_is_refused_at_once(text: str) -> None:
    began = time.process_time()
    with pytest.raises(UsageError, match=r"^cannot read the threshold '.{60}'…, which has 2\d\d,\d{3} char"):
        threshold(text)
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("text", ["x" * 2000, ": " * 1000, "p99 <" + " " * 1990 + "x y", "a: " * 600, "1" * 2000])
def test_the_longest_there_may_be_are_read_in_no_time(text: str) -> None:
    began = time.process_time()
    with pytest.raises(UsageError):
        threshold(text)
    assert time.process_time() - began < 0.5
