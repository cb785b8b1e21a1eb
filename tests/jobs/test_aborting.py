"""Runs that end because a threshold over a time is missed, against a server that becomes slow after so many replies."""

from __future__ import annotations

from typing import Any

import pytest

from loadkit import Endpoint, Journey, Scenario, Session, Threshold, rows, run
from loadkit.judge.merge import merge
from loadkit.judge.result import Result
from loadkit.server.demo import Demo

NEVER = 30
"""Seconds after which a reply comes that nobody waits for."""


def fetch(http: Session, row: Any) -> None:
    """One request of a journey."""
    http.get(f"/delay/{row['s']}").raise_for_status()


def slowing(demo: Demo, threshold: str | Threshold, *, quick: int, then: float, kind: str, **load: Any) -> Result:
    """Run a load of which `quick` requests are answered after 20 ms, and the others after `then` seconds."""
    feed = rows([{"s": 0.02}] * quick + [{"s": then}] * 100_000)
    endpoint = Endpoint("GET", "/delay/{s}", feed=feed) if kind == "endpoint" else Journey(fetch, feed=feed)
    load = {"duration": 20, "graceful_stop": 0.1, "timeout": 60, **load}
    return run(Scenario(name="slowing", base_url=demo.url, endpoints=[endpoint], thresholds=[threshold], **load))


@pytest.mark.parametrize(
    ("threshold", "kind", "then", "load"),
    [
        ("p99 < 300ms over 1s or abort", "endpoint", 0.5, {"threads": 8}),
        ("p99 < 300ms over 1s or abort", "endpoint", NEVER, {"threads": 8}),
        ("p99 < 300ms over 1s or abort", "endpoint", NEVER, {"rate": 200}),
        # more is due than the threads send, for all of them wait
        ("p99 < 300ms over 1s or abort", "endpoint", NEVER, {"rate": 200, "max_threads": 10}),
        ("p99 < 300ms over 1s or abort", "journey", NEVER, {"threads": 8}),
        ("fetch: p99 < 300ms over 1s or abort", "journey", NEVER, {"threads": 8}),
        ("GET /delay/{s}: mean < 300ms over 1s or abort", "endpoint", NEVER, {"threads": 8}),
        ("throughput > 50/s over 1s or abort", "endpoint", NEVER, {"threads": 8}),
        ("error_rate < 5% over 1s or abort", "endpoint", NEVER, {"threads": 8, "timeout": 0.3}),
        (Threshold("p99 < 300ms", over=1, abort=True), "endpoint", NEVER, {"threads": 8}),
    ],
)
def test_a_server_that_becomes_slow_or_answers_nothing_ends_the_run(
    demo: Demo, threshold: str | Threshold, kind: str, then: float, load: dict[str, Any]
):
    result = slowing(demo, threshold, quick=300, then=then, kind=kind, **load)

    limit = result.thresholds[0]
    assert (result.outcome, limit.passed, limit.aborted) == ("failed", False, True), result.caveats
    assert limit.at is not None
    assert limit.at <= result.duration < 15
    assert result.statuses[200] >= 300


def test_without_a_word_of_that_the_run_goes_on_and_tells_its_worst_window(demo: Demo):
    result = slowing(demo, "p99 < 300ms over 1s", quick=200, then=0.5, kind="endpoint", threads=8, duration=3)

    limit = result.thresholds[0]
    assert (result.outcome, limit.passed, limit.aborted) == ("failed", False, False)
    assert result.duration == 3
    assert limit.value is not None
    assert limit.value > 0.5
    # of a merged result it is that of the run in which it came out worst
    better = slowing(demo, "p99 < 300ms over 1s", quick=100_000, then=0.5, kind="endpoint", threads=8, duration=3)
    assert better.thresholds[0].passed
    assert merge([better, result]).thresholds[0] == limit
    with pytest.raises(AssertionError, match="MISSED  p99 < 300ms over 1s"):
        result.check("p99 < 1s", "p99 < 300ms over 1s")


def test_a_run_that_is_too_short_for_a_window_has_missed_its_threshold(demo: Demo):
    result = run(
        Scenario(base_url=demo.url, endpoints=[Endpoint("GET", "/")], iterations=10, thresholds=["p99 < 1s over 60s"])
    )

    assert (result.outcome, result.thresholds[0].shown) == ("failed", "nothing was measured for 60 s")


def test_what_is_sent_before_measuring_begins_ends_nothing(demo: Demo):
    # the warm-up has the slow ones: it takes the first rows
    feed = rows([{"s": 1.2}] * 4 + [{"s": 0.02}] * 100_000)
    scenario = Scenario(
        base_url=demo.url,
        endpoints=[Endpoint("GET", "/delay/{s}", feed=feed)],
        threads=4,
        warmup="2500ms",
        duration=2,
        thresholds=["max < 1s over 1s or abort"],
    )

    assert run(scenario).passed
