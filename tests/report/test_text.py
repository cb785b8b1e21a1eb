"""A result as text, to the letter."""

from __future__ import annotations

import re
from typing import Any

import pytest

from loadkit.judge.result import Caveat, Phase, PhasePlan, Result, Verdict
from loadkit.report.layout import display_width, needs_ascii
from loadkit.report.text import text_report
from tests.report.builder import example, replace, result, row, skewed, times

HOME = row("GET /", skewed(180, 74_000))
NOTHING_FOUND = example("check", "AssertionError: the search found nothing\nassert []\n +  where [] = items()", 301)
SEARCH = row(
    "GET /search",
    skewed(420, 25_000, spread=1.8),
    failures={"check": 301},
    failed_statuses={200: 301},
    examples=[NOTHING_FOUND],
)
TOO_LATE = example("timeout", "no complete reply within 10 s (0 of 512 bytes)", 11, 3.02)
BUY = row(
    "buy: POST /orders",
    skewed(2400, 8_000, spread=2.4),
    statuses={201: 8_001},
    failures={"timeout": 11, "disconnect": 2},
    examples=[TOO_LATE],
)
TOTAL = row(
    "total",
    times(
        (53, 20), (110, 8_000), (180, 50_000), (420, 38_000), (900, 9_000), (2400, 1_900), (21_400, 79), (102_000, 3)
    ),
    statuses={200: 99_001, 201: 8_001},
    failures={"timeout": 11, "check": 301, "disconnect": 2},
    failed_statuses={200: 301},
    examples=[TOO_LATE, NOTHING_FOUND],
    service_time=times((50, 20), (107, 8_000), (177, 50_000), (415, 38_000), (880, 9_000), (2300, 1_982)),
    lateness=times((1.4, 60_000), (3.1, 46_000), (17.4, 1_002)),
    pickup=times((21, 90_000), (38, 17_000), (1240, 2)),
    failure_time=times((430, 303), (10_000_400, 11)),
    drained=14,
    cut=2,
    unsent=1_200,
    connects=29,
    reconnects=13,
    connect_seconds=0.0041,
    bytes_received=34_600_000,
)
SHOP = result(
    [HOME, SEARCH, BUY],
    TOTAL,
    outcome="failed",
    thresholds=[
        Verdict(threshold="p99 < 250ms", passed=True, value=0.0024, shown="2.4 ms"),
        Verdict(threshold="GET /search: error_rate < 1%", passed=False, value=0.0119, shown="1.19 %"),
        Verdict(threshold="throughput > 500/s", passed=True, value=3566.8, shown="3,567/s"),
    ],
    caveats=[
        Caveat(
            code="generator-busy",
            message="loadkit itself used 87 % of a CPU, and one interpreter has one: the server may be able to do more",
        ),
        Caveat(code="few-samples", message="p99.9 of GET /search rests on the slowest 25", level="note"),
    ],
    verdict="doubtful",
    bound_by="generator",
    bound="Bound by the generator: loadkit used 87% of the CPU that one interpreter can use; it sent 3,567/s.",
)

