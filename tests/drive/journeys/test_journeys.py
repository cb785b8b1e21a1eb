"""Journeys on threads against real servers: what is counted of them, how they fail, and how they end."""

from __future__ import annotations

import itertools
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import requests

from loadkit import Endpoint, Journey, Result, Scenario, UsageError, hold, ramp, rows, run, timed, timer
from loadkit.drive.journeys.session import JourneySession
from loadkit.plan.labels import MAX_LABELS, OTHER
from loadkit.server.demo import Demo


def of(journey: Any, demo: Demo | None = None, /, **fields: Any) -> Scenario:
    """A scenario of one journey, or of several things; two threads that go four times unless told otherwise."""
    endpoints = journey if isinstance(journey, list) else [journey]
    ends = {"iterations": 4} if {"duration", "iterations", "phases"}.isdisjoint(fields) else {}
    url = demo.url if demo else None
    given: dict[str, Any] = {"base_url": url, "threads": 2, "graceful_stop": "300ms"} | ends | fields
    return Scenario(endpoints=endpoints, **given)


def counts(result: Result) -> dict[str, int]:
    return {row.name: row.requests for row in result.endpoints}


# -- what is counted


def test_each_request_of_a_journey_is_in_a_row_by_method_and_path(demo: Demo):
    def shop(http: JourneySession) -> None:
        item = http.get("/search", params={"q": "tea"}).json()["items"][0]
        ordered = http.post("/orders", json={"sku": item["sku"]})
        assert ordered.status_code == 201
        assert http.get(f"/orders/{ordered.json()['order']}").json()["sku"] == item["sku"]
        http.get(f"{demo.url}/items/7")
        http.get("/items/8", name="/items/(eight)")
        http.get("/items/9", name="GET an item")

    result = run(of(shop, demo))

    assert counts(result) == {
        "GET /search": 4,
        "POST /orders": 4,
        "GET /orders/{id}": 4,
        "GET /items/{id}": 4,
        "GET /items/(eight)": 4,
        "GET an item": 4,
    }
    assert (result.outcome, result.failures, result.statuses) == ("passed", {}, {200: 20, 201: 4})
    assert all(row.bytes_sent > 0 and row.bytes_received > 0 for row in result.endpoints)
    assert result.total.connects == 2


def test_a_journey_has_a_row_of_its_own_from_its_begin_to_its_end(demo: Demo):
    def slow(http: JourneySession) -> None:
        http.get("/delay/0.03")
        http.get("/delay/0.02")

    result = run(of(slow, demo))

    journey = result.timing("slow")
    assert (journey.kind, journey.count, journey.failures) == ("journey", 4, {})
    assert journey.response_time.count == journey.service_time.count == 4
    assert journey.response_time.min is not None
    assert journey.response_time.min >= 0.05
    assert result["GET /delay/0.03"].service_time.min < journey.response_time.min


def test_iterations_that_time_does_not_allow_are_unsent_of_the_journey_and_of_no_endpoint(demo: Demo):
    def slow(http: JourneySession) -> None:
        http.get("/delay/0.05")

    result = run(of(slow, demo, iterations=1000, duration="200ms", graceful_stop="5s"))

    journey = result.timing("slow")
    assert 0 < journey.count < 20
    assert journey.count + journey.cut + journey.unsent == 1000
    assert counts(result) == {"GET /delay/0.05": journey.count}
    assert result.total.unsent == 0


def test_beside_endpoints_iterations_are_shared_by_weight_and_each_counts_its_own(demo: Demo):
    def buy(http: JourneySession) -> None:
        http.get("/items/1")
        http.get("/")

    result = run(of([Endpoint("GET", "/", weight=3), Journey(buy, weight=1)], demo, iterations=80))

    assert result.timing("buy").count == 20
    assert counts(result) == {"GET /": 80, "GET /items/{id}": 20}
    assert (result.total.unsent, result.timing("buy").unsent) == (0, 0)


