"""Runs clients in turn against one nginx and keeps what each run took."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks import process
from benchmarks.cost.client import Client, Load
from benchmarks.nginx import Server
from benchmarks.process import Cores, Failed

SHORT = 1
GRACE = 30  # seconds a run may take longer than asked before it is stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: seconds of the clock, seconds of CPU, requests by nginx's count and by the client's."""

    wall: float
    cpu: float
    requests: int
    claimed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The short and the long run of one client in one round."""

    short: Run
    long: Run

    @property
    def cost(self) -> float:
        """CPU seconds of one more request."""
        return (self.long.cpu - self.short.cpu) / (self.long.requests - self.short.requests)

    @property
    def rate(self) -> float:
        """Requests in one more second."""
        return (self.long.requests - self.short.requests) / (self.long.wall - self.short.wall)

    @property
    def whole(self) -> float:
        """CPU seconds a request of the long run, the client's start included."""
        return self.long.cpu / self.long.requests


@dataclass(slots=True)
class Results:
    """Pairs by client, one a round; and for those that have none, the reason."""

    pairs: dict[str, list[Pair]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def ratio(self, client: str, peer: str) -> float | None:
        """The median over the rounds of the client's cost divided by the peer's."""
        if client not in self.pairs or peer not in self.pairs:
            return None
        rounds = zip(self.pairs[client], self.pairs[peer], strict=True)
        return median(ours.cost / theirs.cost for ours, theirs in rounds)

    def drop(self, client: Client, reason: str) -> None:
        self.pairs.pop(client.name, None)
        self.skipped[client.name] = reason
        print(f"  {client.name:14} left out: {reason}", file=sys.stderr)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where and how long the clients run."""

    server: Server
    folder: Path
    core: Cores
    seconds: int

    def compare(self, clients: Sequence[Client], rounds: int) -> Results:
        results = Results()
        for client in clients:
            if reason := client.missing(self.folder):
                results.drop(client, reason)
        for number in range(1, rounds + 1):
            print(f"round {number} of {rounds}", file=sys.stderr)
            self._round(clients, results)
        return results

    def _round(self, clients: Sequence[Client], results: Results) -> None:
        for client in clients:
            if client.name in results.skipped:
                continue
            try:
                pair = self._pair(client)
            except Failed as failure:
                results.drop(client, str(failure))
                continue
            results.pairs.setdefault(client.name, []).append(pair)
            print(f"  {client.name:14} {pair.rate:9,.0f}/s {pair.cost * 1e6:8.2f} us", file=sys.stderr)

    def _pair(self, client: Client) -> Pair:
        short, long = self._run(client, SHORT), self._run(client, self.seconds)
        if long.requests <= short.requests:
            raise Failed(f"{short.requests} requests in {SHORT} s, {long.requests} in {self.seconds} s")
        return Pair(short=short, long=long)

    def _run(self, client: Client, seconds: int) -> Run:
        url = self.server.url(client.scheme)
        load = Load(url=url, seconds=seconds, ca=self.server.ca, folder=self.folder)
        command = client.command(load)
        before = self.server.requests()
        ended = process.run(command, core=self.core, limit=seconds + GRACE, folder=self.folder)
        # the second question has counted itself; the first one is in `before`
        requests = self.server.requests() - before - 1
        claimed = _claimed(client, load, ended.output)
        return Run(wall=ended.wall, cpu=ended.cpu, requests=requests, claimed=claimed)


def _claimed(client: Client, load: Load, output: str) -> int:
    try:
        return client.claimed(load, output)
    except (OSError, ValueError, KeyError) as error:
        raise Failed(f"its own count cannot be read: {error!r}") from error
