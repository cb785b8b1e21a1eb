"""Async journeys: many at once on a thread, and how they pause, fail, stop and are cut."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from loadkit import Endpoint, Journey, Result, Scenario, UsageError, hold, ramp, rows, run, timed, timer
from loadkit.drive.journeys.session import AsyncSession
from loadkit.drive.progress import Snapshot
from loadkit.server.demo import Demo


def of(journey: Any, **fields: Any) -> Scenario:
    """A scenario of one async journey on one thread; it goes six times unless told otherwise."""
    ends: dict[str, Any] = {"iterations": 6} if {"duration", "iterations", "phases"}.isdisjoint(fields) else {}
    given: dict[str, Any] = {"threads": 1, "graceful_stop": "300ms"} | ends | fields
    return Scenario(endpoints=[journey], **given)


def codes(result: Result) -> list[str]:
    return [caveat.code for caveat in result.caveats]


@timed("GET")
async def fetch(base_url: str, path: str) -> bytes:
    """A small client of one's own."""
    parts = urlsplit(base_url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


# -- what runs


@pytest.mark.parametrize("tasks", [1, 3])
def test_a_client_of_ones_own_is_timed_by_timers(tasks: int, demo: Demo):
    async def browse(http: AsyncSession) -> None:
        assert http.headers == {"X-Mine": "yes"}
        with http.step("look"):
            assert b'"id": 7' in (await fetch(http.base_url, "/items/7")).replace(b'"id":7', b'"id": 7')

    result = run(of(Journey(browse, tasks_per_thread=tasks), base_url=demo.url, headers={"X-Mine": "yes"}))

    assert [(one.kind, one.name, one.count, one.failures) for one in result.timings] == [
        ("journey", "browse", 6, {}),
        ("step", "look", 6, {}),
        ("timer", "GET", 6, {}),
    ]
    assert (result.outcome, result.requests) == ("passed", 0)
    assert "no-requests" not in codes(result)


def test_tasks_of_a_thread_run_at_once_and_each_has_its_own_steps():
    four = asyncio.Barrier(4)

    async def meet(http: AsyncSession) -> None:
        with timer("wait"):
            # nobody goes on before all four are there
            await asyncio.wait_for(four.wait(), 10)

    result = run(of(Journey(meet, tasks_per_thread=4), iterations=8))

    assert (result.timing("meet").count, result.timing("wait").count) == (8, 8)
    assert result.timing("meet").failures == {}


def test_each_task_under_way_is_in_flight_and_those_that_pause_are_not():
    seen: list[int] = []

    async def go(http: AsyncSession) -> None:
        await asyncio.sleep(0.5)
        await http.pause("500ms")

    def look(snapshot: Snapshot) -> None:
        if snapshot.stage == "running":
            seen.append(snapshot.in_flight)

    result = run(of(Journey(go, tasks_per_thread=50), duration="1.4s"), watch=look)

    assert max(seen) == 50
    assert min(seen) == 0
    assert result.timing("go").count == 50


def test_iterations_are_shared_by_tasks_and_threads():
    threads: set[str] = set()

    async def go(http: AsyncSession) -> None:
        threads.add(threading.current_thread().name)
        await http.pause("1ms")

    result = run(of(Journey(go, tasks_per_thread=5), threads=2, iterations=41))

    assert (result.timing("go").count, result.timing("go").unsent, len(threads)) == (41, 0, 2)


def test_what_other_threads_time_for_a_journey_is_counted_in_it():
    @timed
    def work(number: int) -> int:
        if number == 3:
            raise ValueError("not three")
        return number

    async def spread(http: AsyncSession) -> None:
        found = await asyncio.gather(*(asyncio.to_thread(work, number) for number in range(4)), return_exceptions=True)
        assert found[:3] == [0, 1, 2]

    result = run(of(Journey(spread, tasks_per_thread=3), iterations=60))

    assert result.timing("work").count == 240
    assert (result.timing("work").failures, result.timing("spread").failures) == ({"ValueError": 60}, {})


def test_what_there_was_no_time_for_is_unsent():
    async def slow(http: AsyncSession) -> None:
        await asyncio.sleep(0.05)

    journey = run(of(Journey(slow, tasks_per_thread=3), iterations=1000, duration="200ms")).timing("slow")

    assert 0 < journey.count < 20
    assert journey.count + journey.cut + journey.unsent == 1000


def test_think_time_and_pace_are_those_of_each_task():
    async def go(http: AsyncSession) -> None: ...

    paced = run(of(Journey(go, tasks_per_thread=4), pacing="50ms", duration="180ms")).timing("go")
    thoughtful = run(of(Journey(go, tasks_per_thread=4), think_time="50ms", duration="180ms")).timing("go")

    assert 4 <= paced.count <= 16
    assert 4 <= thoughtful.count <= 16


def test_rows_go_to_one_task_each_and_each_is_gone_through_to_its_end():
    begun, done = [], []

    async def read(http: AsyncSession, row: dict[str, int]) -> None:
        begun.append(row["id"])
        await http.pause("30ms")
        done.append(row["id"])

    users = rows([{"id": number} for number in range(20)], at_end="stop")
    result = run(of(Journey(read, tasks_per_thread=3, feed=users), threads=2, duration="30s", graceful_stop="5s"))

    assert sorted(begun) == sorted(done) == list(range(20))
    assert (result.timing("read").count, result.timing("read").cut) == (20, 0)


def test_a_row_that_cannot_be_had_ends_the_run_and_the_other_tasks():
    def broken() -> Iterator[dict[str, int]]:
        yield from ({"id": number} for number in range(3))
        raise OSError("the database went away")

    async def read(http: AsyncSession, row: object) -> None:
        await http.pause("10ms" if row == {"id": 0} else "1h")

    began = time.monotonic()
    result = run(of(Journey(read, tasks_per_thread=3, feed=rows(broken())), duration="1h"))

    assert time.monotonic() - began < 10
    assert result.outcome == "not-applied"
    assert (result.timing("read").count, result.timing("read").cut, result.timing("read").failures) == (1, 2, {})


def test_a_row_that_cannot_be_had_ends_the_tasks_that_think():
    def broken() -> Iterator[dict[str, int]]:
        yield from ({"id": number} for number in range(2))
        raise OSError("the database went away")

    async def read(http: AsyncSession, row: object) -> None: ...

    journey = Journey(read, tasks_per_thread=3, feed=rows(broken()))
    result = run(of(journey, duration="1h", think_time="1h"))

    assert result.outcome == "not-applied"
    assert (result.timing("read").count, result.timing("read").failures) == (2, {})
    assert "halted" in codes(result)


@pytest.mark.parametrize("form", ["function", "generator"])
def test_set_up_and_tear_down_run_on_the_loop_of_their_thread(form: str):
    loops: dict[str, list[asyncio.AbstractEventLoop]] = {}

    def note(what: str) -> None:
        loops.setdefault(what, []).append(asyncio.get_running_loop())

    async def open_client(http: AsyncSession) -> str:
        note("open")
        await http.pause("1ms")
        return "client"

    async def close_client(http: AsyncSession, own: str) -> None:
        assert own == "client"
        note("close")

    async def both(http: AsyncSession) -> AsyncIterator[str]:
        yield await open_client(http)
        await close_client(http, "client")

    async def go(http: AsyncSession, own: str) -> None:
        assert own == "client"
        note("go")

    hooks = {"setup": both} if form == "generator" else {"setup": open_client, "teardown": close_client}
    result = run(of(Journey(go, tasks_per_thread=2, **hooks), threads=2, iterations=8))

    assert set(loops["open"]) == set(loops["go"]) == set(loops["close"])
    assert (len(loops["open"]), len(loops["go"]), len(loops["close"])) == (2, 8, 2)
    assert result.timing("go").failures == {}
    assert "teardown" not in codes(result)


async def never(http: AsyncSession) -> AsyncIterator[int]:
    for _ in ():
        yield 1


async def twice(http: AsyncSession) -> AsyncIterator[int]:
    yield 1
    yield 2


def test_what_is_wrong_with_a_set_up_is_said():
    async def go(http: AsyncSession) -> None: ...

    with pytest.raises(UsageError, match=r"^the setup of go failed: RuntimeError: it ended before its yield"):
        run(of(Journey(go, setup=never)))
    caveats = run(of(Journey(go, setup=twice))).caveats
    assert [one.message.split("\n")[0] for one in caveats if one.code == "teardown"] == [
        "a teardown failed: RuntimeError: it yields more than once"
    ]


def test_it_may_be_one_of_several_and_due_by_the_clock(demo: Demo):
    async def read(http: AsyncSession) -> None:
        await fetch(http.base_url, "/items/7")

    scenario = Scenario(base_url=demo.url, endpoints=[Endpoint("GET", "/"), read], rate="40/s", duration="500ms")
    result = run(scenario)

    assert result.timing("read").count + result.timing("read").cut + result.timing("read").unsent == 10
    assert result["GET /"].requests + result["GET /"].unsent == 10


# -- how it fails


async def falls(http: AsyncSession) -> None:
    raise LookupError("no tea")


async def in_a_group(http: AsyncSession) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(10))
        group.create_task(falls(http))


