"""The judge of the benchmarks is right: captures are read, plans computed and figures understood as they are meant."""

from __future__ import annotations

import math
import os
import re
import shutil
import struct
from collections.abc import Iterable
from pathlib import Path

import pytest

from benchmarks.process import Failed, available_cores
from benchmarks.truth import servers, tools
from benchmarks.truth.capture import Capture, Exchange, Packet, capturing, packets, read
from benchmarks.truth.cases import CASES, Case
from benchmarks.truth.exact import due, percentiles, response_times, service_times
from benchmarks.truth.page import within
from loadkit import Endpoint, Scenario, run

SERVER = 8080
MILLISECOND = 1_000_000
NANOSECONDS, MICROSECONDS = 0xA1B23C4D, 0xA1B2C3D4
START = 1_700_000_000_000_000_000
GOLDEN = 0.6180339887498949


def frame(source: int, target: int, payload: bytes, *, options: int = 12) -> bytes:
    """An Ethernet frame with an IPv4 TCP segment, as the loopback carries it; no checksums."""
    tcp = struct.pack(">HHIIBBHHH", source, target, 1, 1, (5 + options // 4) << 4, 16, 512, 0, 0) + b"\1" * options
    ip = struct.pack(
        ">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp) + len(payload), 1, 0, 64, 6, 0, b"\x7f\0\0\1", b"\x7f\0\0\1"
    )
    return bytes(12) + b"\x08\0" + ip + tcp + payload


def pcap(records: Iterable[tuple[int, bytes]], *, magic: int = NANOSECONDS, link: int = 1, snap: int = 80) -> bytes:
    """A capture file with frames at nanoseconds after START."""
    written = struct.pack("<IHHiIII", magic, 2, 4, 0, 0, snap, link)
    for at, content in records:
        seconds, rest = divmod(START + at, 1_000_000_000)
        written += struct.pack("<IIII", seconds, rest, len(content[:snap]), len(content)) + content[:snap]
    return written


def asks(client: int, payload: bytes = b"GET / HTTP/1.1\r\n\r\n") -> bytes:
    return frame(client, SERVER, payload)


def answers(client: int, payload: bytes = b"HTTP/1.1 204 No Content\r\n\r\n") -> bytes:
    return frame(SERVER, client, payload)


def captured(folder: Path, *records: tuple[int, bytes]) -> Capture:
    file = folder / "lo.pcap"
    file.write_bytes(pcap(records))
    return read(file, SERVER)


def exchange(sent: int, arrived: int) -> Exchange:
    return Exchange(START + sent, START + arrived)


def test_an_exchange_is_from_the_first_segment_of_the_request_to_the_last_of_the_reply(tmp_path: Path):
    found = captured(
        tmp_path,
        (0, asks(5000)),
        (10, asks(5000, b"the rest of a long request")),
        (30, answers(5000)),
        (70, answers(5000, bytes(3000))),
        (90, asks(5000)),
        (95, answers(5000)),
    )

    assert found == Capture([exchange(0, 70), exchange(90, 95)], connections=1)


def test_connections_are_told_apart(tmp_path: Path):
    found = captured(
        tmp_path,
        (0, asks(5000)),
        (10, asks(5001)),
        (20, answers(5001)),
        (30, asks(5001)),
        (40, answers(5000)),
        (50, answers(5001)),
    )

    assert found == Capture([exchange(0, 40), exchange(10, 20), exchange(30, 50)], connections=2)


def test_segments_without_data_are_no_part_of_an_exchange(tmp_path: Path):
    # the acknowledgement of the reply, and of the request; with and without TCP options
    found = captured(
        tmp_path,
        (0, asks(5000)),
        (5, answers(5000, b"")),
        (20, answers(5000)),
        (25, asks(5000, b"")),
        (30, frame(5000, SERVER, b"", options=0)),
        (40, asks(5000)),
        (50, answers(5000)),
        (60, answers(5000, b"")),
    )

    assert found.exchanges == [exchange(0, 20), exchange(40, 50)]


def test_what_was_not_answered_or_not_asked_for_in_the_capture_is_no_exchange(tmp_path: Path):
    found = captured(tmp_path, (0, answers(5001)), (10, asks(5000)), (20, answers(5000)), (30, asks(5000)))

    assert found.exchanges == [exchange(10, 20)]


def test_a_record_that_was_cut_short_is_left_out(tmp_path: Path):
    file = tmp_path / "lo.pcap"
    whole = pcap([(0, asks(5000)), (1, answers(5000))])

    for missing in (1, 30, 80, 90):
        file.write_bytes(whole[:-missing])
        assert list(packets(file)) == [Packet(START, 5000, SERVER)]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a capture, though it is longer than the header of one",
        pcap([(0, asks(5000))], magic=MICROSECONDS),  # its fractions would be taken for nanoseconds
        pcap([(0, asks(5000))], link=113),  # Linux cooked: its header has another length
    ],
)
def test_other_captures_are_refused(tmp_path: Path, content: bytes):
    file = tmp_path / "lo.pcap"
    file.write_bytes(content)

    with pytest.raises(Failed, match=r"lo\.pcap is no capture of Ethernet frames with nanoseconds"):
        list(packets(file))


