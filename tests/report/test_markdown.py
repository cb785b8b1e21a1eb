"""Reports as Markdown, read with a renderer: the verdict first, valid tables, and foreign text that stays text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace as changed
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from loadkit.judge.limit.limit import Limit
from loadkit.judge.result import Result
from loadkit.judge.validity import Caveat
from loadkit.report.json import Finding
from loadkit.report.markdown import LONGEST, markdown
from tests.report.comparisons import ERRORS, SEARCH, SLOWER, TAIL, THROUGHPUT, found
from tests.report.limits import ENOUGH, FOUND, hostile_limit
from tests.report.pages import DOWN, HOSTILE, NOTHING, ODD, hostile
from tests.report.shop import SHOP
from tests.results import example, replace, result, row, skewed

RENDERER = MarkdownIt("commonmark", {"html": True}).enable("table")

WORSE = found("worse", SLOWER, ERRORS, THROUGHPUT, confirming=4, shown=[TAIL, SEARCH])


class Rendered(HTMLParser):
    """The elements of a rendered document with their text; and the text that is no code."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._inside: list[str] = []
        self.tags: list[str] = []
        self.plain: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(RENDERER.render(text))
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("hr", "br", "img"):
            self._inside.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._inside.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._inside and self._inside[-1] in ("td", "th", "code", "strong") and "tr" in self._inside:
            self.rows[-1][-1] += data
        if "code" not in self._inside:
            self.plain.append(data)


def lines(text: str) -> Iterator[str]:
    return filter(None, text.splitlines())


def test_of_a_comparison_the_verdict_is_first_and_what_decides_nothing_is_folded():
    text = markdown([WORSE])

    first, *_ = lines(text)
    assert first == "### ❌ WORSE: `tree` against `main (1a2b3c4)`"
    places = [
        text.index(part) for part in ("p50 +11.8 % (+7.4 to +16.0), tolerance 5 %", "| `p50` |", "<details>", "`p99`")
    ]
    assert places == sorted(places)
    shown = Rendered(text)
    assert ["p50", "10 ms", "11.2 ms", "+11.8 % (+7.4 to +16.0)", "worse"] in shown.rows
    assert ["GET /search: p50", "12 ms", "12 ms", "+0.0 % (-1.0 to +1.0)", "no worse"] in shown.rows
    assert "12 blocks of 4 rounds in turns, and 4 to confirm; 1m12s in all" in text
    assert "the working tree has 1 file that is not committed" in text


def test_of_a_run_the_outcome_is_first_then_limits_and_figures_and_the_rest_is_folded():
    text = markdown([SHOP])

    assert list(lines(text))[:2] == ["### ❌ FAILED: `browse`", "1 of 3 thresholds"]
    marks = (
        "The figures are **doubtful**, for 1 reason below",
        "`p99 < 250ms`",
        "| `total`",
        "<details>",
        "generator-busy",
    )
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)
    shown = Rendered(text)
    assert ["GET /search: error_rate < 1%", "missed", "1.19 %", "missed by 19 %"] in shown.rows
    assert [
        *("GET /", "74,001", "2,467/s", "0", "200", "", "180 us", "304 us", "352 us", "472 us", "613 us", "1.84 ms")
    ] in shown.rows
    assert "where [] = items()" in text


def test_of_a_limit_the_answer_is_first_then_its_levels_and_the_rest_is_folded():
    text = markdown([FOUND])

    assert list(lines(text))[:2] == ["### ❌ FOUND: `shop.py::browse`", "1,800/s holds; 1,880/s does not"]
    marks = (
        "what gave way first: p99",
        "2,000/s, which was asked for",
        "| `1,840/s`",
        "<details>",
        "| `2`",
        "17 trials",
    )
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)
    assert ["1,800/s", "1,800/s", "20 ms", "80 ms", "0 %", "3", "confirmed"] in Rendered(text).rows
    assert "says nothing of how much is held, and was left out" in text


DOCUMENTS: list[tuple[Result | Finding, str]] = [
    (NOTHING, "### ❌ NOT APPLIED: `browse`"),
    (DOWN, "### ❌ FAILED: `browse`"),
    (replace(SHOP, outcome="interrupted"), "### ⚠️ INTERRUPTED: `browse`"),
    (found("no worse", ERRORS), "### ✅ NO WORSE: `tree` against `main (1a2b3c4)`"),
    (found("cannot tell", THROUGHPUT, reason="interrupted"), "### ⚠️ CANNOT TELL: `tree` against `main (1a2b3c4)`"),
    (ENOUGH, "### ✅ FOUND: `shop.py::browse`"),
    (Limit(name="search", ending="interrupted", reason="by Ctrl-C"), "### ⚠️ INTERRUPTED: `search`"),
    (found("worse", reason="the new version failed all requests"), "### ❌ WORSE: `tree` against `main (1a2b3c4)`"),
]


@pytest.mark.parametrize(("one", "first"), DOCUMENTS, ids=[row[1] for row in DOCUMENTS])
def test_every_verdict_has_its_mark(one: Result | Finding, first: str):
    text = markdown([one])

    assert text.splitlines()[0] == first
    assert Rendered(text).tags[0] == "h3"


