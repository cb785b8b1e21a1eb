"""The text of a limit, to the letter, and its progress."""

from __future__ import annotations

import dataclasses
import io

import pytest

from loadkit.judge.limit.limit import Limit
from loadkit.judge.limit.search import SearchMoment
from loadkit.judge.limit.trials import NextTrial, Observed, Trial
from loadkit.plan.threshold import threshold
from loadkit.report.layout import Layout, display_width
from loadkit.report.limit import limit_progress, limit_report
from loadkit.report.progress import show_progress
from tests.report.limits import ENOUGH, FOUND, P99, hostile_limit, level, searched_by_rate, searched_by_threads
from tests.report.pages import HOSTILE, ODD
from tests.results import replace

TEXT = """\
== shop.py::browse: the highest rate that holds ================================
  p99 < 100ms; error_rate < 0.1%; 17 trials in 2m23s

FOUND: 1,800/s holds; 1,880/s does not
  what gave way first: p99 < 100ms (212 ms)
  2,000/s, which was asked for, is not confirmed

p99 of the response time, over arrivals a second
  500 ms |                                                              :  :   !
         |                                                              :  :
  200 ms |                                                              :  x
  100 ms |--------------------------------------------------------------:?-:----
         |                                                              @  :
   50 ms |                                                              :  :
         |                                                              :  :
   20 ms |                                  o                           :  :
   10 ms |                                                              :  :
         |                                                              :  :
    5 ms |                 o                                            :  :
         +----------------------------------------------------------------------
          0               500             1,000             1,500          2,000
  o holds   @ confirmed   ? unclear   x missed   ! inconclusive   - p99 < 100ms
  : confirmed: 1,800/s (80 ms)   : missed: 1,880/s (200 ms)

rate       good replies      p50     p99  errors  trials         known
  500/s           500/s  1.25 ms    5 ms     0 %       2         holds
  1,000/s       1,000/s     5 ms   20 ms     0 %       2         holds
  1,800/s       1,800/s    20 ms   80 ms     0 %       3     confirmed
  1,840/s       1,840/s  25.2 ms  101 ms     0 %       4       unclear
  1,880/s       1,840/s    50 ms  200 ms     0 %       2        missed
  2,000/s       1,700/s   100 ms  400 ms     0 %       2  inconclusive
  2,000/s is inconclusive: loadkit itself was the limit

closed threads    good replies   p50   p99  errors  trials
  1                      250/s  1 ms  4 ms     0 %       1
  2                      480/s  1 ms  4 ms     0 %       1

  - the threshold 'throughput > 500/s' says nothing of how much is held, and was
    left out"""

THREADS = """\
Good replies a second, over threads
  100/s |              :
        |              :
   80/s |--------------@-------------o---------------------------o--------------
        |              :
   60/s |              :
        |              :
   40/s |       o      :
        |              :
   20/s |    o         :
        |              :
      0 |              :
        +-----------------------------------------------------------------------
         0                 5               10               15                20
  o measured   @ enough   - 95 % of the best   : enough: 4 threads
  : knee: 4.1 threads
"""


def test_a_limit_is_told_as_an_answer_a_picture_and_its_levels():
    assert limit_report(FOUND, Layout(width=80, ascii=True)) == TEXT


def test_of_threads_the_picture_is_of_the_throughput():
    assert THREADS in limit_report(ENOUGH, Layout(width=80, ascii=True))


def test_threads_are_counted_in_one_form():
    text = limit_report(replace(ENOUGH, closed=[*ENOUGH.closed, level(1024, "holds", 0.4)]), Layout(width=80))

    assert "\n  1,024  " in text
    assert "1024" not in text


def test_a_percentile_that_is_limited_has_a_column_and_what_gave_way_the_picture():
    failed = replace(
        level(1880, "missed", 0.2), missed=["error_rate < 0.1%"], values={"p95 < 1s": 0.1, "error_rate < 0.1%": 0.04}
    )
    found = replace(FOUND, thresholds=["p95 < 1s", "error_rate < 0.1%"], levels=[failed])

    text = limit_report(found, Layout(width=80))

    assert "Error rate, over arrivals a second" in text
    assert "p95" in text.split("rate  ")[1].splitlines()[0]


