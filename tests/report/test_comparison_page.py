"""The page of a comparison: all that it says is on it, and foreign names are text."""

from __future__ import annotations

import re
from dataclasses import replace as changed

import pytest

from loadkit.judge.comparison.comparison import Comparison, RoundFigures
from loadkit.judge.validity import Caveat
from loadkit.report.html import html_report
from tests.report.comparisons import ERRORS, SEARCH, SLOWER, WORSE, found, hostile_comparison, in_rounds
from tests.report.pages import HOSTILE, ODD, Page
from tests.results import ENVIRONMENT, replace


@pytest.fixture(scope="module")
def worse() -> Page:
    """The page of a comparison that has everything."""
    return Page(html_report([WORSE]))


SAID = [
    ("title", "WORSE tree against main (1a2b3c4) - loadkit"),
    ("h1", "tree against main (1a2b3c4)"),
    ("header", "WORSE p50 +11.8 % (+7.4 to +16.0), tolerance 5 % 12 blocks of 4 rounds in turns, and 4 to confirm"),
    ("dl", "p50 +11.8 % +7.4 to +16.0, tolerance 5 % error rate +0.02 points -0.01 to +0.04, tolerance 0.1 points"),
    ("section", "What decides What decides figure before after change (interval) verdict interval p50 10 ms"),
    ("tr", "p50 10 ms 11.2 ms +11.8 % (+7.4 to +16.0) worse"),
    ("tr", "GET /search: p50 12 ms 12 ms +0.0 % (-1.0 to +1.0) no worse"),
    ("figcaption", "Distribution the old version the new version"),
    ("figcaption", "Percentiles the old version the new version"),
    ("figcaption", "p50 of the response time, round by round median, old: 10 ms median, new: 11.2 ms old new left out"),
    ("text", "to confirm"),
    ("svg", "block 3, new: 11.2 ms; left out: the machine was busy"),
    ("tr", "1 old 1 10 ms 0 %"),
    ("tr", "49 old 1 to confirm 10 ms 0 %"),
    ("li", "the working tree has 1 file that is not committed, and is measured as it is"),
    ("tr", f"system {ENVIRONMENT.system}"),
]


@pytest.mark.parametrize(("tag", "words"), SAID, ids=[row[1] for row in SAID])
def test_a_page_tells(worse: Page, tag: str, words: str):
    assert words in worse.text(tag)


def test_the_verdict_stands_before_the_figures_and_these_before_the_charts():
    text = html_report([WORSE])

    marks = (">WORSE<", 'class="figures"', ">What decides<", "<figure>", ">Also measured<")
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)


def test_a_chart_of_what_was_0_in_each_round_is_left_out(worse: Page):
    assert "Error rate" not in worse.text("figcaption")
    assert worse.count("figure") == 3


def test_each_interval_is_drawn_where_it_is(worse: Page):
    drawn = [one for tag, one in worse.elements if tag == "line" and str(one.get("class")).startswith("reach")]
    middles = [one["cx"] for tag, one in worse.elements if tag == "circle"]

    # of +7.4 % and +16 %, from 20 % below to 20 % above
    assert (drawn[0]["x2"], drawn[1]["x2"], middles[0]) == ("68.5%", "90%", "79.5%")
    assert {one["x1"] for one in drawn[:2]} == {"79.5%"}
    # that of the p99 has no end
    assert [one["x2"] for one in drawn if one["class"] == "reach open"] == ["100%"]


def test_what_a_reader_cannot_see_is_described(worse: Page):
    drawings = [one for tag, one in worse.elements if tag == "svg" and "aria-hidden" not in one and "role" in one]

    assert len(drawings) == worse.count("figure")
    assert all(one["aria-label"] for one in drawings)


TOO_FEW = Caveat("one-round", "too few", "grave")
FAILED = "the new version failed all requests"
KINDS: list[tuple[str, Comparison, list[str]]] = [
    (
        "stored",
        replace(WORSE, in_turns=False, confirming=[], caveats=[Caveat("one-round", "too few", "grave")]),
        ["grave one-round too few"],
    ),
    (
        "no figures",
        found("worse", reason="the new version failed all requests"),
        ["WORSE the new version failed all requests"],
    ),
    ("nothing measured", replace(found("cannot tell", reason="interrupted"), rounds=[]), ["CANNOT TELL interrupted"]),
    (
        "no interval",
        found("worse", changed(SLOWER, low=-float("inf"), high=float("inf")), reason="three times slower or more"),
        ["+11.8 % too few rounds for an interval, tolerance 5 %"],
    ),
]


@pytest.mark.parametrize(("made", "words"), [row[1:] for row in KINDS], ids=[row[0] for row in KINDS])
def test_every_comparison_has_a_page(made: Comparison, words: list[str]):
    shown = Page(html_report([made]))

    assert [text for text in words if text not in shown.text("main")] == []
    assert not {"nan", "inf", "None"} & set(re.findall(r"\w+", shown.text("main")))


def test_where_a_version_failed_altogether_the_errors_are_charted():
    rounds = [
        RoundFigures(version="old", block=0, figures={"error_rate": 0.0}),
        RoundFigures(version="new", block=0, figures={"error_rate": 1.0}),
    ]
    failed = replace(found("worse", reason="the new version failed all requests"), rounds=rounds)

    assert "Error rate, round by round old new" in Page(html_report([failed])).text("figcaption")


def test_a_page_of_very_many_endpoints_and_rounds_is_of_bounded_size():
    many = [changed(SEARCH, metric=changed(SEARCH.metric, label=f"GET /api/{k}")) for k in range(1_200)]
    text = html_report([replace(found("no worse", ERRORS, shown=many), rounds=in_rounds(150))])

    assert "200 more rows in the JSON" in Page(text).text("p")
    assert len(text) < 1_500_000


@pytest.fixture(scope="module")
def plain() -> Page:
    """The page of a comparison that says a plain word wherever it can say anything."""
    return Page(html_report([hostile_comparison("plain")]))


@pytest.mark.parametrize("text", [*HOSTILE, ODD])
def test_hostile_text_is_text(plain: Page, text: str):
    made = html_report([hostile_comparison(text)])
    shown = Page(made)

    assert [tag for tag, _ in shown.elements] == [tag for tag, _ in plain.elements]
    assert [sorted(one) for _, one in shown.elements] == [sorted(one) for _, one in plain.elements]
    assert [char for char in made if not char.isprintable() and char != "\n"] == []
    assert not re.search(r"https?:", made) or "http" in text
