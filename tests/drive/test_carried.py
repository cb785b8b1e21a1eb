"""Users on an exchange loop and on threads: whatever the server does, both count the same.

The rest of the suite runs on either engine, by `LOADKIT_ENGINE`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadkit import Endpoint, Scenario, hold, ramp, rows, run
from loadkit.measure.counts import Counts
from loadkit.plan.errors import UsageError
from loadkit.plan.scenario import Engine
from loadkit.wire.exchange_loop.python_loop import IS_AVAILABLE
from loadkit.wire.extension import EXTENSION
from tests.drive.driving import on_sockets
from tests.wire.peer import OK, Line, Peer, chunked, replies, reply, then_close, then_reset

pytestmark = pytest.mark.skipif(not IS_AVAILABLE, reason="there are no loops on this system")


@pytest.fixture
def peers() -> Iterator[list[Peer]]:
    """Servers that end with the test."""
    made: list[Peer] = []
    yield made
    for peer in made:
        peer.close()


def slow(line: Line) -> None:
    line.pause(0.1)
    line.send(OK)


def pieces(line: Line) -> None:
    line.send(OK[:10], OK[10:30], OK[30:])


def stalled(line: Line) -> None:
    line.send(OK[:10], OK[10:-1])
    line.stall()


def interim(line: Line) -> None:
    line.send(b"HTTP/1.1 103 Early Hints\r\n\r\n", OK)


OTHER = OK.replace(b"ok", b"no").replace(b"\r\n\r\n", b"\r\nX-Other: 1\r\n\r\n")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"a", b"b")

SERVERS: dict[str, tuple[list[Any], int]] = {
    # what it answers in turn on each connection, the last one again and again, and how many of four requests fail
    "the same": ([OK], 0),
    "with other heads": ([OK, OTHER, OK, OTHER], 0),
    "with a large body": ([reply(b"x" * 300_000)], 0),
    "in chunks": ([CHUNKED], 0),
    "in pieces": ([OK, pieces], 0),
    "slowly": ([OK, slow], 0),
    "with an interim reply": ([interim], 0),
    "with another status": ([OK, reply(b"gone", status="404 Not Found")], 3),
    "with more than announced": ([OK, OK + b"surplus"], 2),
    "with nothing": ([OK, Line.stall], 2),
    "with a part, and no more": ([OK, stalled], 2),
    "and closes": ([then_close(OK)], 0),
    "and says that it closes": ([OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")], 0),
    "until it closes": ([then_close(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")], 0),
    "with a part, and closes": ([OK, then_close(OK[:-1])], 2),
    "with a part, and resets": ([OK, then_reset(OK[:-1])], 2),
    "by closing": ([OK, then_close()], 0),
    "by resetting": ([OK, then_reset()], 0),
    "with rubbish": ([b"rubbish\r\n\r\n"], 4),
}


CLOSED: dict[str, Any] = {"threads": 1}
OPEN: dict[str, Any] = {"threads": 1, "max_threads": 1, "rate": "200/s"}


def counted(peers: list[Peer], engine: Engine, answers: list[Any], load: dict[str, Any] = CLOSED) -> Counts:
    """Four requests of one user to a server that answers so."""
    peers.append(Peer(replies(*answers)))
    # short only where there is nothing to come: a busy machine may hold up any other reply
    endpoint = Endpoint("GET", "/", timeout="300ms" if answers[-1] in (Line.stall, stalled) else "30s")
    scenario = Scenario(base_url=peers[-1].url, endpoints=[endpoint], iterations=4, keep_going=True, **load)
    return on_sockets(scenario.replace(engine=engine)).recording.total()


@pytest.mark.parametrize("load", [CLOSED, OPEN], ids=["closed", "open"])
@pytest.mark.parametrize(("answers", "failed"), SERVERS.values(), ids=SERVERS)
def test_both_count_the_same_whatever_the_server_answers(
    peers: list[Peer], answers: list[Any], failed: int, load: dict[str, Any]
):
    threads, loop = (counted(peers, engine, answers, load) for engine in ("threads", "loop"))

    assert (threads.requests, threads.failed) == (4, failed), threads.failures
    for name in ("statuses", "bytes_sent", "bytes_received", "cut", "unsent", "drained"):
        assert getattr(loop, name) == getattr(threads, name), name
    for name in ("kinds", "statuses"):
        assert getattr(loop.failures, name) == getattr(threads.failures, name)
    reasons = [{failure: one.count for failure, one in both.failures.reasons.items()} for both in (threads, loop)]
    assert reasons[0] == reasons[1]
    made = [(both.connections.made, both.connections.again, both.first_byte.count) for both in (threads, loop)]
    assert made[0] == made[1]


REPLIES = [
    OK,
    OTHER,
    CHUNKED,
    reply(b"gone", status="404 Not Found"),
    reply(b"x" * 40_000),
    b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK,
    b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    b"rubbish\r\n\r\n",
]


@given(answer=st.sampled_from(REPLIES), cuts=st.sets(st.integers(1, 150), max_size=4))
@settings(max_examples=12)
def test_both_count_the_same_wherever_a_reply_is_split(answer: bytes, cuts: set[int]):
    places = [0, *sorted(cut for cut in cuts if cut < len(answer)), len(answer)]
    parts = [answer[start:end] for start, end in pairwise(places)]
    made: list[Peer] = []

    threads, loop = (counted(made, engine, [OK, parts]) for engine in ("threads", "loop"))
    for peer in made:
        peer.close()

    assert (loop.requests, loop.statuses, loop.bytes_received) == (
        threads.requests,
        threads.statuses,
        threads.bytes_received,
    )
    reasons = [{failure: one.count for failure, one in both.failures.reasons.items()} for both in (threads, loop)]
    assert reasons[0] == reasons[1]


PLANS: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "weights": (
        {"endpoints": [Endpoint("GET", "/a", weight=3), Endpoint("GET", "/b")], "threads": 4, "iterations": 400},
        {"/a": 300, "/b": 100},
    ),
    "threads of its own": (
        {"endpoints": [Endpoint("GET", "/a"), Endpoint("GET", "/b", threads=3)], "iterations_per_thread": 20},
        {"/a": 40, "/b": 60},
    ),
    "beside a check": (
        {
            "endpoints": [Endpoint("GET", "/a"), Endpoint("GET", "/b", threads=1, check=lambda reply: None)],
            "iterations_per_thread": 20,
        },
        {"/a": 40, "/b": 20},
    ),
    "posts": ({"endpoints": [Endpoint("POST", "/a", json={"b": 1})], "iterations": 50}, {"/a": 50}),
    "arrivals": (
        {"endpoints": [Endpoint("GET", "/a", weight=3), Endpoint("GET", "/b")], "rate": "1000/s", "iterations": 400},
        {"/a": 300, "/b": 100},
    ),
}


@pytest.mark.parametrize(("plan", "expected"), PLANS.values(), ids=PLANS)
def test_each_sends_what_its_plan_says(peers: list[Peer], plan: dict[str, Any], expected: dict[str, int]):
    peers.append(Peer(replies(OK)))

    result = run(Scenario(base_url=peers[0].url, engine="loop", **{"threads": 2, **plan}))

    loop = f"exchange loop in {'C' if result.environment.extension else 'Python'}, 1 loop"
    assert result.environment.engine in (loop, f"{loop}, and 1 thread")
    seen = Counter(request.split()[1].decode() for request in peers[0].heard)
    assert seen == expected
    assert {row.name.split()[1]: row.requests for row in result.endpoints} == expected


def rows_of(requests: list[bytes]) -> list[int]:
    return [int(request.split()[1].rpartition(b"/")[2]) for request in requests]


FEEDS: dict[str, tuple[Any, list[str]]] = {
    # filled ahead of their sending, or one by one
    "rows of a list": (lambda: [{"id": k} for k in range(90)], ["/rows/{id}"]),
    "rows of a generator": (lambda: ({"id": k} for k in range(90)), ["/rows/{id}"]),
    "rows of two endpoints": (lambda: [{"id": k} for k in range(90)], ["/rows/{id}", "/others/{id}"]),
}


@pytest.mark.parametrize(("source", "paths"), FEEDS.values(), ids=FEEDS)
@pytest.mark.parametrize("threads", [1, 4])
def test_rows_are_sent_in_order_and_each_once_until_they_are_used_up(
    peers: list[Peer], source: Any, paths: list[str], threads: int
):
    # heads of many lengths, more than a loop knows at a time
    peers.append(Peer(replies(*[reply(b"x" * k) for k in range(40)], OK)))
    feed = rows(source(), at_end="stop")
    endpoints = [Endpoint("GET", path, feed=feed) for path in paths]
    scenario = Scenario(base_url=peers[0].url, endpoints=endpoints, threads=threads, duration=20, engine="loop")

    driven = on_sockets(scenario)

    heard = rows_of(peers[0].heard)
    assert sorted(heard) == list(range(90))
    assert threads > 1 or heard == list(range(90))
    assert driven.stats.is_dry
    assert [(use.used, use.rows, use.is_spent) for use in driven.stats.rows] == [(90, 90, True)]
    total = driven.recording.total()
    assert (total.requests, total.bytes_sent) == (90, sum(map(len, peers[0].heard)))
    assert {one.url.rpartition("/")[2] for one in total.slowest} <= {str(k) for k in range(90)}


def test_rows_that_were_filled_ahead_and_not_sent_were_not_used(peers: list[Peer]):
    peers.append(Peer(replies(OK)))
    endpoint = Endpoint("GET", "/rows/{id}", feed=rows([{"id": k} for k in range(500)]))
    scenario = Scenario(base_url=peers[0].url, endpoints=[endpoint], threads=3, iterations=100, engine="loop")

    driven = on_sockets(scenario)

    assert sorted(rows_of(peers[0].heard)) == list(range(100))
    assert [use.used for use in driven.stats.rows] == [100]


def test_a_row_that_is_used_in_a_failure_is_named_with_it(peers: list[Peer]):
    peers.append(Peer(replies(OK, OK, reply(b"gone", status="404 Not Found"), OK)))
    endpoint = Endpoint("GET", "/rows/{id}", feed=rows([{"id": k} for k in range(5)], at_end="stop"))
    scenario = Scenario(base_url=peers[0].url, endpoints=[endpoint], threads=1, duration=20, engine="loop")

    total = on_sockets(scenario).recording.total()

    assert (total.requests, total.failed) == (5, 1)
    assert [reason.reply.url.rpartition("/")[2] for reason in total.failures.reasons.values()] == ["2"]


def test_users_are_dealt_out_to_several_loops(peers: list[Peer], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOADKIT_LOOPS", "3")
    peers.append(Peer(replies(OK)))
    phases = [ramp(0.5, to=8), hold(0.5), ramp(0.5, to=0)]
    scenario = Scenario(base_url=peers[0].url, endpoints=[Endpoint("GET", "/")], phases=phases, think_time=0.01)

    driven = on_sockets(scenario.replace(engine="loop"))

    loops = 3 if EXTENSION else 1
    assert list(driven.stats.engines.values()) == [loops]
    assert len(driven.stats.active) == 8
    assert driven.recording.total().requests == len(peers[0].heard) > 100
    assert driven.stats.in_flight is not None


@pytest.mark.parametrize("given", ["0", "many", "-1"])
def test_a_number_of_loops_that_is_none_is_refused(peers: list[Peer], monkeypatch: pytest.MonkeyPatch, given: str):
    if not EXTENSION:
        pytest.skip("there is one loop in Python")
    monkeypatch.setenv("LOADKIT_LOOPS", given)
    peers.append(Peer(replies(OK)))
    with pytest.raises(UsageError, match=f"LOADKIT_LOOPS takes a whole number of at least 1, not '{given}'"):
        on_sockets(Scenario(base_url=peers[0].url, endpoints=[Endpoint("GET", "/")], iterations=1, engine="loop"))


@pytest.mark.parametrize("engine", ["threads", "loop"])
def test_arrivals_of_the_warm_up_that_nobody_was_free_for_are_not_sent_after_it(peers: list[Peer], engine: Engine):
    peers.append(Peer(replies(slow)))
    # 80 arrivals of which the warm-up sends 8 or so: those that are left would take all of what is measured
    load: dict[str, Any] = {"rate": "100/s", "max_threads": 1, "warmup": "800ms", "duration": "800ms"}
    scenario = Scenario(base_url=peers[0].url, endpoints=[Endpoint("GET", "/")], **load)

    total = on_sockets(scenario.replace(engine=engine)).recording.total()

    assert total.requests + total.unsent == 80
    assert 2 <= total.requests <= 8
    assert total.drained == 1
