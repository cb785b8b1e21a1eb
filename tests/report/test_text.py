"""A result as text, to the letter."""

from __future__ import annotations

import re

import pytest

from loadkit.judge.bottleneck import Bottleneck
from loadkit.judge.identity import Identity
from loadkit.judge.rows import Phase
from loadkit.judge.threshold_results import ThresholdResult
from loadkit.judge.validity import Caveat
from loadkit.report.layout import display_width
from tests.report.shop import HOME, SHOP, TOTAL, report, section
from tests.results import example, replace, result, row, times

SHORT_AT_80 = """\
━━ browse ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
  Shoppers on a quiet morning.
  16 threads, 30s, closed; started 2026-05-04 10:15:03 UTC
  http://127.0.0.1:8000

FAILED 1 of 3 thresholds
  ✗ GET /search: error_rate < 1%   1.19 %  missed by 19 %
  ✓ p99 < 250ms                    2.4 ms  99 % to spare
  ✓ throughput > 500/s            3,567/s  7.13 times the limit
  The figures are doubtful, for 1 reason below.

  requests       107,316 in 30 s
  throughput     3,567/s of good replies
  errors         314 (0.293 %)
  response time  p50 180 us  p90 900 us  p95 900 us  p99 2.4 ms  max 102 ms
  status codes   [200] 99,001 and 301 failed, [201] 8,001
  unsent         1,200 were due and never sent
  cut            2 were still unanswered when the run ended

endpoint             requests  errors  status      p50      p95      p99
  GET /                74,001       0     200   180 us   352 us   472 us
  GET /search          25,301     301     200   422 us  1.17 ms  2.48 ms
  buy: POST /orders     8,014      13     201  2.41 ms  10.2 ms  19.2 ms
  total               107,316     314           180 us   900 us   2.4 ms

response time up to  replies      %
             140 us    8,020   7.50  █████▎
             350 us   50,000  46.73  █████████████████████████████████ p50
             900 us   47,000  43.92  ███████████████████████████████ p90
             2.3 ms        0   0.00
               6 ms    1,900   1.78  █▎ p99 p99.9
              15 ms        0   0.00
              40 ms       79   0.07  ▏
             102 ms        3   0.00  ▏

failures
  301  check       AssertionError: the search found nothing
                   assert []
                    +  where [] = items()
                   (GET /search, first at 12.4 s)
   11  timeout     no complete reply within 10 s (0 of 512 bytes)
                   (buy: POST /orders, first at 3.02 s)
    2  disconnect  (message not kept)

Bound by the generator: loadkit used 87 % of the CPU that one interpreter can
use; it sent 3,567/s.
  ! generator-busy: loadkit itself used 87 % of a CPU, and one interpreter has
    one: the server may be able to do more
notes: few-samples; --full tells more
"""

