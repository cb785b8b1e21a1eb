"""The limit of real servers whose capacity is known, and the bad days."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
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

MORTAL = """
import http.server, os, sys

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    left = 60

    def do_GET(self):
        Handler.left -= 1
        if not Handler.left:
            os._exit(1)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
"""Ends with its 60th request."""

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
    with queueing(40, 4) as url:
        found = limit(at(url), "p90 < 200ms", budget="90s")
    # 100/s, and a little less for what a busy machine adds
    assert 100 * 0.75 <= found.rate <= 100 * 1.05, found
    assert found.rate < found.failed, found
    assert found.gave_way.startswith("p90 < 200ms ("), found


@contextmanager
def restarted(port: int, after: float) -> Iterator[Callable[[], None]]:
    """A server on a port; yields what kills it, for so many seconds."""
    command = [sys.executable, str(SERVER), "20", "4", "--port", str(port)]
    servers = [subprocess.Popen(command, stdout=subprocess.PIPE)]
    timers: list[threading.Timer] = []

    def kill() -> None:
        servers[-1].kill()
        timers.append(threading.Timer(after, lambda: servers.append(subprocess.Popen(command, stdout=subprocess.PIPE))))
        timers[-1].start()

    try:
        servers[0].stdout.readline()
        yield kill
    finally:
        for timer in timers:
            timer.cancel()
            timer.join()
        for server in servers:
            server.kill()
            server.communicate()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_server_that_is_killed_on_the_way_up_and_comes_back_is_waited_for(free_port: int):
    rates: list[SearchMoment] = []
    with restarted(free_port, after=3) as kill:

        def watch(moment: SearchMoment) -> None:
            if moment.next_trial.is_closed:
                return
            if not rates:
                kill()
            if moment.trial or not rates:
                rates.append(moment)

        found = limit(
            at(f"http://127.0.0.1:{free_port}"),
            "p90 < 200ms",
            budget="60s",
            watch=watch,
            interrupts=lambda: int(sum(one.trial is not None for one in rates) > 3),
        )
    lost, *others = [one.trial for one in rates if one.trial]
    assert lost.is_lost
    assert 2 < lost.cost - lost.seconds < 15, "it waits until the server is back"
    assert not any(one.is_lost for one in others)
    assert found.levels[0].holding != "missed", "of one trial it is not believed"


@pytest.mark.slow
def test_a_server_that_was_started_for_a_search_is_started_again_once_it_ends(tmp_path: Path):
    # ends after so many requests: in the second trial
    mortal = tmp_path / "mortal.py"
    mortal.write_text(MORTAL)
    watch, interrupts = after(trials=5)
    scenario = Scenario(endpoints=[Endpoint("GET", "/")], server=[sys.executable, str(mortal), "{port}"])
    found = limit(scenario, "p90 < 200ms", budget="60s", watch=watch, interrupts=interrupts)
    assert found.closed[0].throughput > 0
    assert found.closed[-1].throughput > 0


def test_what_a_server_never_holds_is_missed_at_the_lowest_rate():
    with queueing(60, 4) as url:
        found = limit(at(url), "p50 < 20ms", budget="12s")
    assert (found.ending, found.confirmed, found.exit_code) == ("missed", None, 1)
    assert found.levels[0].holding == "missed"
    assert found.levels[0].figures["p50"] > 0.06
    assert found.gave_way.startswith("p50 < 20ms ("), "the figure of that rate"


def test_a_search_that_is_interrupted_keeps_what_it_has(demo: Demo):
    watch, interrupts = after(trials=3)
    found = limit(at(demo.url, "/items"), "p99 < 1s", watch=watch, interrupts=interrupts)
    # of a busy machine the threads are not doubled to the end, and rates are next
    trials = [trial for level in [*found.closed, *found.levels] for trial in level.trials]
    assert (found.ending, found.exit_code, len(trials)) == ("interrupted", 2, 3)
    assert found.closed[0].throughput > 0


def test_a_server_that_cannot_be_reached_holds_nothing(free_port: int):
    found = limit(at(f"http://127.0.0.1:{free_port}"), "p50 < 1s")
    assert (found.ending, found.exit_code, found.levels) == ("cannot tell", 6, [])
    assert found.reason == "not one request of the first trial was answered well (connect)"
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
        found = limit(at(url), by="threads", budget="40s")
    # a busy machine may scatter too much for a number
    assert (found.threads is None) == (found.ending == "cannot tell"), found
    assert 3 <= (found.threads or 4) <= 6, found
    assert (found.best or 40) <= 42
    assert found.exit_code in (0, 6)


@pytest.mark.parametrize("given", [{"by": "users"}, {"by": "threads", "at_least": "5/s"}])
def test_what_threads_are_not_searched_by_is_refused(given):
    with pytest.raises(UsageError):
        limit(at("http://127.0.0.1:1"), **given)