def test_connections_of_endpoints_and_of_sessions_are_all_counted(demo: Demo):
    def buy(http: JourneySession) -> None:
        http.get("/items/1")

    # threads begin at different places of the turns, some with the journey
    result = run(of([buy, Endpoint("GET", "/"), Endpoint("GET", "/items")], demo, threads=4, iterations=40))

    assert result.total.connects == 8
    assert {row.name: row.connects for row in result.endpoints}["GET /items/{id}"] == 4


def test_unsent_iterations_are_those_of_what_would_have_been_next(demo: Demo):
    def nap(http: JourneySession) -> None:
        http.pause("20ms")

    result = run(of([Endpoint("GET", "/", weight=3), nap], demo, threads=1, iterations=4000, duration="200ms"))

    journey, home = result.timing("nap"), result["GET /"]
    assert journey.count + journey.cut + journey.unsent == pytest.approx(1000, abs=1)
    assert home.requests + home.unsent == pytest.approx(3000, abs=1)
    assert journey.count + journey.cut + journey.unsent + home.requests + home.unsent == 4000


def test_a_journey_may_have_threads_of_its_own(demo: Demo):
    names: dict[str, set[str]] = {"alone": set(), "shared": set()}

    def alone(http: JourneySession) -> None:
        names["alone"].add(threading.current_thread().name)
        http.pause("1ms")

    def shared(http: JourneySession) -> None:
        names["shared"].add(threading.current_thread().name)
        http.pause("1ms")

    result = run(of([Journey(alone, threads=3), shared, Endpoint("GET", "/")], demo, duration="150ms"))

    assert (len(names["alone"]), len(names["shared"])) == (3, 2)
    assert names["alone"].isdisjoint(names["shared"])
    assert result["GET /"].requests > 0


def test_steps_and_timers_have_rows_of_their_own(demo: Demo):
    @timed
    def lookup(http: JourneySession) -> None:
        http.get("/items/2")

    @timed("a named one")
    def named() -> None:
        pass

    def buy(http: JourneySession) -> None:
        with http.step("checkout"):
            http.get("/delay/0.02")
            with timer("redis get"):
                pass
        lookup(http)
        named()

    result = run(of(buy, demo))

    assert [(one.kind, one.name, one.count) for one in result.timings] == [
        ("journey", "buy", 4),
        ("step", "checkout", 4),
        ("timer", "redis get", 4),
        ("timer", "lookup", 4),
        ("timer", "a named one", 4),
    ]
    step = result.timing("checkout").response_time
    assert 0.02 <= step.min <= step.max <= result.timing("buy").response_time.max
    assert result.requests == 8


def test_what_a_journey_expects_is_no_failure(demo: Demo):
    def missing(http: JourneySession) -> None:
        with http.expecting(404):
            assert http.get("/nowhere").status_code == 404
        http.get("/elsewhere")

    result = run(of(missing, demo))

    assert result["GET /nowhere"].statuses == {404: 4}
    assert result["GET /elsewhere"].failures == {"check": 4}
    assert result.total.examples[0].message == "status 404, expected 200-399"
    # it is the request that failed; the journey looked at nothing
    assert result.timing("missing").failures == {}
    assert result.outcome == "failed"


def test_rows_of_endless_many_names_are_folded(demo: Demo):
    def wander(http: JourneySession) -> None:
        for _ in range(20):
            number = next(numbers)
            with timer(f"timer {number}"):
                http.get("/", name=f"page {number}")

    numbers = itertools.count()

    result = run(of(wander, demo, threads=1, iterations=50))

    timers = [one for one in result.timings if one.kind == "timer"]
    assert len(timers) <= MAX_LABELS
    assert result.timing(OTHER).count == 1000 - (len(timers) - 1)
    assert len(result.endpoints) == MAX_LABELS + 1
    assert (result[OTHER].requests, result.requests) == (1000 - MAX_LABELS, 1000)


def test_think_time_and_pause_are_in_no_request_and_think_time_in_no_journey(demo: Demo):
    def browse(http: JourneySession) -> None:
        http.get("/")
        http.pause("50ms")

    result = run(of(browse, demo, think_time="200ms", iterations=2))

    assert result.timing("browse").response_time.min >= 0.05
    assert result.timing("browse").response_time.p50 < 0.2
    assert result.response_time.p50 < 0.05


# -- failures


