"""A run over time: rates of what was measured, phases where they were, nothing of what came after the stop."""

from __future__ import annotations

from typing import Any

import pytest

from loadkit.judge.description import PhasePlan
from loadkit.judge.merge import merge
from loadkit.judge.result import Result
from loadkit.judge.rows import Interval, Phase
from loadkit.report.charts.timeline import endpoint_charts, rates, timeline_charts
from tests.results import REFUSED, Sample, interval, measured, replace, result, row, skewed, times

FAST, SLOW = times((500, 400)), times((100_000, 2))


def ran(series: list[Interval], duration: float, **scenario: Any) -> Result:
    return result([row("GET /", skewed(500, 1200))], intervals=series, duration=duration, scenario=scenario)


def test_rates_are_of_the_seconds_that_were_measured():
    half = interval(2, times((500, 200)), failures=10, measured=0.5)

    assert rates(interval(0, FAST)) == (400, 0)
    assert rates(half) == (400, 20)


@pytest.mark.parametrize(("start", "seconds"), [(3.0, 0.0), (2.0, 0.0002)])
def test_what_came_after_the_stop_is_in_no_chart(start: float, seconds: float):
    """A few slow replies there would bend both axes."""
    kept = [interval(0, FAST), interval(1, FAST)]
    late = interval(start, SLOW, measured=seconds)

    assert rates(late) is None
    assert timeline_charts(ran([*kept, late], 2.0002)) == timeline_charts(ran(kept, 2.0002))


def test_runs_that_were_merged_one_behind_the_other_are_all_in_the_charts():
    """However many of their requests failed: half of them, here."""
    samples = [Sample(second, failure=failure) for second in (0, 1) for failure in (None, REFUSED) for _ in range(25)]

    run = merge([measured(samples), measured(samples, later=60.0)])

    (requests, _) = timeline_charts(run)
    assert [spot.text.partition(", p50")[0] for spot in requests.spots] == [
        f"{when}: 25/s good, 25/s failed" for when in ("0s - 1s", "1s - 2s", "1m - 1m1s", "1m1s - 1m2s")
    ]


def test_runs_side_by_side_are_drawn_as_the_sum_of_both_against_what_both_were_asked():
    samples = [Sample(second) for second in (0, 1) for _ in range(100)]
    parts = [measured(samples, later=later, scenario={"rate": 100.0}) for later in (0.0, 0.2)]
    parts = [replace(one, intervals=[replace(each, asked=100.0) for each in one.intervals]) for one in parts]

    (requests, _) = timeline_charts(merge(parts))

    assert [spot.text.partition(",")[0] for spot in requests.spots] == ["0s - 1s: 200/s good", "1s - 2s: 200/s good"]
    (asked,) = [curve.outline for curve in requests.curves if curve.name == "asked"]
    (good,) = [curve.outline for curve in requests.curves if curve.name == "good replies"]
    assert {point.split()[1] for point in asked[1:].split("L")} == {"200"}
    assert "V200" in good


def test_phases_of_merged_runs_are_marked_where_they_were_in_each():
    plans = [PhasePlan(name=name, duration=1.0, start=9.0, end=9.0) for name in ("one", "two")]
    samples = [Sample(0), Sample(1)]

    def part(later: float) -> Result:
        made = measured(samples, later=later, scenario={"phases": plans})
        phases = [Phase(name=plan.name, start=float(k), length=1.0, total=made.total) for k, plan in enumerate(plans)]
        return replace(made, phases=phases)

    (requests, _) = timeline_charts(merge([part(0.0), part(8.0)]))

    assert sorted((band.start, band.width, band.text) for band in requests.phases) == [
        (0, 10, "one"),
        (10, 10, "two"),
        (80, 10, "one"),
        (90, 10, "two"),
    ]


def test_a_run_of_a_moment_has_charts():
    (requests, response) = timeline_charts(ran([interval(0, FAST, measured=0.04)], 0.04))

    assert "10,000/s" in [tick.label for tick in requests.y_ticks]
    assert [spot.text for spot in requests.spots] == [
        "0s - 1s: 10,000/s good, 0/s failed, p50 500 us, p90 500 us, p99 500 us"
    ]
    assert [curve.name for curve in response.curves] == ["p99", "p90", "p50"]


def test_failures_have_a_curve_where_there_are_any():
    names = [
        [curve.name for curve in timeline_charts(ran([interval(0, FAST, failures=count)], 1))[0].curves]
        for count in (0, 3)
    ]

    assert names == [["good replies"], ["good replies", "failed"]]


