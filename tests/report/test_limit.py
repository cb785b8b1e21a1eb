"""The text of a limit, to the letter, and its progress."""

from __future__ import annotations

import pytest

from loadkit.judge.limit.limit import Limit, LimitLevel
from loadkit.judge.limit.search import SearchMoment
from loadkit.judge.limit.trials import NextTrial
from loadkit.report.layout import Layout, display_width
from loadkit.report.limit import limit_progress, limit_report


def level(rate: float, holding, p99: float, *, throughput: float | None = None) -> LimitLevel:
    figures = {"p50": p99 / 4, "p99": p99, "error_rate": 0.0}
    return LimitLevel(level=rate, holding=holding, missed=[], throughput=throughput or rate, figures=figures, trials=[])


FOUND = Limit(
    name="shop.py::browse",
    thresholds=["p99 < 100ms", "error_rate < 0.1%"],
    ending="found",
    reason="",
    confirmed=1800.0,
    failed=1880.0,
    gave_way="p99 < 100ms (212 ms)",
    levels=[level(1000, "holds", 0.02), level(1800, "holds", 0.08), level(1880, "missed", 0.2, throughput=1840)],
    closed=[level(1, "unclear", 0.004, throughput=250)],
    at_least=2000.0,
    seconds=143.0,
    notes=["the threshold 'throughput > 500/s' says nothing of how much is held, and was left out"],
)

TEXT = """\
== shop.py::browse: the highest rate that holds ====================================================
  p99 < 100ms; error_rate < 0.1%; 0 trials in 2m23s

FOUND: 1,800/s holds; 1,880/s does not
  what gave way first: p99 < 100ms (212 ms)
  2,000/s, which was asked for, is not confirmed
"""


def test_a_limit_is_told_as_an_answer_and_its_levels():
    text = limit_report(FOUND, Layout(width=100, ascii=True))
    assert text.startswith(TEXT)
    rows = [line.split() for line in text.splitlines() if "/s" in line and "ms" in line and "<" not in line]
    assert [(one[0], one[1]) for one in rows] == [
        ("1,000/s", "1,000/s"),
        ("1,800/s", "1,800/s"),
        ("1,880/s", "1,840/s"),
        ("1", "250/s"),
    ]
    assert text.rstrip().endswith("left out")


@pytest.mark.parametrize("width", [60, 80, 140])
def test_no_line_is_wider_than_the_layout(width):
    text = limit_report(FOUND, Layout(width=width))
    assert max(map(display_width, text.splitlines())) <= width


def test_progress_says_which_level_why_and_what_is_left_of_the_budget():
    wanted = NextTrial(level=1800, seconds=4, reason="between")
    moment = SearchMoment(next_trial=wanted, elapsed=60.4, budget=300, confirmed=None, holds=1600.0, fails=2000.0)
    status = limit_progress(moment)
    assert status.heading == "[1m, 4m left] 1,800/s (between)"
    assert status.figures == ["4m left", "1,600/s holds", "2,000/s does not"]
    closed = NextTrial(level=4, seconds=1, reason="what closed threads get", is_closed=True)
    first = SearchMoment(next_trial=closed, elapsed=0, budget=300, confirmed=None, holds=None, fails=None)
    assert limit_progress(first).stage == "threads: 4 (what closed threads get)"
