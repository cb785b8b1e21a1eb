"""Threads on real sockets: starting together, stopping, draining, cutting, and what cannot be stopped."""

from __future__ import annotations

import gc
import resource
import socket
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from loadkit import Endpoint, Scenario, Session, UsageError, hold, ramp, run
from loadkit.drive.progress import EndpointProgress, Snapshot
from loadkit.host.limits import check_ports, make_room
from loadkit.host.tuning import interpreter_tuned
from loadkit.plan.units import SECOND
from loadkit.server.demo import Demo
from tests.drive.counting import counting
from tests.drive.driving import on_sockets


def test_the_run_stops_by_the_clock_and_drains_what_is_in_flight(demo: Demo):
    scenario = Scenario(base_url=demo.url, endpoints=[Endpoint("GET", "/delay/0.4")], threads=4, duration="600ms")

    done = on_sockets(scenario)

    total = done.recording.total()
    assert (total.requests, total.drained, total.cut) == (8, 4, 0)
    assert done.stats.stopped_at - done.stats.measured_from == round(0.6 * SECOND)


def test_what_outlasts_the_graceful_stop_is_cut_and_is_no_failure(demo: Demo):
    scenario = Scenario(
        base_url=demo.url, endpoints=[Endpoint("GET", "/delay/30")], threads=3, duration="200ms", graceful_stop="100ms"
    )

    began = time.monotonic()
    total = on_sockets(scenario).recording.total()

    assert (total.requests, total.cut, total.failed) == (0, 3, 0)
    assert time.monotonic() - began < 5


def test_an_interrupt_wakes_threads_that_think(demo: Demo):
    scenario = Scenario(base_url=demo.url, endpoints=[Endpoint("GET", "/")], threads=2, duration="1h", think_time="1h")
    seen: list[Snapshot] = []

    began = time.monotonic()
    done = on_sockets(scenario, interrupts=lambda: int(len(seen) > 3), watch=seen.append)

    # the second thread begins half a think time after the first
    assert done.recording.total().requests == 1
    assert time.monotonic() - began < 10


def test_a_thread_that_hangs_in_a_check_is_left_behind_and_named(demo: Demo):
    release = threading.Event()

    def hang(reply: object) -> None:
        release.wait(30)

    scenario = Scenario(
        base_url=demo.url,
        endpoints=[Endpoint("GET", "/", check=hang, threads=1), Endpoint("GET", "/items", threads=1)],
        duration="200ms",
        graceful_stop="100ms",
    )

    done = on_sockets(scenario)
    release.set()

    total = done.recording.total()
    assert total.cut == 1
    assert total.good == done.recording.labels["GET /items"].good > 0
    assert any("in hang" in place or "threading.py" in place for place in done.stats.stuck)


def test_what_a_check_holds_up_is_cut_in_its_own_row(demo: Demo):
    release = threading.Event()

    def hang(reply: object) -> None:
        release.wait(30)

    endpoints = [Endpoint("GET", "/", weight=3), Endpoint("GET", "/items", check=hang)]

    done = on_sockets(
        Scenario(base_url=demo.url, endpoints=endpoints, threads=1, duration="200ms", graceful_stop="100ms")
    )
    release.set()

    assert {label: counts.cut for label, counts in done.recording.labels.items()} == {"GET /": 0, "GET /items": 1}


def test_what_a_journey_holds_up_is_cut_in_its_own_row():
    release = threading.Event()

    def quick(http: Session) -> None:
        pass

    def hang(http: Session) -> None:
        release.wait(30)

    result = run(Scenario(endpoints=[quick, hang], threads=1, duration="200ms", graceful_stop="100ms"))
    release.set()

    assert (result.timing("quick").cut, result.timing("hang").cut) == (0, 1)


def test_threads_that_have_not_begun_are_not_in_flight():
    with counting(0.2) as server:
        seen: list[Snapshot] = []
        scenario = Scenario(base_url=server.url, endpoints=[Endpoint("GET", "/")], phases=[ramp("30s", to=50)])

        on_sockets(scenario, interrupts=lambda: int(len(seen) > 3), watch=seen.append)

    assert {snapshot.in_flight for snapshot in seen} <= {0, 1, 2}


@pytest.mark.parametrize("stage", ["starting", "running"])
def test_what_is_thrown_at_a_run_leaves_no_thread_behind(demo: Demo, stage: str):
    def throw(snapshot: Snapshot) -> None:
        if snapshot.stage == stage:
            raise OSError("nobody reads this any more")

    before = set(threading.enumerate())

    # a server that shakes no hands: the start lasts until somebody has seen it
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}" if stage == "starting" else demo.url
        scenario = Scenario(base_url=url, endpoints=[Endpoint("GET", "/delay/10")], threads=4, duration="1h")
        with pytest.raises(OSError, match="nobody reads this any more"):
            on_sockets(scenario, watch=throw)

    assert set(threading.enumerate()) <= before


