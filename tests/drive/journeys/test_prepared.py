"""Fixtures of journeys: made before each call and torn down after it, in no figure."""

from __future__ import annotations

import itertools
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from loadkit import Journey, Scenario, rows, run
from loadkit.clock import ManualClock
from loadkit.drive.director import drive
from loadkit.drive.stats import Driven
from loadkit.measure.recording import JOURNEY
from loadkit.plan.units import MILLISECOND
from loadkit.wire.base import Request
from loadkit.wire.fake import FakeReply, FakeWire


def answer(request: Request, _: int) -> FakeReply:
    """To make a user takes 40 ms, to remove one 20, all else 10."""
    return FakeReply(after={"POST": 40, "DELETE": 20}.get(request.method, 10) * MILLISECOND)


def user(http: Any) -> Iterator[str]:
    http.post("/users")
    yield "ann"
    http.delete("/users/ann")


def look(http: Any, fixture: str) -> None:
    http.get(f"/users/{fixture}")


async def wait(http: Any, fixture: str) -> None:
    await http.pause("10ms")
    assert fixture == "ann"


async def async_user(http: Any) -> AsyncIterator[str]:
    await http.pause("40ms")
    yield "ann"


def driven(journey: Journey, clock: ManualClock, wire: FakeWire, **changes: Any) -> Driven:
    given: dict[str, Any] = {"base_url": "http://fake", "threads": 1} | changes
    return drive(Scenario(endpoints=[journey], **given), [None], wire, clock)


def test_a_closed_workload_times_the_call_alone():
    clock = ManualClock()
    wire = FakeWire(clock, answer)

    done = driven(Journey(look, fixture=user), clock, wire, iterations=20)

    timing = done.recording.timings[JOURNEY, "look"]
    assert (timing.good, timing.response_time.min, timing.response_time.max) == (20, 10 * MILLISECOND, 10 * MILLISECOND)
    assert list(done.recording.labels) == ["GET /users/ann"]
    assert [request.method for request in wire.sent] == ["POST", "GET", "DELETE"] * 20


def test_an_arrival_finds_its_fixture_made_before_it_is_due():
    clock = ManualClock()
    wire = FakeWire(clock, answer)

    done = driven(Journey(look, fixture=user), clock, wire, rate="10/s", max_threads=1, duration="2s")

    timing = done.recording.timings[JOURNEY, "look"]
    # the first one is due at the start, and waits for its fixture
    assert timing.good == 20
    assert timing.response_time.percentile(90) == pytest.approx(10 * MILLISECOND, rel=0.01)


@pytest.mark.parametrize("changes", [{"duration": "1s"}, {"rate": "10/s", "duration": "1s", "max_threads": 1}])
def test_what_was_made_is_torn_down_although_the_run_is_over(changes: dict[str, Any]):
    clock = ManualClock()
    wire = FakeWire(clock, answer)

    driven(Journey(look, fixture=user), clock, wire, **changes)

    sent = [request.method for request in wire.sent]
    assert sent.count("POST") == sent.count("DELETE") > 5


def test_no_call_begins_after_the_stop():
    clock = ManualClock()
    wire = FakeWire(clock, answer)

    done = driven(Journey(look, fixture=user), clock, wire, duration="1s")

    # a round takes 70 ms; the set-up of the 15th is over 20 ms after the stop
    assert [request.method for request in wire.sent].count("GET") == 14
    assert (done.recording.timings[JOURNEY, "look"].good, done.recording.timings[JOURNEY, "look"].cut) == (14, 1)


def test_a_fixture_that_fails_sometimes_is_counted_and_the_run_goes_on():
    numbers = itertools.count()

    def seldom(_: Any) -> Iterator[str]:
        number = next(numbers)
        assert number % 4, "no user today"
        yield "ann"
        if number % 4 == 1:
            raise ValueError("cannot be removed")

    clock = ManualClock()
    wire = FakeWire(clock, answer)

    done = driven(Journey(look, fixture=seldom), clock, wire, iterations=40)

    timing = done.recording.timings[JOURNEY, "look"]
    assert dict(timing.failures.kinds) == {"setup": 10, "teardown": 10}
    assert timing.good == 20
    assert len(wire.sent) == 30, "a call without its fixture is not made"
    messages = {failure.kind: failure.message for failure in timing.failures.reasons}
    assert messages["setup"].startswith("no user today\n")
    assert messages["teardown"].startswith("ValueError: cannot be removed\n")


def test_a_fixture_is_given_the_row_of_its_call():
    clock = ManualClock()
    seen: list[tuple[str, str]] = []

    def named(_: Any, row: dict[str, str]) -> Iterator[str]:
        yield row["name"]

    def greet(_: Any, row: dict[str, str], fixture: str) -> None:
        seen.append((row["name"], fixture))

    feed = rows([{"name": "ann"}, {"name": "bob"}])
    driven(Journey(greet, fixture=named, feed=feed), clock, FakeWire(clock, answer), iterations=4)

    assert seen == [("ann", "ann"), ("bob", "bob")] * 2


def test_a_thread_is_active_while_a_fixture_is_made(demo: Any):
    """Judged by the caveat that says that the load was another one."""

    def slow(_: Any) -> Iterator[str]:
        threading.Event().wait(0.3)
        yield "ann"
        # the stop comes while it is torn down
        threading.Event().wait(0.9)

    result = run(Scenario(endpoints=[Journey(look, fixture=slow)], base_url=demo.url, threads=2, duration="1s"))

    assert "load-differs" not in {caveat.code for caveat in result.caveats}


@pytest.mark.parametrize("fixture", [user, async_user])
@pytest.mark.parametrize("changes", [{"threads": 1}, {"rate": "100/s", "max_threads": 2}], ids=["closed", "open"])
def test_an_async_journey_takes_a_fixture_of_either_kind(fixture: Any, changes: dict[str, Any], demo: Any):
    """On a real event loop, for which no clock is moved by hand."""
    journey = Journey(wait, fixture=fixture, name="wait")
    result = run(Scenario(endpoints=[journey], base_url=demo.url, iterations=12, **changes))

    timing = result.timing("wait")
    assert (timing.count, timing.failures) == (12, {})
    if "threads" in changes:
        assert timing.response_time.min is not None
        assert timing.response_time.min >= 0.010
