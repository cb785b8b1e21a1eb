"""The percentiles and the distribution as charts: no reply is lost between two bins, and the tail is there."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from loadkit.judge.rows import Row
from loadkit.report.charts.distribution import distribution_charts
from tests.results import replace, row, skewed, times


def titles(total: Row) -> list[str]:
    return [chart.title for chart in distribution_charts(total)]


def test_response_and_service_time_are_side_by_side():
    percentiles, distribution = distribution_charts(row("total", skewed(400, 10_000), service_time=skewed(300, 10_000)))

    assert [curve.name for curve in percentiles.curves] == ["response time", "service time"]
    assert [curve.name for curve in distribution.curves] == ["response time", "service time"]
    assert [tick.label for tick in percentiles.x_ticks] == ["p50", "p90", "p99", "p99.9", "p99.99"]
    assert percentiles.description.startswith("response time: p50 ")


def test_each_further_nine_takes_as_much_room():
    (percentiles, _) = distribution_charts(row("total", skewed(400, 100_000)))

    places = [tick.place for tick in percentiles.x_ticks if tick.label != "p50"]
    assert [later - place for place, later in pairwise(places)] == pytest.approx([20] * 4)


def test_the_slowest_reply_is_the_end_of_the_curve():
    (percentiles, _) = distribution_charts(row("total", times((100, 99_999), (1_000, 1))))

    # 1 ms is the top of its scale, and there is nothing to the right of it
    assert percentiles.curves[0].outline.split("L")[-1] == "1000 0h0"
    assert percentiles.spots[-1].text == "p99.999: response time 100 us, service time 100 us"


@pytest.mark.parametrize(
    "measured",
    [
        skewed(400, 10_000),
        # buckets far wider than the bins, and all in one bin but one
        times((1.5, 9_000), (1.9, 40), (2.4, 960)),
        times((100, 99_999), (90_000, 1)),
    ],
    ids=["body", "comb", "far"],
)
def test_the_shares_of_all_ranges_are_the_whole(measured: object):
    (_, distribution) = distribution_charts(row("total", replace(measured)))

    shares = [
        0.0 if share == "-" else float(share)
        for spot in distribution.spots
        for share in re.findall(r": ([\d.]+) % by response time", spot.text)
    ]
    assert len(shares) == 60
    assert sum(shares) == pytest.approx(100, abs=0.2)


def test_times_that_are_all_the_same_have_no_distribution_to_show():
    assert titles(row("total", times((500, 100)))) == ["Percentiles"]
    assert titles(row("total", times((500, 1)))) == []
    assert titles(row("total", times())) == []


def test_a_histogram_that_cannot_be_read_is_no_reason_to_fail():
    broken = replace(skewed(400, 100), hdr="HISTFAAAA")

    assert [
        [curve.name for curve in chart.curves]
        for chart in distribution_charts(row("t", broken, service_time=skewed(300, 100)))
    ] == [
        ["service time"],
        ["service time"],
    ]
    assert titles(row("total", broken)) == []
