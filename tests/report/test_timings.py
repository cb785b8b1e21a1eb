"""Journeys, steps and timers in the report and in what is stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from loadkit.judge.merge import merge
from loadkit.judge.result import Result
from loadkit.judge.rows import Timing
from loadkit.judge.threshold_results import ThresholdResult
from loadkit.plan.errors import UsageError
from loadkit.report.html import html_report
from loadkit.report.json import dump, load, schema
from loadkit.report.layout import Layout, display_width
from loadkit.report.text import text_report
from tests import results
from tests.results import example, replace, result, row, times

HOME = row("GET /", times((180, 6_000)))
SAID = "another item\nassert 7 == 8\n  at shop.py:12 in buy: assert item == 8"


def timing(kind: Any, name: str, *spans: tuple[float, int], **changes: Any) -> Timing:
    """One over 30 s, of spans that came through unless `changes` say otherwise."""
    failed = sum(changes.get("failures", {}).values())
    return results.timing(times(*spans), times((900, failed)) if failed else None, kind=kind, name=name, **changes)


BUY = timing("journey", "buy", (2_400, 2_990), failures={"check": 10}, examples=[example("check", SAID, 10)], cut=3)
SHOP = result(
    [HOME],
    outcome="failed",
    timings=[
        BUY,
        timing("journey", "log in\x1b[31m", (90, 5), unsent=1_200, cut=1),
        timing("step", "checkout", (1_100, 3_000)),
        timing("timer", "redis get", (52, 3_000)),
    ],
    thresholds=[
        ThresholdResult(threshold="buy: error_rate == 0%", passed=False, value=0.0033, shown="0.333 %", implied=True)
    ],
)


def section(shown: Result, first: str, **options: Any) -> list[str]:
    """The lines of the report from the one that begins so to the next empty one."""
    lines = text_report(shown, Layout(**options), full=True).split("\n")
    start = next(k for k, line in enumerate(lines) if line.startswith(first))
    return lines[start : [*lines, ""].index("", start)]


def test_of_more_rows_than_a_run_has_the_slowest_are_shown():
    many = result([HOME], timings=[timing("step", f"step {k}", (200 + k, 9)) for k in range(201)])

    shown = section(many, "step", width=100)

    assert shown[1].split()[:2] == ["step", "200"]
    assert "  step 0 " not in "\n".join(shown)
    assert shown[-1] == "  these 200 have the highest p99; 1 more row in the JSON"


def test_each_kind_has_a_table_and_what_was_left_out_stands_below():
    text = text_report(SHOP, Layout(width=100), full=True)

    assert section(SHOP, "journey", width=100) == [
        "journey           times  throughput  errors      %     p50     p90     p95     p99   p99.9     max",
        "  buy             3,000      99.7/s      10  0.333  2.4 ms  2.4 ms  2.4 ms  2.4 ms  2.4 ms  2.4 ms",
        "  log in\\x1b[31m      5     0.167/s       0          90 us   90 us   90 us   90 us   90 us   90 us",
        "  buy: 3 cut off when the run ended",
        "  log in\\x1b[31m: 1,200 due and never begun, 1 cut off when the run ended",
    ]
    assert section(SHOP, "step", width=100)[1].split()[:4] == ["checkout", "3,000", "100/s", "0"]
    assert section(SHOP, "timer", width=100)[1].split()[:4] == ["redis", "get", "3,000", "100/s"]
    places = [text.index(f"\n{title} ") for title in ("endpoint", "journey", "step", "timer", "time")]
    assert places == sorted(places)


def test_a_failure_shows_its_message_its_place_and_whose_it_is():
    assert section(SHOP, "failures", width=100) == [
        "failures",
        "  10  check  another item",
        "             assert 7 == 8",
        "               at shop.py:12 in buy: assert item == 8",
        "             (buy, first at 12.4 s)",
    ]


def test_what_fails_in_a_step_and_in_its_journey_is_told_once_and_its_type_too():
    broke = "ZeroDivisionError: division by zero\n  at shop.py:3 in buy: 1 / 0"
    found = [example("ZeroDivisionError", broke, 7)]
    timings = [
        timing("journey", "buy", (5, 1), failures={"ZeroDivisionError": 7}, examples=found),
        timing("step", "pay", (5, 1), failures={"ZeroDivisionError": 7}, examples=found),
    ]

    assert section(result([HOME], outcome="failed", timings=timings), "failures", width=100) == [
        "failures",
        "  7  ZeroDivisionError  division by zero",
        "                          at shop.py:3 in buy: 1 / 0",
        "                        (2 rows, first at 12.4 s)",
    ]


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("ascii", [False, True])
def test_no_line_is_too_wide_and_no_name_moves_the_cursor(width: int, ascii: bool):  # noqa: A002 - as the report calls it
    long = replace(SHOP, timings=[timing("journey", "buy " * 40, (90, 5), unsent=10**9, cut=10**9), *SHOP.timings])

    lines = text_report(long, Layout(width=width, ascii=ascii)).split("\n")

    assert max(map(display_width, lines)) <= width
    assert not any("\x1b" in line for line in lines)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"outcome": "passed", "thresholds": []}, "PASSED: no request failed"),
        ({"outcome": "failed", "thresholds": []}, "FAILED: journeys failed"),
    ],
)
def test_the_outcome_names_what_failed(fields: dict[str, Any], line: str):
    assert section(replace(SHOP, **fields), line.partition(":")[0], width=100)[0] == line


def test_of_journeys_alone_there_is_no_table_of_requests():
    nothing = row("total", times())
    alone = result([], nothing, outcome="passed", timings=[timing("journey", "buy", (90, 5))])

    text = text_report(alone, Layout(width=100))

    assert "PASSED: no journey failed" in text
    assert "endpoint" not in text
    assert section(alone, "journey", width=100)[1].split()[:2] == ["buy", "5"]


# -- stored


def test_they_are_stored_by_the_schema_and_read_back(tmp_path: Path):
    path = tmp_path / "shop.json"
    path.write_text(dump([SHOP]))

    jsonschema.validate(json.loads(path.read_text()), schema())

    assert load(path) == [SHOP]
    assert merge([load(path)[0], SHOP]).timing("buy").count == 6_000


def test_results_from_before_are_read(tmp_path: Path):
    content = json.loads(dump([SHOP, SHOP]))
    with_timings, no_timings = content["results"]
    for one in with_timings["timings"]:
        del one["unsent"]
    del no_timings["timings"], no_timings["scenario"]["journeys"]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(content))

    first, second = load(path)

    assert [one.unsent for one in first.timings] == [0, 0, 0, 0]
    assert (second.timings, second.scenario.journeys) == ([], [])
    assert "due and never begun" not in text_report(first, Layout(width=100))


def test_figures_that_do_not_add_up_are_refused(tmp_path: Path):
    path = tmp_path / "wrong.json"
    path.write_text(dump([replace(SHOP, timings=[replace(BUY, count=7)])]))

    with pytest.raises(UsageError, match="is not a sound result: journey 'buy' counts 7, but 2,990 that came through"):
        load(path)


def test_journeys_that_request_nothing_are_what_a_report_is_headed_by():
    alone = replace(
        SHOP, endpoints=[], total=row("total", times()), timings=[replace(BUY, failures={}, failure_time=times())]
    )

    text, (page, _) = text_report(alone, Layout(width=100)), html_report([alone, SHOP]).split("</table>", 1)

    assert "  journeys       2,990 in 30 s, without a request of loadkit's own" in text
    assert "  throughput     " in text.partition("of journeys that came through")[0]
    assert "0/s" not in [line.split()[-1] for line in text.splitlines() if line.strip()]
    assert "2,990" in page
