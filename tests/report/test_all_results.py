"""The last word on several results: a table, those that failed last, and why they did."""

from __future__ import annotations

import pytest

from loadkit.judge.identity import Identity
from loadkit.judge.result import Result
from loadkit.report.all_results import last_word
from loadkit.report.layout import Layout, display_width
from tests.report.shop import HOME, SHOP
from tests.results import replace, result


def named(name: str, shown: Result = SHOP) -> Result:
    return replace(shown, identity=Identity(name=f"shop.py::{name}", plan=name))


GOOD = result([HOME])
ALL = [
    named("browse"),
    named("home", GOOD),
    named("down", replace(GOOD, outcome="failed", thresholds=[])),
    named("again", GOOD),
]
BROKEN = {"broken.py": "broken.py:3: '[' was never closed: x = [", "setup.py::s": "the set-up failed:\n  at setup.py:2"}

AT_80 = """\
result             outcome   figures   errors     p50     p95     p99
  shop.py::home     PASSED     clean      0 %  180 us  352 us  472 us
  shop.py::again    PASSED     clean      0 %  180 us  352 us  472 us
  shop.py::browse   FAILED  doubtful  0.293 %  180 us  900 us  2.4 ms
  shop.py::down     FAILED     clean      0 %  180 us  352 us  472 us

FAILED shop.py::browse: GET /search: error_rate < 1%: 1.19 %
FAILED shop.py::down: requests failed
ERROR broken.py:3: '[' was never closed: x = [
ERROR setup.py::s: the set-up failed: at setup.py:2
2 failed, 2 error, 2 passed"""


def test_those_that_failed_are_last_and_say_why() -> None:
    assert last_word(Layout(width=80), ALL, BROKEN) == AT_80


def test_where_each_was_sent_once_there_are_no_figures() -> None:
    assert last_word(Layout(width=80), ALL[1:2], {}, once=True) == "1 sound"


@pytest.mark.parametrize("width", [60, 80, 140])
def test_no_line_is_wider_than_the_paper(width: int) -> None:
    text = last_word(Layout(width=width), [*ALL, named("x" * 200)], {"a" * 100: "b" * 300})
    assert max(map(display_width, text.splitlines())) <= width