def test_without_a_good_reply_there_is_no_response_time():
    charts = timeline_charts(ran([interval(k, times(), failures=50) for k in range(3)], 3))

    assert [chart.title for chart in charts] == ["Requests a second"]


def test_a_second_without_a_reply_breaks_the_curve():
    (_, response) = timeline_charts(ran([interval(0, FAST), interval(1, times()), interval(2, FAST)], 3))

    assert [curve.outline.count("M") for curve in response.curves] == [2, 2, 2]


def test_times_far_apart_are_on_a_logarithmic_axis():
    near = timeline_charts(ran([interval(0, FAST), interval(1, times((900, 10)))], 2))[1]
    far = timeline_charts(ran([interval(0, FAST), interval(1, SLOW)], 2))[1]

    assert (near.note, far.note) == ("", "logarithmic scale")
    assert near.y_ticks[0].label == "0"


def test_phases_are_marked_and_what_they_ask_is_drawn():
    plans = [
        PhasePlan(name="ramp", duration=2.0, start=0.0, end=100.0),
        PhasePlan(name="step", duration=0.0, start=100.0, end=400.0),
        PhasePlan(name="hold", duration=2.0, start=400.0, end=400.0),
    ]
    chart = timeline_charts(ran([interval(k, FAST) for k in range(4)], 4, phases=plans, rate=225.0))[0]

    assert [(band.text, band.start, band.width) for band in chart.phases] == [("ramp", 0, 50), ("hold", 50, 50)]
    # to 500/s: 100 is at a fifth of the height, and 400 at four fifths
    assert [curve.outline for curve in chart.curves if curve.name == "asked"] == [
        "M0 1000L500 800L500 800L500 200L500 200L1000 200"
    ]


def test_phases_of_threads_ask_for_no_rate():
    plans = [PhasePlan(name=name, duration=1.0, start=0.0, end=10.0) for name in ("up", "on")]
    chart = timeline_charts(ran([interval(0, FAST), interval(1, FAST)], 2, phases=plans))[0]

    assert [curve.name for curve in chart.curves] == ["good replies"]
    assert len(chart.phases) == 2


def of_threads(*levels: tuple[float | None, float | None]) -> list[Interval]:
    """A second for each number of threads, seen and asked for."""
    return [replace(interval(k, FAST), threads=seen, asked=asked) for k, (seen, asked) in enumerate(levels)]


def test_threads_that_change_are_drawn_beside_those_asked_for():
    _, chart, _ = timeline_charts(ran(of_threads((1, 1), (3, 4), (8, 8)), 3))

    assert chart.title == "Threads"
    # to 10: where one is above, and where both are, and a step between
    assert [(curve.name, curve.is_dashed) for curve in chart.curves] == [("active", False), ("asked", True)]
    assert chart.curves[0].outline != chart.curves[1].outline
    assert [spot.text for spot in chart.spots] == [
        "0s - 1s: 1 active, 1 asked",
        "1s - 2s: 3 active, 4 asked",
        "2s - 3s: 8 active, 8 asked",
    ]


@pytest.mark.parametrize(
    ("levels", "is_drawn"),
    [
        ([(4, 4), (3.9, 4)], False),
        ([(4, 4), (2, 4)], True),
        ([(None, 40), (None, 50)], False),
        ([(4, None), (2, None)], False),
        ([(float("nan"), 4), (2, 5)], False),
    ],
    ids=["the same all the time", "some were missing", "arrivals", "nobody knows", "no number"],
)
def test_threads_have_a_chart_only_where_it_tells_something(levels: Any, is_drawn: bool):
    titles = [chart.title for chart in timeline_charts(ran(of_threads(*levels), 2))]

    assert ("Threads" in titles) == is_drawn


def test_without_a_series_there_is_nothing_to_draw():
    assert timeline_charts(ran([], 3)) == []


def test_the_slowest_endpoints_have_a_curve_each():
    rows = [row(f"GET /{k}", skewed(100 * (k + 1), 400)) for k in range(7)]
    series = [
        replace(interval(k, FAST), endpoints=[interval(k, one.response_time, name=one.name).total for one in rows[1:]])
        for k in range(2)
    ]

    (chart,) = endpoint_charts(result(rows, intervals=series, duration=2.0))

    assert chart.title == "p99 of the 5 slowest endpoints"
    assert [curve.name for curve in chart.curves] == ["GET /6", "GET /5", "GET /4", "GET /3", "GET /2"]
    assert chart.spots[1].text.startswith("1s - 2s: p99 GET /6 ")
    assert endpoint_charts(result(rows[:1], intervals=series, duration=2.0)) == []
    assert endpoint_charts(result(rows, intervals=[interval(0, FAST)], duration=2.0)) == []
