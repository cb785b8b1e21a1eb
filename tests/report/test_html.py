"""The page: all that a result says is on it, it needs nothing else, and nothing a server says is more than text."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from loadkit.judge.result import Caveat, Phase, PhasePlan, Result, Server, Timing, Verdict
from loadkit.report.html import html_report
from loadkit.report.json import dump, load
from tests.judge.made import REFUSED, Shot
from tests.judge.made import result as made
from tests.report.builder import example, interval, replace, result, row, skewed, times

HOME = row("GET /", skewed(180, 74_000))
SEARCH = row(
    "GET /search",
    skewed(420, 25_000, spread=1.8),
    failures={"check": 301},
    failed_statuses={200: 301},
    examples=[example("check", "AssertionError: the search found nothing\nassert []", 301)],
    failure_time=times((430, 301)),
)
TOTAL = row(
    "total",
    skewed(240, 99_001, spread=1.9),
    failures={"check": 301},
    failed_statuses={200: 301},
    examples=SEARCH.examples,
    service_time=skewed(230, 99_000, spread=1.9),
    lateness=times((1.4, 99_000)),
    failure_time=times((430, 301)),
    unsent=1_200,
)
SHOP = result(
    [HOME, SEARCH],
    TOTAL,
    outcome="failed",
    scenario={"rate": 3300.0, "arrivals": "poisson", "max_threads": 200, "seed": 7},
    thresholds=[
        Verdict(threshold="p99 < 250ms", passed=True, value=0.0024, shown="2.4 ms"),
        Verdict(threshold="GET /search: error_rate < 1%", passed=False, value=0.0119, shown="1.19 %"),
    ],
    caveats=[
        Caveat(code="generator-busy", message="loadkit itself used 87 % of a CPU"),
        Caveat(code="same-host", message="the target runs on this machine", level="note"),
    ],
    verdict="doubtful",
    bound_by="generator",
    bound="Bound by the generator: it sent 3,300/s.",
    phases=[
        Phase(name="climb", start=0.0, length=10.0, total=replace(HOME, name="total")),
        Phase(name="stay", start=10.0, length=20.0, total=replace(SEARCH, name="total")),
    ],
    timings=[
        Timing(
            kind="journey",
            name="buy",
            count=41,
            throughput=1.33,
            error_rate=0.0,
            failures={},
            examples=[],
            drained=0,
            cut=0,
            response_time=skewed(5_000, 40, steps=20),
            service_time=skewed(5_000, 40, steps=20),
            failure_time=times(),
        )
    ],
    intervals=[
        replace(
            interval(k, skewed(240, 3_300, steps=20), failures=10),
            endpoints=[
                interval(k, skewed(180, 2_500, steps=20), name="GET /").total,
                interval(k, skewed(420, 800, steps=20), failures=10, name="GET /search").total,
            ],
        )
        for k in range(30)
    ],
    server=Server(cpu_seconds=12.0, peak_memory=64_000_000),
)


class Page(HTMLParser):
    """What a page consists of: its elements with their attributes, and the text of each kind of element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[str] = []
        self.words: dict[str, list[str]] = {}
        self.pieces: list[tuple[list[str], str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in ("meta", "br"):
            self.inside.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.inside, f"nothing is open that </{tag}> ends"
        assert self.inside.pop() == tag

    def handle_data(self, data: str) -> None:
        self.pieces.append((list(self.inside), data))
        for tag in self.inside:
            self.words.setdefault(tag, []).append(data)

    def text(self, tag: str) -> str:
        """All that is written within elements of a kind, with single blanks."""
        return " ".join(" ".join(self.words.get(tag, [])).split())

    def count(self, tag: str) -> int:
        return sum(found == tag for found, _ in self.elements)


def page(*results: Result) -> Page:
    return Page(html_report(results))


@pytest.fixture(scope="module")
def shop() -> Page:
    """The page of a run that has everything."""
    return page(SHOP)


# -- what it says


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ("title", "FAILED browse - loadkit"),
        ("header", "FAILED 1 of 2 thresholds"),
        ("header", "The figures are doubtful, for 1 reason below. Bound by the generator: it sent 3,300/s."),
        ("header", "3,300/s asked in poisson arrivals, 30s, open on up to 200 threads, over sockets"),
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
        ("tr", "GET / 74,001 2,467/s 0 180 us 304 us 472 us 454 us to 472 us 613 us"),
        ("tr", "buy 41 1.33/s 0 5.13 ms 8.96 ms 33.2 ms at least 11.1 ms 33.2 ms"),
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
    ran = made([Shot(), Shot(1, label="b"), Shot(2, failure=REFUSED)], thresholds=("p99 < 1s", "a: failures < 9"))
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


def test_results_may_have_titles_of_their_own():
    found = Page(html_report([SHOP], ["test_shop.py::test_search"]))

    assert found.text("h1") == "test_shop.py::test_search"
    assert "Scenario browse" in found.text("header")


# -- all kinds of results


NOTHING = result(
    [],
    row("total", times()),
    outcome="not-applied",
    verdict="invalid",
    duration=0.0,
    caveats=[Caveat(code="nothing-sent", message="nothing was sent", level="grave")],
)
DOWN = result(
    [
        row(
            "GET /",
            times(),
            failures={"connect": 500},
            examples=[example("connect", "connection refused 127.0.0.1:9", 500, 0.0)],
            failure_time=times((90, 500)),
        )
    ],
    outcome="failed",
    intervals=[interval(k, times(), failures=50) for k in range(10)],
)


@pytest.mark.parametrize(
    ("made", "words", "charts"),
    [
        (NOTHING, ["NOT APPLIED the load asked for", "The figures are invalid, for 1 reason below."], 0),
        (DOWN, ["FAILED not one good reply"], 1),
        (replace(SHOP, outcome="interrupted"), ["INTERRUPTED after 30 s, 1 of 2 thresholds missed so far"], 5),
        (replace(SHOP, duration=math.nan, total=replace(TOTAL, throughput=math.inf)), ["FAILED"], 5),
        (replace(SHOP, total=replace(TOTAL, response_time=replace(TOTAL.response_time, hdr="?"))), ["FAILED"], 5),
        (replace(SHOP, intervals=[], started_at="?"), ["started ?"], 2),
    ],
    ids=["nothing was sent", "nothing came back", "interrupted", "no numbers", "no histogram", "no series, no date"],
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
    limit = Verdict(threshold="GET /: p95 < 1ms", passed=True, value=0.0004, shown="352 us")

    assert "p90 p99 p99, 95 % sure" in page(SHOP).text("th")
    assert "p90 p95 p99 p99, 95 % sure" in page(replace(SHOP, thresholds=[limit])).text("th")


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
    rows = [row(f"GET /api/{k}", times((200 + k, 3))) for k in range(1_001)]

    found = page(result(rows, SHOP.total))

    assert "these 1,000 have the highest p99; 1 more row in the JSON" in found.text("p")
    assert "GET /api/0 " not in found.text("tbody")
    assert "GET /api/1000 3 " in found.text("tbody")


def test_a_long_run_of_many_endpoints_has_a_page_of_bounded_size():
    rows = [row(f"GET /api/{k}", skewed(200 + k, 400, steps=40)) for k in range(200)]
    series = [interval(4 * k, skewed(300 + k % 90, 400, steps=20), failures=k % 3, length=4.0) for k in range(600)]
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


# -- nothing but itself


def test_a_page_asks_for_nothing_and_allows_nothing():
    text = html_report([SHOP, DOWN])
    found = Page(text)

    policies = [one["content"] for tag, one in found.elements if one.get("http-equiv") == "Content-Security-Policy"]
    style, script = (re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL) for tag in ("style", "script"))
    assert len(style) == len(script) == 1
    ours = f"style-src '{sha(style[0])}'; script-src '{sha(script[0])}'"
    assert policies == [f"default-src 'none'; {ours}; base-uri 'none'; form-action 'none'"]
    names = {name for _, attributes in found.elements for name in attributes}
    assert not {name for name in names if name.startswith("on")} | (names & {"style", "src", "srcset", "action"})
    assert all((one["href"] or "").startswith("#") for _, one in found.elements if "href" in one)
    assert not {tag for tag, _ in found.elements} & {"link", "img", "iframe", "object", "embed", "form", "base"}
    assert not re.search(r"url\(|@import|https?:", style[0] + script[0])


def sha(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def test_what_a_page_is_drawn_with_comes_with_the_package():
    made = html_report([SHOP])

    for name in ("style.css", "script.js"):
        file = Path(sys.modules["loadkit.report.html"].__file__ or "").with_name("page") / name
        assert file.read_text(encoding="utf-8") in made


# -- hostile text


SCRIPT = "</script><script>document.title='owned'</script>"
HOSTILE = [
    SCRIPT,
    "\"'><img src=/leak onerror=document.title='owned'>",
    "</style><style>*{display:none}</style>",
    "<!--",
    "]]><svg onload=document.title='owned'>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt;&#0;",
    "javascript:document.title='owned'",
]
ODD = "\x1b[2Jred\x00\x07\x85\u202etfel\u2066\u200f\u2028\ud800 לְהִתְרָאוֹת"


def hostile(text: str) -> Result:
    """A result that says it wherever a result can say anything."""
    endpoint = row(
        text,
        skewed(500, 3_000),
        failures={text: 3},
        failed_statuses={200: 3},
        examples=[example(text, f"first line {text}\n{text}", 3)],
        failure_time=times((900, 3)),
    )
    return replace(
        result(
            [endpoint, replace(endpoint, name=f"other {text}")],
            endpoint,
            scenario={
                "name": text,
                "description": text,
                "base_url": text,
                "think_time": text,
                "arrivals": text,
                "rate": 10.0,
                "options": {text: text},
                "phases": [PhasePlan(name=text, duration=1.0, start=0.0, end=1.0)] * 2,
            },
            environment=dict.fromkeys(("loadkit", "python", "system", "machine", "transport", "clock"), text),
            thresholds=[Verdict(threshold=text, passed=False, value=None, shown=text, implied=True)],
            caveats=[Caveat(code=text, message=text, level="grave")],
            phases=[Phase(name=text, start=0.0, length=1.0, total=endpoint)] * 2,
            timings=[replace(SHOP.timings[0], name=text, failures={text: 1}, examples=[example(text, text)])],
            intervals=[
                replace(interval(k, endpoint.response_time), endpoints=[interval(k, times((500, 9)), name=text).total])
                for k in range(3)
            ],
            bound=text,
        ),
        started_at=text,
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text(text: str):
    plain, found = page(hostile("plain")), page(hostile(text))

    assert [tag for tag, _ in found.elements] == [tag for tag, _ in plain.elements]
    # nowhere but in text and in what is read out
    assert [sorted(one) for _, one in found.elements] == [sorted(one) for _, one in plain.elements]
    assert text in found.text("h1")
    assert text in found.text("pre")
    assert text in found.text("figcaption")
    assert text in found.text("tbody")


def test_what_is_no_plain_character_is_made_visible():
    made = html_report([hostile(ODD)])

    assert [char for char in made if not char.isprintable() and char != "\n"] == []
    assert "\\x1b[2Jred\\x00\\x07\\x85\\u202etfel\\u2066\\u200f\\u2028\\ud800 לְהִתְרָאוֹת" in made
    made.encode("utf-8")


def test_a_name_that_may_run_from_right_to_left_turns_nothing_else_round():
    found = page(hostile("לְהִתְרָאוֹת"))

    # a cell is a paragraph of its own; elsewhere something may follow on the line
    bare = [stack for stack, text in found.pieces if "לְהִתְרָאוֹת" in text and "bdi" not in stack]
    assert {stack[-1] for stack in bare} <= {"td", "title", "text"}
    assert found.text("bdi").count("לְהִתְרָאוֹת") >= 10


def test_long_names_keep_both_ends():
    text = html_report([hostile("a" + "x" * 10_000 + "z")])

    assert len(text) < 400_000
    assert re.search(r"ax{100,130}…x{100,130}z", text)
    assert not re.search(r"x{1100}", text)


# -- to be read


PAGES = [":root {", "(prefers-color-scheme: dark)", "@media print"]


@pytest.mark.parametrize("mode", PAGES)
def test_text_stands_out_from_what_is_behind_it(mode: str):
    """At least 4.5 to 1, as WCAG 2.2 asks of text (1.4.3)."""
    style = Path(sys.modules["loadkit.report.html"].__file__ or "").with_name("page").joinpath("style.css").read_text()
    colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]+)", style[style.index(mode) :].split("}")[0]))
    pairs = [(ink, behind) for ink in ("ink", "faint") for behind in ("back", "sheet", "stripe", "band")]
    pairs += [(tone, behind) for tone in ("good", "bad", "doubt") for behind in (f"{tone}-back", "sheet", "stripe")]
    pairs += [(line, "sheet") for line in ("one", "two", "three", "four", "five")]

    faint = {pair: ratio for pair in pairs if (ratio := contrast(colors[pair[0]], colors[pair[1]])) < 4.5}

    assert faint == {}


def contrast(one: str, other: str) -> float:
    """WCAG's ratio of relative luminances."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(color: str) -> float:
    digits = color[1:] if len(color) == 7 else "".join(digit * 2 for digit in color[1:])
    shares = [int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
