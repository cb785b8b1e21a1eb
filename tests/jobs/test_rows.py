"""Rows that end a run: each of them is sent exactly once, however many processes and threads share them.

The witness is the server: it writes down the row of each request.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from loadkit import Scenario, run
from loadkit.drive.processes.child import MODULE
from loadkit.drive.progress import Snapshot
from loadkit.judge.result import Result
from loadkit.plan.loader import load
from tests.wire.peer import OK, Line, Peer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

MANY = 200
SLOW = range(1, 20, 2)
"""Rows of the first ones whose replies take their time: who has them ends later than the others."""

FILE = """
from urllib.parse import urlsplit
from loadkit import Endpoint, Journey, Scenario, hold, ramp, rows

def feed(order="file", name="numbers.csv"):
    return rows({folder!r} + "/" + name, order=order, at_end="stop")

def visit(http, row):
    http.get("/row/" + row["n"])

async def come(http, row):
    import asyncio

    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(http.base_url).port)
    writer.write(f"GET /row/{{row['n']}} HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n".encode())
    await reader.read()
    writer.close()

def one(plan, **fields):
    return Scenario(**dict(base_url={url!r}, endpoints=plan, threads=3, duration="60s") | fields)

def endpoint(order="file", **more):
    return Endpoint("GET", "/row/{{n}}", name="fed", feed=feed(order), **more)

endpoints = one(endpoint())
shuffled = one(endpoint("shuffled"))
journeys = one(Journey(visit, feed=feed()))
coming = one(Journey(come, feed=feed()))
tasks = one(Journey(come, feed=feed(), threads=3, tasks_per_thread=4), think_time="1ms")
arriving = one(endpoint(), rate="800/s")
arriving_journeys = one(Journey(visit, feed=feed("shuffled")), rate="400/s")
beside = one([endpoint(threads=1), Endpoint("GET", "/other", threads=3)])
by_turns = one([endpoint(), Endpoint("GET", "/other")], rate="800/s")
warmed = one(endpoint(), rate="800/s", warmup="200ms")
few = one(Endpoint("GET", "/row/{{n}}", feed=feed(name="few.csv")))
"""


class Witness:
    """A server that writes down which row each request was for."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.others = 0
        self._peer = Peer(self._answer)
        self.url, self.close = self._peer.url, self._peer.close

    def _answer(self, line: Line) -> None:
        is_last = False
        while not is_last:
            request = line.request()
            is_last = b"Connection: close" in request
            target = request.split()[1].decode()
            if target == "/other":
                self.others += 1
                time.sleep(0.02)
            else:
                row = int(target.removeprefix("/row/"))
                self.rows.append(row)
                time.sleep(0.06 if row in SLOW else 0.002)
            line.send(OK)


@pytest.fixture
def witness() -> Iterator[Witness]:
    """A server that writes down which row each request was for."""
    with closing(Witness()) as made:
        yield made


def scenario(witness: Witness, folder: Path, name: str, **changes: Any) -> Scenario:
    (folder / "numbers.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(MANY)))
    (folder / "few.csv").write_text("n\n7\n")
    file = folder / "numbers.py"
    file.write_text(FILE.format(url=witness.url, folder=str(folder)))
    return load(f"{file}::{name}")[0].replace(**changes)


def workers() -> list[int]:
    """The worker processes of this one, in the order in which they were started."""
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    return [int(pid) for pid in children if MODULE.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()]


def halted(result: Result) -> str:
    return next((caveat.message for caveat in result.caveats if caveat.code == "halted"), "")


# those of one endpoint or journey are in tests/witness, too
ONE = ["tasks", "beside", "coming", "arriving", "by_turns", "warmed"]
TWO = ["tasks", "beside"]
LONG = ["endpoints", "journeys", "shuffled", "coming", "arriving", "arriving_journeys", "by_turns", "warmed"]
CASES = [
    *(pytest.param(name, 1, id=f"{name} on one process") for name in ONE),
    *(pytest.param(name, 2, id=f"{name} on two") for name in TWO),
    *(pytest.param(name, 2, id=f"{name} on two", marks=pytest.mark.slow) for name in LONG),
]


@pytest.mark.parametrize(("name", "processes"), CASES)
def test_each_row_is_sent_exactly_once(witness: Witness, tmp_path: Path, name: str, processes: int) -> None:
    result = run(scenario(witness, tmp_path, name, processes=processes))

    assert Counter(witness.rows) == Counter(range(MANY))
    if name != "warmed":
        assert sum(result.statuses.values()) + sum(t.count for t in result.timings if t.name == "come") == (
            MANY + witness.others
        )
    assert halted(result).endswith(f"numbers.csv has {MANY} rows and each was used once")
    assert result.duration < 30, "who has no rows of its own does not go on"


def test_of_more_processes_than_rows_those_without_a_row_end_too(witness: Witness, tmp_path: Path) -> None:
    result = run(scenario(witness, tmp_path, "few", processes=2))

    assert witness.rows == [7]
    assert halted(result).endswith("few.csv has 1 row and each was used once")


@pytest.mark.slow
def test_rows_that_a_lost_process_had_are_not_said_to_have_been_used(witness: Witness, tmp_path: Path) -> None:
    def kill_one(snapshot: Snapshot) -> None:
        if snapshot.requests and len(pids := workers()) == 2:
            os.kill(pids[1], signal.SIGKILL)

    result = run(scenario(witness, tmp_path, "endpoints", processes=2, pacing=0.05), watch=kill_one)

    assert max(Counter(witness.rows).values()) == 1
    assert len(witness.rows) < MANY
    used = int(halted(result).partition("of which ")[2].partition(" ")[0])
    assert halted(result).endswith(f"numbers.csv has {MANY} rows, of which {used} are known to have been used once")
    assert 0 < used <= len(witness.rows)
