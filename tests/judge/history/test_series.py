"""Runs of the same load on the same kind of machine are one series, and a figure of theirs has change points."""

from __future__ import annotations

import pytest

from loadkit.judge.comparison.blocks import Metric
from loadkit.judge.history.series import changes, metric_of, series_of
from loadkit.plan.errors import UsageError
from tests.judge.history.kept import GET, kept, runs
from tests.results import ENVIRONMENT, replace, spans


@pytest.mark.parametrize(
    ("other", "count"),
    [
        (kept(1, load="300 threads"), 1),
        (kept(1, revision="9f8e7d6"), 1),
        (kept(1, base_url="http://localhost:9000"), 1),
        (kept(1, plan="fedcba9876543210"), 2),
        (kept(1, name="browse"), 2),
        (kept(1, base_url="http://shop.example:8000"), 2),
        (kept(1, environment=replace(ENVIRONMENT, python="CPython 3.13.0")), 2),
    ],
    ids=["in other words", "revision", "port here", "plan", "scenario", "host", "Python"],
)
def test_a_run_is_in_the_series_of_those_that_it_can_be_compared_with(other, count):
    assert len(series_of([kept(0), other])) == count


def test_the_runs_of_a_series_are_in_the_order_of_time_and_so_are_the_series():
    found = series_of([kept(2), kept(5, name="b.py::other"), kept(1), kept(9, name="a.py::last"), kept(0)])
    assert [one.name for one in found] == ["shop.py::browse", "b.py::other", "a.py::last"]
    assert [run.time for run in found[0].runs] == [kept(day).time for day in (0, 1, 2)]


@pytest.mark.parametrize(
    ("text", "is_called"),
    [
        ("shop.py::browse", True),
        ("./shop.py", True),
        ("browse", True),
        (series_of([kept(0)])[0].key, True),
        ("shop", False),
        ("rows", False),
        ("", False),
    ],
)
def test_a_series_is_called_by_its_scenario_its_file_or_its_key(text, is_called):
    assert series_of([kept(0)])[0].is_called(text) is is_called


def test_a_change_has_its_first_run_and_both_levels():
    [series] = series_of(runs([10.0] * 8 + [11.0] * 4))

    [change] = changes(series, Metric("p50"))

    assert change.first == series.runs[8]
    assert (change.before, change.after, change.count) == (
        pytest.approx(0.01, rel=0.01),
        pytest.approx(0.011, rel=0.01),
        4,
    )
    assert change.is_worse
    [change] = changes(series, Metric("throughput"))
    assert (change.first, change.is_worse) == (series.runs[8], True)


@pytest.mark.parametrize("changed", [{"outcome": "interrupted"}, {"validity": "invalid"}, {"outcome": "not-applied"}])
def test_runs_that_were_not_sound_change_nothing(changed):
    slow = [replace(run, **changed) for run in runs([30.0] * 4, first=8)]
    [series] = series_of([*runs([10.0] * 8), *slow])
    assert changes(series, Metric("p50")) == []


def test_a_change_by_less_than_a_hundredth_is_no_news():
    [series] = series_of(runs([10.0] * 8 + [10.05] * 8))
    assert changes(series, Metric("p50")) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("p50", 0.01),
        ("p99.9", 0.02),
        ("p97", 0.01),
        ("max", 0.02),
        (f"{GET}: p50", 0.01),
        ("throughput", 99.5),
        ("error_rate", 0.0),
        ("GET /nowhere: p50", None),
        ("server_cpu", None),
    ],
)
def test_a_run_has_each_figure_that_can_be_asked_for(text, value):
    run = kept(0, times=spans((10, 995), (20, 5)))
    found = run.figure(metric_of(text))
    assert found is None if value is None else found == pytest.approx(value, rel=0.001)


@pytest.mark.parametrize("text", ["p0", "p101", "p99.", "latency", "", "p", "GET /: ", "p99 < 1s"])
def test_what_is_no_figure_is_refused(text):
    with pytest.raises(UsageError, match="there is no figure"):
        metric_of(text)


def test_a_percentile_of_a_histogram_that_cannot_be_read_is_not_known():
    run = kept(0)
    broken = replace(run, total=replace(run.total, response_time=replace(run.total.response_time, hdr="HISTFAAA")))
    assert (broken.figure(Metric("p97")), broken.figure(Metric("p99"))) == (None, run.figure(Metric("p99")))
