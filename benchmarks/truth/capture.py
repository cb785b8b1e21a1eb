"""A packet capture on loopback as the judge: when each request and each reply was on the wire."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from benchmarks.process import Failed, pinned_to

NANOSECOND_PCAP = 0xA1B23C4D
ETHERNET = 1
KERNEL_BUFFER = 262_144  # KiB: some seconds of the fastest client while tcpdump waits for its core
QUIET = 1.2  # seconds: what the kernel has buffered is handed over in blocks, each within a second
# Only segments that carry data: without the acknowledgements there is half as much to write and to lose.
NUMBERED = re.compile(rb"GET /\?n=(\d+) ")
FILTER = "tcp port {port} and (ip[2:2] - ((ip[0] & 0xf) << 2) - ((tcp[12] & 0xf0) >> 2)) != 0"


class Gaps(Failed):
    """The capture does not hold all that was on the wire, and proves nothing."""


class Packet(NamedTuple):
    """A TCP segment that carries data: when, in nanoseconds of the wall clock, between which ports, its number."""

    at: int
    source: int
    target: int
    number: int | None = None
    """That of a request which says the how manieth of its plan it is, as in `GET /?n=17`."""


class Capture(NamedTuple):
    """What a capture holds: the answered requests in the order in which they were sent, on so many connections."""

    exchanges: list[Exchange]
    connections: int


class Exchange(NamedTuple):
    """A request and its reply: when the first segment of one and the last of the other were on the wire."""

    sent: int
    arrived: int
    number: int | None = None


@contextmanager
def capturing(port: int, path: Path, *, core: int | None = None) -> Iterator[None]:
    """Capture what goes to and from a TCP port on loopback into a file, until the block is left.

    `Failed` when tcpdump does not start, `Gaps` when the kernel had to drop a packet.
    """
    command = shutil.which("tcpdump")
    if not command:
        raise Failed("tcpdump is not here; on Debian: apt-get install tcpdump")
    # 128 bytes hold the Ethernet, IP and TCP headers with every option, and the beginning of a request
    options = ["-i", "lo", "-s", "128", "-B", str(KERNEL_BUFFER), "-n", "--time-stamp-precision=nano", "-w", str(path)]
    with pinned_to(core):
        process = subprocess.Popen([command, *options, FILTER.format(port=port)], stderr=subprocess.PIPE, text=True)
    try:
        _wait_until_it_listens(process)
        yield
        _wait_until_written(path)
    finally:
        process.terminate()
        _, said = process.communicate(timeout=20)
    _see_that_it_is_whole(said)


def packets(path: Path) -> Iterator[Packet]:
    """The segments with data in a capture, in order; a last record that was cut short is left out.

    The form is libpcap's: a header of 24 bytes, then for each packet seconds, nanoseconds, the length kept and the
    length it had. `Failed` for another form, byte order or link.
    """
    content = path.read_bytes()
    magic, link = struct.unpack_from("<I16xI", content) if len(content) >= 24 else (0, 0)
    if magic != NANOSECOND_PCAP or link != ETHERNET:
        raise Failed(f"{path.name} is no capture of Ethernet frames with nanoseconds")
    record, ports = struct.Struct("<IIII").unpack_from, struct.Struct(">HH").unpack_from
    size = struct.Struct(">H").unpack_from
    position, end = 24, len(content)
    while position + 16 <= end:
        seconds, nanoseconds, length, _ = record(content, position)
        frame = position + 16
        position = frame + length
        if position > end:
            return
        header = (content[frame + 14] & 15) * 4
        tcp = frame + 14 + header
        data = tcp + (content[tcp + 12] >> 4) * 4
        if size(content, frame + 16)[0] > data - frame - 14:
            numbered = NUMBERED.match(content, data, position)
            number = int(numbered[1]) if numbered else None
            source, target = ports(content, tcp)
            yield Packet(seconds * 1_000_000_000 + nanoseconds, source, target, number)


def read(path: Path, port: int) -> Capture:
    """The exchanges with the server on this port.

    One connection carries one exchange at a time: the first segment to the server after a reply begins the next.
    """
    sent: dict[int, tuple[int, int | None]] = {}
    arrived: dict[int, int] = {}
    clients = set()
    found = []
    for at, source, target, number in packets(path):
        if target == port:
            clients.add(source)
            if source in arrived:
                found.append(_exchange(sent.pop(source), arrived.pop(source)))
            sent.setdefault(source, (at, number))
        elif target in sent:
            arrived[target] = at
    found += [_exchange(sent[client], last) for client, last in arrived.items()]
    return Capture(sorted(found, key=itemgetter(0, 1)), len(clients))


def _exchange(request: tuple[int, int | None], arrived: int) -> Exchange:
    sent, number = request
    return Exchange(sent, arrived, number)


def _wait_until_it_listens(process: subprocess.Popen[str]) -> None:
    assert process.stderr
    said = ""
    while "listening on" not in said:
        line = process.stderr.readline()
        if not line:
            raise Failed(f"tcpdump does not start: {said.strip() or 'it says nothing'}")
        said += line


def _wait_until_written(path: Path) -> None:
    """Until the file has not grown for so long that nothing can be left in the kernel."""
    size = -1
    while (grown := path.stat().st_size) != size:
        size = grown
        time.sleep(QUIET)


def _see_that_it_is_whole(said: str) -> None:
    if not re.search(r"^0 packets dropped by kernel", said, re.MULTILINE):
        raise Gaps(f"the capture has gaps: {' '.join(said.split())}")
