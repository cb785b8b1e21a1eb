"""CSV holds the figures of the report as numbers, and no text that a spreadsheet would run."""

from __future__ import annotations

import csv
import io

import pytest

from loadkit.report.escape import cell_text
from loadkit.report.formats.csv import interval_lines, row_lines
from tests.report.pages import HOSTILE, NOTHING, ODD, SHOP, hostile
from tests.results import result, row, skewed


def read(text: str) -> list[dict[str, str | float]]:
    """The lines as a reader has them that takes all without quotes for numbers."""
    return list(csv.DictReader(io.StringIO(text), quoting=csv.QUOTE_NONNUMERIC))


def test_each_row_of_the_report_is_a_line_with_its_figures_in_seconds():
    total, home, search, buy = read(row_lines([SHOP]))

    assert [(one["kind"], one["name"]) for one in (total, home, search, buy)] == [
        *(("total", "total"), ("endpoint", "GET /"), ("endpoint", "GET /search"), ("journey", "buy"))
    ]
    stored = SHOP["GET /search"]
    assert search["scenario"] == SHOP.title
    assert (search["requests"], search["failures"], search["error_rate"]) == (stored.requests, 301, stored.error_rate)
    assert search["throughput_per_second"] == stored.throughput
    assert (search["bytes_sent"], search["bytes_received"]) == (stored.bytes_sent, stored.bytes_received)
    for name in ("min", "mean", "p50", "p75", "p90", "p95", "p99", "p99_9", "max"):
        assert search[f"response_time_{name}_seconds"] == getattr(stored.response_time, name)
        assert search[f"service_time_{name}_seconds"] == getattr(stored.service_time, name)
        assert buy[f"response_time_{name}_seconds"] == getattr(SHOP.timings[0].response_time, name)
    assert (total["unsent"], buy["bytes_sent"]) == (1_200, ""), "a journey has no bytes of its own"


def test_each_second_is_a_line():
    lines = read(interval_lines([SHOP]))

    assert [one["start_seconds"] for one in lines] == list(range(30))
    first = SHOP.intervals[0].total
    assert (lines[0]["requests"], lines[0]["failures"], lines[0]["length_seconds"]) == (first.requests, 10, 1)
    assert lines[0]["response_time_p99_seconds"] == first.response_time.p99


def test_what_was_not_measured_is_an_empty_cell():
    [total] = read(row_lines([NOTHING]))

    assert (total["requests"], total["response_time_p99_seconds"]) == (0, "")


# as other tools have it: OWASP, "CSV Injection"
FORMULAS = [
    ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0", "runs a program"),
    ("+1+1", "'+1+1", "a sign begins a formula, too"),
    ("-2+3", "'-2+3", "and so does this one"),
    ("@SUM(A1:A9)", "'@SUM(A1:A9)", "as Lotus wrote it"),
    ("\t=1+1", "\\t=1+1", "a tab before it is cut off by some"),
    ("\r=1+1", "\\r=1+1", "and so is the end of a line"),
    (" =1+1", "' =1+1", "and a blank"),
    ("\uff1d1+1", "'\uff1d1+1", "full width, which Excel takes in Japanese"),
    ("a;=1+1", "a;'=1+1", "a cell of its own where numbers have commas"),
    ("a\n=1+1", "a\\n=1+1", "a line of its own"),
    ('"=1+1', '"=1+1', "a quote is text"),
    ("GET /a=b;c-d,-e", "GET /a=b;c-d,-e", "signs within are none"),
    ("2024-01-01", "2024-01-01", "a date begins with none"),
]


@pytest.mark.parametrize(("text", "written", "why"), FORMULAS, ids=[row[2] for row in FORMULAS])
def test_no_cell_of_text_is_a_formula(text: str, written: str, why: str):
    assert cell_text(text) == written
    [_, line] = read(row_lines([result([row(text, skewed(180, 400))])]))
    assert line["name"] == written, why


@pytest.mark.parametrize("text", [*HOSTILE, ODD, "\x00", "\udcff", 'a","b\n"'])
def test_hostile_text_stays_within_its_cell(text: str):
    plain, shown = read(row_lines([hostile("plain")])), read(row_lines([hostile(text)]))

    assert [line.keys() for line in shown] == [line.keys() for line in plain]
    assert all(str(value).isprintable() for line in shown for value in line.values())
    row_lines([hostile(text)]).encode()
