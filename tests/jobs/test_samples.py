"""`--samples FILE`: a line for each request that is measured, and never a word less than is said."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from loadkit import Endpoint, Scenario, run
from loadkit.clock import ManualClock
from loadkit.jobs.samples import SampleFile
from loadkit.measure.samples import MOST, FailedSample, SampleBuffer, Samples
from loadkit.report.json import load as load_results
from loadkit.report.samples import COLUMNS, FORMS, sample_lines
from loadkit.server.demo import Demo
from tests.conftest import Call
from tests.wire.peer import Peer, replies, reply, then_close

FILE = """\
from loadkit import Endpoint, Scenario

def browse(http):
    with http.step("look"):
        http.get("/health")
    http.get("/status/404")

shop = Scenario(
    endpoints=[Endpoint("GET", "/items", weight=2), Endpoint("GET", "/flaky"), browse],
    threads=4,
    duration="1s",
    warmup="200ms",
)
"""


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The lines of a file, with their numbers read."""
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with path.open(newline="") as file:
        found = list(csv.DictReader(file))
    numbers = {"instant": float, "response_time": float, "service_time": float, "status": int, "bytes": int}
    return [{name: numbers.get(name, str)(value) if value else None for name, value in one.items()} for one in found]


@pytest.mark.parametrize(("name", "processes"), [("s.csv", "1"), ("s.jsonl", "1"), ("s.csv", "2"), ("s.jsonl", "2")])
def test_each_request_that_is_measured_has_a_line(call: Call, demo: Demo, tmp_path: Path, name: str, processes: str):
    (tmp_path / "shop.py").write_text(FILE)
    words = ("--base-url", demo.url, "--processes", processes, "-o", str(tmp_path / "r.json"))
    done = call(str(tmp_path / "shop.py"), *words, "--samples", str(tmp_path / name))

    assert "lacks" not in done.stderr
    (result,) = load_results(tmp_path / "r.json")
    found = lines_of(tmp_path / name)
    assert all(tuple(one) == tuple(COLUMNS) for one in found)
    assert {one["scenario"] for one in found} == {"shop"}
    assert Counter(one["endpoint"] for one in found) == {row.name: row.requests for row in result.endpoints}
    good = [one for one in found if not one["failure"]]
    assert Counter(one["status"] for one in good) == result.statuses
    assert Counter(one["failure"] for one in found if one["failure"]) == result.failures
    assert sum(one["bytes"] for one in found) == result.total.bytes_received
    assert sum(one["response_time"] for one in good) == pytest.approx(result.total.response_time.sum_ns / 1e9)
    assert sum(one["service_time"] for one in good) == pytest.approx(result.total.service_time.sum_ns / 1e9)
    assert max(one["instant"] for one in found) - min(one["instant"] for one in found) < result.duration + 0.5


@pytest.mark.parametrize("load", [("-c", "8"), ("-c", "8", "--processes", "2"), ("--rate", "400/s")], ids=" ".join)
def test_the_slowest_requests_of_the_report_are_those_of_all_lines(
    call: Call, demo: Demo, tmp_path: Path, load: tuple[str, ...]
):
    words = ("-z", "1s", "--warmup", "200ms", "-o", str(tmp_path / "r.json"))
    call(f"{demo.url}/exponential/0.002", *load, *words, "--samples", str(tmp_path / "s.csv"))

    (result,) = load_results(tmp_path / "r.json")
    times = sorted((one["response_time"] for one in lines_of(tmp_path / "s.csv") if not one["failure"]), reverse=True)
    assert [one.response_time for one in result.slowest] == pytest.approx(times[:10], abs=1e-9)


def test_what_got_no_reply_has_a_line_without_status(tmp_path: Path):
    cut = then_close(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    with closing(Peer(replies(reply(b"first"), cut))) as peer, SampleFile(tmp_path / "s.csv") as file:
        scenario = Scenario(base_url=peer.url, endpoints=[Endpoint("GET", "/")], threads=1, iterations=2)
        result = run(scenario, samples=file)
    assert not file.missing(result.requests)
    first, second = sorted(lines_of(tmp_path / "s.csv"), key=lambda one: one["instant"])
    assert (first["status"], first["failure"]) == (200, None)
    assert (second["status"], second["failure"]) == (None, "disconnect")
    assert second["response_time"] > 0
    assert second["service_time"] > 0


@pytest.mark.parametrize("end", FORMS)
def test_names_are_text_and_nothing_else(end: str):
    label = "=cmd|' /C calc'!A0,\"%d\"\n\x1b[2J::error::"
    some = Samples(label, 0, failed=(FailedSample(10**9, 0, 3 * 10**9, 0, 0, "check"),))
    (line,) = sample_lines(FORMS[end], "100%", some)
    assert line.count("\n") == 1
    assert "\x1b" not in line
    if end == ".csv":
        (row,) = csv.reader([line])
        assert row == ["1.000000", "100%", "'=cmd|' /C calc'!A0,\"%d\"\\n\\x1b[2J::error::", "", "check", *ROW]
    else:
        assert json.loads(line)["endpoint"] == label


ROW = ("2.000000000", "", "0")


def test_a_full_disk_is_a_note_and_the_run_goes_on(call: Call, demo: Demo, tmp_path: Path):
    (tmp_path / "s.csv").symlink_to("/dev/full")
    done = call(f"{demo.url}/health", "-n", "50", "--samples", str(tmp_path / "s.csv"))
    assert done.returncode == 3
    assert done.stdout.count("PASSED") == 1
    notes = [line for line in done.stderr.splitlines() if line.startswith("loadkit: ")]
    assert notes == [f"loadkit: {tmp_path / 's.csv'} lacks 50 of 50 requests: no space left on device"]


def test_a_disk_that_stands_still_holds_up_nobody(demo: Demo, tmp_path: Path):
    path = tmp_path / "s.jsonl"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDWR)
    try:
        with SampleFile(path, patience=0.3) as file:
            endpoint = Endpoint("GET", "/health")
            result = run(Scenario(base_url=demo.url, endpoints=[endpoint], threads=4, iterations=3000), samples=file)
        assert result.passed
        assert " requests: the disk took nothing for 0.3 s" in file.missing(result.requests)
        assert f" of {result.requests:,} requests" in file.missing(result.requests)
    finally:
        os.close(reader)


def test_what_is_too_much_is_left_out_and_counted():
    buffer = SampleBuffer(ManualClock())
    block = [1, 2, 3, 4, 200, 6] * 50_000
    for _ in range(7):
        buffer.put("a", block)
    buffer.put_failed("a", FailedSample(1, 2, 3, 0, 0, "timeout"))
    found, lost = buffer.take()
    assert sum(one.count for one in found) + lost == 350_001
    assert sum(one.count for one in found) == MOST
    assert buffer.take() == ([], 0)


@pytest.fixture
def no_request(demo: Demo) -> Iterator[str]:
    """A URL of which no request may be sent."""
    from tests.conftest import served

    before = served(demo, "/search")
    yield f"{demo.url}/search"
    assert served(demo, "/search") == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("s.txt", "--samples takes a file that ends in .csv or .jsonl, not "),
        ("none/s.csv", "cannot write "),
        ("-", "--samples takes a file that ends in .csv or .jsonl, not '-'"),
    ],
)
def test_a_file_that_cannot_be_is_refused_before_anything_is_sent(
    call: Call, no_request: str, tmp_path: Path, name: str, message: str
):
    done = call(no_request, "-n", "1", "--samples", name if name == "-" else str(tmp_path / name))
    assert done.returncode == 4
    assert done.stderr.startswith(f"loadkit: {message}")
