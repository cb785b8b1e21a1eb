"""The generator examines itself in real runs: what it says of good ones and of bad days."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from loadkit import Endpoint, Scenario, run
from loadkit.clock import SystemClock
from loadkit.drive.progress import Snapshot
from loadkit.host.locality import is_here, is_public
from loadkit.plan.units import SECOND
from loadkit.server.demo import Demo
from tests.conftest import Call
from tests.noise import codes

pytestmark = pytest.mark.alone


def test_an_ordinary_run_has_nothing_to_doubt_and_one_note(demo: Demo) -> None:
    scenario = Scenario(
        base_url=demo.url, endpoints=[Endpoint("GET", "/items")], threads=8, iterations=12_000, thresholds=["p99 < 10s"]
    )

    result = run(scenario)

    assert codes(result) == ["same-host"]
    assert result.validity == ("clean" if {one.level for one in result.caveats} == {"note"} else "doubtful")
    assert result.passed


def test_a_rate_that_the_server_answers_is_what_bounds_the_run(demo: Demo) -> None:
    scenario = Scenario(base_url=demo.url, endpoints=[Endpoint("GET", "/items")], rate=20, duration=1.5)

    result = run(scenario)

    assert codes(result) == ["same-host", "few-samples"]
    assert result.bottleneck.cause == "rate"
    assert result.bottleneck.sentence.startswith("Bound by the asked rate: the server answered all of 20/s")


def test_iterations_that_are_done_before_the_time_end_the_run_and_its_rate_is_that_of_the_plan(demo: Demo) -> None:
    ends: dict[str, Any] = {"rate": 100, "iterations": 120, "duration": 30}
    one = run(Scenario(base_url=demo.url, endpoints=[Endpoint("GET", "/items")], **ends))
    two = run(Scenario(base_url=demo.url, endpoints=[lambda http: http.get("/items")], **ends))

    for result in (one, two):
        assert result.requests == 120
        # and not the 30 s that it might have lasted
        assert 1.1 < result.duration < 20
        assert 5 < result.throughput < 110
    assert one.bottleneck.sentence.startswith("Bound by the asked rate: the server answered all of ")
    assert two.bottleneck.sentence.startswith("Bound by the asked rate: all of 100/s began ")


def test_few_threads_that_wait_for_replies_bound_a_run_that_is_not_applied(demo: Demo) -> None:
    slow = [Endpoint("GET", "/delay/0.25")]
    scenario = Scenario(base_url=demo.url, endpoints=slow, rate=100, max_threads=2, duration=1.2)

    result = run(scenario)

    # 2 threads of 4 requests a second each; 120 were due
    assert (result.outcome, result.validity, result.bottleneck.cause) == ("not-applied", "invalid", "connections")
    assert codes(result)[:2] == ["asked-rate", "max-threads"]
    assert result.caveats[0].message.endswith("all 2 threads waited for replies; raise max_threads, or ask for less")


def test_threads_that_think_bound_themselves(demo: Demo) -> None:
    scenario = Scenario(
        base_url=demo.url, endpoints=[Endpoint("GET", "/items")], threads=4, think_time="400ms", duration=1.2
    )

    assert run(scenario).bottleneck.cause == "rate"


def test_asked_for_more_than_can_be_sent_the_ceiling_is_named(call: Call, demo: Demo, tmp_path: Path) -> None:
    stored = tmp_path / "result.json"

    done = call("run", f"{demo.url}/items", "--rate", "200000/s", "--duration", "200ms", "--output", str(stored))

    assert done.returncode == 6, done.stderr
    [result] = json.loads(stored.read_text())["results"]
    total = result["total"]
    assert total["requests"] + total["cut"] + total["unsent"] == 40_000
    assert (result["validity"], result["caveats"][0]["code"]) == ("invalid", "asked-rate")
    sent = (total["requests"] + total["cut"]) / result["duration"]
    assert result["caveats"][0]["message"].startswith(f"asked 200,000/s, sent {sent:,.0f}/s")
    assert "NOT APPLIED" in done.stdout
    assert "The figures are invalid, for " in done.stdout


def test_a_run_under_a_tracer_says_so(demo: Demo) -> None:
    before = sys.gettrace()
    sys.settrace(lambda *_: None)  # what coverage and debuggers do, without either of them installed
    try:
        result = run(Scenario(base_url=demo.url, endpoints=[Endpoint("GET", "/items")], iterations=20))
    finally:
        sys.settrace(before)

    assert {caveat.code: caveat.level for caveat in result.caveats}["traced"] == "doubt"
    assert result.validity == "doubtful"


class Interfered(SystemClock):
    """The clock of a machine whose wall clock is set by somebody else."""

    __slots__ = ()

    def set_wall(self, by: int) -> None:
        """As if the wall clock had been set by so many nanoseconds since it was looked at."""
        self.wall_offset -= by


def test_a_wall_clock_set_back_one_hour_in_mid_run_is_told_and_spoils_no_figure(demo: Demo) -> None:
    clock, seen = Interfered(), list[Snapshot]()

    def interfere(snapshot: Snapshot) -> None:
        if snapshot.stage == "running" and not seen:
            seen.append(snapshot)
            clock.set_wall(by=-3600 * SECOND)

    scenario = Scenario(base_url=demo.url, endpoints=[Endpoint("GET", "/items")], threads=4, duration=1, pacing="10ms")
    result = run(scenario, watch=interfere, clock=clock)

    assert seen
    assert result.duration == 1.0
    assert result.statuses == {200: result.requests}
    assert result.response_time.max is not None
    assert result.response_time.max < 30, "no hour in any figure"
    [caveat] = [one for one in result.caveats if one.code == "clock-step"]
    assert caveat.message.startswith("the wall clock was set once, by up to 3,600 s;")
    assert result.validity == "doubtful"


@pytest.mark.parametrize(
    ("host", "here", "public"),
    [
        ("127.0.0.1", True, False),
        ("::1", socket.has_ipv6, False),
        ("localhost", True, False),
        ("10.1.2.3", False, False),
        ("192.168.0.9", False, False),
        ("192.0.2.1", False, False),
        ("8.8.8.8", False, True),
    ],
)
def test_this_machine_and_hosts_of_other_people_are_known_by_their_address(host: str, here: bool, public: bool) -> None:
    # only the address is looked at, and nothing is sent to it
    assert (is_here(host), is_public(host)) == (here, public)


def test_a_host_without_an_address_is_not_here() -> None:
    assert not is_here("no such host")
    assert not is_here("a" * 300)
