"""`python -m benchmarks.processes`: two processes of loadkit against one, written into the page."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks import machine, nginx
from benchmarks.cost.client import Client, Load
from benchmarks.cost.measure import Bench, Pair, Results
from benchmarks.cost.peers import loadkit, loadkit_command
from benchmarks.process import Cores, Failed, interrupt_on_terminate
from benchmarks.report import Target, publish, table, targets_table

MORE = 1.7
DEARER = 1.15
HEAD = ["processes", "requests/s (min-max)", "CPU us a request (min-max)", "counted by nginx", "own count"]


def two_processes_command(load: Load) -> list[str | Path]:
    return [*loadkit_command(load), "--processes", "2"]


ONE = dataclasses.replace(loadkit, name="one")
TWO = dataclasses.replace(loadkit, name="two", command=two_processes_command)


def cores() -> tuple[int, Cores]:
    """One for nginx, all others for loadkit."""
    first, *others = sorted(os.sched_getaffinity(0))
    return first, frozenset(others) or first


def row(client: Client, pairs: list[Pair]) -> list[str]:
    rates, costs = sorted(pair.rate for pair in pairs), sorted(pair.cost * 1e6 for pair in pairs)
    counted = sum(pair.long.requests for pair in pairs)
    claimed = sum(pair.long.claimed for pair in pairs)
    return [
        client.name,
        f"{median(rates):,.0f} ({rates[0]:,.0f}-{rates[-1]:,.0f})",
        f"{median(costs):.1f} ({costs[0]:.1f}-{costs[-1]:.1f})",
        f"{counted:,}",
        f"{(claimed - counted) / counted:+.2%}",
    ]


def targets(results: Results, client_cores: Cores) -> list[Target]:
    left_out = "; ".join(results.skipped.values())
    has_room = not isinstance(client_cores, int) and len(client_cores) > 1
    carried = None
    if has_room and not left_out:
        rounds = zip(results.pairs[TWO.name], results.pairs[ONE.name], strict=True)
        carried = median(one.rate / two.rate for two, one in rounds)
    return [
        Target(
            claim=f"requests a second of one: at most 1/{MORE} of those of two",
            limit=1 / MORE,
            figure=carried,
            unit=" x",
            reason=left_out or "two processes need a core each, beside nginx's",
        ),
        Target(
            claim=f"CPU a request of two: at most {DEARER} x that of one",
            limit=DEARER,
            figure=results.ratio(TWO.name, ONE.name),
            unit=" x",
            reason=left_out,
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.processes", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each, in turns (default 5)")
    parser.add_argument("--seconds", type=int, default=4, help="length of the long runs (default 4)")
    write = argparse.BooleanOptionalAction
    parser.add_argument("--write", action=write, default=True, help="into docs/benchmarks.md")
    options = parser.parse_args()
    interrupt_on_terminate()
    server_core, client_cores = cores()
    noise = machine.noise(os.sched_getaffinity(0))
    with (
        tempfile.TemporaryDirectory(prefix="loadkit-processes-") as name,
        nginx.running(Path(name), core=server_core) as server,
    ):
        bench = Bench(server=server, folder=Path(name), core=client_cores, seconds=options.seconds)
        results = bench.compare([ONE, TWO], options.rounds)
    many = 1 if isinstance(client_cores, int) else len(client_cores)
    parts = [
        f"{machine.described()}.",
        f"{options.rounds} rounds of 1 s and {options.seconds} s; loadkit on {many} core{'s' * (many > 1)}. {noise}",
        table(HEAD, [row(client, results.pairs[client.name]) for client in (ONE, TWO) if client.name in results.pairs]),
        *[f"Left out: {title}, because {reason}." for title, reason in results.skipped.items()],
        targets_table(targets(results, client_cores)),
    ]
    publish("processes", "\n\n".join(parts), write=options.write)


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"benchmarks.processes: {failure}")
