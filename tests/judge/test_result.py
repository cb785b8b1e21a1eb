"""The result as tests assert on it: figures as floats, thresholds checked at once."""

from __future__ import annotations

import math

import pytest
from msgspec.structs import replace

from loadkit.judge.rows import Phase
from loadkit.judge.threshold_results import by_name
from loadkit.plan.errors import UsageError
from tests.results import REFUSED, Sample, measured, timing

GOOD = measured([*[Sample(k) for k in range(10)], Sample(1, label="b"), Sample(2, label="b", failure=REFUSED)])
EMPTY = measured([])


def test_the_figures_of_the_whole_and_of_an_endpoint_are_at_hand():
    times = GOOD.total.response_time

    assert (GOOD.p50, GOOD.p90, GOOD.p95, GOOD.p99) == (times.p50, times.p90, times.p95, times.p99)
    assert GOOD.percentile(99.9) == times.p99_9
    assert GOOD.percentile(100) == times.max
    assert GOOD.mean == times.mean
    assert GOOD.lateness is GOOD.total.lateness
    assert GOOD.pickup is GOOD.total.pickup
    assert (GOOD.outcome, GOOD.validity, GOOD.passed) == ("failed", "clean", False)

    row = GOOD["b"]

    assert row.p50 == row.p90 == row.p95 == row.p99 == row.percentile(50) == row.response_time.p50
    assert row.mean == row.response_time.mean
    assert repr(row) == f"<Row b: 2 requests, p99 {row.p99 * 1e3:.3g} ms>"


def test_a_name_moves_no_cursor_where_pytest_shows_the_result():
    named = replace(GOOD, scenario=replace(GOOD.scenario, name="shop\x1b[2J"))

    assert repr(named).startswith("<Result shop\\x1b[2J: failed, ")


def test_what_was_never_measured_is_no_number_and_passes_no_comparison():
    for value in (EMPTY.p50, EMPTY.p90, EMPTY.p95, EMPTY.p99, EMPTY.percentile(75), EMPTY.mean):
        assert math.isnan(value)
    assert not EMPTY.p99 < 1
    assert not EMPTY.p99 >= 0
    assert EMPTY.response_time.interval(50) == (None, None)


@pytest.mark.parametrize("percent", [0, 100.1, "many", None])
def test_what_is_no_percentile_is_told(percent: float):
    with pytest.raises(UsageError, match="a percentile is above 0 and at most 100, like "):
        GOOD.percentile(percent)


def test_check_gives_the_verdicts_of_what_holds():
    found = GOOD.check("p99 < 10s", "b: failures == 1", "requests == 12")

    assert [(one.threshold, one.passed, one.value) for one in found] == [
        ("p99 < 10s", True, GOOD.p99),
        ("b: failures == 1", True, 1),
        ("requests == 12", True, 12),
    ]


def test_check_fails_once_with_all_verdicts():
    with pytest.raises(AssertionError) as caught:
        GOOD.check("p99 < 10s", "failures == 0", "b: requests > 100", "service_time p50 < 1ns")

    *lines, tail = str(caught.value).split("\n")
    assert tail == f"({GOOD.scenario.name}: 3 of 4 limits missed)"
    assert [line.split()[0] for line in lines] == ["MISSED", "MISSED", "MISSED", "met"]
    assert lines[0] == "MISSED  failures == 0           1", "of a long message only the first line may be shown"


def test_check_of_what_was_not_measured_fails():
    with pytest.raises(AssertionError, match="MISSED  p99 < 1h  nothing measured"):
        EMPTY.check("p99 < 1h")


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ((), "check takes limits like check"),
        (("p99 < fast",), "cannot read the threshold 'p99 < fast'"),
        (("c: p99 < 1s",), "the threshold 'c: p99 < 1s' names nothing in the result; there are 'a', 'b'"),
    ],
)
def test_what_cannot_be_checked_is_told(limits: tuple[str, ...], message: str):
    with pytest.raises(UsageError, match=f"^{message}"):
        GOOD.check(*limits)


def test_check_knows_phases_and_what_is_timed():
    rush = Phase(name="rush", start=0, length=1, total=GOOD["b"], endpoints=[GOOD["b"]])
    buy = timing(GOOD["a"].response_time, failures={"check": 1}, error_rate=0.25)
    whole = replace(GOOD, phases=[rush], timings=[buy])

    found = whole.check("rush: requests == 2", "rush: b: failures == 1", "buy: error_rate == 25%", "buy: p50 < 10s")

    assert [one.value for one in found] == [2, 1, 0.25, GOOD["a"].p50]
    with pytest.raises(UsageError, match=r"names nothing in the result; there are 'rush: b', 'buy', 'rush', 'a', 'b'$"):
        whole.check("rush: a: requests > 0")


def test_an_endpoint_wins_over_a_phase_of_its_name():
    phase = Phase(name="b", start=0, length=1, total=GOOD.total, endpoints=[])

    assert by_name(GOOD.endpoints, [phase])["b"] is GOOD["b"]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ((0,), "a percentile is above 0 and at most 100, not 0"),
        ((-1,), "a percentile is above 0 and at most 100, not -1"),
        ((100.1,), "a percentile is above 0 and at most 100, not 100.1"),
        ((50, 95), "a confidence is between 0 and 1, like 0.95, not 95"),
        ((50, 0), "a confidence is between 0 and 1, like 0.95, not 0"),
        ((50, 1), "a confidence is between 0 and 1, like 0.95, not 1"),
    ],
)
def test_an_interval_of_what_is_none_says_what_is_right(asked: tuple[float, ...], why: str) -> None:
    for times in (measured([Sample()]).response_time, EMPTY.response_time):
        with pytest.raises(UsageError) as caught:
            times.interval(*asked)
        assert str(caught.value) == why
