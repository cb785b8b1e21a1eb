"""The slowest requests of real runs, on threads and on processes, stored, merged and shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadkit import Endpoint, Scenario, run
from loadkit.judge.merge import merge
from loadkit.judge.result import Result
from loadkit.report.html import html_report
from loadkit.report.json import load
from loadkit.report.layout import Layout
from loadkit.report.markdown import markdown
from loadkit.report.text import text_report
from loadkit.server.demo import Demo
from tests.conftest import Call

SHOP = """\
from loadkit import Endpoint, Scenario, rows

def waits(http):
    http.get("/delay/0.35", params={"token": "abc", "q": "tea"})
    http.get("/health", name="alive")

spans = rows([{"span": span} for span in ["0.3"] + ["0"] * 99])
waiting = Scenario(
    endpoints=[Endpoint("GET", "/delay/{span}", feed=spans, weight=50), waits],
    threads=4,
    iterations=400,
)
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_they_are_stored_merged_and_shown(call: Call, demo: Demo, tmp_path: Path, processes: int):
    (tmp_path / "shop.py").write_text(SHOP)
    words = [str(tmp_path / "shop.py"), "--base-url", demo.url, "--processes", str(processes)]
    done = call(*words, "--full", "-o", str(tmp_path / "r.json"))
    (stored,) = load(tmp_path / "r.json")

    slow = stored.slowest
    assert len(slow) == 10
    assert slow[0].response_time == stored.total.response_time.max, "the longest of all is the first"
    assert slow == sorted(slow, key=lambda one: -one.response_time)
    urls = {one.url.removeprefix(demo.url) for one in slow}
    assert urls & {"/delay/0.3", "/delay/0.35?token=***&q=tea"}, "of endpoints and journeys, filled"
    assert all(one.service_time >= 0.3 for one in slow if "/delay/0.3" in one.url)
    assert [one.response_time for one in merge([stored, stored]).slowest] == sorted(
        [one.response_time for one in slow for _ in range(2)], reverse=True
    )[:10]
    assert f"GET {slow[0].url.removeprefix(demo.url)}" in done.stdout


def test_a_session_s_requests_are_among_them(demo: Demo):
    def waits(http) -> None:
        http.get("/delay/0.2?q=tea", name="search")
        http.get("/health", stream=True).close()

    found = run(Scenario(base_url=demo.url, endpoints=[waits], threads=2, iterations=8))
    assert {(one.url, one.endpoint) for one in found.slowest[:2]} == {(f"{demo.url}/delay/0.2?q=tea", "GET search")}
    assert found.slowest[0].response_time == found.total.response_time.max
    assert len(found.slowest) == 10


def test_a_report_shows_three_and_the_page_and_markdown_all(demo: Demo):
    endpoints = [Endpoint("GET", f"/delay/0.0{k}", params={"n": k}) for k in range(10)]
    found = run(Scenario(base_url=demo.url, endpoints=endpoints, threads=1, iterations=10))

    assert shown_in(text_report(found, Layout(width=100), full=True).partition("slowest")[2], found) == 3
    assert shown_in(html_report([found]).partition("Slowest requests")[2], found) == 10
    assert shown_in(markdown([found]).partition("Slowest requests")[2], found) == 10


def shown_in(text: str, found: Result) -> int:
    return sum(one.url.removeprefix(found.scenario.base_url) in text for one in found.slowest)
