"""One scenario on the workers of a Dask cluster, as its command line starts them: exact, together, and secure."""

from __future__ import annotations

import csv
import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("distributed", reason="the extra dask is not installed")

import trustme

from loadkit import Endpoint, Scenario, UsageError, run
from loadkit.clock import SystemClock
from loadkit.drive.cluster.cluster import connected
from loadkit.drive.progress import Snapshot
from loadkit.jobs.samples import SampleFile
from loadkit.judge.instants import instant
from loadkit.measure.histogram import Histogram
from loadkit.plan.errors import Interrupted
from loadkit.plan.loader import load
from loadkit.plan.units import SECOND
from loadkit.server.demo import Demo
from tests.conftest import Call, served
from tests.drive.cluster.stock import START, Stock, started, stock
from tests.noise import OF_A_SHORT_RUN, codes
from tests.waiting import is_gone, wait_for
from tests.witness.witness import Witness

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Stock]:
    """A scheduler and two workers, for all tests that leave them as they are."""
    with stock(2, 3) as running:
        yield running


@pytest.fixture
def shop(demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scenario with a module and data beside it, in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beside.py").write_text("")
    (tmp_path / "numbers.csv").write_text("number\n" + "".join(f"{k}\n" for k in range(1, 41)))
    path = tmp_path / "shop.py"
    path.write_text(
        "import beside\n"
        "from loadkit import Endpoint, Scenario, rows\n"
        'numbers = rows("numbers.csv")\n'
        'items = Endpoint("GET", "/items/{number}", feed=numbers)\n'
        f'browse = Scenario(base_url="{demo.url}", endpoints=[items], threads=4)\n'
    )
    return path


def scenario(file: Path, **changes: Any) -> Scenario:
    return load(f"{file}::browse")[0].replace(**changes)


def sampled(file: Path) -> list[dict[str, str]]:
    """What was written of each request."""
    with file.open() as lines:
        return list(csv.DictReader(lines))


def test_two_machines_send_what_was_planned_and_their_figures_are_the_sum(
    cluster: Stock, demo: Demo, shop: Path, tmp_path: Path
):
    before = served(demo, "/items/{id}")
    seen: list[Snapshot] = []

    with SampleFile(tmp_path / "all.csv") as samples:
        result = run(
            scenario(shop, rate="100/s", duration="3s"), on=cluster.address, samples=samples, watch=seen.append
        )

    assert result.statuses == {200: 300}
    assert served(demo, "/items/{id}") - before == 300
    assert codes(result, but=OF_A_SHORT_RUN) == []
    times = [round(float(line["response_time"]) * SECOND) for line in sampled(tmp_path / "all.csv")]
    assert result.total.response_time.histogram == Histogram.of(times)
    one, two = result.machines
    assert (one.requests, two.requests, one.part, two.part, two.parts) == (150, 150, 1, 2, 2)
    assert one.cpu_seconds > 0
    assert one.addresses == ["127.0.0.1"]
    assert one.clock_offset is not None
    assert abs(one.clock_offset) <= one.clock_error + 0.001, "it is the same clock"
    assert cluster.generators() == []
    assert len({snapshot.requests for snapshot in seen}) > 2, "what all have counted is shown each second"


class Behind(SystemClock):
    """The clock of a machine whose wall clock is ten minutes behind that of the others."""

    OFF = 600 * SECOND

    def __init__(self) -> None:
        super().__init__()
        self.wall_offset -= self.OFF

    def reanchor(self) -> int:
        self.wall_offset += self.OFF
        moved = super().reanchor()
        self.wall_offset -= self.OFF
        return moved


def test_a_clock_ten_minutes_off_is_measured_corrected_and_told(cluster: Stock, shop: Path, tmp_path: Path):
    with SampleFile(tmp_path / "all.csv") as samples:
        result = run(scenario(shop, rate="40/s", duration="1s"), on=cluster.address, clock=Behind(), samples=samples)

    assert result.statuses == {200: 40}
    assert [round(one.clock_offset or 0) for one in result.machines] == [600, 600]
    (said,) = [caveat.message for caveat in result.caveats if caveat.code == "clock-wrong"]
    assert said.startswith("clocks were wrong by that of the machine that directs them, by which instants are told ")
    assert said.count(" 600 s ahead") == 2
    instants = [float(line["instant"]) for line in sampled(tmp_path / "all.csv")]
    assert 0.9 < max(instants) - min(instants) < 1, "those of both machines are on one time line"
    assert abs(time.time() - 600 - max(instants)) < 60, "which is that of this machine"
    began = instant(result.spans[0].start) / SECOND
    assert abs(min(instants) - began) < 0.01, "and they began when they were to"


def test_what_is_missing_on_a_machine_is_named_with_the_machine(
    cluster: Stock, shop: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
):
    elsewhere = tmp_path_factory.mktemp("installed")
    (elsewhere / "special.py").write_text("")
    monkeypatch.syspath_prepend(elsewhere)
    shop.write_text(f"import special\n{shop.read_text()}")

    with pytest.raises(UsageError) as caught:
        run(scenario(shop, iterations=4), on=cluster.address)

    assert re.fullmatch(
        rf"machine [12] of 2 \({re.escape(platform.node())}, tcp://127\.0\.0\.[23]:\d+\) failed: shop\.py:1: "
        "ModuleNotFoundError: No module named 'special' at import special",
        str(caught.value),
    )
    assert cluster.generators() == []


def test_fewer_workers_than_asked_for_are_waited_for_and_then_told(cluster: Stock, shop: Path):
    expected = rf"^{cluster.address} has 2 workers, and 3 were asked for; waited for 0\.5 s \(--workers-timeout\)$"

    with pytest.raises(UsageError, match=expected):
        run(scenario(shop, iterations=4), on=cluster.address, workers=3, workers_timeout=0.5)


def test_more_workers_than_threads_are_refused_with_how_many_there_can_be(cluster: Stock, shop: Path):
    with pytest.raises(UsageError, match=r"^2 workers cannot share 1 thread; give each one .* fewer: --workers 1$"):
        run(scenario(shop, threads=1, iterations=4), on=cluster.address)


def test_a_set_up_that_returns_what_cannot_be_sent_says_so(cluster: Stock, shop: Path):
    shop.write_text(shop.read_text().replace("threads=4", "threads=4, setup=lambda: {1, 2}"))

    with pytest.raises(UsageError, match=r"returned a set, which .* or use processes=1, and no other machines$"):
        run(scenario(shop, iterations=4), on=cluster.address)


def test_an_interrupt_ends_the_waiting_for_workers(cluster: Stock, shop: Path):
    with pytest.raises(Interrupted, match=r"^interrupted while waiting for workers$"):
        run(scenario(shop, iterations=4), on=cluster.address, workers=3, interrupts=lambda: 1)


OWN = """
from distributed import Client, LocalCluster
from loadkit import run
from shop import browse

with LocalCluster(n_workers=2, processes=False, dashboard_address="127.0.0.1:0") as local, Client(local) as client:
    result = run(browse.replace(iterations=40), on=client)
    print([machine.requests for machine in result.machines], client.status)
"""


@pytest.mark.slow
def test_a_client_of_ones_own_is_taken_with_workers_that_share_a_process(shop: Path):
    done = subprocess.run(
        [sys.executable, "-c", OWN], cwd=shop.parent, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stdout == "[20, 20] running\n", done.stderr


def test_a_client_for_an_event_loop_is_refused(shop: Path):
    client: Any = SimpleNamespace(asynchronous=True)

    with pytest.raises(UsageError, match=r"^run takes a Client that is not asynchronous"):
        run(scenario(shop, iterations=4), on=client)


@pytest.mark.slow
def test_a_cluster_with_certificates_is_reached_with_ours(shop: Path, tmp_path: Path, call: Call):
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", *(f"127.0.0.{k}" for k in range(2, 4)))
    files = {name: str(tmp_path / f"{name}.pem") for name in ("ca-file", "cert", "key")}
    authority.cert_pem.write_to_path(files["ca-file"])
    certificate.cert_chain_pems[0].write_to_path(files["cert"])
    certificate.private_key_pem.write_to_path(files["key"])

    with stock(2, 3, tls=files) as cluster:
        words = [f"--dask-tls-{name}={file}" for name, file in files.items()]
        done = call("run", str(shop), "-n", "40", "--on", cluster.address, *words)

    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert "4 threads, 40 iterations, closed; started" in text
    assert "2 parts on 2 machines" in text


def test_a_scenario_made_in_python_is_nowhere_for_other_machines(cluster: Stock):
    made = Scenario(endpoints=[Endpoint("GET", "http://127.0.0.1:1/")], name="made")

    with pytest.raises(UsageError, match="made was made in Python, where other machines cannot find it"):
        run(made, on=cluster.address)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--on", "shop"], "cannot read 'shop'; write it like tcp://scheduler:8786, or local:4 for four workers here"),
        (["--on", "local:no"], "cannot read 'local:no'; write it like local:4, for four workers on this machine"),
        (["--on", "local:2", "--once"], "--once sends from this process; leave --on out"),
        (["--on", "local:2", "--together"], "--together sends from this process; leave --on out"),
        (["--on", "local:2", "--workers", "0"], "--workers takes a whole number of at least 1, not '0'"),
        (["--workers", "2"], "--workers, --workers-timeout and --dask-tls-… go with --on, which is missing"),
        (
            ["--on", "tls://127.0.0.1:1"],
            "tls://127.0.0.1:1 wants certificates: --dask-tls-ca-file, --dask-tls-cert and --dask-tls-key",
        ),
        (
            ["--on", "tls://127.0.0.1:1", *(f"--dask-tls-{name}=none.pem" for name in ("ca-file", "cert", "key"))],
            "no Dask scheduler can be reached at tls://127.0.0.1:1 (no such file or directory)",
        ),
        (
            ["--on", "127.0.0.1:1"],
            "no Dask scheduler can be reached at 127.0.0.1:1 (connection refused)",
        ),
    ],
)
def test_what_cannot_be_is_said_in_a_line(words: list[str], said: str, shop: Path, call: Call):
    done = call("run", str(shop), *words)

    assert (done.returncode, done.stderr) == (4, f"loadkit: {said}\n")