AT_80 = """\
━━ browse ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
  Shoppers on a quiet morning.
  16 threads, 30s, closed; started 2026-05-04 10:15:03 UTC
  http://127.0.0.1:8000

FAILED 1 of 3 thresholds
  ✗ GET /search: error_rate < 1%   1.19 %  missed by 19 %
  ✓ p99 < 250ms                    2.4 ms  99 % to spare
  ✓ throughput > 500/s            3,567/s  7.13 times the limit
  The figures are doubtful, for 1 reason below.

  requests       107,316 in 30 s
  throughput     3,567/s of good replies
  errors         314 (0.293 %)
  response time  p50 180 us  p90 900 us  p95 900 us  p99 2.4 ms  max 102 ms
  status codes   [200] 99,001 and 301 failed, [201] 8,001
  data           34.6 MB received (1.15 MB/s), 12.9 MB sent (429 kB/s)
  connections    29 opened (13 of them to reconnect), 141 us each to open
  unsent         1,200 were due and never sent
  cut            2 were still unanswered when the run ended
  drained        14 came in after the stop, so not in the throughput
  generator      26.2 s of CPU (87 % of one core, 244 us a request), 48.2 MB,
                 Python 3.12.3, 2 CPUs

endpoint             requests  errors  status      p50      p95      p99
  GET /                74,001       0     200   180 us   352 us   472 us
  GET /search          25,301     301     200   422 us  1.17 ms  2.48 ms
  buy: POST /orders     8,014      13     201  2.41 ms  10.2 ms  19.2 ms
  total               107,316     314           180 us   900 us   2.4 ms

time                mean     p50     p90     p95     p99    p99.9      max
  response time   378 us  180 us  900 us  900 us  2.4 ms   2.4 ms   102 ms
  service time    355 us  177 us  880 us  880 us  2.3 ms   2.3 ms   2.3 ms
  lateness       2.28 us  1.4 us  3.1 us  3.1 us  3.1 us  17.4 us  17.4 us
  pickup         23.7 us   21 us   38 us   38 us   38 us    38 us  1.24 ms
  failure time    351 ms  430 us  430 us  430 us    10 s     10 s     10 s

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

failures
  301  check       AssertionError: the search found nothing
                   assert []
                    +  where [] = items()
                   (GET /search, first at 12.4 s)
   11  timeout     no complete reply within 10 s (0 of 512 bytes)
                   (buy: POST /orders, first at 3.02 s)
    2  disconnect  (message not kept)

Bound by the generator: loadkit used 87 % of the CPU that one interpreter can
use; it sent 3,567/s.

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
endpoint             requests  throughput  errors  status      %      p50      p90      p95      p99    p99.9      max
  GET /                74,001     2,467/s       0     200          180 us   304 us   352 us   472 us   613 us  1.84 ms
  GET /search          25,301       833/s     301     200   1.19   422 us   911 us  1.17 ms  2.48 ms  7.45 ms  7.45 ms
  buy: POST /orders     8,014       267/s      13     201  0.162  2.41 ms  7.42 ms  10.2 ms  19.2 ms  33.9 ms   102 ms
  total               107,316     3,567/s     314          0.293   180 us   900 us   900 us   2.4 ms   2.4 ms   102 ms

time                min     mean     p50     p75     p90     p95     p99    p99.9      max
  response time   53 us   378 us  180 us  420 us  900 us  900 us  2.4 ms   2.4 ms   102 ms
  service time    50 us   355 us  177 us  415 us  880 us  880 us  2.3 ms   2.3 ms   2.3 ms
  lateness       1.4 us  2.28 us  1.4 us  3.1 us  3.1 us  3.1 us  3.1 us  17.4 us  17.4 us
  pickup          21 us  23.7 us   21 us   21 us   38 us   38 us   38 us    38 us  1.24 ms
  failure time   430 us   351 ms  430 us  430 us  430 us  430 us    10 s     10 s     10 s
"""

AT_60_IN_ASCII = """\
FAILED 1 of 3 thresholds
  FAIL GET /search: error_rate < 1%   1.19 %
  ok   p99 < 250ms                    2.4 ms
  ok   throughput > 500/s            3,567/s
  The figures are doubtful, for 1 reason below.

endpoint          requests  errors  status      p50      p99
  GET /             74,001       0     200   180 us   472 us
  GET /search       25,301     301     200   422 us  2.48 ms
  buy: P...rders     8,014      13     201  2.41 ms  19.2 ms
  total            107,316     314           180 us   2.4 ms

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
"""

NOTHING_WORKED = """\
━━ browse ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
  Shoppers on a quiet morning.
  16 threads, 30s, closed; started 2026-05-04 10:15:03 UTC
  http://127.0.0.1:8000

FAILED: not one good reply

  requests       16 in 2 ms
  throughput     0/s of good replies
  errors         16 (100 %)
  data           0 B received (0 B/s), 1.92 kB sent (960 kB/s)
  generator      1.2 ms of CPU (60 % of one core, 75 us a request), 48.2 MB,
                 Python 3.12.3, 2 CPUs

endpoint    requests  throughput  errors  status  p50  p90  p95  p99  p99.9  max
  GET /           16         0/s      16       -    -    -    -    -      -    -

failures
  16  connect  connection refused 127.0.0.1:8000  (first at 400 us)
"""