def test_a_failed_assertion_fails_the_journey_once_and_not_the_run(demo: Demo):
    def buy(http: JourneySession) -> None:
        reply = http.get("/items/7")
        assert reply.json()["id"] == 8, "another item"
        http.get("/never")

    result = run(of(buy, demo))

    journey = result.timing("buy")
    assert (journey.count, journey.failures, journey.error_rate) == (4, {"check": 4}, 1.0)
    assert (result.failures, result.statuses) == ({}, {200: 4})
    assert result.outcome == "failed"
    (example,) = journey.examples
    assert example.count == 4
    said, place = example.message.rsplit("\n", 1)
    assert said == "another item\nassert 7 == 8"
    assert place.startswith("  at test_journeys.py:")
    assert place.endswith(' in buy: assert reply.json()["id"] == 8, "another item"')


def test_another_exception_is_counted_by_its_type_with_its_place_and_the_way_there(demo: Demo):
    def parse(reply: requests.Response) -> object:
        return reply.json()["price"] / 0

    def buy(http: JourneySession) -> None:
        parse(http.get("/items/7"))

    (example,) = run(of(buy, demo)).timing("buy").examples

    lines = example.message.split("\n")
    assert (example.kind, example.count, lines[0]) == (
        "ZeroDivisionError",
        4,
        "ZeroDivisionError: float division by zero",
    )
    assert [line.split(": ", 1)[1] for line in lines[1:]] == [
        'parse(http.get("/items/7"))',
        'return reply.json()["price"] / 0',
    ]


class Unsayable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def dig(depth: int) -> None:
    if depth:
        dig(depth - 1)
    raise LookupError("found nothing")


@pytest.mark.parametrize(
    ("fail", "kind", "message"),
    [
        (lambda: sys.exit(3), "SystemExit", "SystemExit: 3\n  at "),
        (sys.exit, "SystemExit", "SystemExit\n  at "),
        ([].pop, "IndexError", "IndexError: pop from empty list\n  at "),
        (lambda: dig(50), "LookupError", "LookupError: found nothing\n  at "),
        (
            lambda: exec("raise Unsayable", {"Unsayable": Unsayable}),
            "Unsayable",
            "Unsayable: (its message cannot be sh",
        ),
        (
            lambda: exec("raise OSError('x' * 10**6)"),
            "OSError",
            "OSError: " + "x" * 1000 + " … (1,000,000 characters)\n",
        ),
        (lambda: exec("raise ValueError('ünï → 漢字')"), "ValueError", "ValueError: ünï → 漢字\n  at "),
        (lambda: exec("assert 0"), "check", "assertion failed\n  at <string>:1 in <module>"),
    ],
    ids=["exit 3", "exit", "index", "deep", "unsayable", "huge", "unicode", "bare assert"],
)
def test_whatever_it_raises_is_one_failure_with_a_place(fail: Callable[[], object], kind: str, message: str):
    def broken(http: JourneySession) -> None:
        fail()

    (example,) = run(of(broken)).timing("broken").examples

    assert (example.kind, example.count) == (kind, 4)
    assert example.message.startswith(message)
    assert "test_journeys.py" in example.message or kind == "check"
    assert len(example.message) < 3000
    assert len(example.message.split("\n")) <= 10


def test_a_failing_step_and_its_journey_are_both_told(demo: Demo):
    def buy(http: JourneySession) -> None:
        with http.step("checkout"):
            http.get("/status/500").raise_for_status()

    result = run(of(buy, demo))

    assert result.timing("checkout").failures == result.timing("buy").failures == {"HTTPError": 4}
    assert result["GET /status/{id}"].failed_statuses == {500: 4}


def test_a_failure_that_a_journey_catches_is_the_requests_alone(free_port: int):
    def patient(http: JourneySession) -> None:
        try:
            http.get(f"http://127.0.0.1:{free_port}/")
        except requests.ConnectionError:
            http.pause("1ms")

    result = run(of(patient, iterations=2, keep_going=True))

    assert result.failures == {"connect": 2}
    assert (result.timing("patient").count, result.timing("patient").failures) == (2, {})


