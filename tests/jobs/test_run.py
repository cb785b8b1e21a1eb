"""The whole way from a scenario to a result, against real servers, on good days and bad ones."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from loadkit import Endpoint, Scenario, UsageError, run
from loadkit.plan.once import once
from loadkit.server.demo import Demo

REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_a_result_tells_what_was_asked_and_what_was_found(demo: Demo):
    scenario = Scenario(
        name="browse",
        base_url=demo.url,
        endpoints=[Endpoint("GET", "/items", weight=3), Endpoint("POST", "/orders", json={"sku": "x"}, expect=201)],
        threads=4,
        iterations=400,
        thresholds=["p99 < 1s", "POST /orders: requests == 100"],
    )

    result = run(scenario)

    assert result.outcome == "passed"
    assert result.statuses == {200: 300, 201: 100}
    assert result["POST /orders"].statuses == {201: 100}
    assert result.scenario.threads == 4
    assert result.environment.cpu_seconds > 0
    assert [one.passed for one in result.thresholds] == [True, True, True]
    assert sum(interval.total.requests for interval in result.intervals) == 400


def test_once_sends_each_endpoint_once_whatever_its_share(demo: Demo):
    endpoints = [Endpoint("GET", "/", weight=90), Endpoint("GET", "/items", threads=7)]
    scenario = Scenario(base_url=demo.url, endpoints=endpoints, threads=30, warmup="1h", thresholds=["p99 < 1ns"])

    result = run(once(scenario))

    assert [row.requests for row in result.endpoints] == [1, 1]
    assert result.passed


def test_many_raw_paths_fold_to_patterns_and_then_to_one_row(demo: Demo):
    items = [Endpoint("GET", f"/items/{k}") for k in range(1, 301)]
    words = [Endpoint("GET", f"/nothing/{'abcdefghij'[k % 10] * (k // 10 + 1)}x", expect=404) for k in range(250)]
    scenario = Scenario(base_url=demo.url, endpoints=[*items, *words], threads=1, iterations=550)

    result = run(scenario)

    assert result["GET /items/{id}"].requests == 300
    assert len(result.endpoints) == 201
    assert result["(other)"].requests == 51
    assert "labels-folded" in [caveat.code for caveat in result.caveats]
    assert result.requests == 550


@contextmanager
def breaking_server(after: int, last_words: bytes) -> Iterator[str]:
    """A server that answers `after` requests in all, then says its last words and is gone."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    answered = 0

    def serve() -> None:
        nonlocal answered
        with listener.accept()[0] as peer:
            # nobody else may wait at a door that is about to go: they would be reset, not refused
            listener.close()
            while answered < after and peer.recv(65536):
                peer.sendall(REPLY)
                answered += 1
            peer.recv(65536)
            peer.sendall(last_words)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield url
    finally:
        thread.join(10)


@pytest.mark.parametrize(
    ("last_words", "kind"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort", "disconnect"),
        (b"220 smtp.example ESMTP\r\n", "protocol"),
    ],
)
def test_a_server_that_dies_in_the_middle_costs_nothing_that_was_measured(last_words: bytes, kind: str):
    with breaking_server(50, last_words) as url:
        result = run(Scenario(endpoints=[Endpoint("GET", url)], threads=1, iterations=53))

    assert result.outcome == "failed"
    assert result.statuses == {200: 50}
    # it is not up again: refused, backed off, refused
    assert result.failures == {kind: 1, "connect": 2}
    assert result.requests == 53


def test_a_scenario_can_start_its_own_server(free_port: int):
    command = [sys.executable, "-m", "loadkit", "demo", "--port", str(free_port)]
    scenario = Scenario(
        base_url=f"http://127.0.0.1:{free_port}",
        endpoints=[Endpoint("GET", "/items")],
        iterations=20,
        server=command,
        ready="/health",
    )

    result = run(scenario)

    assert result.statuses == {200: 20}
    assert result.server.cpu_seconds > 0
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", free_port), timeout=5):
        pass  # it was stopped with the run


def test_the_server_of_a_scenario_is_waited_for_as_long_as_that_says(free_port: int):
    url = f"http://127.0.0.1:{free_port}"
    scenario = Scenario(base_url=url, endpoints=[Endpoint("GET", "/")], server=["sleep", "60"], ready_timeout="300ms")

    with pytest.raises(UsageError, match=r"was not ready within 0\.3 s: connection refused"):
        run(scenario)
