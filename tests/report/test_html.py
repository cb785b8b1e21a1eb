"""The page: all that a result says is on it."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from loadkit.judge.description import PhasePlan
from loadkit.judge.identity import Identity
from loadkit.judge.result import Result
from loadkit.judge.threshold_results import ThresholdResult
from loadkit.report.html import html_report
from loadkit.report.json import dump, load
from tests.report.comparisons import WORSE
from tests.report.limits import FOUND
from tests.report.pages import DOWN, NOTHING, SHOP, TOTAL, Page, page
from tests.report.shop import HOME
from tests.results import REFUSED, Sample, interval, measured, replace, result, row, skewed, times


@pytest.fixture(scope="module")
def shop() -> Page:
    return page(SHOP)


# -- what it says


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ("title", "FAILED browse - loadkit"),
        ("header", "FAILED 1 of 2 thresholds"),
        ("header", "The figures are doubtful, for 1 reason below. Bound by the generator: it sent 3,300/s."),
        ("header", "3,300/s asked in poisson arrivals, 30s, open on up to 200 threads"),
        (
            "dl",
            "errors 0.303 % 301 of 99,302 p50 response time 240 us 95 %: 239 us to 242 us",
        ),
        ("td", "met 2.4 ms"),
        ("td", "missed 1.19 % missed by 19 %"),
        ("ul", "doubt generator-busy loadkit itself used 87 % of a CPU note same-host the target runs on this machine"),
        ("ol", "301 check (GET /search, first at 12.4 s) AssertionError: the search found nothing assert []"),
        ("figcaption", "Requests a second good replies failed asked"),
        ("figcaption", "Response time p99 p90 p50"),
        ("figcaption", "p99 of each endpoint GET /search GET /"),
        ("figcaption", "Percentiles response time service time"),
        ("figcaption", "Distribution response time service time"),
        ("tr", "GET / 74,001 2,467/s 0 200 180 us 304 us 352 us 472 us 454 us to 472 us 613 us"),
        ("tr", "buy 41 1.33/s 0 5.13 ms 8.96 ms 11.1 ms 33.2 ms at least 11.1 ms 33.2 ms"),
        ("tr", "climb 74,001"),
        ("tr", "p99.9 5.01 ms 5.01 ms to 5.01 ms 4.8 ms 4.8 ms to 4.8 ms"),
        ("tr", "lateness 99,000 1.4 us"),
        ("tr", "200 99,001 301"),
        ("tr", "0s - 1s 3,311"),
        ("tr", "unsent 1,200 were due and never sent"),
        ("tr", "server 12 s of CPU"),
        ("tr", "seed 7"),
        ("tr", "Python 3.12.3"),
        ("p", "response time: from the instant a request was due to its last byte"),
    ],
)
def test_a_page_tells(shop: Page, tag: str, words: str):
    assert words in shop.text(tag)


def test_a_percentile_stands_beside_how_sure_it_is(shop: Page):
    low, high = TOTAL.response_time.interval(99)
    few = result([row("GET /", times((500, 3)))])

    assert low
    assert high
    assert f"p99 1.1 ms {low * 1e3:.3g} ms to {high * 1e3:.3g} ms" in shop.text("tr")
    assert "p50 500 us too few replies 500 us too few replies p75 500 us at least 500 us" in page(few).text("tr")


def test_the_verdict_stands_before_the_figures_and_the_reasons_before_the_charts():
    text = html_report([SHOP])

    places = [text.index(mark) for mark in (">FAILED<", ">doubtful<", "3,300/s</dd>", ">Thresholds<", "<figure>")]
    assert places == sorted(places)
    assert text.index("generator-busy") < text.index("<figure>") < text.index(">Endpoints<")


def test_a_stored_result_makes_the_same_page_again(tmp_path: Path):
    ran = measured(
        [Sample(), Sample(1, label="b"), Sample(2, failure=REFUSED)], thresholds=("p99 < 1s", "a: failures < 9")
    )
    (tmp_path / "today.json").write_text(dump([ran]))

    assert html_report(load(tmp_path / "today.json")) == html_report([ran])


def test_several_results_have_a_table_that_leads_to_each():
    passed = result([HOME], scenario={"name": "home"})
    found = page(SHOP, passed, SHOP)

    links = [str(attributes["href"]) for tag, attributes in found.elements if tag == "a"]
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert links == ["#r1", "#r2", "#r3"]
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links} <= set(ids)
    assert found.words["title"][0] == "3 results - loadkit"
    assert "home PASSED clean 74,001 2,467/s 0 %" in found.text("tr")
    assert (found.count("h1"), found.count("h2")) == (1, 3)


def test_of_very_many_results_those_that_did_not_pass_are_shown_first_and_some_have_a_row_alone():
    names = [f"shop.py::home-{k}" for k in range(1_000)]
    passed = [replace(NOTHING, outcome="passed", identity=Identity(name=name, plan="0")) for name in names]

    found = Page(html_report([*passed, NOTHING]))

    assert re.findall(r"shop\.py::home-\d+|\bbrowse", found.text("th")) == ["browse", *names[:-1]]
    assert (found.count("a"), found.count("article"), found.words["title"][0]) == (100, 100, "1,001 results - loadkit")
    assert (
        "The first 100 of 1,001 results are shown whole, those that did not pass before the others; 1 more in the JSON."
        in found.text("p")
    )


def test_results_may_have_titles_of_their_own():
    found = Page(html_report([SHOP], ["test_shop.py::test_search"]))

    assert found.text("h1") == "test_shop.py::test_search"
    assert "Scenario browse" in found.text("header")


# -- all kinds of results


@pytest.mark.parametrize(
    ("made", "words", "charts"),
    [
        (NOTHING, ["NOT APPLIED the load asked for", "The figures are invalid, for 1 reason below."], 0),
        (DOWN, ["FAILED not one good reply"], 1),
        (replace(SHOP, outcome="interrupted"), ["INTERRUPTED after 30 s, 1 of 2 thresholds missed so far"], 5),
        (replace(SHOP, duration=math.nan, total=replace(TOTAL, throughput=math.inf)), ["FAILED"], 5),
        (replace(SHOP, total=replace(TOTAL, response_time=replace(TOTAL.response_time, hdr="?"))), ["FAILED"], 5),
        (replace(SHOP, total=replace(TOTAL, response_time=replace(TOTAL.response_time, max=math.inf))), ["FAILED"], 5),
        (replace(SHOP, total=replace(TOTAL, response_time=replace(TOTAL.response_time, min=math.nan))), ["FAILED"], 5),
        (replace(SHOP, intervals=[], started_at="?"), ["started ?"], 2),
    ],
    ids=[
        "nothing was sent",
        "nothing came back",
        "interrupted",
        "no numbers",
        "no histogram",
        "no end",
        "no start",
        "no series, no date",
    ],
)
def test_every_result_has_a_page(made: Result, words: list[str], charts: int):
    found = page(made)

    assert [text for text in words if text not in found.text("header")] == []
    assert found.count("figure") == charts
    assert not {"nan", "inf", "None"} & set(re.findall(r"\w+", found.text("main")))


def test_of_journeys_alone_there_is_no_chart_of_requests_and_no_table_of_intervals_without_any():
    series = [interval(k, times()) for k in range(3)]

    text = page(result([], row("total", times()), timings=SHOP.timings[:1], intervals=series)).text("main")

    assert "Journeys journey times" in text
    assert "Requests a second" not in text
    assert "The figures of each interval" not in text


def test_a_percentile_that_a_threshold_limits_has_a_column():
    limit = ThresholdResult(threshold="GET /: p75 < 1ms", passed=True, value=0.0004, shown="352 us")

    assert "p50 p90 p95 p99 p99, 95 % sure" in page(SHOP).text("th")
    assert "p50 p75 p90 p95 p99 p99, 95 % sure" in page(replace(SHOP, thresholds=[limit])).text("th")


def test_a_column_of_percent_stands_only_where_something_failed():
    assert "errors status % p50" in page(SHOP).text("th")
    assert "errors status p50" in page(result([HOME], HOME)).text("th")


def test_what_is_in_no_figure_of_a_journey_stands_below_its_table():
    cut_off = replace(SHOP.timings[0], cut=3, unsent=1_200)

    text = page(replace(SHOP, timings=[cut_off])).text("p")

    assert "buy: 1,200 due and never begun, 3 cut off when the run ended" in text


def test_the_load_of_each_phase_stands_beside_the_threads_that_were_seen():
    climb, stay = SHOP.phases
    phases = [replace(climb, asked=6.0, threads=5.5), replace(stay, asked=8.0, threads=8.0)]

    text = page(replace(SHOP, scenario=replace(SHOP.scenario, rate=None), phases=phases)).text("tr")

    assert "phase asked threads requests" in text
    assert "climb 6 5.5 74,001" in text


def test_of_more_endpoints_than_a_page_has_room_for_the_slowest_are_shown():
    slow = times((300, 3))
    rows = [row("GET /api/0", times((200, 3))), *(row(f"GET /api/{k}", slow) for k in range(1, 1_001))]

    found = page(result(rows, SHOP.total))

    assert "these 1,000 have the highest p99; 1 more row in the JSON" in found.text("p")
    assert "GET /api/0 " not in found.text("tbody")
    assert "GET /api/1000 3 " in found.text("tbody")


def test_a_long_run_of_many_endpoints_has_a_page_of_bounded_size():
    spread = skewed(300, 400, steps=40)
    rows = [row(f"GET /api/{k}", spread) for k in range(200)]
    series = [interval(4 * k, spread, failures=k % 3, length=4.0) for k in range(600)]
    text = html_report([result(rows, SHOP.total, intervals=series, duration=2400.0)])

    assert len(text) < 800_000
    found = Page(text)
    assert "GET /api/199" in found.text("tbody")
    assert "39m56s - 40m" in found.text("tbody")


def test_phases_are_named_on_the_charts():
    plans = [
        PhasePlan(name="climb", duration=10.0, start=0.0, end=9.0),
        PhasePlan(name="stay", duration=20.0, start=9.0, end=9.0),
    ]
    found = page(replace(SHOP, scenario=replace(SHOP.scenario, phases=plans)))

    assert found.text("text").count("climb") == 3
    assert "phase climb 0 to 9 in 10s" in found.text("tr")


def test_a_page_has_comparisons_and_limits_after_results_and_leads_to_each():
    text = html_report([WORSE, FOUND, SHOP], ["test_a", "test_b", "test_c"])
    found = Page(text)

    assert found.text("title").startswith("3 results - loadkit")
    assert re.findall(r'<h2 id="(r\d)-name"><bdi>(\w+)</bdi></h2>', text) == [
        ("r1", "test_c"),
        ("r2", "test_a"),
        ("r3", "test_b"),
    ]
    links = [one["href"] for tag, one in found.elements if tag == "a"]
    assert links[:3] == ["#r1", "#r2", "#r3"]
    assert set(links[3:]) == {f"#r3-{k}" for k in range(1, 9)}
    ids = [one["id"] for _, one in found.elements if "id" in one]
    assert len(set(ids)) == len(ids)
    assert "test_a WORSE p50 +11.8 % (+7.4 to +16.0), tolerance 5 %" in found.text("tr")
    assert "tree against main (1a2b3c4)" in found.text("header")