async def in_a_crowd(http: AsyncSession) -> None:
    raise ExceptionGroup("several", [LookupError("no tea"), OSError("no cup")])


async def too_slow(http: AsyncSession) -> None:
    async with asyncio.timeout(0.01):
        await asyncio.sleep(10)


async def cancelled_itself(http: AsyncSession) -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def leaves(http: AsyncSession) -> None:
    raise SystemExit(3)


async def wants_a_session(http: AsyncSession) -> None:
    http.get("/")


async def wants_a_helicopter(http: AsyncSession) -> None:
    http.fly()


@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize(
    ("fail", "kind", "message"),
    [
        (falls, "LookupError", "LookupError: no tea\n  at test_tasks.py:"),
        (in_a_group, "LookupError", "LookupError: no tea\n  at test_tasks.py:"),
        (in_a_crowd, "ExceptionGroup", "ExceptionGroup: several (2 sub-exceptions)\n"),
        (too_slow, "TimeoutError", "TimeoutError\n  at test_tasks.py:"),
        (cancelled_itself, "CancelledError", "CancelledError\n  at test_tasks.py:"),
        (leaves, "SystemExit", "SystemExit: 3\n  at test_tasks.py:"),
        (wants_a_session, "AttributeError", "AttributeError: http.get would hold up the other tasks of its thread; an"),
        (
            wants_a_helicopter,
            "AttributeError",
            "AttributeError: the http of an async journey has no 'fly'; it has base",
        ),
    ],
)
def test_whatever_it_raises_fails_it_and_not_the_others(fail: Any, kind: str, message: str, tasks: int):
    turn = iter(range(100))

    async def go(http: AsyncSession) -> None:
        if next(turn) % 2:
            await fail(http)

    journey = run(of(Journey(go, tasks_per_thread=tasks))).timing("go")

    assert (journey.count, journey.failures) == (6, {kind: 3})
    assert journey.examples[0].message.startswith(message)


