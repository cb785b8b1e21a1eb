"""A packet capture on loopback as the judge: what the service times were on the wire."""

from __future__ import annotations

import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

NANOSECOND_PCAP = 0xA1B23C4D


class Packet(NamedTuple):
    """A TCP segment that carries data."""

    at: int
    source: int
    target: int


@contextmanager
def capturing(port: int, path: Path) -> Iterator[None]:
    """Capture what goes to and from a TCP port on loopback into a file, until the block is left."""
    command = shutil.which("tcpdump")
    assert command
    options = ["-i", "lo", "-s", "80", "-B", "131072", "-n", "--time-stamp-precision=nano", "-w", str(path)]
    process = subprocess.Popen([command, *options, f"tcp port {port}"], stderr=subprocess.PIPE, text=True)
    assert process.stderr
    try:
        line = process.stderr.readline()
        while line and "listening on" not in line:
            line = process.stderr.readline()
        assert line, "tcpdump did not start"
        yield
        # what the kernel has buffered is written out in blocks, each within a second
        time.sleep(1.2)
    finally:
        process.terminate()
        _, said = process.communicate(timeout=20)
    assert "\n0 packets dropped by kernel" in said, said


def packets(path: Path) -> Iterator[Packet]:
    """The segments with data in a capture, in order."""
    content = path.read_bytes()
    assert struct.unpack_from("<I", content)[0] == NANOSECOND_PCAP
    position = 24
    while position < len(content):
        seconds, nanoseconds, length, _ = struct.unpack_from("<IIII", content, position)
        frame = position + 16
        position = frame + length
        header = (content[frame + 14] & 15) * 4
        total = struct.unpack_from(">H", content, frame + 16)[0]
        tcp = frame + 14 + header
        source, target = struct.unpack_from(">HH", content, tcp)
        if total > header + (content[tcp + 12] >> 4) * 4:
            yield Packet(seconds * 1_000_000_000 + nanoseconds, source, target)


def service_times(path: Path, port: int) -> list[int]:
    """For each exchange the nanoseconds from the first segment of the request to the last of the reply."""
    sent: dict[int, int] = {}
    arrived: dict[int, int] = {}
    found = []
    for packet in packets(path):
        if packet.target == port:
            if packet.source in arrived:
                found.append(arrived.pop(packet.source) - sent.pop(packet.source))
            sent.setdefault(packet.source, packet.at)
        else:
            arrived[packet.target] = packet.at
    found += [arrived[client] - sent[client] for client in arrived]
    return found