def test_percentiles_are_values_that_were_measured_at_the_rank_rounded_up():
    assert percentiles(range(1, 101)) == {50: 50e-9, 90: 90e-9, 99: 99e-9}
    assert percentiles([30, 10, 20]) == {50: 20e-9, 90: 30e-9, 99: 30e-9}


def test_arrivals_are_computed_from_the_plan_and_do_not_drift():
    assert [due(number, 3000) for number in (0, 1, 2, 3000, 3_000_000)] == [
        0, 333_333, 666_667, 1_000_000_000, 1_000_000_000_000,
    ]  # fmt: skip


def test_a_stall_is_in_the_response_time_of_every_request_that_was_due_in_it():
    # 1,000/s; the server answers 2 ms after it was asked, but not between 10 and 20 ms, when nothing is sent either
    plan = [number * MILLISECOND for number in range(30)]
    sent = [20 * MILLISECOND if 10 <= number < 20 else at for number, at in enumerate(plan)]
    found = [exchange(at, at + 2 * MILLISECOND) for at in sent]

    assert set(service_times(found)) == {2 * MILLISECOND}
    assert response_times(found, 1000) == [
        *[2 * MILLISECOND] * 10,
        *[(12 - number) * MILLISECOND for number in range(10)],
        *[2 * MILLISECOND] * 10,
    ]


def test_the_plan_began_when_no_request_was_sent_before_it_was_due():
    lateness = [300, 50, 700, 100]
    found = [
        exchange(number * MILLISECOND + late, number * MILLISECOND + late + 9) for number, late in enumerate(lateness)
    ]

    # each but for the smallest lateness, 50 ns, which is not on the wire
    assert response_times(found, 1000) == [300 - 50 + 9, 9, 700 - 50 + 9, 100 - 50 + 9]


def test_requests_are_matched_with_the_plan_in_the_order_in_which_they_were_sent():
    found = [exchange(MILLISECOND, 5 * MILLISECOND), exchange(0, 9 * MILLISECOND)]

    assert response_times(found, 1000) == [9 * MILLISECOND, 4 * MILLISECOND]


