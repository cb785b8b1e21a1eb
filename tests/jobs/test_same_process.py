"""A server in a thread of the process that loads it: the figures are of both, and the result says so."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from loadkit import Endpoint, Scenario, run
from loadkit.host.listening import is_held_here
from loadkit.plan.loader import load
from loadkit.report.layout import Layout
from loadkit.report.text import text_report
from loadkit.server.demo import Demo
from tests.wire.peer import OK, Peer, replies

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def inside(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a server in a thread of this process."""
    with closing(Peer(replies(OK), host=request.param)) as peer:
        yield peer.url


@pytest.mark.parametrize("inside", ["127.0.0.1"], indirect=True)
def test_a_target_in_this_process_is_a_doubt_and_its_cpu_is_not_called_the_generator_s(inside: str):
    result = run(Scenario(base_url=inside, endpoints=[Endpoint("GET", "/")], threads=4, duration="1.2s"))

    levels = {one.code: one.level for one in result.caveats}
    assert levels.get("same-process") == "doubt"
    assert result.validity == "doubtful"
    assert "generator-busy" not in levels
    assert result.bottleneck.cause is None
    assert (
        result.bottleneck.sentence
        == "Server and generator are one process, so nothing tells which of them bound the run."
    )
    assert "loadkit used" not in text_report(result, Layout(width=120))


@pytest.mark.parametrize("inside", ["::1"], indirect=True)
def test_so_it_is_where_worker_processes_send(inside: str, tmp_path: Path):
    (tmp_path / "shop.py").write_text(
        "from loadkit import Endpoint, Scenario\n"
        f"shop = Scenario(base_url={inside!r}, endpoints=[Endpoint('GET', '/')])\n"
    )
    (scenario,) = load(str(tmp_path / "shop.py"))

    result = run(scenario.replace(processes=2, threads=2, iterations=20))

    (doubt,) = [one.message for one in result.caveats if one.code == "same-process"]
    assert "the process that directs the workers" in doubt


def test_what_listens_in_this_process_is_known_by_its_port_or_path(tmp_path: Path):
    path = str(tmp_path / "s")
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(path)
        port = tcp.getsockname()[1]
        assert is_held_here(port)
        assert not is_held_here(path), "nobody listens there yet"
        unix.listen()
        assert is_held_here(path)
        with socket.create_connection(tcp.getsockname()) as client:
            assert not is_held_here(client.getsockname()[1])
    assert not is_held_here(port)


def test_a_target_in_another_process_is_not_called_so(demo: Demo):
    result = run(Scenario(base_url=demo.url, endpoints=[Endpoint("GET", "/")], threads=1, iterations=3))

    assert "same-process" not in [one.code for one in result.caveats]
