"""The history of runs as a page: a chart a figure, change points in words, and a row a run."""

from __future__ import annotations

import pytest

from loadkit.judge.comparison.blocks import Metric
from loadkit.judge.history.series import series_of
from loadkit.report.history_page import history_page
from tests.judge.history.kept import kept, runs
from tests.report.pages import HOSTILE, ODD, Page
from tests.results import replace

METRICS = [Metric("throughput"), Metric("p50"), Metric("error_rate"), Metric("server_cpu")]
STEP = [*runs([10.0] * 9), *runs([11.0] * 3, first=9), replace(kept(12), outcome="interrupted")]


def shown(kept_runs, last: int = 100) -> Page:
    return Page(history_page(series_of(kept_runs), METRICS, last=last))


def test_a_page_has_the_charts_the_change_points_and_the_runs():
    page = shown(STEP)

    assert page.count("figure") == 3  # nothing is known of the server's CPU
    assert "p50 +10.0 % from 0000009 of 2026-05-13 10:15:03 on: 10 ms, then 11 ms in 3 runs" in page.text("li")
    assert "▲ 11 ms" in page.text("td")
    assert page.text("tbody").count("2026-05-") == 13


def test_a_level_that_began_before_the_first_run_shown_has_no_mark_in_the_chart():
    assert "+10.0 %" in shown(STEP, last=10).text("text")
    assert "+10.0 %" not in shown(STEP, last=4).text("text")


def test_the_newest_series_is_the_first():
    assert shown([kept(0), kept(1, name="b.py::other")]).text("h2") == "b.py::other shop.py::browse"


@pytest.mark.parametrize("text", [*HOSTILE, ODD])
def test_nothing_of_a_history_that_others_wrote_is_markup(text: str):
    one = kept(0, name=text, load=text, revision=text, base_url="http://shop.example")
    page = shown([replace(one, host=text, revision=replace(one.revision, branch=text))])
    harmless = shown([kept(0, base_url="http://shop.example")])
    assert [name for name, _ in page.elements] == [name for name, _ in harmless.elements]


def test_a_series_without_a_sound_run_has_a_table_alone():
    page = shown([replace(kept(0), validity="invalid")])
    assert page.count("figure") == 0
    assert "invalid" in page.text("td")
