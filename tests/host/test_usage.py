"""The machine under a run: read as it is, and as files say it might be."""

from __future__ import annotations

import os
import socket
import sys
import time
from contextlib import ExitStack
from itertools import chain, repeat
from pathlib import Path

import pytest

from loadkit import Endpoint, Scenario
from loadkit.host.usage import LOOK_EVERY, Probe, Usage, capacity, worst
from loadkit.plan.units import SECOND
from loadkit.server.demo import Demo
from tests.drive.driving import on_sockets

linux = pytest.mark.skipif(sys.platform != "linux", reason="what is read is Linux's own")


def write(root: Path, **files: str) -> None:
    """Files by their path, a double underscore for each slash."""
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """What Linux says of a machine that has been up for a while."""
    write(
        tmp_path / "proc",
        stat="cpu  1000 0 500 8000 100 0 50 50 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\nintr 5 5\nctxt 77\n",
        vmstat="nr_free_pages 5\npswpin 100\npswpout 50\n",
        net__sockstat="sockets: used 20\nTCP: inuse 5 orphan 0 tw 1148 alloc 6 mem 1\nUDP: inuse 0 mem 0\n",
        sys__net__ipv4__ip_local_port_range="32768\t60999\n",
        self__fd__0="",
    )
    return tmp_path / "proc"


# -- what files say


def test_what_changed_between_the_readings_is_told(proc: Path, tmp_path: Path) -> None:
    write(tmp_path / "cgroup", **{"cpu.stat": "usage_usec 1\nthrottled_usec 1000000\n", "cpu.max": "50000 100000\n"})
    probe = Probe(proc=proc, cgroup=tmp_path / "cgroup", slept=iter([5 * SECOND, 17 * SECOND]).__next__)
    probe.begin()
    # 1,000 ticks later: 200 of them idle, 30 waiting for the disk, 70 stolen
    write(
        proc,
        stat="cpu  1500 0 700 8200 130 0 50 120 0 0\n",
        vmstat="pswpin 356\npswpout 306\n",
        net__sockstat="TCP: inuse 5 orphan 0 tw 2000 alloc 6 mem 1\n",
    )
    write(tmp_path / "cgroup", **{"cpu.stat": "throttled_usec 3500000\n"})
    probe.end()

    use = probe.use()

    assert use.cpus_busy == pytest.approx(0.77)
    assert use.stolen == pytest.approx(0.07)
    assert use.swapped == 512 * os.sysconf("SC_PAGE_SIZE")
    assert use.throttled == 2.5
    assert use.suspended == 12.0
    assert use.capacity == 0.5
    assert use.port_range == 28_232
    assert use.ports is not None
    assert use.descriptors is not None
    assert use.ports == 2000 + use.descriptors


def test_the_most_that_was_taken_counts_and_is_looked_at_once_a_second(proc: Path) -> None:
    now = 0
    probe = Probe(proc=proc, now=lambda: now)
    probe.begin()
    for instant, resting in ((LOOK_EVERY - 1, 9000), (LOOK_EVERY, 5000), (2 * LOOK_EVERY, 300)):
        now = instant
        write(proc, net__sockstat=f"TCP: inuse 5 orphan 0 tw {resting} alloc 6 mem 1\n")
        probe.look()
    probe.end()
    use = probe.use()
    assert use.ports is not None
    assert use.descriptors is not None
    assert use.ports - use.descriptors == 5000, "the 9,000 were there before it was time to look"


def test_after_the_end_nothing_changes(proc: Path) -> None:
    probe = Probe(proc=proc)
    probe.begin()
    probe.end()
    before = probe.use()
    write(proc, vmstat="pswpin 99999999\n", stat="cpu  9 9 9 99999 9 9 9 9999999 0 0\n")
    probe.end()
    probe.look()
    assert probe.use() == before


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"stat": "cpu\n", "vmstat": "pswpin\n", "net__sockstat": "TCP: inuse 5 orphan 0 tw\n"},
        {"stat": "cpu  1 2 3\n", "vmstat": "\n\n", "net__sockstat": "TCP: tw many\n"},
        {"stat": "cpu  -1 a b c d e f g h\n", "sys__net__ipv4__ip_local_port_range": "low high\n"},
        {"stat": "\xff\xfe", "sys__net__ipv4__ip_local_port_range": "32768\n"},
    ],
    ids=["nothing", "cut off", "of an old kernel", "no numbers", "no text"],
)
def test_where_the_system_does_not_tell_nothing_is_concluded(tmp_path: Path, files: dict[str, str]) -> None:
    write(tmp_path, **files)
    probe = Probe(proc=tmp_path, cgroup=tmp_path, slept=lambda: None)
    probe.begin()
    probe.look()
    probe.end()
    use = probe.use()
    assert (use.cpus_busy, use.stolen, use.swapped, use.throttled, use.suspended) == (None, 0, 0, 0, 0)
    assert (use.ports, use.port_range, use.descriptors) == (None, None, None)
    assert use.seconds > 0


def test_a_probe_that_did_not_read_twice_tells_nothing(proc: Path) -> None:
    probe = Probe(proc=proc)
    assert probe.use() == Usage()
    probe.look()
    probe.end()
    assert (probe.has_begun, probe.use()) == (False, Usage())
    probe.begin()
    assert (probe.has_begun, probe.use()) == (True, Usage())


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [
        ("50000 100000\n", 0.5),
        ("400000 100000\n", 1),  # more than one interpreter can use
        ("max 100000\n", 1),
        ("0 0\n", 1),
        ("", 1),
        ("nonsense", 1),
    ],
)
@pytest.mark.skipif(not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="without its lock it can use more")
def test_one_interpreter_can_use_one_cpu_or_what_its_container_has_of_it(
    tmp_path: Path, quota: str, cpus: float
) -> None:
    write(tmp_path, **{"cpu.max": quota})
    assert capacity(tmp_path) == cpus