def test_a_keyboard_interrupt_within_ends_the_run_as_ctrl_c_does(demo: Demo):
    def impatient(http: JourneySession) -> None:
        http.get("/")
        raise KeyboardInterrupt

    began = time.monotonic()
    result = run(of(impatient, demo, duration="30s"))

    assert time.monotonic() - began < 10
    assert result.outcome == "interrupted"
    assert 1 <= result.requests <= 2
    assert result.timing("impatient").failures == {}


@pytest.mark.parametrize(
    ("journey", "says"),
    [
        (lambda http: iter_later(), "returned a generator, and nobody runs that; write it as a plain function or"),
        (lambda http: run_later(), "returned a coroutine, and nobody runs that; write it as a plain function or"),
        (
            lambda http: http.get("/items"),
            "'/items' is relative; give the scenario a base_url like 'http://127.0.0.1:8000'",
        ),
    ],
)
def test_a_mistake_is_said_in_a_line(journey: Callable[..., object], says: str):
    (example,) = run(of(Journey(journey, name="it"))).timing("it").examples

    assert says in example.message.split("\n")[0]


def iter_later() -> Iterator[None]:
    yield


async def run_later() -> None:
    pass


def test_a_journey_with_a_client_of_its_own_is_told_how_to_time_it(demo: Demo):
    def plain(http: JourneySession) -> None:
        requests.get(f"{demo.url}/", timeout=10)

    def named(http: JourneySession) -> None:
        with timer("home"):
            requests.get(f"{demo.url}/", timeout=10)

    untold, told = run(of(plain)), run(of(named))

    (said,) = [caveat.message for caveat in untold.caveats if caveat.code == "no-requests"]
    assert said.startswith("plain made no request with the session given as http, so the whole of each call is timed, ")
    assert untold.timing("plain").count == 4
    assert "no-requests" not in [caveat.code for caveat in told.caveats]
    assert told.timing("home").count == 4


# -- ends


def test_a_pause_ends_with_the_run(demo: Demo):
    def think(http: JourneySession) -> None:
        http.get("/")
        http.pause("1h")

    began = time.monotonic()
    result = run(of(think, demo, duration="200ms", graceful_stop="1h"))

    assert time.monotonic() - began < 5
    assert (result.timing("think").count, result.timing("think").cut, result.requests) == (0, 2, 2)


def test_a_pause_ends_when_the_user_asks_for_it(demo: Demo):
    thinking = []

    def think(http: JourneySession) -> None:
        thinking.append(True)
        http.pause("1h")

    began = time.monotonic()
    result = run(of(think, demo, duration="1h", graceful_stop="1h"), interrupts=lambda: int(len(thinking) == 2))

    assert time.monotonic() - began < 10
    assert (result.outcome, result.timing("think").cut) == ("interrupted", 2)


def test_a_journey_ends_at_its_next_request_after_the_stop(demo: Demo):
    caught = []

    def endless(http: JourneySession) -> None:
        while True:
            try:
                http.get("/items/1")
            except Exception as error:  # as a journey may that wants to go on
                caught.append(error)
                return

    result = run(of(endless, demo, duration="200ms", graceful_stop="1h"))

    journey = result.timing("endless")
    assert (journey.count, journey.cut, journey.failures) == (0, 2, {})
    assert result.total.cut == 0
    assert result.requests > 10
    assert caught == []


def test_what_a_journey_raises_while_it_is_stopped_is_no_failure(demo: Demo):
    def tidy(http: JourneySession) -> None:
        try:
            http.pause("1h")
        finally:
            raise RuntimeError("could not put it back")

    journey = run(of(tidy, demo, duration="100ms")).timing("tidy")

    assert (journey.count, journey.cut, journey.failures) == (0, 2, {})


def test_a_request_that_outlasts_the_graceful_stop_is_cut_with_its_journey(demo: Demo):
    def slow(http: JourneySession) -> None:
        with http.step("wait"):
            http.get("/delay/30")

    result = run(of(slow, demo, duration="100ms", graceful_stop="100ms"))

    assert (result.requests, result.total.cut, result.failures) == (0, 2, {})
    assert (result.timing("slow").cut, result.timing("wait").cut) == (2, 2)
    assert result.timing("slow").failures == {}


