"""Machines that die, freeze or are cut off in the middle of a run: what was told stays, and nobody is left behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="the extra dask is not installed")

from loadkit import Result, Scenario, UsageError, run
from loadkit.drive.cluster.relay import LEASE
from loadkit.drive.progress import Snapshot
from loadkit.plan.loader import load
from loadkit.server.demo import Demo
from tests.conftest import served
from tests.drive.cluster.stock import START, Stock, stock
from tests.waiting import is_gone, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]


@pytest.fixture
def shop(demo: Demo, tmp_path: Path) -> Path:
    path = tmp_path / "shop.py"
    path.write_text(
        "from loadkit import Endpoint, Scenario\n"
        f'browse = Scenario(base_url="{demo.url}", endpoints=[Endpoint("GET", "/items/3")], threads=8)\n'
    )
    return path


def browse(shop: Path, seconds: float = 8) -> Scenario:
    """100 requests a second."""
    return load(f"{shop}::browse")[0].replace(rate="100/s", duration=seconds)


def counted(shop: Path, requests: int) -> Scenario:
    """100 a second, so many: what is late on a busy machine is sent all the same."""
    return load(f"{shop}::browse")[0].replace(rate="100/s", iterations=requests, timeout=60)


class Once:
    """Does something to a cluster once so many requests were counted, and knows when that was, and when it was seen."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act
        self._threads = 0
        self._called = self._pause = 0.0
        self.acted = self.noticed = 0.0

    def __call__(self, snapshot: Snapshot) -> None:
        now = time.monotonic()
        if not self.acted and snapshot.requests >= 200:
            self.acted, self._threads = now, snapshot.threads
            self._act()
        elif self.acted and not self.noticed:
            self._pause = max(self._pause, now - self._called)
            if snapshot.threads < self._threads or "silent" in snapshot.stage:
                self.noticed = now
        self._called = now

    @property
    def is_noticed_in_time(self) -> bool:
        """Within 3 s; it is shown a few times a second, and less often on a busy machine, which reads as seldom."""
        return 0 < self.noticed - self.acted < 3 + 2 * self._pause


def loss(result: Result) -> str:
    """Why a machine was lost, without what is said of all that are."""
    (lost,) = [caveat.message for caveat in result.caveats if caveat.code == "worker-lost"]
    return lost.partition("; what it had told until then is counted")[0]


def check_rest_went_on(result: Result, planned: int, counted: int) -> None:
    """`counted` is what the server has."""
    total = result.total
    assert result.outcome == "not-applied"
    assert total.requests <= counted <= planned, "no part was sent twice"
    assert total.requests + total.unsent + total.cut == planned
    assert planned / 2 < total.requests < planned, "the other machine sent its part, and what the first had told stays"
    assert sum(machine.requests for machine in result.machines) == total.requests
    (ended,) = [machine.ended for machine in result.machines if machine.ended]
    assert ended in loss(result)


MACHINE = r"machine [12] of 2 \(.+, tcp://127\.0\.0\.2:\d+\) "


@pytest.mark.parametrize(
    ("victim", "said"),
    [
        (lambda cluster: cluster.generators(2)[0], "was killed by SIGKILL"),
        (lambda cluster: cluster.worker(2), "lost its Dask worker"),
        (lambda cluster: cluster.nannies[2].pid, "lost its Dask worker"),
    ],
    ids=["the generator", "its worker", "the nanny of its worker"],
)
def test_what_is_killed_is_noticed_within_3_s_and_the_others_go_on(
    victim: Callable[[Stock], int], said: str, demo: Demo, shop: Path
):
    before, generators = served(demo, "/items/{id}"), []
    with stock(2, 3) as cluster:

        def kill() -> None:
            generators.extend(cluster.generators())
            os.kill(victim(cluster), signal.SIGKILL)

        watch = Once(kill)
        result = run(browse(shop), on=cluster.address, watch=watch)

        assert watch.is_noticed_in_time
        assert re.fullmatch(MACHINE + said, loss(result))
        check_rest_went_on(result, 800, served(demo, "/items/{id}") - before)
        assert len(generators) == 2
        assert all(map(is_gone, generators)), "those of a worker that died, too"
        assert cluster.generators() == [], "and no other was started in their place"


