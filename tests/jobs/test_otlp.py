"""Metrics go to a collector of OpenTelemetry while a run goes on; what is lost is said, and no run waits for it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from loadkit import Endpoint, Scenario, run, run_together, timer
from loadkit.clock import SystemClock
from loadkit.measure.counts import Counts
from loadkit.measure.recording import Key
from loadkit.plan.errors import UsageError
from loadkit.plan.units import SECOND
from loadkit.server.demo import Demo
from loadkit.wire.base import Origin
from tests.conftest import Call

pytest.importorskip("opentelemetry.proto", reason="the extra otel is not installed")

from loadkit.jobs.otlp import OtlpExport, OtlpTarget, otlp_target
from tests.otlp import Points, accepting, collecting, points_of, rejecting


def second(requests: int, label: str = "GET /") -> dict[Key, Counts]:
    """What one second had."""
    counts = Counts()
    counts.take([value for _ in range(requests) for value in (0, 1_000, 5_000_000, 5_000_010, 200, 100)], 50)
    return {("request", 0, label): counts}


def target(url: str, **changes: Any) -> OtlpTarget:
    """A collector that is sent a message as soon as there is something to say."""
    return OtlpTarget(url=url, **{"every": 0.01, "deadline": 0.5, "patience": 20.0, **changes})


def exporting(to: OtlpTarget) -> OtlpExport:
    return OtlpExport(to, "browse", [Origin("http", "shop.example", 80)], SystemClock())


def requests_of(points: Points) -> int:
    return points.total("loadkit.requests", {"loadkit.endpoint": "GET /"})


# -- a run


def buy(http: Any) -> None:
    with timer("search"):
        http.get("/search", params={"q": "tea"})


def shop(demo: Demo, **fields: Any) -> Scenario:
    endpoints = [Endpoint("GET", "/"), Endpoint("GET", "/no-such"), buy]
    return Scenario(**{"name": "shop", "base_url": demo.url, "endpoints": endpoints, "iterations": 60, **fields})


def check_figures(result: Any, found: Points, scenario: str) -> None:
    """The last points of each series have the figures of the result."""
    port = int(result.scenario.base_url.rpartition(":")[2].strip("/"))
    about: dict[str, str | int] = {"loadkit.scenario": scenario, "server.address": "127.0.0.1", "server.port": port}
    for row in result.endpoints:
        method = row.name.partition(" ")[0]
        of_row = about | {"loadkit.endpoint": row.name, "http.request.method": method}
        assert found.total("loadkit.requests", of_row) == row.requests
        for status, number in row.statuses.items():
            assert found.sum_of("loadkit.requests", of_row | {"http.response.status_code": status}) == number
        for kind, number in row.failures.items():
            assert found.sum_of("loadkit.requests", of_row | {"error.type": kind}) == number
        for name, times, of_times in (
            ("loadkit.response_time", row.response_time, of_row),
            ("http.client.request.duration", row.service_time, of_row),
            ("http.client.request.duration", row.failure_time, of_row | {"error.type": "_OTHER"}),
        ):
            if times.count:
                point = found.histogram(name, of_times)
                assert (point.count, point.min, point.max) == (times.count, times.min, times.max)
                assert point.sum == times.sum_ns / SECOND
                assert point.zero_count + sum(point.positive.bucket_counts) == times.count
    for one in result.timings:
        of_timing = about | {"loadkit.timing.kind": one.kind, "loadkit.timing.name": one.name}
        point = found.histogram("loadkit.timing.duration", of_timing)
        assert (point.count, point.max) == (one.response_time.count, one.response_time.max)


def test_a_run_sends_the_figures_of_its_result(demo: Demo):
    with collecting() as collector:
        result = run(shop(demo), otlp=otlp_target(collector.url))

    found = collector.points
    check_figures(result, found, "shop")
    assert collector.paths == ["/v1/metrics"] * len(collector.received)
    assert collector.headers[0]["Content-Type"] == "application/x-protobuf"
    assert found.resource["service.name"] == "loadkit"
    assert "otlp" not in [one.code for one in result.caveats]


def test_of_runs_at_the_same_time_each_has_its_series(demo: Demo):
    with collecting() as collector:
        results = run_together(shop(demo), shop(demo, name="other", iterations=30), otlp=target(collector.url))

    for result, name in zip(results, ("shop", "other"), strict=True):
        check_figures(result, collector.points, name)


def test_several_processes_are_one_run(demo: Demo, call: Call, tmp_path: Path):
    file, output = tmp_path / "shop.py", tmp_path / "out.json"
    file.write_text(
        "from loadkit import Endpoint, Scenario\n"
        f"shop = Scenario(base_url={demo.url!r}, endpoints=[Endpoint('GET', '/')], threads=2, iterations=50)\n"
    )
    with collecting() as collector:
        done = call("run", str(file), "--processes", "2", "--otlp", collector.url, "-q", "-o", str(output))

    assert done.returncode == 0, done.stderr
    assert requests_of(collector.points) == json.loads(output.read_text())["results"][0]["total"]["requests"] == 50


@pytest.mark.slow
def test_metrics_come_while_it_runs(demo: Demo):
    with collecting() as collector:
        run(shop(demo, iterations=None, duration="8s", think_time="50ms"), otlp=target(collector.url))

    first, *_, last = [requests_of(points_of([one])) for one in collector.received]
    assert 0 < first < last


# -- bad days


def failing(status: int) -> Callable[[int], tuple[int, bytes]]:
    return lambda number: (status, b"")


LOST = [
    (failing(500), False, "status 500"),
    (failing(404), False, "status 404"),
    (failing(307), False, "status 307"),
    (rejecting, False, "it rejected 2 data points: too many series"),
    (accepting, True, "127.0.0.1:{port}: Read timed out: no whole reply within 0.5 s"),
]


@pytest.mark.parametrize(("answer", "is_slow", "reason"), LOST, ids=[row[2] for row in LOST])
def test_what_a_collector_does_not_take_is_said_and_the_run_is_as_without(
    demo: Demo, answer: Callable[[int], tuple[int, bytes]], is_slow: bool, reason: str
):
    with collecting(answer, is_slow=is_slow) as collector:
        began = time.monotonic()
        result = run(shop(demo, iterations=None, duration="500ms"), otlp=target(collector.url, patience=2.0))
        took = time.monotonic() - began

    assert result.duration == pytest.approx(0.5, abs=0.01)
    [note] = [one for one in result.caveats if one.code == "otlp"]
    total = f"{result.requests:,}"
    why = reason.format(port=collector.url.rpartition(":")[2])
    assert note.message == f"{total} of {total} requests did not get to the collector {collector.url}: {why}"
    assert note.level == "note"
    assert took < 30, "and no longer than a busy machine takes"


def test_who_asks_twice_for_the_end_does_not_wait_for_a_collector():
    with collecting(is_slow=True) as collector:
        patient = target(collector.url, deadline=30.0, patience=30.0)
        export = OtlpExport(patient, "browse", [], SystemClock(), lambda: 2)
        with export:
            export.take(second(3))
            collector.wait(1)

    [(_, message)] = export.notes()
    assert message.startswith("3 of 3 requests did not get to the collector")


def test_where_no_collector_listens_the_report_says_so_and_the_exit_code_is_that_of_the_run(
    demo: Demo, call: Call, free_port: int
):
    done = call("run", demo.url, "-n", "20", "--otlp", f"http://ann:secret@127.0.0.1:{free_port}/v1/metrics")

    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert "otlp: 20 of 20 requests did not get to the collector http://" in text
    assert f"127.0.0.1:{free_port}" in text
    assert "secret" not in done.stdout + done.stderr


@pytest.mark.parametrize("is_delta", [True, False])
def test_what_one_message_lacked_comes_with_the_next(is_delta: bool):
    def second_fails(number: int) -> tuple[int, bytes]:
        return (503, b"") if number == 2 else accepting(number)

    with collecting(second_fails) as collector, exporting(target(collector.url, is_delta=is_delta)) as export:
        for number, requests in zip(count(1), (5, 7, 11), strict=False):
            export.take(second(requests))
            collector.wait(number)

    counts = [requests_of(points_of([one])) for one in collector.received]
    # after the one that failed there may have been another attempt before more came
    taken = counts[:1] + counts[2:]
    assert (sum(taken) if is_delta else taken[-1]) == 23
    [(code, message)] = export.notes()
    assert code == "otlp"
    assert message.startswith(f"1 of {len(counts)} messages did not get to the collector {collector.url}")
    assert message.endswith("(status 503); what they lacked came with later ones")


def test_times_of_messages_follow_each_other(demo: Demo):
    with collecting() as collector, exporting(target(collector.url, is_delta=True)) as export:
        for number in (1, 2):
            export.take(second(3))
            collector.wait(number)

    (first, middle), (begin, last) = sorted(collector.points.times)
    assert first < middle == begin < last
    assert list(export.notes()) == []


def test_hops_of_redirects_are_in_no_message():
    with collecting() as collector, exporting(target(collector.url)) as export:
        export.take(second(3) | second(4, "GET / (redirected)"))

    assert {dict(attributes)["loadkit.endpoint"] for _, attributes in collector.points.series} == {"GET /"}
    assert list(export.notes()) == []


# -- what is asked for


def test_headers_and_temporality_are_those_of_the_environment():
    environment = {
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=s3cret%20key, x-tenant = a ",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "Delta",
    }
    wanted = otlp_target("https://collector.example/otlp/v1/metrics", environment)

    assert wanted.headers == {"api-key": "s3cret key", "x-tenant": "a"}
    assert (wanted.url, wanted.is_delta) == ("https://collector.example/otlp/v1/metrics", True)
    assert "s3cret" not in repr(wanted)
    with collecting() as collector, exporting(target(collector.url, headers=wanted.headers)) as export:
        export.take(second(1))
    assert collector.headers[0]["api-key"] == "s3cret key"


@pytest.mark.parametrize(
    ("url", "sent_to"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/metrics"),
        ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/metrics"),
        ("http://127.0.0.1:9090/api/v1/otlp/v1/metrics", "http://127.0.0.1:9090/api/v1/otlp/v1/metrics"),
    ],
)
def test_a_url_without_a_path_is_that_of_a_collector(url: str, sent_to: str):
    assert otlp_target(url, {}).url == sent_to


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("127.0.0.1:4318", "--otlp '127.0.0.1:4318' has no scheme; write it like 'http://127.0.0.1:4318'"),
        ("grpc://127.0.0.1:4317", "--otlp 'grpc://127.0.0.1:4317' has the scheme 'grpc'; loadkit speaks http, https"),
        ("", "--otlp takes a URL like 'http://127.0.0.1:8000', not ''"),
    ],
)
def test_what_is_no_url_is_said_before_the_run(url: str, message: str):
    with pytest.raises(UsageError) as raised:
        otlp_target(url, {})

    assert str(raised.value).startswith(message)


def test_without_the_extra_it_says_what_to_install():
    code = """
        import sys
        sys.modules["opentelemetry"] = None
        from loadkit.cli import main
        sys.argv = ["loadkit", "http://127.0.0.1:9", "--otlp", "http://127.0.0.1:4318"]
        main()
    """
    words = [sys.executable, "-c", "\n".join(line.strip() for line in code.splitlines())]

    done = subprocess.run(words, capture_output=True, text=True, check=False)

    assert done.returncode == 4
    assert done.stderr == "loadkit: --otlp needs opentelemetry.proto; pip install 'pytest-loadkit[otel]'\n"
