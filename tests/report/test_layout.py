"""Text in lines that fit, whatever it is and however long."""

from __future__ import annotations

import time

import pytest

from loadkit.report.layout import LONGEST, Layout, display_width
from loadkit.report.text import text_report
from tests.results import example, result, row, times

LAYOUT = Layout(width=80)


@pytest.mark.parametrize("char", ["x", "é", "漢", "\x1b", "e\u0301"])
@pytest.mark.parametrize("width", [60, 80, 140])
def test_a_word_that_does_not_fit_is_broken_where_the_line_ends(char: str, width: int):
    word = char * 300
    lines = Layout(width=width).wrap(Layout(width=width).escape(word), first="> ", margin="  ")

    assert all(display_width(line) <= width for line in lines)
    assert min(display_width(line) for line in lines[:-1]) >= width - 3
    assert "".join(line[2:] for line in lines) == Layout(width=width).escape(word)


def test_a_wide_character_is_not_cut_in_two_by_a_narrow_room():
    assert Layout(width=10).wrap("漢漢漢漢漢", first="-", margin="-") == ["-漢漢漢漢", "-漢"]


@pytest.mark.parametrize(
    ("length", "shown"), [(LONGEST, LONGEST), (LONGEST + 1, LONGEST + 1), (1_000_000, LONGEST + 1)]
)
def test_of_a_text_of_many_pages_both_ends_are_shown(length: int, shown: int):
    text = LAYOUT.escape("a" + "x" * (length - 2) + "z")

    assert len(text) == shown
    assert (text[0], text[-1], "…" in text) == ("a", "z", length > LONGEST)


@pytest.mark.parametrize("char", ["x", "é", "\x1b"])
def test_a_report_of_long_words_is_made_in_no_time(char: str):
    word = char * 200_000
    failed = row("GET /", times((500, 3)), failures={"check": 1}, examples=[example("check", word)])
    made = result([failed], scenario={"description": word, "name": word})

    began = time.process_time()
    text = text_report(made, Layout(width=80))

    assert time.process_time() - began < 5, "it was over a minute"
    assert max(map(display_width, text.splitlines())) <= 80
    assert len(text) < 40_000
