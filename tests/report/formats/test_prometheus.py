"""Prometheus' text is read by its own parser to the figures of the report, whatever names are in it."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest

from loadkit.plan.units import SECOND
from loadkit.report.escape import visible
from loadkit.report.formats.prometheus import distinct, prometheus
from tests.report.pages import DOWN, HOSTILE, NOTHING, ODD, SHOP, hostile
from tests.results import replace


def read(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Each sample by its name and labels, if Prometheus' parsers take the text."""
    parser = pytest.importorskip("prometheus_client.parser")
    samples: list[Any] = [one for family in parser.text_string_to_metric_families(text) for one in family.samples]
    found = {(one.name, frozenset(one.labels.items())): one.value for one in samples}
    assert len(found) == len(samples), "no series is there twice"
    if promtool := shutil.which("promtool"):
        done = subprocess.run([promtool, "check", "metrics"], input=text.encode(), capture_output=True, check=False)
        assert (done.returncode, done.stderr.decode()) == (0, "")
    return found


def test_the_figures_are_those_of_the_report():
    found = read(prometheus([SHOP]))

    def of(metric: str, **labels: str) -> float:
        return found[metric, frozenset({"scenario": SHOP.title, **labels}.items())]

    search, buy = SHOP["GET /search"], SHOP.timings[0]
    assert of("loadkit_passed") == 0
    assert of("loadkit_duration_seconds") == 30
    assert of("loadkit_started_timestamp_seconds") == SHOP.spans[0].ends[0] / SECOND
    assert of("loadkit_threshold_passed", threshold="p99 < 250ms") == 1
    assert of("loadkit_threshold_passed", threshold="GET /search: error_rate < 1%") == 0
    assert of("loadkit_run_info", outcome="failed", validity="doubtful", version="0.1.0") == 1
    assert of("loadkit_requests_total") == SHOP.requests
    assert of("loadkit_endpoint_throughput_per_second", endpoint="GET /search") == search.throughput
    assert of("loadkit_endpoint_error_ratio", endpoint="GET /search") == search.error_rate
    assert of("loadkit_endpoint_replies_total", endpoint="GET /search", status="200") == search.statuses[200]
    assert of("loadkit_endpoint_failures_total", endpoint="GET /search", kind="check") == 301
    for one, head, labels in (
        (SHOP.total, "loadkit", {}),
        (search, "loadkit_endpoint", {"endpoint": "GET /search"}),
        (buy, "loadkit_timing", {"kind": "journey", "name": "buy"}),
    ):
        for kind in ("response_time", "service_time"):
            times = getattr(one, kind)
            assert of(f"{head}_{kind}_seconds_count", **labels) == times.count
            assert of(f"{head}_{kind}_seconds_sum", **labels) == times.sum_ns / SECOND
            for quantile, field in (("0", "min"), ("0.5", "p50"), ("0.99", "p99"), ("0.999", "p99_9"), ("1", "max")):
                assert of(f"{head}_{kind}_seconds", quantile=quantile, **labels) == getattr(times, field)


def test_without_a_reply_there_are_no_quantiles():
    found = read(prometheus([NOTHING, DOWN]))

    assert not [labels for name, labels in found if name == "loadkit_response_time_seconds"]


def test_rounds_of_one_load_are_series_of_their_own():
    found = read(prometheus([SHOP, replace(SHOP, outcome="passed", thresholds=[])]))

    assert found["loadkit_passed", frozenset({("scenario", f"{SHOP.title} #2")})] == 1


def test_names_that_look_the_same_are_told_apart():
    assert distinct(["a", "a", "a #2", "\x1b", "\\x1b"]) == ["a", "a #2", "a #2 #2", "\\x1b", "\\x1b #2"]


NAMES = [*HOSTILE, ODD, 'a"b\\c\nd', '{quantile="1"} 7\nloadkit_x 1', "\x00", "\udcff", "# HELP x", "\\n", ""]


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_name_is_a_label_and_nothing_else(name: str):
    plain, found = read(prometheus([hostile("plain")])), read(prometheus([hostile(name)]))

    assert [sample for sample, _ in found] == [sample for sample, _ in plain]
    assert {dict(labels)["endpoint"] for _, labels in found if "endpoint" in dict(labels)} == {
        visible(name),
        visible(f"other {name}"),
    }