def test_requests_that_say_their_number_are_matched_by_it(tmp_path: Path):
    late = (7 * MILLISECOND, asks(5001, b"GET /?n=1 HTTP/1.1\r\n\r\n"))
    found = captured(
        tmp_path,
        (0, asks(5000, b"GET /?n=0 HTTP/1.1\r\n\r\n")),
        (MILLISECOND // 2, answers(5000)),
        (2 * MILLISECOND, asks(5000, b"GET /?n=2 HTTP/1.1\r\n\r\n")),
        (3 * MILLISECOND, answers(5000)),
        late,
        (8 * MILLISECOND, answers(5001)),
    ).exchanges

    assert [exchange.number for exchange in found] == [0, 2, 1]
    assert response_times(found, 1000) == [MILLISECOND // 2, MILLISECOND, 7 * MILLISECOND]


def test_a_figure_is_near_enough_by_its_share_or_by_what_a_call_of_the_kernel_takes():
    assert within(1.149, 1.0, 0.15)
    assert within(0.851, 1.0, 0.15)
    assert not within(1.151, 1.0, 0.15)
    assert not within(0.849, 1.0, 0.15)
    assert within(19e-6, 10e-6, 0.15, 10e-6)
    assert not within(21e-6, 10e-6, 0.15, 10e-6)


WRK = """\
  Latency Distribution
     50%   42.00us
     75%    8.52ms
     90%  282.55ms
     99%    1.03s
  3915 requests in 6.01s, 474.08KB read
"""
HEY = """\
Latency distribution:
  10% in 0.0019 secs
  50% in 0.0028 secs
  90% in 0.0042 secs
  99% in 1.0070 secs

Details (average, fastest, slowest):
  DNS+dialup:	0.0001 secs, 0.0006 secs, 0.0213 secs

Status code distribution:
  [200]	2643 responses
"""
LOCUST = """\
Type     Name              # reqs      # fails |    Avg     Min     Max    Med |   req/s  failures/s
--------|----------------|-------|-------------|-------|-------|-------|-------|--------|-----------
         Aggregated           280     0(0.00%) |      6       2      20      6 |  103.12        0.00

Response time percentiles (approximated)
Type     Name                 50%    66%    75%    80%    90%    95%    98%    99%  99.9% 99.99%   100% # reqs
--------|----------------|--------|------|------|------|------|------|------|------|------|------|------|------
GET      /                      6      7      8      8     10     13     15     16     20     20     20    280
--------|----------------|--------|------|------|------|------|------|------|------|------|------|------|------
         Aggregated             6      7      8      8     10     13     15     16     20     20     20    280
"""
ASKED = tools.Asked(case=Case(server="delays", connections=4), url="http://127.0.0.1:1/", seconds=6, folder=Path("/"))


@pytest.mark.parametrize(
    ("tool", "output", "requests", "service"),
    [
        (tools.wrk, WRK, 3915, {50: 42e-6, 90: 0.28255, 99: 1.03}),
        (tools.hey, HEY, 2643, {50: 0.0028, 90: 0.0042, 99: 1.007}),
        (tools.locust_fast, LOCUST, 280, {50: 0.006, 90: 0.010, 99: 0.016}),
    ],
)
def test_what_a_tool_prints_is_understood(tool: tools.Tool, output: str, requests: int, service: dict[int, float]):
    reported = tool.reported(ASKED, output)

    assert reported.requests == requests
    assert reported.service == pytest.approx(service)
    assert not reported.response


@pytest.mark.parametrize("tool", [tools.wrk, tools.hey, tools.locust_fast])
def test_a_tool_that_printed_no_figures_has_none(tool: tools.Tool):
    with pytest.raises((ValueError, KeyError, StopIteration)):
        tool.reported(ASKED, "connection refused\n")


def test_an_open_case_asks_each_tool_for_the_whole_rate(tmp_path: Path):
    for case in [case for case in CASES if case.rate]:
        asked = tools.Asked(case=case, url="http://127.0.0.1:1/", seconds=6, folder=tmp_path)
        hey = [str(word) for word in tools.hey.command(asked)]
        locust = [str(word) for word in tools.locust_http.command(asked)]
        each = set(re.findall(r"constant_throughput\(([\d.]+)\)", (tmp_path / "locustfile.py").read_text()))

        assert float(hey[hey.index("-c") + 1]) * float(hey[hey.index("-q") + 1]) == case.rate
        assert {int(locust[locust.index("--users") + 1]) * float(throughput) for throughput in each} == {case.rate}
        assert f"{case.rate}/s" in tools.loadkit.command(asked)


@pytest.mark.slow
@pytest.mark.accuracy
@pytest.mark.skipif(not shutil.which("tcpdump") or os.geteuid() != 0, reason="needs tcpdump, and root to capture")
@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc to compile the server")
def test_the_capture_agrees_with_the_delays_the_server_made(tmp_path: Path):
    servers.compile_into(tmp_path)
    file = tmp_path / "lo.pcap"
    core, _ = available_cores()
    with servers.running("delays", tmp_path, core=core) as server:
        scenario = Scenario(base_url=server.url, endpoints=[Endpoint("GET", "/")], threads=4, iterations=2000)
        with capturing(server.port, file):
            run(scenario)

    found = read(file, server.port)
    # the k-th waits 2 ms and an exponential time of mean 3 ms, at the k-th point of the golden-ratio sequence
    planned = sorted(0.002 - 0.003 * math.log1p(-math.fmod(k * GOLDEN, 1)) for k in range(1, 2001))
    noted = sorted(span / 1e9 for span in server.delays)
    wire = sorted(span / 1e9 for span in service_times(found.exchanges))
    assert server.answered == len(wire) == 2000
    # whatever else the machine does, none is shorter; packets are stamped to the microsecond
    assert all(at_least <= found for at_least, found in zip(planned, noted, strict=True))
    assert all(at_least - 10e-6 <= found for at_least, found in zip(planned, wire, strict=True))
    # a busy machine makes many of them longer, and not all
    assert noted[200] == pytest.approx(planned[200], rel=0.05)
    assert wire[200] == pytest.approx(noted[200], rel=0.05)