@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize("where", ["itself", "a task of it"])
def test_a_keyboard_interrupt_ends_the_run_as_ctrl_c_does(where: str, tasks: int):
    async def interrupt() -> None:
        raise KeyboardInterrupt

    async def go(http: AsyncSession) -> None:
        await http.pause("20ms")
        if where == "itself":
            raise KeyboardInterrupt
        await asyncio.create_task(interrupt())

    began = time.monotonic()
    result = run(of(Journey(go, tasks_per_thread=tasks), duration="30s"))

    assert time.monotonic() - began < 10
    assert (result.outcome, result.timing("go").failures) == ("interrupted", {})


# -- how it ends


@pytest.mark.parametrize("tasks", [1, 3])
def test_a_pause_ends_with_the_run(tasks: int):
    async def think(http: AsyncSession) -> None:
        await http.pause("1h")

    began = time.monotonic()
    result = run(of(Journey(think, tasks_per_thread=tasks), duration="200ms", graceful_stop="1h"))

    assert time.monotonic() - began < 5
    assert (result.timing("think").count, result.timing("think").cut) == (0, tasks)


def test_a_pause_ends_when_the_user_asks_for_it():
    thinking = []

    async def think(http: AsyncSession) -> None:
        thinking.append(True)
        await http.pause("1h")

    result = run(
        of(Journey(think, tasks_per_thread=3), duration="1h", graceful_stop="1h"),
        interrupts=lambda: int(len(thinking) == 3),
    )

    assert (result.outcome, result.timing("think").cut) == ("interrupted", 3)


@pytest.mark.parametrize("tasks", [1, 3])
def test_what_outlasts_the_graceful_stop_is_cut(tasks: int):
    cancelled = []

    async def long(http: AsyncSession) -> None:
        try:
            with timer("wait"):
                await asyncio.sleep(3600)
        finally:
            cancelled.append(True)

    began = time.monotonic()
    result = run(of(Journey(long, tasks_per_thread=tasks), duration="100ms", graceful_stop="100ms"))

    assert time.monotonic() - began < 5
    assert (result.timing("long").cut, result.timing("wait").cut, len(cancelled)) == (tasks, tasks, tasks)
    assert result.timing("long").failures == result.timing("wait").failures == {}
    assert "stuck" not in codes(result)


@pytest.mark.slow  # 2 s of patience, which test_journeys.py has a test of, too
def test_one_that_blocks_its_thread_is_left_behind_and_named():
    release = threading.Event()

    async def block(http: AsyncSession) -> None:
        release.wait(30)

    result = run(of(Journey(block, tasks_per_thread=3), duration="100ms", graceful_stop="50ms", iterations=5))
    release.set()

    journey = result.timing("block")
    # the first one blocks the loop, so no other ever began
    assert (journey.count, journey.cut, journey.unsent) == (0, 1, 4)
    assert "stuck" in codes(result)


def test_warm_up_and_phases_end_no_journey():
    async def steady(http: AsyncSession) -> None:
        await http.pause("30ms")

    warmed = run(of(Journey(steady, tasks_per_thread=3), warmup="100ms", duration="200ms")).timing("steady")
    phases = [hold("200ms", at=1), ramp(0, to=2), hold("200ms"), ramp(0, to=1), hold("200ms")]
    phased = run(of(Journey(steady, tasks_per_thread=3), phases=phases)).timing("steady")

    for timing, most_cut in ((warmed, 3), (phased, 3)):
        assert timing.failures == {}
        # only those that are under way at the stop are cut
        assert timing.cut <= most_cut
        assert timing.count > timing.cut


def test_a_task_that_a_journey_forgot_ends_with_its_thread():
    cancelled = []

    async def linger() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            cancelled.append(True)

    async def forgetful(http: AsyncSession) -> None:
        tasks.append(asyncio.create_task(linger()))
        await asyncio.sleep(0.001)

    tasks: list[asyncio.Task[None]] = []
    result = run(of(Journey(forgetful, tasks_per_thread=2)))

    assert (result.timing("forgetful").count, len(cancelled)) == (6, 6)
