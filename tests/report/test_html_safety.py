"""The page needs nothing else, nothing a server says is more than text, and it can be read."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from loadkit.report.html import html_report
from loadkit.report.render import PAGE
from tests.report.pages import DOWN, HOSTILE, ODD, SHOP, Page, hostile, page

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
        assert (PAGE / name).read_text(encoding="utf-8") in made


# -- hostile text


@pytest.fixture(scope="module")
def plain() -> Page:
    """The page of a result that says a plain word wherever it can say anything."""
    return page(hostile("plain"))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text(plain: Page, text: str):
    found = page(hostile(text))

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
    style = (PAGE / "style.css").read_text(encoding="utf-8")
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