AT_80 = """\
━━ browse ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
  Shoppers on a quiet morning.
  16 threads, 30s, closed, over sockets; started 2026-05-04 10:15:03 UTC
  http://127.0.0.1:8000

FAILED 1 of 3 thresholds
  The figures are doubtful, for 1 reason below.
  Bound by the generator: loadkit used 87% of the CPU that one interpreter can
  use; it sent 3,567/s.

  requests     107,316 in 30 s
  throughput   3,567/s of good replies
  errors       314 (0.293 %)
  data         34.6 MB received (1.15 MB/s), 12.9 MB sent (429 kB/s)
  connections  29 opened (13 of them to reconnect), 141 us each to open
  unsent       1,200 were due and never sent
  cut          2 were still unanswered when the run ended
  drained      14 came in after the stop, so not in the throughput
  generator    26.2 s of CPU (87 % of one core, 244 us a request), 48.2 MB,
               Python 3.12.3, 2 CPUs

endpoint             requests  errors      p50      p99    p99.9      max
  GET /                74,001       0   180 us   472 us   613 us  1.84 ms
  GET /search          25,301     301   422 us  2.48 ms  7.45 ms  7.45 ms
  buy: POST /orders     8,014      13  2.41 ms  19.2 ms  33.9 ms   102 ms
  total               107,316     314   180 us   2.4 ms   2.4 ms   102 ms

time                min     mean     p50     p90     p99    p99.9      max
  response time   53 us   378 us  180 us  900 us  2.4 ms   2.4 ms   102 ms
  service time    50 us   355 us  177 us  880 us  2.3 ms   2.3 ms   2.3 ms
  lateness       1.4 us  2.28 us  1.4 us  3.1 us  3.1 us  17.4 us  17.4 us
  pickup          21 us  23.7 us   21 us   38 us   38 us    38 us  1.24 ms
  failure time   430 us   351 ms  430 us  430 us    10 s     10 s     10 s

response time up to  replies      %
             110 us    8,020   7.50  █████▎
             210 us   50,000  46.73  █████████████████████████████████ p50
             420 us   38,000  35.51  █████████████████████████▏
             830 us        0   0.00
             1.6 ms    9,000   8.41  ██████ p90
             3.3 ms    1,900   1.78  █▎ p99 p99.9
             6.5 ms        0   0.00
              13 ms        0   0.00
              26 ms       79   0.07  ▏
              51 ms        0   0.00
             102 ms        3   0.00  ▏

status codes
  [200]  99,001 replies, 301 more failed
  [201]   8,001 replies

failures
  301  check       AssertionError: the search found nothing
                   assert []
                    +  where [] = items()
                   (GET /search, first at 12.4 s)
   11  timeout     no complete reply within 10 s (0 of 512 bytes)
                   (buy: POST /orders, first at 3.02 s)
    2  disconnect  (message not kept)

thresholds
  ✓ p99 < 250ms                    2.4 ms  99 % to spare
  ✗ GET /search: error_rate < 1%   1.19 %  missed by 19 %
  ✓ throughput > 500/s            3,567/s  7.13 times the limit

caveats
  ! generator-busy: loadkit itself used 87 % of a CPU, and one interpreter has
    one: the server may be able to do more
  - few-samples: p99.9 of GET /search rests on the slowest 25

response time: from the instant a request was due to its last byte; service
time: from the sending of its first byte; lateness (sent after due) and pickup
(read after arrival) are the generator's own. Percentiles are of good replies;
arrivals are stamped by the kernel.
"""

TABLES_AT_120 = """\
endpoint             requests  throughput  errors      %      p50      p90      p99    p99.9      max
  GET /                74,001     2,467/s       0          180 us   304 us   472 us   613 us  1.84 ms
  GET /search          25,301       833/s     301   1.19   422 us   911 us  2.48 ms  7.45 ms  7.45 ms
  buy: POST /orders     8,014       267/s      13  0.162  2.41 ms  7.42 ms  19.2 ms  33.9 ms   102 ms
  total               107,316     3,567/s     314  0.293   180 us   900 us   2.4 ms   2.4 ms   102 ms

time                min     mean     p50     p75     p90     p95     p99    p99.9      max
  response time   53 us   378 us  180 us  420 us  900 us  900 us  2.4 ms   2.4 ms   102 ms
  service time    50 us   355 us  177 us  415 us  880 us  880 us  2.3 ms   2.3 ms   2.3 ms
  lateness       1.4 us  2.28 us  1.4 us  3.1 us  3.1 us  3.1 us  3.1 us  17.4 us  17.4 us
  pickup          21 us  23.7 us   21 us   21 us   38 us   38 us   38 us    38 us  1.24 ms
  failure time   430 us   351 ms  430 us  430 us  430 us  430 us    10 s     10 s     10 s
"""

