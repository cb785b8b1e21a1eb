"""Each part of a report as text: headline, phases, outcome, thresholds, failures, caveats."""

from __future__ import annotations

from typing import Any

import pytest

from loadkit.judge.description import PhasePlan
from loadkit.judge.rows import Phase
from loadkit.judge.threshold_results import ThresholdResult
from loadkit.judge.validity import Caveat
from loadkit.report.layout import Layout, needs_ascii, report_width
from loadkit.report.text import text_report
from tests.report.shop import HOME, SEARCH, report, section
from tests.results import example, replace, result, row, times


@pytest.mark.parametrize(
    ("rate", "levels", "shown"),
    [
        (
            None,
            [(2.46, 2.5), (4, 4)],
            ["phase asked threads requests", "up 2.5 2.46 74,001", "stay 4 4 74,001"],
        ),
        (90.0, [(None, 80), (None, 100)], ["phase asked requests", "up 80/s 74,001", "stay 100/s 74,001"]),
        (None, [(None, None), (None, None)], ["phase requests", "up 74,001", "stay 74,001"]),
    ],
    ids=["threads", "arrivals", "not known"],
)
def test_phases_say_what_was_asked_for_and_seen(
    rate: float | None, levels: list[tuple[float | None, float | None]], shown: list[str]
) -> None:
    parts = [
        Phase(name=name, start=0.0, length=1.0, threads=seen, asked=asked, total=HOME)
        for name, (seen, asked) in zip(("up", "stay"), levels, strict=True)
    ]

    lines = section(report(result([HOME], phases=parts, scenario={"rate": rate}), width=120), "phase").splitlines()

    columns = len(shown[0].split())
    assert [" ".join(line.split()[:columns]) for line in lines] == shown


def test_phases_have_a_row_each() -> None:
    parts = [
        Phase(name="ramp up", start=0.0, length=10.0, total=HOME),
        Phase(name="hold", start=10.0, length=20.0, total=SEARCH),
    ]
    assert section(report(result([HOME], phases=parts)), "phase") == (
        "phase      requests  throughput  errors     p50      p95      p99      max\n"
        "  ramp up    74,001     2,467/s       0  180 us   352 us   472 us  1.84 ms\n"
        "  hold       25,301       833/s     301  422 us  1.17 ms  2.48 ms  7.45 ms"
    )


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "16 threads, 30s, closed"),
        ({"threads": 1, "duration": None, "iterations": 5000}, "1 thread, 5,000 iterations, closed"),
        ({"rate": 200.0, "duration": 90.0}, "200/s asked, 1m30s, open"),
        ({"processes": 4}, "16 threads in 4 processes, 30s, closed"),
        (
            {"rate": 20.0, "arrivals": "poisson", "max_threads": 100, "duration": None, "iterations": 9},
            "20/s asked in poisson arrivals, 9 iterations, open on up to 100 threads",
        ),
        (
            {
                "phases": [
                    PhasePlan(name="ramp", duration=5, start=0, end=9),
                    PhasePlan(name="hold", duration=90, start=9, end=9),
                ]
            },
            "16 threads, 30s (0 to 9 in 5s, 9 for 1m30s), closed",
        ),
        (
            {"warmup": 5.0, "think_time": "250ms"},
            "16 threads, 30s, closed, after 5s of warm-up, 250ms to think",
        ),
    ],
)
def test_the_headline_says_what_was_asked_for(changes: dict[str, Any], line: str) -> None:
    assert report(result([HOME], scenario=changes), width=120).splitlines()[2] == (
        f"  {line}; started 2026-05-04 10:15:03 UTC"
    )


def test_the_headline_says_that_certificates_were_not_verified() -> None:
    unsafe = {"base_url": "https://shop.test", "verify": False}
    assert "  https://shop.test, certificates not verified\n" in report(result([HOME], scenario=unsafe))


MET = ThresholdResult(threshold="p99 < 250ms", passed=True, value=0.1, shown="100 ms")
MISSED = ThresholdResult(threshold="p99 < 250ms", passed=False, value=0.3, shown="300 ms")
NO_ERRORS = ThresholdResult(threshold="error_rate == 0%", passed=True, value=0.0, shown="0 %", implied=True)
UNMEASURED = ThresholdResult(threshold="hold: p99 < 250ms", passed=False, value=None, shown="nothing measured")


