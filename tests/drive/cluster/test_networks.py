"""Machines with addresses of their own, by which the server tells them apart: where root may make networks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="the extra dask is not installed")

from loadkit import Result
from loadkit.judge.merge import merge
from loadkit.report.json import load
from tests.drive.cluster.stock import START, stock
from tests.networks import Place, networks
from tests.witness.witness import Witness, watching

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform != "linux", reason="namespaces are of Linux"),
]

SHOP = """
from itertools import count
from loadkit import Endpoint, Scenario, rows

numbers = rows({{"n": n}} for n in count())
row = Endpoint("GET", "/rows/{{n}}", name="row", feed=numbers)
shop = Scenario(base_url="{url}", endpoints=[row], rate="100/s", iterations=400)
"""


@pytest.fixture(scope="module")
def places() -> Iterator[list[Place]]:
    """The server's, and those of four machines."""
    with networks(4) as found:
        yield found


@pytest.fixture
def there(places: list[Place], tmp_path: Path) -> Iterator[Witness]:
    """The server that counts, and a scenario that is aimed at it."""
    with watching(places[0]) as witness:
        (tmp_path / "shop.py").write_text(SHOP.format(url=witness.url))
        yield witness


def check_each_sent_its_part_from_its_address(witness: Witness, result: Result, places: list[Place]) -> None:
    log = witness.log()
    assert sorted(log.ids()) == list(range(400)), "each request was sent once"
    # the k-th one is that of part k mod 4, whose place is behind that of the server
    assert {(number % 4, one.peer) for one, number in zip(log.requests, log.ids(), strict=True)} == {
        (k, place.address) for k, place in enumerate(places[1:])
    }
    assert [one.addresses for one in result.machines] == [[place.address] for place in places[1:]]
    assert [one.requests for one in result.machines] == [100] * 4
    assert result.statuses == {200: 400}


def test_the_parts_of_a_load_come_from_the_addresses_of_their_machines(
    there: Witness, places: list[Place], tmp_path: Path
):
    files = [f"part{number}.json" for number in range(1, 5)]
    processes = [
        subprocess.Popen(
            [*place.command, sys.executable, "-m", "loadkit", "run", "shop.py", "--part", f"{k}/4", "-o", file, "-q"],
            cwd=tmp_path,
        )
        for k, (place, file) in enumerate(zip(places[1:], files, strict=True), 1)
    ]
    assert [process.wait(120) for process in processes] == [0] * 4

    check_each_sent_its_part_from_its_address(there, merge([load(tmp_path / file)[0] for file in files]), places)


def test_the_workers_of_a_cluster_send_from_the_addresses_of_theirs(
    there: Witness, places: list[Place], tmp_path: Path
):
    with stock(2, 3, 4, 5, place=lambda number: places[number - 1]) as cluster:
        words = ("run", "shop.py", "--on", cluster.address, "--workers", "4", "--workers-timeout", f"{START}s")
        done = subprocess.run(
            [*places[0].command, sys.executable, "-m", "loadkit", *words, "-o", "all.json", "-q"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    assert done.returncode == 0, done.stderr
    check_each_sent_its_part_from_its_address(there, load(tmp_path / "all.json")[0], places)
