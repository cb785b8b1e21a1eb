"""Ten thousand rows are in each format, and each can be read; what is for people says what it leaves out."""

from __future__ import annotations

import csv
import io
from xml.etree import ElementTree as ET

import pytest

from loadkit.judge.identity import Identity
from loadkit.judge.result import Result
from loadkit.report.formats.csv import row_lines
from loadkit.report.formats.hdr import histogram_log
from loadkit.report.formats.junit import junit
from loadkit.report.formats.prometheus import prometheus
from loadkit.report.html import html_report
from loadkit.report.markdown import LONGEST, markdown
from tests.results import interval, replace, result, row, skewed, times, timing

pytestmark = pytest.mark.slow

MANY = 10_000


@pytest.fixture(scope="module")
def found() -> Result:
    """A result with as many endpoints, in a second that had each of them, and as many steps."""
    one, step = row("GET /", skewed(180, 40, steps=4)), timing(times((900, 3)), kind="step")
    second = interval(0, times((500, 9)))
    names = [f"GET /{number}" for number in range(MANY)]
    return result(
        [replace(one, name=name) for name in names],
        replace(one, name="total"),
        timings=[replace(step, name=name) for name in names],
        intervals=[replace(second, endpoints=[replace(second.total, name=name) for name in names])],
    )


def test_csv(found: Result):
    lines = list(csv.DictReader(io.StringIO(row_lines([found])), quoting=csv.QUOTE_NONNUMERIC))

    assert len(lines) == 1 + 2 * MANY
    assert {line["response_time_max_seconds"] for line in lines[1 : MANY + 1]} == {found.endpoints[0].response_time.max}


def test_junit(found: Result):
    names = {one.get("name") for one in ET.fromstring(junit([found])).iter("property")}

    assert {f"load.step.GET /{number}.p99" for number in range(MANY)} <= names


def test_the_log_of_histograms(found: Result):
    tags = [line.partition(",")[0] for line in histogram_log([found]).splitlines() if line.startswith("Tag=")]

    assert len(set(tags)) == len(tags) == 2 * MANY


@pytest.mark.timeout(300)  # the parser takes 60 us a line
def test_prometheus(found: Result):
    parser = pytest.importorskip("prometheus_client.parser")
    text = prometheus([replace(found, timings=[])])
    families = {one.name: one.samples for one in parser.text_string_to_metric_families(text)}

    assert len(families["loadkit_endpoint_requests"]) == MANY


def test_a_page_takes_no_longer_to_load_than_to_look_at(found: Result):
    text = html_report([found])

    assert "these 1,000 have the highest p99; 9,000 more rows in the JSON" in text
    assert 2_000 < text.count("<tr>") < 2_100
    assert len(text) < 2_000_000


def test_a_page_of_as_many_results_takes_no_longer_either():
    one = result([row("GET /", skewed(180, 40, steps=4))])
    many = [replace(one, identity=Identity(name=f"shop-{number}", plan="0")) for number in range(MANY)]

    text = html_report([*many, replace(many[0], outcome="failed")])

    assert "The first 100 of 10,001 results are shown whole" in text
    assert "9,001 more in the JSON" in text
    assert text.count("<article") == 100
    assert len(text) < 6_000_000


def test_markdown_says_what_it_leaves_out(found: Result):
    text = markdown([found])

    assert len(text) <= LONGEST
    assert "9,960 more rows in the JSON" in text
