"""A ramp of threads, as a server sees it: one more user after the other, and one fewer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from loadkit import hold, ramp, run
from loadkit.plan.loader import load
from loadkit.plan.phases import Phase
from tests.drive.counting import CountingServer, counting

FILE = """
import asyncio
from urllib.parse import urlsplit
from loadkit import Endpoint, Journey, Scenario, timer

def visit(http):
    http.get("/visit")

async def streams():
    kept = {}
    yield kept
    for _, writer in kept.values():
        writer.close()
        await writer.wait_closed()

async def talk(http, own):
    task = asyncio.current_task()
    if task not in own:
        where = urlsplit(http.base_url)
        own[task] = await asyncio.open_connection(where.hostname, where.port)
    reader, writer = own[task]
    with timer("talk"):
        writer.write(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        await reader.readuntil(b"ok")

endpoint = Scenario(base_url="http://127.0.0.1:1", endpoints=[Endpoint("GET", "/")], threads=4)
journey = endpoint.replace(endpoints=[visit])
tasks = endpoint.replace(endpoints=[Journey(talk, tasks_per_thread=2, setup=streams)])
"""


@pytest.fixture
def server() -> Iterator[CountingServer]:
    with counting() as server:
        yield server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "ramps.py"
    path.write_text(FILE)
    return path


EARLY = -0.01
"""Seconds: the start of a run is told to the millisecond."""


def go(file: Path, name: str, server: CountingServer, phases: list[Phase], **changes: Any) -> float:
    """Run one of the scenarios of the file; when its measuring began, seconds of the epoch."""
    result = run(load(f"{file}::{name}")[0].replace(base_url=server.url, phases=phases, **changes))

    assert result.outcome == "passed", result
    return datetime.fromisoformat(result.spans[0].start).timestamp()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("endpoint", {}),
        ("endpoint", {"think_time": "10ms"}),
        ("endpoint", {"processes": 2}),
        ("journey", {"pacing": "40ms"}),
        ("tasks", {"think_time": "10ms"}),
        ("tasks", {"processes": 2}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value) or "plain",
)
def test_the_threads_of_a_ramp_begin_one_after_the_other(
    name: str, changes: dict[str, Any], file: Path, server: CountingServer
):
    start = go(file, name, server, [ramp("1.2s", to=4), hold("600ms")], **changes)

    firsts = server.first_requests(start)[:: 2 if name == "tasks" else 1]
    # planned at 0, 0.3, 0.6 and 0.9 s; on a busy machine each may be late, and none is early
    assert len(firsts) == 4
    assert [first - 0.3 * k > EARLY for k, first in enumerate(firsts)] == [True] * 4, firsts


@pytest.mark.parametrize("name", ["endpoint", "journey", "tasks"])
def test_those_of_a_ramp_after_a_hold_begin_after_the_hold(name: str, file: Path, server: CountingServer):
    start = go(file, name, server, [hold("600ms", at=1), ramp("600ms", to=3), hold("600ms")])

    firsts = server.first_requests(start)[:: 2 if name == "tasks" else 1]
    assert len(firsts) == 3
    assert [first - planned > EARLY for first, planned in zip(firsts, (0, 0.6, 0.9), strict=True)] == [True] * 3, firsts


@pytest.mark.parametrize("name", ["endpoint", "journey", "tasks"])
def test_nothing_is_sent_while_a_phase_holds_no_thread(name: str, file: Path, server: CountingServer):
    run_phases = [hold("100ms", at=1), ramp(0, to=0), hold("600ms"), ramp(0, to=2), hold("300ms")]
    start = go(file, name, server, run_phases)

    begins = [one.began - start for one in server.seen]
    # what was sent in the first phase may be received in the second, and nothing is early
    assert [began for began in begins if 0.4 < began < 0.7 + EARLY] == []
    assert max(begins) >= 0.7 + EARLY


def test_a_run_that_begins_with_no_thread_begins_to_send_when_there_is_one(file: Path, server: CountingServer):
    result = run(
        load(f"{file}::endpoint")[0].replace(
            base_url=server.url, phases=[hold("600ms", at=0, name="empty"), ramp(0, to=2), hold("300ms", name="full")]
        )
    )

    by_phase = {phase.name: phase.total.requests for phase in result.phases}
    assert by_phase["empty"] == 0
    assert by_phase["full"] == result.requests == len(server.seen)


@pytest.mark.parametrize("processes", [1, 2])
def test_each_second_tells_how_many_threads_were_active(processes: int, file: Path, server: CountingServer):
    scenario = load(f"{file}::endpoint")[0].replace(base_url=server.url, phases=[ramp("2s", to=4)], processes=processes)

    first, second = run(scenario).intervals[:2]

    # 1 and 2 in its halves, then 3 and 4; they may be late on a busy machine
    assert (first.asked, second.asked) == (1.5, 3.5)
    assert 0.7 * 1.5 - 0.5 < first.threads < 1.6
    assert 0.7 * 3.5 - 0.5 < second.threads < 3.6


def test_threads_go_down_and_come_up_again(file: Path, server: CountingServer):
    start = go(file, "endpoint", server, [hold("500ms", at=4), ramp("500ms", to=0), ramp("500ms", to=4), hold("500ms")])

    held, valley, again = (server.in_flight(start, *span) for span in ((0.05, 0.45), (0.85, 1.15), (1.55, 1.95)))
    # planned 4, 0.6 and 4 at once
    assert valley < held / 2
    assert valley < again / 2