def test_a_journey_that_does_not_end_is_left_behind_and_named(demo: Demo):
    release = threading.Event()

    def busy(http: JourneySession) -> None:
        http.get("/")
        while not release.is_set():
            time.sleep(0.01)

    result = run(of(busy, demo, duration="100ms", graceful_stop="50ms", iterations=10))
    release.set()

    journey = result.timing("busy")
    assert (journey.count, journey.cut, journey.unsent) == (0, 2, 8)
    assert result.requests == 2
    (stuck,) = [caveat.message for caveat in result.caveats if caveat.code == "stuck"]
    assert "in busy" in stuck


def test_the_end_of_the_warm_up_ends_no_journey(demo: Demo):
    def long(http: JourneySession) -> None:
        http.get("/items/1")
        http.pause("120ms")
        http.get("/items/2")

    result = run(of(long, demo, warmup="200ms", duration="500ms", graceful_stop="1h"))

    journey = result.timing("long")
    assert journey.count >= 4
    assert journey.failures == {}
    assert journey.cut <= 2
    assert 2 * journey.count <= result.requests <= 2 * (journey.count + journey.cut)


def test_phases_end_no_journey_and_have_the_requests_that_were_due_in_them(demo: Demo):
    def steady(http: JourneySession) -> None:
        for _ in range(3):
            http.get("/items/1")
            http.pause("10ms")

    phases = [hold("200ms", at=3), ramp(0, to=1), hold("200ms", name="few"), ramp(0, to=3), hold("200ms", name="many")]
    result = run(of(steady, demo, phases=phases))

    first, few, many = result.phases
    assert sum(phase.total.requests for phase in result.phases) == result.requests
    assert 0 < few.total.requests < min(first.total.requests, many.total.requests)
    assert result.timing("steady").cut <= 3
    assert result.timing("steady").failures == {}


def test_a_journey_that_lasts_over_phases_has_its_requests_in_each(demo: Demo):
    due: list[float] = []

    def endless(http: JourneySession) -> None:
        while True:
            due.append(time.monotonic())
            http.get("/items/1")

    result = run(of(endless, demo, phases=[hold("300ms", at=1), hold("300ms")]))

    first, second = result.phases
    # by the journey's own clock: those that it asked for in the first half
    halves = sum(instant < due[0] + 0.3 for instant in due)
    assert first.total.requests == pytest.approx(halves, abs=0.1 * len(due) + 2)
    assert first.total.requests + second.total.requests == result.requests > 10


def test_a_server_that_dies_in_the_middle_is_met_by_requests_and_journeys_alike():
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def serve() -> None:
        connection, _ = listener.accept()
        with closing(connection), closing(listener):
            for _ in range(3):
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            connection.recv(65536)

    server = threading.Thread(target=serve)
    server.start()

    def two(http: JourneySession) -> None:
        http.get("/first")
        http.post("/second")

    result = run(of(two, base_url=f"http://127.0.0.1:{port}", threads=1, iterations=4, keep_going=True))
    server.join()

    assert counts(result) == {"GET /first": 4, "POST /second": 2}
    assert (result.statuses, result.failures) == ({200: 3}, {"connect": 2, "disconnect": 1})
    journey = result.timing("two")
    assert (journey.count, journey.response_time.count, journey.failures) == (4, 1, {"ConnectionError": 3})


def test_a_target_that_is_down_ends_the_run_early(free_port: int):
    def knock(http: JourneySession) -> None:
        http.get("/")

    began = time.monotonic()
    result = run(of(knock, base_url=f"http://127.0.0.1:{free_port}", duration="30s"))

    assert time.monotonic() - began < 10
    assert "unreachable" in [caveat.code for caveat in result.caveats]
    assert result.outcome == "failed"


# -- sessions


def test_a_journey_may_close_its_session(demo: Demo):
    def tidy(http: JourneySession) -> None:
        http.get("/")
        http.close()

    result = run(of(tidy, demo, threads=1))

    assert (result.requests, result.total.connects, result.timing("tidy").failures) == (4, 4, {})


