"""JUnit XML has a case for each threshold and verdict, keeps to the schema, and holds the figures of the report."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from loadkit.judge.result import Result
from loadkit.report.formats.junit import junit
from loadkit.report.json import Finding
from tests.report.comparisons import ERRORS, SLOWER, THROUGHPUT, found
from tests.report.limits import FOUND, hostile_limit
from tests.report.pages import DOWN, HOSTILE, NOTHING, ODD, SHOP, hostile
from tests.results import replace, result, row, skewed

SCHEMA = Path(__file__).with_name("junit.xsd")

GITHUB = "::error::x\n##[error]y"


def check(text: str) -> ET.Element:
    """The document, if the schema allows it and the counts are those of its cases."""
    schema = pytest.importorskip("xmlschema").XMLSchema(SCHEMA)
    schema.validate(text)
    root = ET.fromstring(text)
    for suite in root:
        cases = suite.findall("testcase")
        for name, tag in (("failures", "failure"), ("skipped", "skipped")):
            assert suite.get(name) == str(sum(case.find(tag) is not None for case in cases))
        assert suite.get("tests") == str(len(cases))
    assert root.get("tests") == str(len(list(root.iter("testcase"))))
    assert root.get("failures") == str(len(list(root.iter("failure"))))
    return root


def endings(root: ET.Element) -> dict[str, str]:
    """How each case came out, by its name."""
    cases = root.iter("testcase")
    return {
        case.get("name", ""): next((f"{one.tag}: {one.get('message')}" for one in case), "passed") for case in cases
    }


def test_thresholds_are_cases_and_figures_are_properties():
    root = check(junit([SHOP]))

    [suite] = root
    assert (suite.get("name"), suite.get("time"), suite.get("errors")) == (SHOP.title, "30.000", "0")
    assert endings(root) == {
        "p99 < 250ms": "passed",
        "GET /search: error_rate < 1%": "failure: GET /search: error_rate < 1%: 1.19 %",
        "run": "passed",
    }
    figures = {one.get("name"): one.get("value") for one in root.iter("property")}
    assert (figures["load.outcome"], figures["load.requests"]) == ("failed", str(SHOP.requests))
    assert float(figures["load.p99"] or "") == SHOP.p99
    assert float(figures["load.journey.buy.p99_9"] or "") == SHOP.timing("buy").percentile(99.9)


PASSED = result([row("GET /", skewed(180, 400))])
ENDINGS: list[tuple[Result | Finding, dict[str, str], str]] = [
    (PASSED, {"run": "passed"}, "without a threshold"),
    (DOWN, {"run": "failure: FAILED: not one good reply"}, "without a threshold, and without a reply"),
    (
        NOTHING,
        {"run": "failure: NOT APPLIED: the load asked for was not put on the target"},
        "never green, whatever its thresholds say",
    ),
    (
        replace(SHOP, outcome="interrupted", thresholds=[]),
        {"run": "failure: INTERRUPTED: after 30 s"},
        "of which nothing was missed so far",
    ),
    (
        found("worse", SLOWER, ERRORS),
        {
            "verdict": "failure: WORSE: p50 +11.8 % (+7.4 to +16.0), tolerance 5 %",
            "p50": "failure: +11.8 % (+7.4 to +16.0), tolerance 5 %",
        },
        "a comparison",
    ),
    (FOUND, {"verdict": "failure: FOUND: 1,800/s holds; 1,880/s does not"}, "a limit below what was asked for"),
]


@pytest.mark.parametrize(("one", "cases", "why"), ENDINGS, ids=[row[2] for row in ENDINGS])
def test_what_did_not_pass_is_a_failure(one: Result | Finding, cases: dict[str, str], why: str):
    found = endings(check(junit([one])))

    assert cases.items() <= found.items(), why


def test_what_cannot_be_told_is_skipped():
    undecided = found("cannot tell", THROUGHPUT, reason="too few rounds")

    assert endings(check(junit([undecided])))["verdict"].startswith("skipped: CANNOT TELL: too few rounds")


def test_what_was_not_run_is_a_failure_of_its_own():
    root = check(junit([PASSED], errors={"shop.py::order": "the setup of the scenario failed: KeyError"}))

    assert [suite.get("name") for suite in root] == [PASSED.title, "shop.py::order"]
    assert endings(root)["run"] == "failure: the setup of the scenario failed: KeyError"


@pytest.mark.parametrize("text", [*HOSTILE, ODD, "\x00\ufffe\uffff", "\udcff", "a\n\r\tb", "]]>", GITHUB])
def test_hostile_text_is_text(text: str):
    comparison = found("cannot tell", SLOWER, reason=text, new=text, old=text)
    plain = check(junit([hostile("plain"), found("cannot tell", SLOWER, reason="plain"), hostile_limit("plain")]))

    root = check(junit([hostile(text), comparison, hostile_limit(text)], errors={}))

    assert [one.tag for one in root.iter()] == [one.tag for one in plain.iter()]
    words = [value for one in root.iter() for value in one.attrib.values()]
    assert all(word.isprintable() for word in words)
