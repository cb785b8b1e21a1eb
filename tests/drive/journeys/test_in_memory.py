"""Journeys on a fake network and a clock moved by hand: no server, no waiting, exact times."""

from __future__ import annotations

from typing import Any

from loadkit import Scenario
from loadkit.clock import ManualClock
from loadkit.drive.director import drive
from loadkit.drive.stats import Driven
from loadkit.plan.units import MILLISECOND, SECOND
from loadkit.wire.base import Request
from loadkit.wire.fake import FakeReply, FakeWire


def buy(http: Any) -> None:
    """Look, think, order."""
    item = http.get("/items").json()["item"]
    http.pause("100ms")
    assert http.post("/orders", json={"item": item}).status_code == 201


def answer(request: Request, _: int) -> FakeReply:
    """A list in 10 ms, an order in 30."""
    if request.method == "POST":
        return FakeReply(status=201, after=30 * MILLISECOND)
    return FakeReply(body=b'{"item": 7}', after=10 * MILLISECOND, headers={"Content-Type": "application/json"})


def driven(wire: FakeWire, clock: ManualClock, **changes: Any) -> Driven:
    """Run the journey on one thread."""
    scenario = Scenario(base_url="http://fake", endpoints=[buy], threads=1, **changes)
    return drive(scenario, [None], wire, clock)


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
