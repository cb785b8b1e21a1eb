"""A ramp of threads, as a server sees it: one more user after the other.

How many there are in each second of each shape is in tests/witness; here, that none of them is early.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import pytest

from loadkit import Endpoint, Journey, Scenario, Session, hold, ramp, run, timer
from loadkit.drive.journeys.session import AsyncSession
from loadkit.plan.phases import Phase
from tests.drive.counting import CountingServer, counting

Kept: TypeAlias = "dict[asyncio.Task[None] | None, tuple[asyncio.StreamReader, asyncio.StreamWriter]]"


def visit(http: Session) -> None:
    http.get("/visit")


async def streams() -> AsyncIterator[Kept]:
    """The connection of each task of a thread."""
    kept: Kept = {}
    yield kept
    for _, writer in kept.values():
        writer.close()
        await writer.wait_closed()


async def talk(http: AsyncSession, own: Kept) -> None:
    task = asyncio.current_task()
    if task not in own:
        where = urlsplit(http.base_url)
        own[task] = await asyncio.open_connection(where.hostname, where.port)
    reader, writer = own[task]
    with timer("talk"):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"ok")


PLANS: dict[str, Any] = {
    "endpoint": Endpoint("GET", "/"),
    "journey": visit,
    "tasks": Journey(talk, tasks_per_thread=2, setup=streams),
}


@pytest.fixture
def server() -> Iterator[CountingServer]:
    with counting() as server:
        yield server


EARLY = -0.01
"""Seconds: the start of a run is told to the millisecond."""


def go(name: str, server: CountingServer, phases: list[Phase], **changes: Any) -> float:
    """Run one of the plans; when its measuring began, seconds of the epoch."""
    result = run(Scenario(base_url=server.url, endpoints=[PLANS[name]], phases=phases, **changes))

    assert result.outcome == "passed", result
    return datetime.fromisoformat(result.spans[0].start).timestamp()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("endpoint", {}),
        ("endpoint", {"think_time": "10ms"}),
        ("journey", {"pacing": "40ms"}),
        ("tasks", {"think_time": "10ms"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value) or "plain",
)
def test_the_threads_of_a_ramp_begin_one_after_the_other(name: str, changes: dict[str, Any], server: CountingServer):
    start = go(name, server, [ramp("1.2s", to=4), hold("600ms")], **changes)

    firsts = server.first_requests(start)[:: 2 if name == "tasks" else 1]
    # planned at 0, 0.3, 0.6 and 0.9 s; on a busy machine each may be late, and none is early
    assert len(firsts) == 4
    assert [first - 0.3 * k > EARLY for k, first in enumerate(firsts)] == [True] * 4, firsts


@pytest.mark.parametrize("name", ["endpoint", "journey", "tasks"])
def test_nothing_is_sent_while_a_phase_holds_no_thread(name: str, server: CountingServer):
    run_phases = [hold("100ms", at=1), ramp(0, to=0), hold("600ms"), ramp(0, to=2), hold("300ms")]
    start = go(name, server, run_phases)

    begins = [one.began - start for one in server.seen]
    # what was sent in the first phase may be received in the second, and nothing is early
    assert [began for began in begins if 0.4 < began < 0.7 + EARLY] == []
    assert max(begins) >= 0.7 + EARLY
