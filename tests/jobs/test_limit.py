"""The limit of real servers whose capacity is known, and the bad days."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadkit.jobs.limit import limit, limits_of
from loadkit.judge.limit.search import SearchMoment
from loadkit.plan.endpoint import Endpoint
from loadkit.plan.errors import UsageError
from loadkit.plan.scenario import Scenario
from loadkit.server.demo import Demo
from tests.conftest import Call

SERVER = Path(__file__).parents[2] / "benchmarks" / "limit" / "server.py"


@contextmanager
def queueing(span: float, at_once: int) -> Iterator[str]:
    """A server that has room for so many requests at once, of so many milliseconds each."""
    with subprocess.Popen([sys.executable, str(SERVER), str(span), str(at_once)], stdout=subprocess.PIPE) as server:
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.kill()


def at(url: str, path: str = "/", **fields) -> Scenario:
    return Scenario(base_url=url, endpoints=[Endpoint("GET", path)], name="browse", **fields)


def after(trials: int) -> tuple[Callable[[SearchMoment], None], Callable[[], int]]:
    """Watches a search, and asks for its end once it has made so many trials."""
    seen: list[SearchMoment] = []
    return seen.append, lambda: int(sum(one.trial is not None for one in seen) >= trials)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_limit_of_a_server_is_what_its_workers_can_do():
    with queueing(100, 10) as url:
        found = limit(at(url), "p90 < 500ms", budget="100s")
    # 100/s, and a little less for what a busy machine adds to 100 ms
    assert 100 * 0.75 <= found.rate <= 100 * 1.05, found
    assert found.rate < found.failed, found
    assert found.gave_way.startswith("p90 < 500ms ("), found


def test_what_a_server_never_holds_is_missed_at_the_lowest_rate():
    with queueing(60, 4) as url:
        found = limit(at(url), "p50 < 20ms", budget="12s")
    assert (found.ending, found.confirmed, found.exit_code) == ("missed", None, 1)
    assert found.levels[0].holding == "missed"
    assert found.levels[0].figures["p50"] > 0.06


def test_a_search_that_is_interrupted_keeps_what_it_has(demo: Demo):
    watch, interrupts = after(trials=3)
    found = limit(at(demo.url, "/items"), "p99 < 1s", watch=watch, interrupts=interrupts)
    assert (found.ending, found.exit_code, len(found.closed)) == ("interrupted", 2, 3)
    assert found.closed[0].throughput > 0


def test_a_server_that_cannot_be_reached_holds_nothing(free_port: int):
    found = limit(at(f"http://127.0.0.1:{free_port}"), "p50 < 1s")
    assert (found.ending, found.exit_code, found.levels) == ("cannot tell", 6, [])
    assert found.reason == "not one request of the first trial was answered well"
    assert found.closed[0].trials[0].failures.keys() == {"connect"}


def test_the_load_of_the_scenario_plays_no_part(demo: Demo):
    browse = Scenario(
        base_url=demo.url,
        endpoints=[Endpoint("GET", "/items", threads=3), Endpoint("GET", "/health")],
        think_time="1s",
        iterations=7,
        warmup="9s",
        thresholds=["p99 < 1s", "throughput > 5/s"],
    )
    watch, interrupts = after(trials=1)
    found = limit(browse, watch=watch, interrupts=interrupts)
    assert found.closed[0].throughput > 7
    assert found.thresholds == ["p99 < 1s", "error_rate == 0%"]
    assert found.notes == ["the threshold 'throughput > 5/s' says nothing of how much is held, and was left out"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "there is no threshold to search by; give one like -t 'p99 < 100ms'"),
        (["throughput > 5/s"], "use a response time or the error rate"),
        (["p99 > 5s"], "is no limit from above"),
        (["p99 < fast"], "cannot read the threshold"),
    ],
)
def test_thresholds_that_cannot_limit_a_rate_are_refused(given, words):
    with pytest.raises(UsageError, match=words):
        limits_of(at("http://127.0.0.1:1"), given)


def test_a_threshold_on_an_endpoint_that_there_is_not_is_refused():
    with pytest.raises(UsageError, match="names no endpoint"):
        limit(at("http://127.0.0.1:1"), "nowhere: p99 < 1s")


def test_the_command_prints_and_stores_what_it_found(call: Call, tmp_path: Path):
    output = tmp_path / "limit.json"
    with queueing(60, 4) as url:
        done = call("limit", f"{url}/", "-t", "p50 < 20ms", "--budget", "12s", "-o", str(output))
    assert done.returncode == 1
    assert "MISSED: it does not hold at the lowest rate" in done.stdout
    assert "(what closed threads get)" in done.stderr
    document = json.loads(output.read_text())
    assert (document["version"], document["ending"], document["by"]) == (1, "missed", "rate")
    assert document["levels"][0]["trials"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-t", "p99 < fast"], "cannot read the threshold"),
        (["-t", "p99 < 1s", "--budget", "soon"], "budget"),
        (["-t", "p99 < 1s", "--at-least", "many"], "at_least"),
        ([], "there is no threshold to search by"),
    ],
)
def test_a_mistake_of_the_user_is_one_line(call: Call, words, message):
    done = call("limit", "http://127.0.0.1:1/", *words)
    assert (done.returncode, done.stdout) == (4, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_as_many_threads_are_enough_as_a_server_has_room_for():
    with queueing(100, 4) as url:
        found = limit(at(url), by="threads", budget="25s")
    assert 3 <= found.threads <= 6, found
    assert found.best <= 42
    assert found.exit_code in (0, 6)


@pytest.mark.parametrize("given", [{"by": "users"}, {"by": "threads", "at_least": "5/s"}])
def test_what_threads_are_not_searched_by_is_refused(given):
    with pytest.raises(UsageError):
        limit(at("http://127.0.0.1:1"), **given)
