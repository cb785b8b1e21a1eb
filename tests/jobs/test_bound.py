"""Is it me or the server: real runs against servers whose capacity is known, open and closed, steady and ramped."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from loadkit import Endpoint, Scenario, hold, ramp, run
from loadkit.judge.result import Result

SERVER = Path(__file__).parents[2] / "benchmarks" / "limit" / "server.py"
ANY = 10_000
"""At once: the server holds nobody up, and only keeps each request so long."""


@contextmanager
def serving(span: float, at_once: int) -> Iterator[str]:
    with subprocess.Popen([sys.executable, SERVER, str(span), str(at_once)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def ran(span: float, at_once: int, **load: Any) -> Result:
    with serving(span, at_once) as url:
        return run(Scenario(base_url=url, endpoints=[Endpoint("GET", "/")], **load))


def test_an_open_run_above_what_one_worker_can_do_is_bound_by_the_server():
    result = ran(20, 1, rate="200/s", max_threads=20, duration="2s")

    assert result.throughput < 50
    assert result.bottleneck.cause == "server", result.bottleneck.sentence
    assert "more connections" not in result.bottleneck.sentence


def test_an_open_run_with_too_few_threads_for_a_server_that_can_do_more_is_bound_by_them():
    result = ran(100, ANY, rate="200/s", max_threads=10, duration="2s")

    assert result.bottleneck.cause == "connections", result.bottleneck.sentence


OPEN = {"duration": "5s"}
UP = [ramp("6s", start=1, to=12), hold("2s")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("span", "at_once", "load", "by"),
    [
        (20, 1, {"rate": "200/s", "max_threads": 300, **OPEN}, "server"),  # threads enough for all that is due
        (20, 4, {"rate": "600/s", "max_threads": 40, **OPEN}, "server"),
        (20, 4, {"rate": "600/s", "max_threads": 1500, **OPEN}, "server"),
        (20, 1, {"rate": "60/s", "max_threads": 300, **OPEN}, "server"),  # hardly more than it can do
        (20, 1, {"rate": "25/s", "max_threads": 300, **OPEN}, "rate"),
        (20, 4, {"rate": "100/s", "max_threads": 300, **OPEN}, "rate"),
        (100, ANY, {"rate": "200/s", "max_threads": 100, **OPEN}, "rate"),
        (100, ANY, {"rate": "600/s", "max_threads": 30, **OPEN}, "connections"),
        (20, 1, {"rate": "5/s", "phases": [ramp("6s", start="5/s", to="150/s")], "max_threads": 600}, "server"),
        (20, 4, {"rate": "5/s", "phases": [ramp("6s", start="5/s", to="90/s")], "max_threads": 600}, "rate"),
        (50, 4, {"phases": UP}, "server"),  # four threads' worth
        (100, ANY, {"phases": UP}, "connections"),
        (50, 4, {"phases": [ramp("8s", start=1, to=12)]}, "server"),  # without a hold at the end
        (100, ANY, {"phases": [ramp("8s", start=1, to=12)]}, "connections"),
        (50, 4, {"threads": 12, **OPEN}, None),  # one number of threads
        (100, ANY, {"threads": 12, **OPEN}, None),
        (20, ANY, {"threads": 12, "think_time": "200ms", **OPEN}, "rate"),
    ],
)
def test_what_bound_a_run_is_told_rightly(span: float, at_once: int, load: dict[str, Any], by: str | None):
    result = ran(span, at_once, **load)

    assert result.bottleneck.cause == by, result.bottleneck.sentence
