"""`python -m benchmarks.machines`: workers of a Dask cluster against as many processes, written into the page."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from distributed import Client

from benchmarks import machine, nginx
from benchmarks.machines.cluster import dask_cpu_seconds, running
from benchmarks.process import Failed, interrupt_on_terminate, pinned_to
from benchmarks.report import Target, publish, table, targets_table
from loadkit import Result, run
from loadkit.clock import SystemClock
from loadkit.measure.samples import SampleBuffer, Samples
from loadkit.plan.loader import load
from loadkit.plan.units import MILLISECOND

DEARER = 1.1
APART = 50
RATE = 400
WORKERS = (1, 2, 4)

FILE = """
from loadkit import Endpoint, Scenario, rows
closed = Scenario(base_url="{url}", endpoints=[Endpoint("GET", "/")], threads=16)
numbers = rows([{{"k": k}} for k in range({most})])
numbered = Endpoint("GET", "/stamped?k={{k}}", feed=numbers)
stamped = Scenario(base_url="{url}", endpoints=[numbered], threads=8, rate={rate})
"""
HTTP = "log_format stamp '$msec $arg_k';"
LOCATIONS = "location = /stamped { access_log stamps.log stamp; return 200 '{}'; }"
HEAD = [
    "workers",
    "CPU us a request, --processes",
    "on Dask",
    "Dask's own CPU, ms/s",
    "lag, --processes",
    "lag, on Dask",
    "apart",
]


@dataclass(slots=True)
class Found:
    """What came of runs on as many processes, and on as many workers."""

    costs: list[tuple[float, float]] = field(default_factory=list)
    """CPU microseconds a request of a round: of processes, of workers."""
    own: list[float] = field(default_factory=list)
    """CPU milliseconds a second of the scheduler and the workers themselves."""
    lags: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))
    """Nanoseconds from the last reply that a message tells of until it has come."""
    apart: list[float] = field(default_factory=list)
    """Milliseconds from the first part to the last one, at the server."""


class Lags(SampleBuffer):
    """Takes samples of each message, and forgets them but for how old the last one was."""

    def __init__(self, into: list[int]) -> None:
        self._real = SystemClock()
        super().__init__(self._real)
        self._into = into

    def extend(self, found: Iterable[Samples], lost: int) -> None:  # noqa: ARG002 - as `SampleBuffer` has it
        taken = [int.from_bytes(one.good[-24:-16], sys.byteorder) + one.offset for one in found if one.good]
        if taken:
            self._into.append(self._real.now() + self._real.wall_offset - max(taken))

    @contextmanager
    def during(self, *_: object) -> Iterator[Lags]:
        yield self


def cost(result: Result) -> float:
    return result.environment.cpu_seconds / result.requests * 1e6


def apart(stamps: Path, parts: int) -> float:
    """Milliseconds between the parts: of each the median by which its arrivals were later than planned."""
    late: dict[int, list[float]] = {}
    for line in stamps.read_text().splitlines():
        instant, number = line.split()
        late.setdefault(int(number) % parts, []).append(float(instant) - int(number) / RATE)
    begins = [median(found[:100]) for found in late.values()]
    return (max(begins) - min(begins)) * 1000


def measure(file: Path, client: Client, workers: int, rounds: int, seconds: int) -> Found:
    found = Found()
    closed, stamped = (load(f"{file}::{name}")[0].replace(duration=seconds) for name in ("closed", "stamped"))
    for _ in range(rounds):
        by_processes = run(closed.replace(processes=workers))
        own, began = dask_cpu_seconds(client), time.monotonic()
        on_dask = run(closed, on=client, workers=workers)
        found.own.append((dask_cpu_seconds(client) - own) / (time.monotonic() - began) * 1000)
        found.costs.append((cost(by_processes), cost(on_dask)))
        stamps = file.with_name("stamps.log")
        options: dict[str, Any] = {"samples": Lags(found.lags[0])}
        run(stamped.replace(processes=max(2, workers)), **options)
        os.truncate(stamps, 0)
        options = {"samples": Lags(found.lags[1]), "on": client, "workers": workers}
        run(stamped, **options)
        found.apart.append(apart(stamps, workers))
    return found


def row(workers: int, found: Found) -> list[str]:
    processes, dask = zip(*found.costs, strict=True)
    return [
        str(workers),
        f"{median(processes):.1f} ({min(processes):.1f}-{max(processes):.1f})",
        f"{median(dask):.1f} ({min(dask):.1f}-{max(dask):.1f})",
        f"{median(found.own):.0f}",
        *(f"{median(lags) / MILLISECOND:.0f} ms (p99 {at(lags, 0.99) / MILLISECOND:.0f})" for lags in found.lags),
        f"{max(found.apart):.1f} ms",
    ]


def at(values: list[int], share: float) -> int:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def targets(found: dict[int, Found]) -> list[Target]:
    ratios = [dask / processes for workers, one in found.items() if workers > 1 for processes, dask in one.costs]
    return [
        Target(
            claim=f"CPU a request on Dask: at most {DEARER} x that of as many processes",
            limit=DEARER,
            figure=median(ratios),
            unit=" x",
        ),
        Target(
            claim=f"the beginnings of all machines: at most {APART} ms apart",
            limit=APART,
            figure=max(max(one.apart) for one in found.values()),
            unit=" ms",
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.machines", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each, in turns (default 5)")
    parser.add_argument("--seconds", type=int, default=8, help="length of a run (default 8)")
    write = argparse.BooleanOptionalAction
    parser.add_argument("--write", action=write, default=True, help="into docs/benchmarks.md")
    options = parser.parse_args()
    interrupt_on_terminate()
    first, *others = sorted(os.sched_getaffinity(0))
    client_cores = frozenset(others) or first
    noise = machine.noise(os.sched_getaffinity(0))
    found = {}
    with (
        tempfile.TemporaryDirectory(prefix="loadkit-machines-") as name,
        nginx.running(Path(name), core=first, http=HTTP, locations=LOCATIONS) as server,
        pinned_to(client_cores),
    ):
        file = Path(name) / "shop.py"
        file.write_text(FILE.format(url=server.url("http").rstrip("/"), rate=RATE, most=RATE * options.seconds))
        for workers in WORKERS:
            with running(workers, port=nginx.free_port(), core=client_cores) as client:
                found[workers] = measure(file, client, workers, options.rounds, options.seconds)
    many = 1 if isinstance(client_cores, int) else len(client_cores)
    parts = [
        f"{machine.described()}.",
        f"{options.rounds} rounds of {options.seconds} s each; all but nginx on {many} core{'s' * (many > 1)}. {noise}",
        table(HEAD, [row(workers, one) for workers, one in found.items()]),
        targets_table(targets(found)),
    ]
    publish("machines", "\n\n".join(parts), write=options.write)


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"benchmarks.machines: {failure}")