AT_60_IN_ASCII = """\
endpoint             requests  errors      p50      p99
  GET /                74,001       0   180 us   472 us
  GET /search          25,301     301   422 us  2.48 ms
  buy: POST /orders     8,014      13  2.41 ms  19.2 ms
  total               107,316     314   180 us   2.4 ms

response time up to  replies      %
             110 us    8,020   7.50  ##
             210 us   50,000  46.73  ############# p50
             420 us   38,000  35.51  ##########
             830 us        0   0.00
             1.6 ms    9,000   8.41  ## p90
             3.3 ms    1,900   1.78  . p99 p99.9
             6.5 ms        0   0.00
              13 ms        0   0.00
              26 ms       79   0.07  .
              51 ms        0   0.00
             102 ms        3   0.00  .

thresholds
  ok   p99 < 250ms                    2.4 ms
  FAIL GET /search: error_rate < 1%   1.19 %
  ok   throughput > 500/s            3,567/s
"""

NOTHING_WORKED = """\
━━ browse ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
  Shoppers on a quiet morning.
  16 threads, 30s, closed, over sockets; started 2026-05-04 10:15:03 UTC
  http://127.0.0.1:8000

FAILED: not one good reply

  requests     16 in 2 ms
  throughput   0/s of good replies
  errors       16 (100 %)
  data         0 B received (0 B/s), 1.92 kB sent (960 kB/s)
  generator    1.2 ms of CPU (60 % of one core, 75 us a request), 48.2 MB,
               Python 3.12.3, 2 CPUs

endpoint    requests  throughput  errors    %  p50  p90  p99  p99.9  max
  GET /           16         0/s      16  100    -    -    -      -    -

failures
  16  connect  connection refused 127.0.0.1:8000  (first at 400 us)
"""

NOTHING_SENT = """\
━━ browse ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
  Shoppers on a quiet morning.
  16 threads, 30s, closed, over sockets; started 2026-05-04 10:15:03 UTC
  http://127.0.0.1:8000

INTERRUPTED after 0 us

  requests     0 in 0 us
  throughput   0/s of good replies
  generator    48.2 MB, Python 3.12.3, 2 CPUs

endpoint    requests  throughput  errors  p50  p90  p99  p99.9  max
  GET /            0         0/s       0    -    -    -      -    -
"""


def report(shown: Result, *, width: int = 80, color: bool = False, ascii: bool = False) -> str:  # noqa: A002
    return text_report(shown, width=width, color=color, ascii=ascii) + "\n"


def section(text: str, title: str) -> str:
    return next((part for part in text.split("\n\n") if part.startswith(title)), "")


def test_a_report_on_a_terminal_of_80_columns() -> None:
    assert report(SHOP) == AT_80


@pytest.mark.parametrize("width", [80, 140])
def test_a_percentile_that_a_threshold_limits_is_the_last_to_go_on_a_narrow_terminal(width: int):
    limit = Verdict(threshold="buy p75 items: p95 < 250ms", passed=True, value=0.0024, shown="2.4 ms")
    text = report(replace(SHOP, thresholds=[limit]), width=width)
    of_rows, of_times = [line.split() for line in text.splitlines() if line.startswith(("endpoint ", "time "))]

    assert "p95" in of_rows
    assert "p95" in of_times
    assert "p75" not in of_rows, "it is part of a name"
    assert max(map(len, text.splitlines())) <= width


def test_wider_paper_has_more_columns() -> None:
    assert TABLES_AT_120.rstrip("\n") in report(SHOP, width=120)


def test_narrow_paper_in_ascii() -> None:
    text = report(SHOP, width=60, ascii=True)
    assert text.isascii()
    assert all(part.rstrip("\n") in text for part in AT_60_IN_ASCII.split("\n\n"))


def test_a_run_in_which_nothing_worked() -> None:
    refused = example("connect", "connection refused 127.0.0.1:8000", 16, 0.0004)
    home = row("GET /", times(), failures={"connect": 16}, examples=[refused])
    short = {"cpu_seconds": 0.0012}
    assert report(result([home], outcome="failed", duration=0.002, environment=short)) == NOTHING_WORKED