def test_the_timeout_of_the_scenario_is_the_deadline_of_a_call_that_says_none(demo: Demo):
    def wait(http: JourneySession) -> None:
        http.get("/delay/0.01", deadline="5s")
        http.get("/delay/0.4", deadline="2s")
        http.get("/delay/0.5")

    result = run(of(wait, demo, timeout="100ms", threads=1, iterations=1))

    assert result["GET /delay/0.4"].statuses == {200: 1}
    assert result["GET /delay/0.5"].failures == {"timeout": 1}
    assert result.timing("wait").failures == {"ReadTimeout": 1}


def test_a_base_url_with_a_path_and_a_password_is_left_out_of_rows(demo: Demo):
    def read(http: JourneySession) -> None:
        http.get("/3")

    result = run(of(read, base_url=f"{demo.url.replace('//', '//me:secret@')}/items/", iterations=1))

    assert counts(result) == {"GET /{id}": 1}
    assert result.statuses == {200: 1}


# -- set-up and tear-down


def test_each_thread_is_set_up_and_torn_down_in_no_figure(demo: Demo):
    log: list[tuple[str, str]] = []

    def note(what: str) -> None:
        log.append((threading.current_thread().name, what))

    def login(http: JourneySession) -> str:
        note("in")
        with timer("untimed"):
            http.get("/items/1").raise_for_status()
        http.pause("1ms")
        return threading.current_thread().name

    def logout(http: JourneySession, own: str) -> None:
        assert own == threading.current_thread().name
        http.get("/nowhere")
        note("out")

    def visit(http: JourneySession, own: str) -> None:
        assert own == threading.current_thread().name
        http.get("/")
        note("go")

    result = run(of(Journey(visit, setup=login, teardown=logout), demo, threads=3, iterations=6))

    by_thread = {name: [what for one, what in log if one == name] for name, _ in log}
    assert list(by_thread.values()) == [["in", "go", "go", "out"]] * 3
    assert counts(result) == {"GET /": 6}
    assert [one.name for one in result.timings] == ["visit"]
    assert result.outcome == "passed"
    assert "teardown" not in [caveat.code for caveat in result.caveats]


def test_what_stands_behind_the_yield_of_a_set_up_tears_down(demo: Demo):
    log: list[str] = []

    def account(http: JourneySession, shared: object) -> Iterator[int]:
        user = http.post("/orders", json={"sku": "user"}).json()["order"]
        yield user
        assert http.get(f"/orders/{user}").status_code == 200
        log.append("gone")

    def visit(http: JourneySession, own: int) -> None:
        assert http.get(f"/orders/{own}").json()["sku"] == "user"

    result = run(of(Journey(visit, setup=account), demo))

    assert log == ["gone", "gone"]
    assert counts(result) == {"GET /orders/{id}": 4}


def test_an_iterator_that_a_set_up_returns_is_the_journeys(demo: Demo):
    taken: list[int] = []

    def visit(http: JourneySession, own: Iterator[int]) -> None:
        taken.append(next(own))

    run(of(Journey(visit, setup=lambda http: itertools.count(7)), threads=1, iterations=3))

    assert taken == [7, 8, 9]


def test_what_tears_down_can_send_after_its_journey_was_cut(demo: Demo):
    statuses: list[int] = []

    def logout(http: JourneySession) -> None:
        statuses.append(http.get("/items/1").status_code)

    def slow(http: JourneySession) -> None:
        http.get("/delay/30")

    result = run(of(Journey(slow, teardown=logout), demo, duration="100ms", graceful_stop="50ms"))

    assert statuses == [200, 200]
    assert (result.timing("slow").cut, result.requests) == (2, 0)
    assert "teardown" not in [caveat.code for caveat in result.caveats]


def wrong_twice(http: JourneySession) -> Iterator[int]:
    yield 1
    yield 2


def wrong_never(http: JourneySession) -> Iterator[int]:
    yield from ()


