"""Journeys on a fake network and a clock moved by hand: no server, no waiting, exact times."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable
from typing import Any

from loadkit import Scenario
from loadkit.clock import ManualClock
from loadkit.drive.director import drive
from loadkit.drive.stats import Driven
from loadkit.plan.units import MILLISECOND, SECOND
from loadkit.wire.base import Request
from loadkit.wire.fake import FakeReply, FakeWire


def buy(http: Any) -> None:
    item = http.get("/items").json()["item"]
    http.pause("100ms")
    assert http.post("/orders", json={"item": item}).status_code == 201


def answer(request: Request, _: int) -> FakeReply:
    """A list in 10 ms, an order in 30."""
    if request.method == "POST":
        return FakeReply(status=201, after=30 * MILLISECOND)
    return FakeReply(body=b'{"item": 7}', after=10 * MILLISECOND, headers={"Content-Type": "application/json"})


def driven(wire: FakeWire, clock: ManualClock, journey: Callable[[Any], object] = buy, **changes: Any) -> Driven:
    """Run a journey, on one thread unless told otherwise."""
    given: dict[str, Any] = {"base_url": "http://fake", "endpoints": [journey], "threads": 1} | changes
    return drive(Scenario(**given), [None], wire, clock)


def visitors() -> Callable[[Request, int], FakeReply]:
    """Answers that give each visitor a cookie with a number, and tell what cookie was sent; `/moved` leads on."""
    numbers = itertools.count(1)

    def answer(request: Request, _: int) -> FakeReply:
        sent = re.search(rb"(?im)^cookie: (.*?)\r?$", request.payload)
        headers = {} if sent else {"Set-Cookie": f"visitor={next(numbers)}"}
        if request.url.endswith("/moved"):
            return FakeReply(status=302, headers=headers | {"Location": "/there"})
        return FakeReply(body=sent[1] if sent else b"", headers=headers)

    return answer


def test_each_request_of_a_journey_and_the_journey_has_its_time():
    clock = ManualClock()
    wire = FakeWire(clock, answer)

    done = driven(wire, clock, iterations=20)

    counts = done.recording.labels
    found = {label: (row.good, row.response_time.max) for label, row in counts.items()}
    assert found["GET /items"] == (20, 10 * MILLISECOND)
    assert found["POST /orders"] == (20, 30 * MILLISECOND)
    assert [request.payload.endswith(b'{"item": 7}') for request in wire.sent] == [False, True] * 20


def test_journeys_follow_each_other_until_the_stop():
    clock = ManualClock()

    done = driven(FakeWire(clock, answer), clock, duration="14s")

    assert done.stats.stopped_at - done.stats.measured_from == 14 * SECOND
    assert done.recording.labels["POST /orders"].good == 100


def test_each_thread_has_a_session_of_its_own_that_lasts():
    clock = ManualClock()
    seen: dict[str, set[str]] = {}

    def visit(http: Any) -> None:
        http.get("/")
        seen.setdefault(threading.current_thread().name, set()).add(http.get("/").text)

    driven(FakeWire(clock, visitors()), clock, visit, threads=3, iterations=12)

    assert sorted(seen.values(), key=str) == [{"visitor=1"}, {"visitor=2"}, {"visitor=3"}]


def test_each_hop_of_a_redirect_is_a_row():
    clock = ManualClock()

    def follow(http: Any) -> None:
        assert http.get("/moved").url == "http://fake/there"

    rows = driven(FakeWire(clock, visitors()), clock, follow, iterations=4).recording.labels

    assert {name: dict(row.statuses) for name, row in rows.items()} == {"GET /moved": {302: 4}, "GET /there": {200: 4}}


def test_headers_of_the_scenario_are_sent():
    clock = ManualClock()
    seen: list[str] = []

    def visit(http: Any) -> None:
        seen.append(http.get("/").text)

    driven(FakeWire(clock, visitors()), clock, visit, headers={"Cookie": "mine=1"}, iterations=1)

    assert seen == ["mine=1"]
