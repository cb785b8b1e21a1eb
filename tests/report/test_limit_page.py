"""The page of a limit: all that it says is on it, each level leads to its trials, and foreign names are text."""

from __future__ import annotations

import re

import pytest

from loadkit.judge.limit.limit import Limit
from loadkit.report.html import html_report
from tests.report.limits import ENOUGH, FOUND, P99, SCALING, hostile_limit, level, searched_by_rate, searched_by_threads
from tests.report.pages import HOSTILE, ODD, Page
from tests.results import ENVIRONMENT, replace


@pytest.fixture(scope="module")
def found() -> Page:
    """The page of a limit that has everything."""
    return Page(html_report([FOUND]))


@pytest.fixture(scope="module")
def enough() -> Page:
    """The page of a search for threads."""
    return Page(html_report([ENOUGH]))


SAID = [
    ("title", "FOUND shop.py::browse: the highest rate that holds - loadkit"),
    ("header", "1,800/s FOUND 1,800/s holds; 1,880/s does not what gave way first: p99 < 100ms (212 ms)"),
    ("header", "2,000/s, which was asked for, is not confirmed"),
    ("dl", "p99 of the response time at 1,800/s 80 ms p99 < 100ms"),
    ("dl", "lowest rate that is missed 1,880/s p99 < 100ms (212 ms)"),
    ("figcaption", "p99 of the response time holds confirmed unclear missed inconclusive each trial p99 < 100ms"),
    ("figcaption", "confirmed: 1,800/s (80 ms) missed: 1,880/s (200 ms) logarithmic scale"),
    ("figcaption", "Good replies a second"),
    ("svg", "1,840/s: 101 ms, unclear"),
    ("tr", "1,840/s 1,840/s 25.2 ms 101 ms 0 % 4 unclear"),
    ("section", "2,000/s is inconclusive: loadkit itself was the limit"),
    ("tr", "2 480/s 1 ms 4 ms 0 % 1"),
    ("details", "1,880/s: missed Trials at 1,880/s"),
    ("tr", "2 4 s 1,840/s 50 ms 100 ms 200 ms 66.7 ms 0 % 200: 7,520 missed p99 < 100ms"),
    ("tr", "not counted: loadkit itself was the limit"),
    ("li", "the threshold 'throughput > 500/s' says nothing of how much is held, and was left out"),
    ("tr", f"system {ENVIRONMENT.system}"),
]
SAID_OF_THREADS = [
    ("header", "4 threads FOUND 4 threads are enough: 80/s"),
    ("dl", "throughput 80/s 97.6 % of the best, 82/s p50 response time 55 ms"),
    ("figcaption", "Good replies a second measured enough each trial 95 % of the best enough: 4 threads"),
    ("dl", "knee 4.1 threads with more, requests wait for each other"),
    ("figcaption", "knee: 4.1 threads"),
    ("figcaption", "p99 of the response time"),
    ("svg", "8 threads: 82/s"),
    ("tr", "4 80/s 55 ms 220 ms 0 % 2 enough"),
    ("details", "4 threads: enough Trials at 4 threads"),
]


@pytest.mark.parametrize(("tag", "words"), SAID, ids=[row[1] for row in SAID])
def test_a_page_tells(found: Page, tag: str, words: str):
    assert words in found.text(tag)


@pytest.mark.parametrize(("tag", "words"), SAID_OF_THREADS, ids=[row[1] for row in SAID_OF_THREADS])
def test_a_page_of_threads_tells(enough: Page, tag: str, words: str):
    assert words in enough.text(tag)


def test_each_mark_and_each_row_leads_to_the_trials_of_its_level(found: Page):
    parts = [one["id"] for tag, one in found.elements if tag == "details"]
    links = [one["href"] for tag, one in found.elements if tag == "a"]

    assert parts == [f"r1-{k}" for k in range(1, 9)], "six rates, and two numbers of threads"
    of_one_chart = [f"#r1-{k}" for k in range(1, 7)]
    assert links == [*of_one_chart, *of_one_chart, *of_one_chart, "#r1-7", "#r1-8"]


def test_the_scalability_law_is_drawn_as_far_as_it_describes():
    shown = Page(html_report([SCALING]))

    assert "Universal Scalability Law" in shown.text("figcaption")
    assert "Universal Scalability Law: sigma 0.16 (0.15 to 0.17)" in shown.text("header")
    dashed = next(
        one for tag, one in shown.elements if tag == "path" and "fifth" in str(one["class"]) and "L" in str(one["d"])
    )
    end = float(str(dashed["d"]).rsplit("L", 1)[1].split()[0])
    # on a logarithmic axis from 1 to 100
    assert 100 ** (end / 1_000) == pytest.approx(2 * 32, rel=0.01)


