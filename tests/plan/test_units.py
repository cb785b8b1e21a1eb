"""Text with units, read and written."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadkit.plan.errors import UsageError
from loadkit.plan.units import (
    nanoseconds,
    per_second,
    seconds,
    show_rate,
    show_seconds,
    show_size,
    show_span,
    size,
    three_digits,
)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("30s", 30.0),
        ("250ms", 0.25),
        ("1m30s", 90.0),
        ("1min30s", 90.0),  # min is m, and not m followed by in
        ("1h1m1s1ms", 3661.001),
        ("1 m  30 s", 90.0),  # as people space it
        (" 30s ", 30.0),  # as it comes out of a file
        ("1.5h", 5400.0),
        ("1d", 86400.0),
        ("15us", 15e-6),
        ("15\N{MICRO SIGN}s", 15e-6),
        ("15\N{GREEK SMALL LETTER MU}s", 15e-6),  # looks the same, and is what some keyboards give
        ("10ns", 1e-8),
        ("1m30.1s", 90.1),  # the float a person would write, and not 90.10000000000001
        ("2", 2.0),  # on a command line everything is text
        ("0s", 0.0),
        (2, 2.0),
        (0.25, 0.25),
        (timedelta(minutes=1, milliseconds=500), 60.5),
    ],
    ids=repr,
)
def test_a_span_of_time_is_read(text: Any, span: float) -> None:
    assert seconds(text) == span


@pytest.mark.parametrize(
    "value",
    [
        "fast",
        "",
        " ",
        "-1s",
        "1s-",
        "\N{ARABIC-INDIC DIGIT THREE}s",  # digits of other scripts are letters to us
        "1x",
        "s",
        "1e3s",  # nobody writes it so, and a typo may
        "1,5s",  # a decimal comma here, thousands there
        "30S",
        "9" * 400 + "s",  # is infinite as a float
        -1,
        -0.001,
        math.inf,
        -math.inf,
        math.nan,
        10**400,  # no float at all
        True,  # an int to Python, not to a person
        None,
        b"30s",
        [30],
        timedelta(seconds=-1),
    ],
    ids=repr,
)
def test_a_span_of_time_that_cannot_be_read_says_how_to_write_it(value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        seconds(value, what="think_time")
    assert str(caught.value) == f"cannot read the think_time {value!r}; write it like '30s', '250ms' or '1m30s'"


@pytest.mark.parametrize(
    ("value", "rate"),
    [
        ("200/s", 200.0),
        ("200 / sec", 200.0),
        ("90/m", 1.5),
        ("90/min", 1.5),
        ("90/minute", 1.5),
        ("7200/h", 2.0),
        ("0.5/s", 0.5),
        ("40", 40.0),
        (40, 40.0),
        (0, 0.0),
    ],
    ids=repr,
)
def test_a_rate_is_read(value: Any, rate: float) -> None:
    assert per_second(value) == rate


@pytest.mark.parametrize(
    "value", ["", "fast", "200/", "/s", "-1/s", "200/ms", "200/d", -1, math.nan, math.inf, 10**400, True, None]
)
def test_a_rate_that_cannot_be_read_says_how_to_write_it(value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        per_second(value)
    assert str(caught.value) == f"cannot read the rate {value!r}; write it like '200/s' or '90/m'"


@pytest.mark.parametrize(
    ("value", "count"),
    [
        ("16MB", 16_000_000),
        ("16mb", 16_000_000),
        ("64KiB", 65_536),
        ("64 kib", 65_536),
        ("1.5kB", 1500),
        ("2GiB", 2**31),
        ("12B", 12),
        ("10", 10),  # as a span and a rate may be without a unit
        (0, 0),
        (10, 10),
    ],
    ids=repr,
)
def test_a_size_is_read(value: Any, count: int) -> None:
    assert size(value) == count


@pytest.mark.parametrize(
    "value",
    [
        "",
        "big",
        "16M",  # bits or bytes?
        "5iB",  # was a KeyError
        "5Ki",
        "1.5",
        "-1MB",
        "9" * 400 + "MB",  # was an OverflowError
        -1,
        1.5,
        True,
        None,
    ],
    ids=repr,
)
def test_a_size_that_cannot_be_read_says_how_to_write_it(value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        size(value, what="body_limit")
    assert str(caught.value) == f"cannot read the body_limit {value!r}; write it like '16MB' or '64KiB'"


@pytest.mark.parametrize(
    ("span", "shown"),
    [
        (None, "-"),
        (0.0, "0 us"),
        (0.0000153, "15.3 us"),
        (0.00000015, "0.15 us"),
        (0.000999, "999 us"),
        (0.0009996, "1 ms"),  # and not 1000 us
        (0.25, "250 ms"),
        (0.9996, "1 s"),
        (75.5, "75.5 s"),
        (3600.0, "3,600 s"),
        (-0.002, "-2 ms"),
    ],
)
def test_a_measured_time_has_three_digits_and_the_unit_a_person_would_choose(span: float | None, shown: str) -> None:
    assert show_seconds(span) == shown


@pytest.mark.parametrize(
    ("span", "shown"),
    [
        (90, "1m30s"),
        (30.0, "30s"),
        (0.25, "250ms"),
        (7200, "2h"),
        (3661.5, "1h1m1.5s"),
        (90_000, "25h"),
        (0, "0s"),
        (12.345678, "12.3457s"),
        (0.9996, "0.9996s"),  # was 1,000ms
        (119.9999999, "2m"),  # was 1m60s
        (60.0000001, "1m"),  # was 1m1e-07s
    ],
)
def test_a_planned_time_is_written_as_it_would_be_typed(span: float, shown: str) -> None:
    assert show_span(span) == shown


@pytest.mark.parametrize(
    ("show", "value", "shown"),
    [
        (show_size, 512, "512 B"),
        (show_size, 999.6, "1 kB"),
        (show_size, 1_620_000, "1.62 MB"),
        (show_size, 3.2e9, "3.2 GB"),
        (show_rate, 83412.4, "83,412/s"),
        (show_rate, 39.94, "39.9/s"),
        (show_rate, 0.0, "0/s"),
        (show_rate, 999.6, "1,000/s"),
        (three_digits, 0.001234, "0.00123"),
        (three_digits, 9.996, "10"),
        (three_digits, 0, "0"),
    ],
)
def test_numbers_have_three_digits(show: Callable[[float], str], value: float, shown: str) -> None:
    assert show(value) == shown


spans = st.floats(min_value=1e-6, max_value=1e6)


@given(spans)
def test_a_planned_time_is_read_back_as_it_was_written(span: float) -> None:
    assert seconds(show_span(span)) == pytest.approx(span, rel=0.006, abs=6e-5 if span >= 1 else 0)


@given(spans)
def test_a_measured_time_is_read_back_within_three_digits(span: float) -> None:
    assert seconds(show_seconds(span).replace(",", "")) == pytest.approx(span, rel=0.0051)


@given(st.integers(min_value=0, max_value=10**13))
def test_nanoseconds_survive_as_float_seconds(span: int) -> None:
    assert nanoseconds(span / 1e9) == span


@given(st.text(max_size=12) | st.from_regex(r"\A[0-9.a-zA-Z/ ]{0,12}\Z"))
def test_no_text_makes_a_reader_fail_in_any_other_way(text: str) -> None:
    for read in (seconds, per_second, size):
        with suppress(UsageError):
            assert 0 <= read(text) < math.inf
