"""What the counting server saw, and the questions that the tests ask of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.networks import Place, loopback

HERE = loopback(1)
SERVER = Path(__file__).with_name("server.py")


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as the server saw it; instants in seconds since the epoch."""

    connection: int
    received: float
    replied: float
    method: str
    target: str
    headers: dict[str, str]
    body: str
    peer: str
    """The address from which it came."""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


@dataclass(frozen=True, slots=True)
class Log:
    """All that the server saw in one run."""

    connections: int
    requests: tuple[Seen, ...]

    def __len__(self) -> int:
        return len(self.requests)

    def since(self, instant: float) -> Log:
        """The requests that were received from this instant on."""
        return Log(self.connections, tuple(one for one in self.requests if one.received >= instant))

    def of(self, path: str) -> Log:
        """The requests for a path."""
        return Log(self.connections, tuple(one for one in self.requests if one.path == path))

    def of_method(self, method: str) -> Log:
        """The requests with a method: a machine that has a part asks once more, by HEAD, what the clock shows."""
        return Log(self.connections, tuple(one for one in self.requests if one.method == method))

    def received_by_second(self, start: float, seconds: int) -> list[int]:
        """How many requests were received in each second from `start` on."""
        found = Counter(int((one.received - start) // 1) for one in self.requests)
        return [found[second] for second in range(seconds)]

    def replied_by_second(self, start: float, seconds: int) -> list[int]:
        """How many replies were written in each second from `start` on."""
        found = Counter(int((one.replied - start) // 1) for one in self.requests)
        return [found[second] for second in range(seconds)]

    def under_way_by_second(self, start: float, seconds: int) -> list[float]:
        """How many requests were being answered, in the mean of each second from `start` on."""
        return [
            sum(max(0.0, min(one.replied, since + 1) - max(one.received, since)) for one in self.requests)
            for since in (start + second for second in range(seconds))
        ]

    def most_under_way(self) -> int:
        """How many requests were being answered at once, at most."""
        steps = sorted([(one.received, 1) for one in self.requests] + [(one.replied, -1) for one in self.requests])
        level = most = 0
        for _, step in steps:
            level += step
            most = max(most, level)
        return most

    def by_connection(self) -> list[list[Seen]]:
        """The requests of each connection that had any, in order."""
        found: dict[int, list[Seen]] = {}
        for one in self.requests:
            found.setdefault(one.connection, []).append(one)
        return list(found.values())

    def gaps(self) -> list[float]:
        """From each reply to the next request of its connection, seconds."""
        return [after.received - before.replied for one in self.by_connection() for before, after in pairwise(one)]

    def paces(self) -> list[float]:
        """From each request to the next one of its connection, seconds."""
        return [after.received - before.received for one in self.by_connection() for before, after in pairwise(one)]

    def ids(self) -> list[int]:
        """The last part of each path as a number, in the order in which they were received."""
        return [int(one.path.rpartition("/")[2]) for one in self.requests]


class Witness:
    """The server, running: where it is, and what it has seen."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self._process = process
        self.url = f"http://{address}:{self._read().strip()}"

    def log(self) -> Log:
        """What it has seen so far; a request that is still being answered counts as answered now."""
        found = json.loads(self._ask("log"))
        last = max((one[2] or one[1] for one in found["requests"]), default=0.0)
        requests = (Seen(one[0], one[1], one[2] or last, *one[3:]) for one in found["requests"])
        return Log(len(found["connections"]), tuple(requests))

    def clear(self) -> None:
        self._ask("clear")

    def _ask(self, order: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@contextmanager
def watching(place: Place = HERE) -> Iterator[Witness]:
    """A witness that has seen nothing yet; it ends with the block."""
    command = [*place.command, sys.executable, "-S", str(SERVER), place.address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Witness(process, place.address)
        finally:
            process.terminate()