def test_a_run_that_was_stopped_before_its_first_request() -> None:
    unspent = {"cpu_seconds": 0.0}
    stopped = result([row("GET /", times())], outcome="interrupted", duration=0.0, environment=unspent)
    assert report(stopped) == NOTHING_SENT


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_no_line_is_wider_than_the_paper(width: int) -> None:
    long = row("GET /" + "日本語" * 60, times((100, 10)), examples=[example("check", "a" * 500)], failures={"check": 1})
    crowded = result([long, HOME], long, scenario={"name": "é🎉" * 200, "base_url": f"http://{'a' * 300}"})
    for shown in (SHOP, crowded):
        assert max(map(display_width, report(shown, width=width).splitlines())) <= width


def test_long_names_keep_both_ends_and_wide_ones_stay_in_line() -> None:
    rows = [row(name, times((100, 10))) for name in ("GET /products/by-category/tea/green/sencha", "GET /商品/緑茶")]
    assert section(report(result(rows, TOTAL)), "endpoint").splitlines()[:3] == [
        "endpoint                        requests  errors     p50     p99   p99.9     max",
        "  GET /products/…/green/sencha        10       0  100 us  100 us  100 us  100 us",
        "  GET /商品/緑茶                      10       0  100 us  100 us  100 us  100 us",
    ]


def test_colour_adds_nothing_but_colour() -> None:
    coloured = report(SHOP, color=True)
    assert re.sub(r"\x1b\[\d+m", "", coloured) == report(SHOP)
    assert "\x1b[31m✗\x1b[0m" in coloured
    assert "\x1b[1m\x1b[31mFAILED\x1b[0m\x1b[0m 1 of 3 thresholds" in coloured


HOSTILE = "::error::forged\n::error::forged\r\n##vso[task.complete]\x1b[2J\x9b31m\u202e\u2028::error::forged\ud800"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_foreign_text_does_nothing(width: int) -> None:
    bad = row(
        HOSTILE, times((100, 10)), failures={HOSTILE: 1, "dns": 2}, examples=[example(HOSTILE, HOSTILE * 3)], connects=1
    )
    shown = result(
        [bad, replace(HOME, name=HOSTILE)],
        bad,
        scenario={"name": HOSTILE, "description": HOSTILE, "base_url": HOSTILE, "verify": False},
        environment={"transport": HOSTILE, "clock": HOSTILE, "python": HOSTILE},
        started_at=HOSTILE,
        phases=[Phase(name=HOSTILE, start=0.0, length=1.0, total=bad)] * 2,
        thresholds=[Verdict(threshold=HOSTILE, passed=False, value=1.0, shown=HOSTILE)],
        caveats=[Caveat(code=HOSTILE, message=HOSTILE)],
        bound=HOSTILE,
    )
    text = report(shown, width=width)
    assert all(char.isprintable() for line in text.split("\n") for char in line)
    assert not [line for line in text.split("\n") if line.lstrip().startswith("::") or re.search(r"##\w*\[", line)]


def test_of_many_endpoints_the_slowest_are_shown() -> None:
    rows = [row(f"GET /{k}", times((k, 10))) for k in range(1, 301)]
    silent = row("GET /silent", times(), failures={"timeout": 1})
    lines = section(report(result([*rows, silent], TOTAL)), "endpoint").splitlines()
    # who never had a good reply comes first
    assert [line.split("  ")[1] for line in lines[1:4]] == ["GET /silent", "GET /300", "GET /299"]
    assert [line.split("  ")[1] for line in lines[39:]] == [
        "GET /263",
        "GET /262",
        "total",
        "these 40 have the highest p99; 261 more rows in the JSON",
    ]


