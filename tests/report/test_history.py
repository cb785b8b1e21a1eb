"""The history of runs as text and as CSV: a row a run, a mark where a level began, and what it was."""

from __future__ import annotations

import csv
import io

import pytest

from loadkit.judge.comparison.blocks import Metric
from loadkit.judge.history.series import series_of
from loadkit.report.history import history_csv, history_report
from loadkit.report.layout import Layout
from tests.judge.history.kept import GET, kept, runs
from tests.results import ENVIRONMENT, replace

METRICS = [Metric("throughput"), Metric("p50"), Metric("error_rate")]
[STEP] = series_of([*runs([10.0] * 9), *runs([11.0] * 3, first=9), replace(kept(12), outcome="interrupted")])
LAYOUT = Layout(width=90)


def test_a_series_is_a_table_with_a_mark_where_a_level_began():
    report = history_report([STEP], METRICS, last=6, layout=LAYOUT)

    assert (
        f"{report}\n"
        == """\
━━ shop.py::browse ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
  the last 6 of 13 runs of series db0cbc17: 16 threads, 30s, closed
  2 CPUs, Linux 6.8, CPython 3.12.3, loadkit 0.1.0

figure        over time  lowest  highest
  throughput     ██▁▁▁   90.5/s   99.8/s
  p50            ▁▁███    10 ms    11 ms
  errors         ▁▁▁▁▁      0 %      0 %

run                    revision  branch  throughput      p50  errors      outcome
  2026-05-11 10:15:03   0000007    main      99.8/s    10 ms     0 %       passed
  2026-05-12 10:15:03   0000008    main      99.6/s    10 ms     0 %       passed
  2026-05-13 10:15:03   0000009    main    ▼ 90.9/s  ▲ 11 ms     0 %       passed
  2026-05-14 10:15:03   000000a    main      90.7/s    11 ms     0 %       passed
  2026-05-15 10:15:03   000000b    main      90.5/s    11 ms     0 %       passed
  2026-05-16 10:15:03   1a2b3c4    main           -        -       -  interrupted

change points
  throughput -9.1 % from 0000009 of 2026-05-13 10:15:03 on: 99.8/s, then 90.7/s in 3 runs
  p50 +10.0 % from 0000009 of 2026-05-13 10:15:03 on: 10 ms, then 11 ms in 3 runs

A change point says that a figure had another level from that run on, not why: the machine
changes, too. Whether a version is slower is for loadkit compare to decide.
"""
    )


def test_in_ascii_there_are_bars_and_marks_too():
    report = history_report([STEP], METRICS, last=6, layout=Layout(width=90, ascii=True))
    assert report.isascii()
    assert "^ 11 ms" in report
    assert "v 90.9/s" in report


@pytest.mark.parametrize("width", [60, 80, 140])
def test_no_line_is_wider_than_the_layout(width):
    [series] = series_of([kept(day, name="shop.py::" + "long" * 50) for day in range(3)])
    report = history_report([series], METRICS, last=20, layout=Layout(width=width))
    assert max(map(len, report.splitlines())) <= width


def test_where_no_level_changed_nothing_is_said_of_change_points():
    [series] = series_of(runs([10.0] * 12))
    assert "change point" not in history_report([series], METRICS, last=20, layout=LAYOUT)


def test_names_from_a_history_that_others_wrote_command_no_terminal():
    [series] = series_of([kept(0, name="a\x1b[2Jb", load="\x1b]0;x\x07", revision="\x1b[31mred")])
    assert "\x1b" not in history_report([series], METRICS, last=20, layout=LAYOUT)


def test_csv_has_a_time_a_revision_and_a_number_in_each_other_cell():
    head, *rows = csv.reader(io.StringIO(history_csv(STEP, [])))

    assert head == [
        *("time", "commit", "branch", "throughput", "error_rate"),
        *("mean", "p50", "p75", "p90", "p95", "p99", "p99.9", "max"),
    ]
    assert len(rows) == 12  # the interrupted one has no figures
    assert rows[0][:3] == ["2026-05-04T10:15:03.000+00:00", "0000000", "main"]
    assert all(float(cell) >= 0 for row in rows for cell in row[3:])


def test_csv_has_the_figures_that_were_asked_for_in_seconds():
    text = history_csv(STEP, [Metric("p50", GET)])
    assert text.splitlines()[:2] == ["time,commit,branch,GET /: p50", "2026-05-04T10:15:03.000+00:00,0000000,main,0.01"]


def test_a_cell_of_the_csv_is_no_formula():
    [series] = series_of([replace(kept(0), revision=replace(kept(0).revision, branch="=1+1"))])
    assert ",'=1+1," in history_csv(series, [])


def test_runs_on_another_machine_are_shown_apart():
    other = [kept(day, environment=replace(ENVIRONMENT, processor="Another")) for day in range(3)]
    report = history_report(series_of([*runs([10.0] * 3), *other]), METRICS, last=20, layout=LAYOUT)
    assert report.count("━━ shop.py::browse") == 2
    assert "  Another, 2 CPUs, Linux 6.8" in report