def test_a_worker_that_freezes_is_noticed_within_3_s_and_its_generator_ends_by_itself(demo: Demo, shop: Path):
    before = served(demo, "/items/{id}")
    with stock(2, 3) as cluster:
        frozen: list[int] = []
        generators: list[int] = []

        def freeze() -> None:
            frozen.append(cluster.worker(2))
            generators.extend(cluster.generators(2))
            os.kill(frozen[0], signal.SIGSTOP)

        def await_end() -> float:
            wait_for(lambda: bool(generators) and all(map(is_gone, generators)), START)
            return time.monotonic()

        watch = Once(freeze)
        with ThreadPoolExecutor() as pool:
            ended = pool.submit(await_end)
            result = run(browse(shop, 20).replace(graceful_stop=1), on=cluster.address, watch=watch)

        assert watch.is_noticed_in_time
        assert ended.result() - watch.acted < LEASE + 5, "and not as late as its part of the load would have ended"
        assert re.fullmatch(MACHINE + "did not answer for 10 s", loss(result))
        check_rest_went_on(result, 2000, served(demo, "/items/{id}") - before)
        os.kill(frozen[0], signal.SIGCONT)


def test_a_worker_that_is_frozen_for_a_while_and_goes_on_counts(shop: Path):
    with stock(2, 3) as cluster:

        def freeze() -> None:
            worker = cluster.worker(2)
            os.kill(worker, signal.SIGSTOP)
            threading.Timer(4, os.kill, (worker, signal.SIGCONT)).start()

        result = run(counted(shop, 800), on=cluster.address, watch=Once(freeze))

    assert result.statuses == {200: 800}, result.caveats
    assert [caveat.message for caveat in result.caveats if caveat.code == "worker-silent"]


def command(shop: Path, cluster: Stock, *words: str) -> subprocess.Popen[str]:
    """`loadkit run` on a cluster, for an hour if nobody ends it, in a group of processes of its own."""
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "loadkit",
            "run",
            str(shop),
            "--on",
            cluster.address,
            "--rate",
            "100/s",
            "-z",
            "1h",
            *words,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def await_requests(client: subprocess.Popen[str], demo: Demo) -> None:
    """Until the server has seen some of a command's."""
    before = served(demo, "/items/{id}")
    wait_for(lambda: client.poll() is not None or served(demo, "/items/{id}") >= before + 100, START)
    assert client.poll() is None, client.communicate()


def test_no_generator_outlives_a_client_that_was_killed_and_the_next_run_can_have_the_workers(demo: Demo, shop: Path):
    with stock(2, 3) as cluster:
        client = command(shop, cluster)
        await_requests(client, demo)
        generators = cluster.generators()
        assert len(generators) == 2
        os.kill(client.pid, signal.SIGKILL)
        killed = time.monotonic()
        client.communicate()

        wait_for(lambda: all(map(is_gone, generators)))
        assert time.monotonic() - killed < LEASE + 5
        result = run(counted(shop, 100), on=cluster.address, workers=2)

    assert result.statuses == {200: 100}


def test_an_interrupt_reaches_all_machines_within_a_second_and_is_reported(demo: Demo, shop: Path):
    with stock(2, 3) as cluster:
        client = command(shop, cluster)
        await_requests(client, demo)
        os.killpg(client.pid, signal.SIGINT)
        time.sleep(1)
        after = served(demo, "/items/{id}")
        out, err = client.communicate(timeout=30)

        assert served(demo, "/items/{id}") == after
        assert client.returncode == 2, err
        assert "INTERRUPTED" in out
        assert cluster.generators() == []