def test_one_endpoint_needs_no_total() -> None:
    assert section(report(result([HOME]), width=90), "endpoint") == (
        "endpoint    requests  throughput  errors     p50     p90     p99   p99.9      max\n"
        "  GET /       74,001     2,467/s       0  180 us  304 us  472 us  613 us  1.84 ms"
    )


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
        "phase      requests  errors     p50     p90      p99    p99.9      max\n"
        "  ramp up    74,001       0  180 us  304 us   472 us   613 us  1.84 ms\n"
        "  hold       25,301     301  422 us  911 us  2.48 ms  7.45 ms  7.45 ms"
    )


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "16 threads, 30s, closed, over sockets"),
        ({"threads": 1, "duration": None, "iterations": 5000}, "1 thread, 5,000 iterations, closed, over sockets"),
        ({"rate": 200.0, "duration": 90.0}, "200/s asked, 1m30s, open, over sockets"),
        ({"processes": 4}, "16 threads in 4 processes, 30s, closed, over sockets"),
        (
            {"rate": 20.0, "arrivals": "poisson", "max_threads": 100, "duration": None, "iterations": 9},
            "20/s asked in poisson arrivals, 9 iterations, open on up to 100 threads, over sockets",
        ),
        (
            {
                "phases": [
                    PhasePlan(name="ramp", duration=5, start=0, end=9),
                    PhasePlan(name="hold", duration=90, start=9, end=9),
                ]
            },
            "16 threads, 30s (0 to 9 in 5s, 9 for 1m30s), closed, over sockets",
        ),
        (
            {"warmup": 5.0, "think_time": "250ms"},
            "16 threads, 30s, closed, after 5s of warm-up, 250ms to think, over sockets",
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


MET = Verdict(threshold="p99 < 250ms", passed=True, value=0.1, shown="100 ms")
MISSED = Verdict(threshold="p99 < 250ms", passed=False, value=0.3, shown="300 ms")
UNMEASURED = Verdict(threshold="hold: p99 < 250ms", passed=False, value=None, shown="nothing measured")


@pytest.mark.parametrize(
    ("outcome", "thresholds", "line"),
    [
        ("passed", [], "PASSED: no request failed"),
        ("passed", [MET], "PASSED its only threshold"),
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
def test_the_outcome_is_a_line(outcome: str, thresholds: list[Verdict], line: str) -> None:
    head = report(result([HOME], outcome=outcome, thresholds=thresholds)).split("\n\n")[1]
    assert head == f"{line}\n  The figures are clean."


GRAVE, DOUBT, NOTE = (Caveat(code="a", message="b", level=level) for level in ("grave", "doubt", "note"))


@pytest.mark.parametrize(
    ("verdict", "caveats", "line"),
    [
        ("clean", [], "The figures are clean."),
        ("clean", [NOTE, NOTE], "The figures are clean."),
        ("doubtful", [DOUBT, NOTE], "The figures are doubtful, for 1 reason below."),
        ("invalid", [GRAVE, DOUBT, NOTE], "The figures are invalid, for 2 reasons below."),
    ],
)
def test_how_far_to_believe_the_figures_is_said_in_front(verdict: str, caveats: list[Caveat], line: str) -> None:
    shown = result([HOME], verdict=verdict, caveats=caveats)
    assert report(shown).split("\n\n")[1].splitlines() == ["PASSED: no request failed", f"  {line}"]
    codes = {"clean": 32, "doubtful": 33, "invalid": 31}
    assert f"  The figures are \x1b[{codes[verdict]}m{verdict}\x1b[0m" in report(shown, color=True)


def test_grave_reasons_doubts_and_notes_have_marks_of_their_own() -> None:
    shown = result([HOME], verdict="invalid", caveats=[GRAVE, DOUBT, NOTE])
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
    verdict = Verdict(threshold=threshold, passed=passed, value=value, shown="VALUE")
    tick = "✓" if passed else "✗"
    text = report(result([HOME], thresholds=[verdict]))
    assert section(text, "thresholds") == f"thresholds\n  {tick} {threshold}  VALUE{margin}"


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
    lines = text_report(replace(made, identity=replace(made.identity, name=name)), width=80).splitlines()
    assert lines[0].split(" ")[1] == head


def test_a_merge_says_of_how_many_runs_it_is():
    made = result([HOME])
    for count, said in ((1, ""), (3, "; merged from 3 runs")):
        line = text_report(replace(made, spans=made.spans * count), width=120).splitlines()[2]
        assert line == f"  16 threads, 30s, closed, over sockets; started 2026-05-04 10:15:03 UTC{said}"


@pytest.mark.parametrize(("asked", "columns"), [(1, 60), (60, 60), (140, 140), (141, 140), (10_000, 140)])
def test_a_report_is_between_60_and_140_columns_wide(asked: int, columns: int):
    assert display_width(text_report(SHOP, width=asked).splitlines()[0]) == columns