def test_what_is_known_of_a_level_is_told_apart_by_more_than_colour(found: Page):
    drawn = [
        str(one["class"]).split()[1] for tag, one in found.elements if tag == "path" and "mark" in str(one["class"])
    ]

    assert set(drawn) == {"dot", "diamond", "ring", "cross", "triangle"}


def test_what_a_reader_cannot_see_is_described(found: Page):
    drawings = [one for tag, one in found.elements if tag == "svg" and one.get("role")]

    assert str(drawings[0]["aria-label"]).startswith("p99 of the response time: 500/s: 5 ms, holds; 1,000/s")
    assert len(drawings) == found.count("figure") == 2


def test_the_answer_stands_before_the_charts_and_these_before_the_levels():
    text = html_report([FOUND])

    marks = ('class="answer', 'class="figures"', "<figure>", ">Rates<", "<details")
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)


LIMITS: list[tuple[str, Limit, str]] = [
    ("by rate", searched_by_rate(), "FOUND"),
    ("by threads", searched_by_threads(), "threads are enough"),
    (
        "threads that more may surpass",
        replace(ENOUGH, ending="at least", reason="no more than 16 threads are tried"),
        "more than 2 threads are needed AT LEAST more than 2 threads are needed; 4 threads get 80/s, 98 % of the best",
    ),
    (
        "threads of which nothing can be told",
        replace(ENOUGH, threads=None, best=None, knee=None, ending="cannot tell", reason="trials scatter"),
        "how many threads are enough CANNOT TELL trials scatter 10 trials in 1m1s Charts",
    ),
    ("nothing measured", Limit(ending="interrupted", reason="it was interrupted"), "INTERRUPTED"),
    (
        "never missed",
        replace(FOUND, ending="at least", failed=None, reason="no higher rate is tried"),
        "at least 1,800/s AT LEAST",
    ),
    (
        "missed at once",
        replace(FOUND, ending="missed", confirmed=None, failed=500.0, levels=[level(500, "missed", 0.3)]),
        "less than 500/s MISSED",
    ),
    ("far apart", replace(FOUND, levels=[level(0.001, "holds", 0.0), level(1e12, "missed", 1e12)]), "FOUND"),
    ("all alike", replace(FOUND, levels=[level(0.0, "missed", 5e-324)], confirmed=0.0, failed=5e-324), "FOUND"),
    (
        "only failures",
        replace(FOUND, levels=[replace(level(500, "missed", 0.3), values={}, figures={"error_rate": 1.0})]),
        "500/s 500/s - - 100 % 2 missed",
    ),
]


@pytest.mark.parametrize(("made", "words"), [row[1:] for row in LIMITS], ids=[row[0] for row in LIMITS])
def test_every_limit_has_a_page(made: Limit, words: str):
    shown = Page(html_report([made]))

    assert words in shown.text("main")
    assert not {"nan", "inf", "None"} & set(re.findall(r"\w+", shown.text("main")))


def test_a_page_of_very_many_levels_and_trials_is_of_bounded_size():
    many = [level(k + 1.0, "unclear", 0.1, trials=1_000) for k in range(100)]
    text = html_report([replace(FOUND, levels=many, thresholds=[P99])])

    assert "40 more in the JSON" in Page(text).text("p")
    assert len(text) < 700_000


@pytest.fixture(scope="module")
def plain() -> Page:
    """The page of a limit that says a plain word wherever it can say anything."""
    return Page(html_report([hostile_limit("plain")]))


@pytest.mark.parametrize("text", [*HOSTILE, ODD])
def test_hostile_text_is_text(plain: Page, text: str):
    made = html_report([hostile_limit(text)])
    shown = Page(made)

    assert [tag for tag, _ in shown.elements] == [tag for tag, _ in plain.elements]
    assert [sorted(one) for _, one in shown.elements] == [sorted(one) for _, one in plain.elements]
    assert [char for char in made if not char.isprintable() and char != "\n"] == []
    assert not re.search(r"https?:", made) or "http" in text


def test_labels_of_an_axis_that_would_touch_on_a_telephone_are_marked():
    far = replace(FOUND, levels=[level(500, "holds", 0.01), level(9_000, "missed", 0.2)])
    shown = Page(html_report([far]))

    spare = [one for tag, one in shown.elements if tag == "text" and one.get("class") == "spare"]
    assert [one["x"] for one in spare] == ["80%", "80%"], "8,000 beside 10,000, of two charts"
