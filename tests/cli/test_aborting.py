"""`--abort`: what ends a run early, what is said of it, and what is not understood."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from loadkit.server.demo import Demo
from tests.conftest import Call

SLOWING = """
from loadkit import Endpoint, Scenario, rows

feed = rows([{"s": 0.02}] * 200 + [{"s": 0.6}] * 1000)
shop = Scenario(endpoints=[Endpoint("GET", "/delay/{s}", feed=feed)], threads=8, duration=20)
later = Scenario(endpoints=[Endpoint("GET", "/")], iterations=5)
"""


def test_a_run_that_ends_early_says_when_and_why_in_each_report(call: Call, demo: Demo, tmp_path: Path):
    file, found = tmp_path / "shop.py", tmp_path / "found.json"
    file.write_text(SLOWING)

    done = call("run", f"{file}::shop", "--base-url", demo.url, "--abort", "p99 < 300ms over 1s", "-o", str(found))
    again = call("report", str(found), "--markdown", str(tmp_path / "a.md"))

    assert done.returncode == again.returncode == 1, done.stderr
    said = r"ABORTED after \d\.\d+ s: p99 over 1s was 6\d\d ms from \d to \d s \(limit 300 ms\)"
    for text in (done.stdout, again.stdout):
        assert re.search(f"^{said}$", text, re.MULTILINE), text
        assert re.search(r"✗ p99 < 300ms over 1s or abort +6\d\d ms from \d to \d s", text), text
    assert "ABORTED" in (tmp_path / "a.md").read_text()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        (
            "--abort",
            "p99 < 1s",
            "a run is ended for its last seconds, and 'p99 < 1s' is about all of it; write it like 'p99 < 1s over 10s'",
        ),
        (
            "--abort",
            "p99 < 1s over 500ms",
            (
                "cannot read the threshold 'p99 < 1s over 500ms': it holds over whole seconds, from 1s to 10m, "
                "like 'p99 < 1s over 10s', and not over '500ms'"
            ),
        ),
        (
            "--abort",
            "p99 < 1s for 10s",
            "cannot read the threshold 'p99 < 1s for 10s'; a window is written like 'p99 < 1s over 10s', without 'for'",
        ),
        (
            "-t",
            "p99 < 1s over 1m",
            (
                "the threshold 'p99 < 1s over 1m' is about 1m, and the run lasts 10s; "
                "let it last longer, or write the threshold over less than that"
            ),
        ),
        (
            "--abort",
            "fast over 10s",
            (
                "cannot read the threshold 'fast over 10s'; write it like 'p99 < 250ms', 'throughput > 500/s' or "
                "'GET /search: error_rate < 1%'"
            ),
        ),
    ],
)
def test_a_window_that_is_none_is_one_line_with_the_right_form(call: Call, option: str, value: str, message: str):
    done = call("run", "http://127.0.0.1:1/", option, value)

    assert (done.returncode, done.stderr) == (4, f"loadkit: {message}\n")


def test_a_search_for_the_limit_refuses_a_threshold_over_a_time(call: Call):
    done = call("limit", "http://127.0.0.1:1/", "-t", "p99 < 1s over 10s")

    message = "a trial is judged as a whole, and 'p99 < 1s over 10s' holds over a time; leave that out"
    assert (done.returncode, done.stderr) == (4, f"loadkit: {message}\n")