MINUTE = """
from loadkit import Endpoint, Scenario

# of four endpoints in turns each of four machines has one
endpoints = [Endpoint("GET", f"/machine/{k}", name=f"machine {k}") for k in range(1, 5)]
minute = Scenario(base_url="URL", endpoints=endpoints, rate="400/s", iterations=24_000, timeout="60s")
"""


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_four_machines_send_exactly_what_was_planned_over_a_minute(witness: Witness, shop: Path, tmp_path: Path):
    """What is late on a busy machine is sent all the same, for the end is after so many requests."""
    shop.write_text(MINUTE.replace("URL", witness.url))
    witness.clear()

    with stock(2, 3, 4, 5) as cluster, SampleFile(tmp_path / "all.csv") as samples:
        result = run(load(f"{shop}::minute")[0], on=cluster.address, workers=4, samples=samples)

    names = [f"machine {k}" for k in range(1, 5)]
    log = witness.log()
    assert Counter(one.path for one in log.requests) == {f"/machine/{k}": 6000 for k in range(1, 5)}
    # of thousands the one that was the least late tells when a machine began, also where it was busy
    begins = [
        min(one.received - (k + 4 * n) / 400 for n, one in enumerate(log.of(f"/machine/{k + 1}").requests))
        for k in range(4)
    ]
    assert max(begins) - min(begins) < 0.05
    assert result.statuses == {200: 24_000}
    assert [machine.requests for machine in result.machines] == [result[name].requests for name in names] == [6000] * 4
    parts = [Histogram(), *(result[name].response_time.histogram for name in names)]
    times: dict[str, list[int]] = {name: [] for name in names}
    for line in sampled(tmp_path / "all.csv"):
        times[line["endpoint"]].append(round(float(line["response_time"]) * SECOND))
    assert [one.encode() for one in parts[1:]] == [Histogram.of(times[name]).encode() for name in names]
    for part in parts[1:]:
        parts[0].add(part)
    assert result.total.response_time.histogram.encode() == parts[0].encode(), "byte for byte"


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_cluster_on_this_machine_speaks_to_those_alone_who_have_its_certificates():
    with connected("local:1") as client:
        assert client.scheduler.address.startswith("tls://127.0.0.1:")
        with pytest.raises(UsageError, match=r"^tls://127\.0\.0\.1:\d+ wants certificates: --dask-tls-ca-file"):
            run(Scenario(endpoints=[Endpoint("GET", "http://127.0.0.1:1/")]), on=client.scheduler.address)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_cluster_on_this_machine_is_private_and_ends_with_its_run(demo: Demo, shop: Path):
    before = served(demo, "/items/{id}")
    client = subprocess.Popen(
        [sys.executable, "-m", "loadkit", "run", str(shop), "--on", "local:2", "--rate", "100/s", "-z", "1h"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(lambda: served(demo, "/items/{id}") >= before + 100, START)
    family = started(client.pid)
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines() if " 0A " in line]
    inodes = {target(file) for pid in family for file in Path(f"/proc/{pid}/fd").iterdir()}
    places = {fields[1].partition(":")[0] for fields in listening if f"socket:[{fields[9]}]" in inodes}
    # a Ctrl-C in a terminal is for all processes of the group
    os.killpg(client.pid, signal.SIGINT)
    out, err = client.communicate(timeout=60)

    assert places == {"0100007F"}, "all listen on 127.0.0.1 alone"
    assert client.returncode == 2, err
    assert "INTERRUPTED" in out
    assert "worker-lost" not in out
    wait_for(lambda: all(map(is_gone, family)))


def target(file: Path) -> str:
    """What an open file is; nothing for one that was closed meanwhile."""
    try:
        return str(file.readlink())
    except OSError:
        return ""
