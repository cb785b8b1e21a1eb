"""`python -m benchmarks.memory`: measures loadkit's resident memory and writes it into the page."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine, nginx, process
from benchmarks.memory.status import MB, Memory
from benchmarks.nginx import Server
from benchmarks.process import LOADKIT, Failed, available_cores, interrupt_on_terminate
from benchmarks.report import Target, publish, table, targets_table

FEW, MANY = 500_000, 5_000_000
GROWTH = 1.10
THREADS, THINK, SECONDS = 5000, 1, 15
THREADS_LIMIT = 250 * MB
FILES = 2 * THREADS  # a run wants a descriptor a thread, and some room
HEAD = ["run", "requests counted by nginx", "threads", "peak MB", "at the end MB", "CPU s", "s"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One run of loadkit and its memory, or the reason why there is none."""

    name: str
    memory: Memory
    requests: int = 0
    cpu: float = 0.0
    wall: float = 0.0
    failure: str = ""

    def cells(self) -> list[str]:
        if self.failure:
            return [self.name, "-", "-", "-", "-", "-", "-"]
        sizes = [f"{size / MB:.1f}" for size in (self.memory.peak, self.memory.resident)]
        times = [f"{seconds:.1f}" for seconds in (self.cpu, self.wall)]
        return [self.name, f"{self.requests:,}", str(self.memory.threads), *sizes, *times]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where loadkit runs, and what it aims at."""

    server: Server
    folder: Path
    core: int

    def measure(self, name: str, options: Sequence[str], *, limit: float, at_least: int) -> Row:
        memory = Memory()
        print(f"{name} ...", file=sys.stderr)
        command = [*LOADKIT, "run", self.server.url("http"), "--quiet", *options]
        before = self.server.requests()
        try:
            ended = process.run(command, core=self.core, limit=limit, folder=self.folder, watch=memory.look)
        except Failed as error:
            return Row(name=name, memory=memory, failure=str(error))
        requests = self.server.requests() - before - 1
        if requests < at_least:
            return Row(name=name, memory=memory, failure=f"{requests:,} requests arrived of {at_least:,} due")
        return Row(name=name, memory=memory, requests=requests, cpu=ended.cpu, wall=ended.wall)


def many_requests(bench: Bench, count: int) -> Row:
    options = ["--threads", "16", "--iterations", str(count)]
    # at a tenth of the speed expected it is stopped
    return bench.measure(f"{count:,} requests, 16 threads", options, limit=60 + count / 8000, at_least=count)


def many_threads(bench: Bench) -> Row:
    name = f"{THREADS:,} threads, {THINK} s think time"
    if nginx.file_limit() < FILES:
        reason = f"{nginx.file_limit()} open files a process allowed (ulimit -Hn), {FILES} needed"
        return Row(name=name, memory=Memory(), failure=reason)
    options = ["--threads", str(THREADS), "--think-time", f"{THINK}s", "--duration", f"{SECONDS}s"]
    # half of what every thread could do: less, and it was not 5,000 threads that were measured
    return bench.measure(name, options, limit=SECONDS + 60, at_least=THREADS * SECONDS // 2)


def targets(few: Row, many: Row, threads: Row) -> list[Target]:
    reason = few.failure or many.failure
    growth = None if reason else many.memory.peak / few.memory.peak
    peak = None if threads.failure else threads.memory.peak / MB
    return [
        Target(
            claim=f"peak after {MANY:,} requests: at most {GROWTH:g} x that after {FEW:,}",
            limit=GROWTH,
            figure=growth,
            unit=" x",
            reason=reason,
        ),
        Target(
            claim=f"peak of {THREADS:,} threads: at most {THREADS_LIMIT // MB} MB",
            limit=THREADS_LIMIT / MB,
            figure=peak,
            unit=" MB",
            reason=threads.failure,
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    write = argparse.BooleanOptionalAction
    parser.add_argument("--write", action=write, default=True, help="into docs/benchmarks.md")
    options = parser.parse_args()
    interrupt_on_terminate()
    server_core, client_core = available_cores()
    with (
        tempfile.TemporaryDirectory(prefix="loadkit-memory-") as name,
        nginx.running(Path(name), core=server_core) as server,
    ):
        bench = Bench(server=server, folder=Path(name), core=client_core)
        rows = [many_requests(bench, FEW), many_requests(bench, MANY), many_threads(bench)]
    parts = [
        machine.described() + ". MB are 1,000,000 bytes.",
        table(HEAD, [row.cells() for row in rows]),
        targets_table(targets(*rows)),
    ]
    publish("memory", "\n\n".join(parts), write=options.write)


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"benchmarks.memory: {failure}")