def test_several_jobs_at_once_leave_the_interpreter_as_it_was():
    before = sys.getswitchinterval(), gc.get_threshold(), gc.get_freeze_count()
    first, second = interpreter_tuned(threads=500), interpreter_tuned(threads=1000, collect_each=20_000)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert sys.getswitchinterval() > before[0]
    assert gc.get_threshold()[0] == 20_000
    assert gc.get_freeze_count() > before[2]
    second.__exit__(None, None, None)
    assert (sys.getswitchinterval(), gc.get_threshold(), gc.get_freeze_count()) == before


def test_what_the_program_froze_stays_frozen():
    frozen: list[object] = []
    gc.freeze()
    after: list[object] = []
    try:
        with interpreter_tuned(threads=5):
            pass
        seen = {id(one) for one in gc.get_objects()}
    finally:
        gc.unfreeze()

    assert id(frozen) not in seen
    assert id(after) in seen


@pytest.mark.parametrize(
    "load",
    [
        {"threads": 4, "duration": "20s"},
        {"phases": [ramp("20s", to=6)]},
        {"phases": [hold("20s", at=1), ramp(0, to=6), hold("1s")]},
        {"rate": "2/s", "duration": "20s"},
        {"rate": "2/s", "duration": "20s", "threads": 8},
        {"threads": 6, "think_time": "1s", "duration": "20s"},
    ],
    ids=["all at once", "a ramp", "others come later", "a slow rate", "a slow rate on many threads", "thinking users"],
)
def test_a_target_that_is_down_is_noticed_whoever_has_not_begun_yet(load: dict[str, Any], free_port: int):
    began = time.monotonic()

    done = on_sockets(Scenario(base_url=f"http://127.0.0.1:{free_port}", endpoints=[Endpoint("GET", "/")], **load))

    assert done.stats.unreachable
    assert done.recording.total().failed >= 1
    assert time.monotonic() - began < 10


def visit(http: Session) -> None:
    http.get("/")


@pytest.mark.parametrize("warmup", [0, 1.5], ids=["measured", "warm-up"])
@pytest.mark.parametrize("endpoint", [Endpoint("GET", "/"), visit], ids=["endpoint", "journey"])
def test_a_run_outlives_a_restart_of_its_server_in_the_first_second(warmup: float, endpoint: Any):
    with counting(0.01) as server:
        counts: list[int] = []

        def look(snapshot: Snapshot) -> None:
            counts.append(len(server.seen))
            if len(counts) == 3:
                server.vanish()
            if len(counts) == 5:
                server.listen()

        result = run(
            Scenario(base_url=server.url, endpoints=[endpoint], threads=3, warmup=warmup, duration="2s"), watch=look
        )

    assert 0 < counts[2] < len(server.seen) - 50
    assert result.duration == pytest.approx(2, abs=0.5)
    assert "unreachable" not in {caveat.code for caveat in result.caveats}
    assert result.statuses[200] > 50


def test_keep_going_waits_for_a_server_that_is_down(free_port: int):
    url = f"http://127.0.0.1:{free_port}/"
    scenario = Scenario(endpoints=[Endpoint("GET", url)], threads=2, duration="1s", keep_going=True)

    done = on_sockets(scenario)

    assert not done.stats.unreachable
    # backed off, 100 ms after each refusal
    assert 10 <= done.recording.total().failed <= 24


def test_snapshots_tell_stage_and_progress(demo: Demo):
    seen: list[Snapshot] = []
    rows: list[Sequence[EndpointProgress]] = []
    endpoints = [Endpoint("GET", "/delay/0.01"), Endpoint("GET", "/delay/0.01?b", name="b")]
    scenario = Scenario(base_url=demo.url, endpoints=endpoints, threads=2, duration=2.5, warmup=0.5)

    def look(snapshot: Snapshot) -> None:
        seen.append(snapshot)
        rows.append(snapshot.endpoints())

    on_sockets(scenario, watch=look)

    stages = [snapshot.stage for snapshot in seen]
    assert [stage for stage in ("warm-up", "running") if stage in stages] == ["warm-up", "running"]
    last = [snapshot for snapshot in seen if snapshot.stage == "running"][-1]
    assert last.rate is not None
    # two threads of 100 a second at the most; that of the last seconds, which a busy machine may have made slower
    assert 0.5 * last.requests / last.elapsed < last.rate < 200
    assert last.p99 is not None
    assert last.p99 > 0.01
    assert last.recent == 2
    found = rows[seen.index(last)]
    assert [row.name for row in found] == ["GET /delay/0.01", "b"]
    assert sum(row.requests for row in found) == last.requests
    assert sum(row.rate or 0 for row in found) == pytest.approx(last.rate)
    assert all(row.p99 and row.p99 > 0.01 for row in found)


def test_more_connections_than_descriptors_are_refused_before_the_start():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    with pytest.raises(UsageError, match="file descriptors and the limit is"):
        make_room(hard + 1)


def test_the_soft_limit_of_descriptors_is_raised():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        make_room(300)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 364
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_more_connections_than_local_ports_are_refused_before_the_start():
    with pytest.raises(UsageError, match="100,000 connections to one address need as many local ports"):
        check_ports(100_000)