def raises(*_: object) -> None:
    raise ValueError("no such user")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"setup": raises}, "the setup of visit failed: ValueError: no such user\n  at test_journeys.py:"),
        ({"setup": lambda: sys.exit(2)}, "the setup of visit failed: SystemExit: 2\n  at test_journeys.py:"),
        ({"setup": wrong_never}, "the setup of visit failed: RuntimeError: it ended before its yield"),
    ],
)
def test_a_set_up_that_fails_ends_the_run_before_it_begins(fields: dict[str, Any], message: str, demo: Demo):
    asked = Counter(requests.get(f"{demo.url}/stats", timeout=10).json()["paths"])

    with pytest.raises(UsageError) as caught:
        run(of(Journey(lambda http: http.get("/health"), name="visit", **fields), demo))

    assert str(caught.value).startswith(message)
    assert requests.get(f"{demo.url}/stats", timeout=10).json()["paths"].get("/health") == asked.get("/health")


def test_threads_that_were_set_up_are_torn_down_when_another_could_not_be():
    turn = itertools.count()
    open_now: list[int] = []
    others_are_in = threading.Event()

    def account() -> Iterator[int]:
        mine = next(turn)
        if mine == 2:
            assert others_are_in.wait(10)
            raise ValueError("no more users")
        open_now.append(mine)
        if len(open_now) == 2:
            others_are_in.set()
        yield mine
        open_now.remove(mine)

    with pytest.raises(UsageError, match="the setup of visit failed: ValueError: no more users"):
        run(of(Journey(lambda http: None, name="visit", setup=account), threads=3))

    assert open_now == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"teardown": raises}, "a teardown failed: ValueError: no such user"),
        ({"teardown": lambda: sys.exit(2)}, "a teardown failed: SystemExit: 2"),
        ({"setup": wrong_twice}, "a teardown failed: RuntimeError: it yields more than once"),
    ],
)
def test_a_tear_down_that_fails_is_told_once_and_the_figures_stand(fields: dict[str, Any], message: str, demo: Demo):
    result = run(of(Journey(lambda http: http.get("/"), name="visit", **fields), demo))

    assert [caveat.message.split("\n")[0] for caveat in result.caveats if caveat.code == "teardown"] == [message]
    assert (result.outcome, result.requests) == ("passed", 4)


@pytest.mark.parametrize("form", ["two functions", "a generator"])
def test_a_scenario_is_set_up_once_and_what_it_returns_is_shared(form: str, demo: Demo):
    log: list[str] = []

    def prepare(http: JourneySession) -> int:
        log.append("in")
        return int(http.post("/orders", json={"sku": "shared"}).json()["order"])

    def clear(shared: int, http: JourneySession) -> None:
        log.append(http.get(f"/orders/{shared}").json()["sku"])

    def both(http: JourneySession) -> Iterator[int]:
        order = prepare(http)
        yield order
        clear(order, http)

    def read(http: JourneySession, shared: int) -> None:
        assert http.get(f"/orders/{shared}").json()["sku"] == "shared"

    hooks = {"setup": prepare, "teardown": clear} if form == "two functions" else {"setup": both}
    result = run(of(read, demo, **hooks))

    assert log == ["in", "shared"]
    assert counts(result) == {"GET /orders/{id}": 4}


def test_a_scenario_whose_set_up_or_tear_down_fails_says_so(demo: Demo):
    with pytest.raises(UsageError, match=r"^the setup of the scenario failed: ValueError: no such user\n"):
        run(of(lambda http: None, demo, setup=raises))
    result = run(of(lambda http: http.get("/"), demo, teardown=raises))

    assert [caveat.message.split("\n")[0] for caveat in result.caveats if caveat.code == "teardown"] == [
        "the teardown of the scenario failed: ValueError: no such user"
    ]


def test_a_set_up_that_fails_in_a_grown_load_ends_the_run_and_what_was_measured_stays(demo: Demo):
    turn = itertools.count()

    def account(http: JourneySession) -> None:
        if next(turn) >= 2:
            raise ValueError("no more users")

    def slow(http: JourneySession) -> None:
        http.get("/delay/0.05")

    began = time.monotonic()
    result = run(of(Journey(slow, setup=account), demo, rate="100/s", duration="30s", graceful_stop="5s"))

    assert time.monotonic() - began < 10
    assert result.outcome == "not-applied"
    assert result.requests > 0
    (why,) = [caveat.message for caveat in result.caveats if caveat.code == "halted"]
    assert "the setup of slow failed: ValueError: no more users" in why