def test_a_scheduler_that_dies_ends_the_run_with_what_was_told(shop: Path):
    with stock(2, 3) as cluster:
        watch = Once(lambda: os.kill(cluster.scheduler.pid, signal.SIGKILL))
        result = run(browse(shop, 60), on=cluster.address, watch=watch)

        assert time.monotonic() - watch.acted < LEASE + 5
        assert result.outcome == "not-applied"
        assert result.requests >= 200
        assert [caveat.code for caveat in result.caveats].count("worker-lost") == 2
        wait_for(lambda: not cluster.generators())


class Link:
    """A network between a client and a scheduler: it can drop all that is sent, or every connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._is_down = threading.Event()
        self._pairs: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self, seconds: float) -> None:
        """Carry nothing for a while: as if each packet was lost."""
        self._is_down.set()
        threading.Timer(seconds, self._is_down.clear).start()

    def cut(self, seconds: float) -> None:
        """Break all connections, and accept none for a while."""
        self._is_down.set()
        for one in self._pairs:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        threading.Timer(seconds, self._is_down.clear).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._is_down.is_set():
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._port))
            self._pairs += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                while self._is_down.is_set():
                    time.sleep(0.01)
                other.sendall(data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()
        for one in self._pairs:
            one.close()


@contextmanager
def linked(cluster: Stock) -> Iterator[Link]:
    link = Link(int(cluster.address.rpartition(":")[2]))
    try:
        yield link
    finally:
        link.close()


@pytest.mark.parametrize("how", ["hold", "cut"])
def test_the_figures_are_whole_after_the_network_was_down_for_5_s(how: str, demo: Demo, shop: Path):
    before = served(demo, "/items/{id}")
    with stock(2, 3) as cluster, linked(cluster) as link:
        result = run(counted(shop, 1000), on=link.address, watch=Once(lambda: getattr(link, how)(5)))

    assert result.statuses == {200: 1000}
    assert served(demo, "/items/{id}") - before == 1000
    assert [caveat.message for caveat in result.caveats if caveat.code == "worker-silent"]


def test_two_runs_at_once_have_workers_of_their_own(demo: Demo, shop: Path):
    results: list[Result] = []

    def run_two() -> None:
        results.append(
            run(counted(shop, 300), on=cluster.address, workers=2, workers_timeout=START, interrupts=lambda: 0)
        )

    with stock(2, 3, 4) as cluster:
        threads = [threading.Thread(target=run_two) for _ in range(2)]
        for one in threads:
            one.start()
        wait_for(lambda: len(cluster.generators()) == 2, START)
        with pytest.raises(UsageError, match="has 3 workers, 2 of them used by another run, and 2 were asked for"):
            run(browse(shop, 3), on=cluster.address, workers=2, workers_timeout=0)
        for one in threads:
            one.join()

    assert [result.statuses for result in results] == [{200: 300}, {200: 300}]


@pytest.mark.parametrize(
    ("module", "code", "said"),
    [
        (
            "loadkit/__init__.py",
            "__version__ = '0.0.7'",
            r"has loadkit 0\.0\.7, and this is \d\S+; install the same",
        ),
        ("loadkit/__init__.py", "raise ImportError('no')", r"cannot import loadkit \(no\); install pytest-loadkit==\d"),
        (
            "sitecustomize.py",
            "import platform; platform.python_version = lambda: '3.7.1'",
            r"has Python 3\.7\.1, and this is 3\.\d+\.\d+; use the same on both",
        ),
    ],
    ids=["another loadkit", "no loadkit", "another Python"],
)
def test_a_worker_with_another_version_is_named_before_the_start(
    module: str, code: str, said: str, shop: Path, tmp_path: Path
):
    (tmp_path / "other" / module).parent.mkdir(parents=True)
    (tmp_path / "other" / module).write_text(code)
    with stock(2) as cluster:
        cluster.add(3, PYTHONPATH=str(tmp_path / "other"))
        cluster.await_workers()

        with pytest.raises(UsageError, match=rf"^the worker tcp://127\.0\.0\.3:\d+ {said}"):
            run(browse(shop), on=cluster.address)