@pytest.mark.parametrize(
    ("outcome", "thresholds", "line"),
    [
        ("passed", [], "PASSED: no request failed"),
        ("passed", [MET], "PASSED its only threshold"),
        ("passed", [MET, NO_ERRORS], "PASSED its only threshold, and no request failed"),
        ("passed", [MET, MET], "PASSED all 2 thresholds"),
        ("failed", [MISSED], "FAILED its only threshold"),
        ("failed", [MET, MISSED, MISSED], "FAILED 2 of 3 thresholds"),
        ("failed", [], "FAILED: requests failed"),
        ("interrupted", [MET], "INTERRUPTED after 30 s"),
        ("interrupted", [MISSED, MET], "INTERRUPTED after 30 s, 1 of 2 thresholds missed so far"),
        ("interrupted", [UNMEASURED, MET], "INTERRUPTED after 30 s"),
        ("server-lost", [MET], "SERVER LOST: the server that loadkit started ended"),
        ("not-applied", [MET], "NOT APPLIED: the load asked for was not put on the target"),
    ],
)
def test_the_outcome_is_a_line_and_what_was_missed_stands_below(
    outcome: str, thresholds: list[ThresholdResult], line: str
) -> None:
    head = report(result([HOME], outcome=outcome, thresholds=thresholds)).split("\n\n")[1].splitlines()
    assert (head[0], head[-1]) == (line, "  The figures are clean.")
    assert [one.split()[0] for one in head[1:-1]] == sorted(("✗✓"[one.passed] for one in thresholds), reverse=True)


GRAVE, DOUBT, NOTE = (Caveat(code="a", message="b", level=level) for level in ("grave", "doubt", "note"))


@pytest.mark.parametrize(
    ("validity", "caveats", "line"),
    [
        ("clean", [], "The figures are clean."),
        ("clean", [NOTE, NOTE], "The figures are clean."),
        ("doubtful", [DOUBT, NOTE], "The figures are doubtful, for 1 reason below."),
        ("invalid", [GRAVE, DOUBT, NOTE], "The figures are invalid, for 2 reasons below."),
    ],
)
def test_how_far_to_believe_the_figures_is_said_in_front(validity: str, caveats: list[Caveat], line: str) -> None:
    shown = result([HOME], validity=validity, caveats=caveats)
    assert report(shown).split("\n\n")[1].splitlines() == ["PASSED: no request failed", f"  {line}"]
    codes = {"clean": 32, "doubtful": 33, "invalid": 31}
    assert f"  The figures are \x1b[{codes[validity]}m{validity}\x1b[0m" in report(shown, color=True)


def test_grave_reasons_doubts_and_notes_have_marks_of_their_own() -> None:
    shown = result([HOME], validity="invalid", caveats=[GRAVE, DOUBT, NOTE])
    assert section(report(shown, ascii=True), "caveats").splitlines()[1:] == ["  ! a: b", "  ! a: b", "  - a: b"]
    for mark in ("  \x1b[31m!\x1b[0m a: b", "  \x1b[33m!\x1b[0m a: b", "  - a: b"):
        assert mark in report(shown, color=True)


def test_where_nothing_came_back_there_is_nothing_to_believe() -> None:
    refused = row("GET /", times(), failures={"connect": 16})
    head = report(result([refused], outcome="failed")).split("\n\n")[1]
    assert head == "FAILED: not one good reply"


@pytest.mark.parametrize(
    ("threshold", "passed", "value", "margin"),
    [
        ("p99 < 250ms", True, 0.1, "  60 % to spare"),
        ("p99 < 250ms", False, 0.3, "  missed by 20 %"),
        ("p99 < 250ms", False, 1.0, "  4 times the limit"),
        ("throughput > 500/s", True, 83_000.0, "  166 times the limit"),
        ("throughput > 500/s", False, 400.0, "  missed by 20 %"),
        ("error_rate == 0%", False, 0.2, ""),  # of nothing there is no share
        ("p99 < 250ms", False, None, ""),
        ("written by a later version", True, 0.1, ""),
    ],
)
def test_a_threshold_says_by_how_much(threshold: str, passed: bool, value: float | None, margin: str) -> None:
    one = ThresholdResult(threshold=threshold, passed=passed, value=value, shown="VALUE")
    tick = "✓" if passed else "✗"
    text = report(result([HOME], thresholds=[one]))
    assert section(text, "PASSED").splitlines()[1] == f"  {tick} {threshold}  VALUE{margin}"


