"""A run that is killed leaves what it had counted: a file beside its result that `loadkit report` reads."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from loadkit.report.json import load
from loadkit.server.demo import running_demo
from tests.conftest import Call
from tests.waiting import wait_for

SCENARIO = """
from loadkit import Endpoint, Scenario

def look(http):
    http.get("/items/1")

first = Scenario(base_url="{url}", endpoints=[Endpoint("GET", "/")], iterations=40)
second = first.replace(iterations=None, duration="1h", threads=4, endpoints=[Endpoint("GET", "/items/1"), look])
alone = second.replace(endpoints=[Endpoint("GET", "/items/1")])
"""


def start(*arguments: str) -> subprocess.Popen[bytes]:
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-m", "loadkit", *arguments, "-q"], **quiet)


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--processes", "2"]], ids=["one process", "two"])
def test_a_run_that_is_killed_leaves_what_was_counted(call: Call, tmp_path: Path, options: list[str]):
    file, output = tmp_path / "shop.py", tmp_path / "out.json"
    partial = tmp_path / "out.json.partial"
    with running_demo() as demo:
        file.write_text(SCENARIO.format(url=demo.url))
        process = start("run", f"{file}::first", f"{file}::second", "-o", str(output), *options)
        wait_for(partial.exists)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        counted = requests.get(f"{demo.url}/stats", timeout=5).json()["paths"]

    first, second = load(partial)
    done = call("report", str(partial))

    assert [one.scenario.name for one in load(output)] == ["first"], "the one that ended has its place"
    assert (first.outcome, first.requests) == ("passed", 40)
    assert (second.outcome, second.scenario.duration) == ("interrupted", 3600)
    assert 0 < second.requests <= counted["/items/{id}"]
    assert sum(one.total.requests for one in second.intervals) == second.requests
    assert second.duration == sum(one.measured for one in second.intervals) == second.spans[0].length
    assert [caveat.code for caveat in second.caveats if caveat.code == "partial"] == ["partial"]
    assert done.returncode == 2
    assert f"INTERRUPTED after {second.duration:g} s" in done.stdout
    assert f"written after {second.duration:g} s that were measured" in " ".join(done.stdout.split())


RATE = 50
STEADY = """
from loadkit import Endpoint, Scenario

shop = Scenario(base_url="{url}", endpoints=[Endpoint("GET", "/items/1")], rate={rate}, max_threads=4, duration="1h")
"""


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--processes", "2"]], ids=["one process", "two"])
@pytest.mark.parametrize("wanted", [1, 4], ids=["the first that was left", "a later one"])
def test_what_is_left_is_of_all_but_the_last_seconds(tmp_path: Path, options: list[str], wanted: int):
    file, partial = tmp_path / "shop.py", tmp_path / "out.json.partial"

    def is_of_seconds() -> bool:
        return partial.exists() and load(partial)[0].duration >= wanted

    with running_demo() as demo:
        file.write_text(STEADY.format(url=demo.url, rate=RATE))
        process = start("run", str(file), "-o", str(tmp_path / "out.json"), *options)
        wait_for(is_of_seconds)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        counted = requests.get(f"{demo.url}/stats", timeout=5).json()["paths"]["/items/{id}"]

    (left,) = load(partial)
    assert left.requests == pytest.approx(RATE * left.duration, abs=3)
    # 1.3 s with one process and 2.1 s with two where nobody holds it up
    assert counted - left.requests < 3.5 * RATE


@pytest.mark.slow
def test_the_result_takes_the_place_of_what_was_kept_and_an_old_one_stays_until_then(tmp_path: Path):
    file, output = tmp_path / "shop.py", tmp_path / "out.json"
    partial = tmp_path / "out.json.partial"
    output.write_text("an old one")
    with running_demo() as demo:
        file.write_text(SCENARIO.format(url=demo.url))
        process = start("run", f"{file}::alone", "-o", str(output))
        wait_for(partial.exists)
        kept = load(partial)[0].requests
        assert output.read_text() == "an old one"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 2

    assert json.loads(output.read_text())["results"][0]["total"]["requests"] > kept
    assert [path.name for path in sorted(tmp_path.glob("out*"))] == ["out.json"]


@pytest.mark.slow
def test_what_cannot_be_kept_costs_the_run_nothing(tmp_path: Path):
    file, output = tmp_path / "shop.py", tmp_path / "out.json"
    (tmp_path / "out.json.partial").mkdir()
    with running_demo() as demo:
        file.write_text(SCENARIO.format(url=demo.url))
        process = start("run", f"{file}::alone", "-z", "8s", "-o", str(output))
        assert process.wait(40) == 0

    assert load(output)[0].outcome == "passed"