@pytest.mark.parametrize(
    ("quota", "allowed", "loops", "cpus"),
    [
        ("max 100000\n", {0, 1, 2, 3}, 3, 3),
        ("max 100000\n", {0, 1}, 3, 2),  # no more than there are
        ("150000 100000\n", {0, 1, 2, 3}, 3, 1.5),
    ],
)
def test_loops_without_the_interpreter_can_use_a_cpu_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, allowed: set[int], loops: int, cpus: float
) -> None:
    write(tmp_path, **{"cpu.max": quota})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: allowed, raising=False)
    assert capacity(tmp_path, loops) == cpus


# -- the real machine


@pytest.fixture
def probed() -> Probe:
    """A probe of this machine that has begun."""
    probe = Probe()
    probe.begin()
    return probe


def test_the_cpu_that_this_process_uses_is_counted(probed: Probe) -> None:
    began = time.process_time()
    while (spent := time.process_time() - began) < 0.1:
        sum(range(50_000))
    probed.end()
    use = probed.use()
    # by another clock of the same process; the kernel counts in ticks of up to 10 ms
    assert use.cpu_seconds >= spent - 0.02
    assert use.cpu_user > use.cpu_system
    assert use.cpu_share == pytest.approx(use.cpu_seconds / use.seconds / use.capacity)


@linux
def test_open_connections_are_counted(probed: Probe) -> None:
    probed.end()
    before = probed.use().descriptors
    with ExitStack() as opened:
        for _ in range(40):
            opened.enter_context(socket.socket())
        probe = Probe()
        probe.begin()
        probe.end()
        use = probe.use()
    assert before is not None
    assert use.descriptors is not None
    assert use.descriptor_limit is not None
    assert before + 40 <= use.descriptors < use.descriptor_limit


@linux
def test_this_machine_tells_of_itself(probed: Probe) -> None:
    until = time.monotonic() + 0.1
    while time.monotonic() < until:
        pass
    probed.end()
    use = probed.use()
    assert use.cpus_busy is not None
    assert 0 < use.cpus_busy <= 1
    assert 0 <= use.stolen < 1
    assert use.suspended < 0.001, "the machine did not sleep"
    assert use.port_range is not None
    assert use.ports is not None
    assert use.descriptors is not None
    assert use.ports >= use.descriptors > 0


# -- several processes


def test_of_several_processes_the_busiest_counts_with_the_worst_of_the_rest() -> None:
    idle = Usage(seconds=2, cpu_user=0.2, stolen=0.1, descriptors=900, descriptor_limit=1024, ports=5, port_range=9)
    busy = Usage(seconds=1, cpu_user=0.5, cpu_system=0.3, swapped=7, suspended=3, throttled=2, cpus_busy=0.5)
    for order in ([idle, busy], [busy, idle]):
        found = worst(order)
        assert (found.cpu_share, found.cpu_user, found.cpu_system) == (0.8, 0.5, 0.3)
        assert (found.stolen, found.swapped, found.suspended, found.throttled) == (0.1, 7, 3, 2)
        assert (found.descriptors, found.descriptor_limit, found.ports, found.cpus_busy) == (900, 1024, 5, 0.5)
        assert found.port_range == 9


# -- in a run


def test_the_cpu_is_that_of_the_measured_time_and_not_of_the_warm_up(demo: Demo) -> None:
    scenario = Scenario(base_url=demo.url, endpoints=[Endpoint("GET", "/items")], threads=2, warmup=0.8, duration=0.4)
    began = time.process_time()
    done = on_sockets(scenario)
    spent = time.process_time() - began
    # of 1.2 s of the same load a third was measured: what is told is not of the warm-up, which is twice as long
    assert 0 < done.stats.cpu_seconds < 1.001 * done.stats.use.cpu_seconds
    assert done.stats.cpu_seconds < 0.7 * spent


def test_what_comes_after_the_stop_is_not_measured(demo: Demo) -> None:
    slow = [Endpoint("GET", "/delay/1.5")]
    done = on_sockets(Scenario(base_url=demo.url, endpoints=slow, threads=1, duration=0.2, graceful_stop=5))
    assert done.recording.total().drained == 1
    assert done.stats.use.seconds < 1.4, "the reply was waited for, and the machine read before it came"


def test_a_run_that_is_over_at_once_is_read_all_the_same(demo: Demo) -> None:
    done = on_sockets(Scenario(base_url=demo.url, endpoints=[Endpoint("GET", "/items")], threads=1, iterations=20))
    assert done.stats.use.seconds > 0
    assert 0 < done.stats.cpu_seconds < 1.001 * done.stats.use.cpu_seconds


def test_a_machine_that_sleeps_in_mid_run_is_noticed(demo: Demo) -> None:
    # as if it slept for 90 s after the first reading: no test can put this machine to sleep
    boot = chain([0], repeat(90 * SECOND))
    scenario = Scenario(base_url=demo.url, endpoints=[Endpoint("GET", "/items")], threads=1, duration=0.3)
    done = on_sockets(scenario, probe=Probe(slept=boot.__next__))
    assert done.stats.use.suspended == 90.0