NOTHING_SENT = """\
━━ browse ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
  Shoppers on a quiet morning.
  16 threads, 30s, closed; started 2026-05-04 10:15:03 UTC
  http://127.0.0.1:8000

INTERRUPTED after 0 us

  requests       0 in 0 us
  throughput     0/s of good replies
  generator      48.2 MB, Python 3.12.3, 2 CPUs

endpoint    requests  throughput  errors  status  p50  p90  p95  p99  p99.9  max
  GET /            0         0/s       0       -    -    -    -    -      -    -
"""


def test_a_report_on_a_terminal_of_80_columns() -> None:
    assert report(SHOP, full=False) == SHORT_AT_80


def test_the_full_report_on_a_terminal_of_80_columns() -> None:
    assert report(SHOP) == AT_80


CANNOT_TELL = (
    "Bound by the server or by the connections, which one run cannot tell: 10 threads always had a request under way, "
    "and loadkit used 14 % of the CPU that one interpreter can use. Run again with 20 threads: if the throughput stays "
    "the same, it is the server."
)
PICKUP = (
    "replies waited 962 us in the median until loadkit read them, 786 % of the service time: it is not in the service "
    "time, but its threads sent less for it. Use fewer threads, a quieter machine, or --processes"
)
USUAL = [
    Caveat(code="same-host", message="the target runs on this machine and shares its 2 CPUs", level="note"),
    Caveat(code="few-samples", message="p99.9 rests on the slowest 7 of 7,312 replies", level="note"),
]


LIMIT = ThresholdResult(threshold="p99 < 250ms", passed=True, value=0.0024, shown="2.4 ms")


@pytest.mark.parametrize(
    ("caveats", "thresholds"), [([], [LIMIT]), ([Caveat(code="pickup", message=PICKUP)], [])], ids=["clean", "doubtful"]
)
def test_the_report_of_one_url_has_at_most_30_lines(caveats: list[Caveat], thresholds: list[ThresholdResult]) -> None:
    url = "http://127.0.0.1:8000/items/1"
    shown = result(
        [replace(HOME, name="GET /items/1")],
        scenario={"name": url, "description": ""},
        identity=Identity(name=url, plan=""),
        thresholds=thresholds,
        validity="doubtful" if caveats else "clean",
        caveats=[*caveats, *USUAL],
        bottleneck=Bottleneck(None, CANNOT_TELL),
    )

    lines = report(shown, full=False).splitlines()

    assert len(lines) <= 30
    assert lines[-1] == "notes: same-host, few-samples; --full tells more"


def test_the_short_report_has_all_that_makes_a_figure_untrue() -> None:
    rare = Caveat(code="teardown", message="it failed: no such table", level="note")
    doubts = [Caveat(code="late", message=PICKUP, level="grave"), Caveat(code="pickup", message=PICKUP), rare]
    shown = result([replace(HOME, unsent=3, cut=1)], validity="invalid", caveats=[*doubts, *USUAL])

    text = " ".join(report(shown, full=False).split())

    assert all(f"{one.code}: {one.message}" in text for one in doubts)
    assert "The figures are invalid, for 2 reasons below." in text
    assert "3 were due and never sent cut 1 was still unanswered" in text


@pytest.mark.parametrize("width", [80, 140])
def test_a_percentile_that_a_threshold_limits_is_the_last_to_go_on_a_narrow_terminal(width: int):
    limit = ThresholdResult(threshold="buy p75 items: p95 < 250ms", passed=True, value=0.0024, shown="2.4 ms")
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
        "endpoint                        requests  errors  status     p50     p95     p99",
        "  GET /products/…/green/sencha        10       0     200  100 us  100 us  100 us",
        "  GET /商品/緑茶                      10       0     200  100 us  100 us  100 us",
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
        thresholds=[ThresholdResult(threshold=HOSTILE, passed=False, value=1.0, shown=HOSTILE)],
        caveats=[Caveat(code=HOSTILE, message=HOSTILE)],
        bottleneck=Bottleneck(sentence=HOSTILE),
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
        "endpoint    requests  throughput  errors  status     p50     p90     p95     p99      max\n"
        "  GET /       74,001     2,467/s       0     200  180 us  304 us  352 us  472 us  1.84 ms"
    )