LIMITS = {
    "by rate": searched_by_rate(),
    "by threads": searched_by_threads(),
    "nothing measured": Limit(ending="interrupted", reason="it was interrupted"),
    "far apart": replace(FOUND, levels=[level(0.001, "holds", 0.0), level(1e12, "missed", 1e12)], thresholds=[P99]),
    "all alike": replace(FOUND, levels=[level(0.0, "missed", 5e-324)], confirmed=0.0, failed=5e-324),
    "hostile": hostile_limit(" ".join([*HOSTILE, ODD])),
    "of very many levels": replace(FOUND, levels=[level(k, "unclear", 0.1) for k in range(1_000)]),
}


@pytest.mark.parametrize("width", [60, 80, 140])
@pytest.mark.parametrize("name", LIMITS)
def test_every_limit_fits_in_the_layout(name: str, width: int):
    text = limit_report(LIMITS[name], Layout(width=width))

    assert max(map(display_width, text.splitlines())) <= width
    assert len(text.splitlines()) < 120
    assert [char for char in text if not char.isprintable() and char != "\n"] == []
    assert limit_report(LIMITS[name], Layout(width=width, ascii=True)).isascii()


CLOSED = NextTrial(level=4, seconds=1, reason="what closed threads get", is_closed=True)
OPEN = NextTrial(level=1800, seconds=4, reason="between")
SLOW = Trial(
    level=1800, seconds=4, cost=4, throughput=1790, observed=(Observed(threshold=threshold(P99), value=0.212),)
)
MOMENTS: list[tuple[SearchMoment, str, list[str]]] = [
    (
        SearchMoment(next_trial=CLOSED, elapsed=0, budget=300),
        "[0s of 5m] 4 threads (what closed threads get)",
        ["5m left"],
    ),
    (
        SearchMoment(next_trial=OPEN, elapsed=60.4, budget=300, holds=1600.0, fails=2000.0),
        "[1m of 5m] 1,800/s (between)",
        ["4m left", "between 1,600/s and 2,000/s"],
    ),
    (
        SearchMoment(
            next_trial=OPEN, elapsed=64, budget=300, trial=SLOW, holding="unclear", holds=1600.0, fails=2000.0
        ),
        "[1m4s of 5m] 1,800/s (between)",
        ["trial missed p99 212 ms", "1,800/s is unclear so far", "3m56s left", "between 1,600/s and 2,000/s"],
    ),
    (
        SearchMoment(next_trial=OPEN, elapsed=64, budget=60, trial=dataclasses.replace(SLOW, unsound="loadkit was")),
        "[1m4s of 1m] 1,800/s (between)",
        ["trial not counted", "0s left"],
    ),
    (
        SearchMoment(next_trial=OPEN, elapsed=30, budget=60, confirmed=1600.0, holds=1600.0),
        "[30s of 1m] 1,800/s (between)",
        ["30s left", "1,600/s confirmed", "above 1,600/s"],
    ),
    (
        SearchMoment(next_trial=CLOSED, elapsed=5, budget=60, trial=SLOW, threads=12),
        "[5s of 1m] 4 threads (what closed threads get)",
        ["1,790/s good", "55s left", "so far 12 threads"],
    ),
    (
        SearchMoment(next_trial=OPEN, elapsed=70, budget=120, is_recovering=True),
        "[1m10s of 2m] 1,800/s (waiting until the server has recovered)",
        ["50s left"],
    ),
]


@pytest.mark.parametrize(("moment", "heading", "figures"), MOMENTS, ids=[", ".join(row[2]) for row in MOMENTS])
def test_progress_says_which_level_why_what_it_came_to_and_what_is_left(
    moment: SearchMoment, heading: str, figures: list[str]
):
    status = limit_progress(moment)

    assert (status.heading, list(status.figures)) == (heading, figures)


def test_a_log_has_a_line_a_level_that_ends_with_what_it_came_to():
    log = io.StringIO()
    with show_progress(log, limit_progress) as show:
        for moment, *_ in MOMENTS[:3]:
            show(moment)

    assert log.getvalue().splitlines() == [
        "[0s of 5m] 4 threads (what closed threads get): 5m left",
        (
            "[1m4s of 5m] 1,800/s (between): trial missed p99 212 ms, 1,800/s is unclear so far, 3m56s left, "
            "between 1,600/s and 2,000/s"
        ),
    ]