def test_why_nothing_is_decided_stands_before_the_figures():
    stored = replace(WORSE, in_turns=False, caveats=[Caveat("one-round", "before.json is one round alone", "grave")])

    text = markdown([stored])

    assert text.index("**grave** `one-round`: before.json is one round alone") < text.index("| `p50`")


def test_a_control_has_a_table_of_its_own():
    moved = replace(found("cannot tell", reason="the control changed"), control=WORSE.p50)

    assert ["p50", "10 ms", "11.2 ms", "+11.8 % (+7.4 to +16.0)", "worse"] in Rendered(markdown([moved])).rows


def test_several_begin_with_a_table_of_them_and_those_that_failed_come_first():
    passed = result([row("GET /", skewed(180, 400))])

    text = markdown([passed, WORSE, SHOP], ["test_a.py::test_home", "test_a.py::test_slower", "test_a.py::test_shop"])

    rows = Rendered(text).rows[:4]
    assert rows == [
        ["", "outcome", ""],
        ["test_a.py::test_slower", "❌ WORSE", "p50 +11.8 % (+7.4 to +16.0), tolerance 5 %"],
        ["test_a.py::test_shop", "❌ FAILED", "1 of 3 thresholds"],
        ["test_a.py::test_home", "✅ PASSED", "no request failed"],
    ]
    assert [line for line in lines(text) if line.startswith("### ")] == [
        "### ❌ WORSE: `test_a.py::test_slower`",
        "### ❌ FAILED: `test_a.py::test_shop`",
        "### ✅ PASSED: `test_a.py::test_home`",
    ]


# -- foreign text

GITHUB = [
    "@somebody and @org/team",
    "#12 GH-12 owner/repo#3",
    "https://evil.example/ www.evil.example ftp://evil.example a@evil.example",
    "[a link](https://evil.example) ![image](https://evil.example/x.png) <https://evil.example>",
    "a | b \\| c \\",
    "`code` ``more`` ```",
    "</details></td></table>",
    "**bold** _soft_ ~~gone~~ $math$ &amp; &#64;somebody",
    "- [ ] item",
    "1. first",
    "# head",
    "a\n\n# head\r\n| a |\n| - |",
    "    indented",
    "---",
    "===",
]


def everywhere(text: str) -> list[Result | Finding]:
    """A result, comparisons and a limit that say it wherever they can say anything."""
    labelled = [changed(one, metric=changed(one.metric, label=text)) for one in (SLOWER, ERRORS)]
    compared = found("worse", *labelled, shown=[SEARCH], new=text, old=text, notes=[text])
    return [
        hostile(text),
        replace(compared, caveats=[Caveat(code=text, message=text, level="grave")]),
        replace(found("cannot tell", reason=text), reason=text),
        hostile_limit(text),
    ]


@pytest.fixture(scope="module")
def plain() -> Rendered:
    """What a plain word makes of it."""
    return Rendered(markdown(everywhere("plain"), ["plain"] * 4))


@pytest.mark.parametrize("text", [*HOSTILE, *GITHUB, ODD])
def test_foreign_text_is_neither_markup_nor_a_mention_nor_a_link(plain: Rendered, text: str):
    shown = Rendered(markdown(everywhere(text), [text] * 4))

    assert shown.tags == plain.tags
    assert [len(cells) for cells in shown.rows] == [len(cells) for cells in plain.rows]
    # GitHub looks for these in the text that is no code
    linked = re.compile(r"(?<!\w)@\w|(?<!&)#\d|\bGH-\d|\w://|\bwww\.|\w@\w", re.IGNORECASE)
    assert [found for found in map(linked.search, shown.plain) if found] == []


def test_code_keeps_what_it_says():
    name = "GET /a|b?c=`d`&e=<f>\\|*"

    text = markdown([result([row(name, skewed(180, 400)), row("GET /", skewed(180, 400))])])

    assert Rendered(text).rows[1][0] == name


# -- size


def test_a_document_fits_into_a_comment_and_says_what_it_leaves_out():
    reasons = [example("check", f"{k}\n" + "\n".join(["x" * 5_000] * 30), 3) for k in range(50)]
    rows = [row(f"GET /{k}/{'y' * 3_000}", skewed(180, 400)) for k in range(50)]
    total = replace(SHOP.total, examples=reasons, failures={"check": 150})
    caveats = [Caveat(code="c" * 900, message="m" * 9_000)] * 90

    text = markdown([result(rows, total, outcome="failed", caveats=caveats)] * 12, ["t" * 2_000] * 12)

    assert LONGEST * 0.5 < len(text) <= LONGEST
    assert text.rstrip().splitlines()[-1] == "_The rest is left out, for a comment takes no more; the JSON has it._"
    assert Rendered(text).tags.count("h3") >= 2


def test_of_very_many_the_table_has_those_that_failed():
    passed = result([row("GET /", skewed(180, 400))])

    text = markdown([*[passed] * 300, SHOP], [f"test_{k}" for k in range(301)])

    assert Rendered(text).rows[1][0] == "test_300"
    assert "\n241 more\n" in text
    assert len(text) <= LONGEST
