"""The figure in the report is true: service times against a packet capture on loopback."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benchmarks.truth.capture import capturing, read
from benchmarks.truth.exact import service_times
from loadkit import Endpoint, Scenario, run
from loadkit.server.demo import running_demo

pytestmark = [
    pytest.mark.slow,
    pytest.mark.accuracy,
    pytest.mark.skipif(not shutil.which("tcpdump") or os.geteuid() != 0, reason="needs tcpdump, and root to capture"),
]


@pytest.mark.parametrize(
    ("path", "threads"),
    [
        ("/delay/0.01", 4),  # a known time
        ("/delay/0.01", 64),
        ("/health", 64),  # 64 threads that are all busy: our own clock would be off by far more
        ("/bytes/100000", 16),  # many segments: the last one counts
    ],
)
def test_service_times_are_those_on_the_wire(tmp_path: Path, path: str, threads: int):
    file = tmp_path / "lo.pcap"
    with running_demo() as demo:
        port = urlsplit(demo.url).port
        assert port
        scenario = Scenario(base_url=demo.url, endpoints=[Endpoint("GET", path)], threads=threads, duration=3)
        with capturing(port, file):
            result = run(scenario)
    wire = sorted(service_times(read(file, port).exchanges))

    assert len(wire) == result.requests == result.response_time.count
    found = result.service_time
    for percent, reported in ((50, found.p50), (90, found.p90), (99, found.p99)):
        truth = wire[-(-len(wire) * percent // 100) - 1] / 1e9
        assert reported is not None
        assert reported > truth * 0.99 - 100e-6, f"p{percent}"
        if percent < 99:
            # on a busy machine some threads are held up between their look at the clock and the kernel
            assert reported < truth * 1.05 + 100e-6, f"p{percent}"
