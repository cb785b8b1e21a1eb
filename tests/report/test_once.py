"""What `--once` prints fits any terminal, and foreign text does nothing in it."""

from __future__ import annotations

import re

import pytest

from loadkit.judge.rows import FailureExample
from loadkit.report.layout import Layout, display_width
from loadkit.report.once import once_report
from loadkit.wire.failed_reply import FailedReply
from tests.report.shop import HOME, SHOP
from tests.results import replace

HOSTILE = "::error::forged\n::error::forged\r\n##vso[task.complete]\x1b[2J\x9b31m\u202e"


@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_no_line_is_wider_than_the_paper(width: int, ascii_only: bool):
    long = replace(SHOP, endpoints=[*SHOP.endpoints, replace(HOME, name="GET /" + "very/long/" * 20)])

    text = once_report(long, Layout(width=width, ascii=ascii_only))

    assert max(map(display_width, text.splitlines())) <= width
    assert text.isascii() is ascii_only


def test_the_marks_have_words_where_the_terminal_has_none_and_colours_where_it_has():
    plain, coloured = (
        once_report(SHOP, layout) for layout in (Layout(width=80, ascii=True), Layout(width=80, color=True))
    )

    assert "\n  ok   GET /" in plain
    assert "\n  FAIL buy: POST /orders" in plain
    assert "\x1b[31m✗\x1b[0m buy: POST /orders" in coloured


def test_foreign_text_does_nothing():
    reply = FailedReply(method="GET", url=HOSTILE, status=500, headers={}, body=HOSTILE)
    failed = [FailureExample(kind=HOSTILE, message=HOSTILE, count=1, first_at=0.1, reply=reply)]
    hostile = replace(HOME, name=HOSTILE, failures={HOSTILE: 1}, examples=failed)

    text = once_report(replace(SHOP, endpoints=[hostile]), Layout(width=80))

    assert all(char.isprintable() for line in text.split("\n") for char in line)
    assert not [line for line in text.split("\n") if line.lstrip().startswith("::") or re.search(r"##\w*\[", line)]
