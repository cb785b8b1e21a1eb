"""A run of a shop that has something of everything, and its report as text."""

from __future__ import annotations

from loadkit.judge.bottleneck import Bottleneck
from loadkit.judge.result import Result
from loadkit.judge.threshold_results import ThresholdResult
from loadkit.judge.validity import Caveat
from loadkit.report.layout import Layout
from loadkit.report.text import text_report
from tests.results import example, result, row, skewed, times

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
        ThresholdResult(threshold="p99 < 250ms", passed=True, value=0.0024, shown="2.4 ms"),
        ThresholdResult(threshold="GET /search: error_rate < 1%", passed=False, value=0.0119, shown="1.19 %"),
        ThresholdResult(threshold="throughput > 500/s", passed=True, value=3566.8, shown="3,567/s"),
    ],
    caveats=[
        Caveat(
            code="generator-busy",
            message="loadkit itself used 87 % of a CPU, and one interpreter has one: the server may be able to do more",
        ),
        Caveat(code="few-samples", message="p99.9 of GET /search rests on the slowest 25", level="note"),
    ],
    validity="doubtful",
    bottleneck=Bottleneck(
        "generator",
        "Bound by the generator: loadkit used 87 % of the CPU that one interpreter can use; it sent 3,567/s.",
    ),
)


def report(
    shown: Result,
    *,
    width: int = 80,
    color: bool = False,
    ascii: bool = False,  # noqa: A002
    full: bool = True,
) -> str:
    return text_report(shown, Layout(width=width, color=color, ascii=ascii), full=full) + "\n"


def section(text: str, title: str) -> str:
    return next((part for part in text.split("\n\n") if part.startswith(title)), "")