@pytest.mark.parametrize("how", ["request", "pause"])
def test_an_interrupt_ends_set_ups_and_tears_down_those_that_were_done(how: str, demo: Demo):
    began, log = threading.Event(), []

    def account(http: JourneySession) -> Iterator[None]:
        if threading.current_thread().name == "loadkit-0":
            yield
            log.append("torn down")
            return
        began.set()
        if how == "pause":
            http.pause("1h")
        http.get("/delay/30", deadline="1h")
        yield

    result = run(
        of(Journey(lambda http: http.get("/"), name="visit", setup=account), demo),
        interrupts=lambda: int(began.is_set()),
    )

    assert (result.outcome, result.requests, log) == ("interrupted", 0, ["torn down"])


def test_two_interrupts_end_a_run_whose_set_up_does_not_return():
    release = threading.Event()

    def account() -> None:
        release.wait(30)

    began = time.monotonic()
    result = run(of(Journey(lambda http: None, name="visit", setup=account)), interrupts=lambda: 2)
    release.set()

    assert time.monotonic() - began < 10
    assert (result.outcome, result.timing("visit").cut) == ("interrupted", 0)
    assert "stuck" in [caveat.code for caveat in result.caveats]


# -- rows


@pytest.mark.parametrize("workload", [{}, {"rate": "200/s"}])
def test_each_call_takes_the_next_row_and_each_row_is_gone_through_to_its_end(workload: dict[str, Any], demo: Demo):
    begun, done = [], []

    def read(http: JourneySession, row: dict[str, int]) -> None:
        begun.append(row["id"])
        http.get(f"/items/{row['id']}")
        http.pause("30ms")
        assert http.get(f"/items/{row['id']}").json()["id"] == row["id"]
        done.append(row["id"])

    users = rows([{"id": number} for number in range(1, 21)], at_end="stop")
    result = run(of(Journey(read, feed=users), demo, threads=3, duration="30s", graceful_stop="5s", **workload))

    assert sorted(begun) == sorted(done) == list(range(1, 21))
    journey = result.timing("read")
    assert (journey.count, journey.cut, journey.failures, result.requests) == (20, 0, {}, 40)


def test_journeys_that_end_their_rows_are_cut_by_the_graceful_stop(demo: Demo):
    def slow(http: JourneySession, row: object) -> None:
        http.get("/delay/30" if row == {"id": 1} else "/", deadline="1h")

    users = rows([{"id": 1}, {"id": 2}, {"id": 3}], at_end="stop")
    began = time.monotonic()
    result = run(of(Journey(slow, feed=users), demo, duration="1h", graceful_stop="200ms"))

    assert time.monotonic() - began < 10
    assert (result.timing("slow").count, result.timing("slow").cut) == (2, 1)


def test_a_row_that_cannot_be_had_ends_the_run_and_names_it(demo: Demo):
    def broken() -> Iterator[dict[str, int]]:
        yield {"id": 1}
        raise OSError("the database went away")

    def read(http: JourneySession, row: dict[str, int]) -> None:
        http.get(f"/items/{row['id']}")

    result = run(of(Journey(read, feed=rows(broken())), demo, threads=1, duration="30s"))

    assert result.outcome == "not-applied"
    assert any("the database went away" in caveat.message for caveat in result.caveats if caveat.code == "halted")


# -- open


def test_a_journey_of_an_open_workload_is_due_by_the_clock(demo: Demo):
    def slow(http: JourneySession) -> None:
        http.get("/delay/0.2")

    result = run(of(slow, demo, rate="20/s", duration="1s", max_threads=1, threads=1, graceful_stop="5s"))

    journey = result.timing("slow")
    assert journey.count < 20
    assert journey.unsent == 20 - journey.count
    # each takes 200 ms and the next one is due 50 ms later: the last to begin in the second has waited for 600 ms
    assert journey.response_time.max > journey.service_time.max + 0.2
    assert result.total.unsent == 0
    assert result.outcome == "not-applied"