@pytest.mark.parametrize(
    ("clock", "end"),
    [
        ("kernel", "arrivals are stamped by the kernel."),
        ("mixed", "some arrivals are stamped by the kernel, others by loadkit's own clock."),
        ("sundial", "Percentiles are of good replies."),
    ],
)
def test_the_last_lines_say_what_the_times_are(clock: str, end: str) -> None:
    assert " ".join(report(result([HOME], environment={"clock": clock})).split()).endswith(end)


def test_a_long_message_is_shortened() -> None:
    long = example("check", "\n".join(f"line {k}" for k in range(20)), 1)
    text = report(result([replace(HOME, failures={"check": 1}, examples=[long])]))
    assert section(text, "failures").endswith(
        "line 7\n            ... 12 more lines in the JSON\n            (first at 12.4 s)"
    )


def test_of_many_failures_the_most_frequent_are_shown() -> None:
    reasons = [example("check", f"reason {k}", k) for k in range(1, 14)]
    text = report(result([replace(HOME, failures={"check": 91}, examples=reasons)]))
    lines = section(text, "failures").splitlines()
    assert lines[1] == "  13  check  reason 13  (first at 12.4 s)"
    assert lines[-1] == "  3 more in the JSON"


def test_times_in_a_narrow_range_are_a_picture_without_gaps() -> None:
    near = times((15.1, 2000), (15.6, 900), (16.2, 700), (16.9, 100), (17.4, 4))
    assert section(report(result([row("GET /", near)])), "response time up") == (
        "response time up to  replies      %\n"
        "            16.2 us    3,600  97.19  █████████████████████████████████ p50 p90\n"
        "            17.4 us      104   2.81  █ p99 p99.9"
    )


@pytest.mark.parametrize(
    ("encoding", "needed"), [("utf-8", False), ("ascii", True), ("latin-1", True), (None, True), ("no-such", True)]
)
def test_ascii_is_needed_where_the_encoding_has_not_enough(encoding: str | None, needed: bool) -> None:
    assert needs_ascii(encoding) is needed


@pytest.mark.parametrize(
    "odd",
    [
        replace(HOME.response_time, hdr=""),
        replace(HOME.response_time, hdr="HISTFAAAA" + "x" * 50),
        replace(HOME.response_time, min=None, max=None, p50=None, p99=None),
        replace(HOME.response_time, min=0.0),
        replace(HOME.response_time, max=float("inf"), mean=float("nan")),
        replace(HOME.response_time, min=5.0, max=1.0),
        replace(HOME.response_time, max=1e12, count=10**18),
        times((100, 1)),
        times((0, 1), (3_600_000_000, 1)),
    ],
)
def test_odd_figures_are_shown_and_raise_nothing(odd: object) -> None:
    strange = row("GET /", times((100, 1)), response_time=odd, throughput=float("nan"), error_rate=float("inf"))
    assert "endpoint" in report(result([strange, strange], strange, duration=1e-9))


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("scenarios/shop.py::browse", "scenarios/shop.py::browse"),
        ("tests/test_shop.py::test_search[tea]", "tests/test_shop.py::test_search[tea]"),
        ("GET /", "browse"),  # of a bare URL, which is the scenario's name
    ],
)
def test_a_report_is_headed_by_what_it_is_of(name: str, head: str):
    made = result([HOME])
    lines = text_report(replace(made, identity=replace(made.identity, name=name)), Layout(width=80)).splitlines()
    assert lines[0].split(" ")[1] == head


def test_a_merge_says_of_how_many_runs_it_is():
    made = result([HOME])
    for count, said in ((1, ""), (3, "; merged from 3 runs")):
        line = text_report(replace(made, spans=made.spans * count), Layout(width=120)).splitlines()[2]
        assert line == f"  16 threads, 30s, closed; started 2026-05-04 10:15:03 UTC{said}"


@pytest.mark.parametrize(("asked", "columns"), [(1, 60), (60, 60), (140, 140), (141, 140), (10_000, 140)])
def test_a_report_is_between_60_and_140_columns_wide(asked: int, columns: int):
    assert report_width(asked) == columns
