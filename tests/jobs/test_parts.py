"""What a machine that has one part of a load asks of its clock and its network."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from loadkit import Endpoint, Result, Scenario, run
from loadkit.clock import SystemClock
from loadkit.host.locality import source_address
from loadkit.judge.instants import instant
from loadkit.judge.merge import merge
from loadkit.plan.part import Part
from loadkit.plan.units import SECOND
from tests.witness.witness import Witness


class WrongClock(SystemClock):
    """One that shows ten minutes more than it is."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()
        self.wall_offset += 600 * SECOND

    def reanchor(self) -> int:
        return 0


class Dated(BaseHTTPRequestHandler):
    """Replies with the date, as most servers do."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """It says nothing."""


@pytest.fixture
def dated() -> Iterator[str]:
    """The URL of a server whose replies have a date."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Dated) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(("clock", "ahead"), [(SystemClock, 0), (WrongClock, 600)])
def test_a_clock_is_measured_by_that_of_the_target(clock: type[SystemClock], ahead: float, dated: str):
    scenario = Scenario(base_url=dated, endpoints=[Endpoint("GET", "/items")], threads=2, iterations=10)
    now = clock()

    result = run(scenario, clock=now, part=Part(number=0, count=2, at=now.now() + now.wall_offset + SECOND // 2))

    (machine,) = result.machines
    assert abs(machine.clock_offset - ahead) <= machine.clock_error + 0.1
    assert machine.clock_error < 30, "half of a second, and of the time that a reply took"
    assert result.requests == 5, "the reply that told is in no count"


def test_a_part_whose_clock_is_wrong_stands_where_it_was_on_the_time_line_of_all(dated: str):
    """Both begin at the same instant, which is 10 minutes later by the clock of the second one."""
    scenario = Scenario(base_url=dated, endpoints=[Endpoint("GET", "/items")], rate="50/s", duration="2s")
    right, wrong = SystemClock(), WrongClock()
    at = right.now() + SECOND

    def run_part(number: int, clock: SystemClock) -> Result:
        part = Part(number=number, count=2, at=at + clock.wall_offset)
        return run(scenario, clock=clock, part=part, interrupts=lambda: 0)

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(run_part, (0, 1), (right, wrong)))

    merged = merge(found)
    assert [round(one.clock_offset or 0) for one in merged.machines] == [0, 600]
    began = [instant(one.started_at) - one.late_start * SECOND for one in merged.machines]
    # the date of a reply has whole seconds, of which five more replies leave a thirtieth, or more where they were slow
    assert merged.machines[1].clock_error < 0.5
    assert abs(began[0] - began[1]) < (0.05 + merged.machines[1].clock_error) * SECOND
    assert max(one.start for one in merged.intervals) < 5, "and not ten minutes later"
    assert merged.duration < 5
    assert [one.level for one in merged.caveats if one.code == "clock-wrong"] == ["note"]


def test_a_target_without_a_date_tells_nothing(witness: Witness):
    scenario = Scenario(base_url=witness.url, endpoints=[Endpoint("GET", "/")], threads=2, iterations=10)
    witness.clear()

    result = run(scenario, part=Part(number=0, count=2, at=time.time_ns()))

    assert result.machines[0].clock_offset is None
    assert [one.method for one in witness.log().requests] == ["GET"] * 5 + ["HEAD"]


def test_without_a_common_instant_nothing_is_asked(witness: Witness):
    scenario = Scenario(base_url=witness.url, endpoints=[Endpoint("GET", "/")], threads=2, iterations=10)
    witness.clear()

    run(scenario, part=Part(number=0, count=2))

    assert len(witness.log()) == 5


def test_the_address_that_is_sent_from_is_that_of_the_route():
    assert source_address(socket.AF_INET, ("127.0.0.3", 9)) == "127.0.0.1"
    assert source_address(socket.AF_INET, ("255.255.255.255", 9)) == "", "there is no route for that"
