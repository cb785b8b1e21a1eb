"""`python -m benchmarks.journeys`: compares sessions and writes the table into the README."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import machine, nginx
from benchmarks.cost.client import Client
from benchmarks.cost.measure import SHORT, Bench
from benchmarks.cost.page import page
from benchmarks.journeys.peers import LIMITS, PEERS
from benchmarks.process import Failed, available_cores, interrupt_on_terminate
from benchmarks.report import publish


def asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.journeys", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each client runs (default 5)")
    parser.add_argument("--seconds", type=int, default=4, help="length of the long run (default 4)")
    parser.add_argument("--only", type=_chosen, default=PEERS, metavar="NAMES", help="such as wrk,loadkit-json")
    parser.add_argument("--note", action="append", default=[], help="a sentence to put above the table")
    write = argparse.BooleanOptionalAction
    parser.add_argument("--write", action=write, help="into the README (default: unless --only is given)")
    options = parser.parse_args()
    if options.rounds < 1 or options.seconds <= SHORT:
        parser.error(f"at least 1 round, and more than {SHORT} second")
    return options


def main() -> None:
    options = asked()
    interrupt_on_terminate()
    server_core, client_core = available_cores()
    rounds = f"{options.rounds} rounds of {SHORT} s and {options.seconds} s"
    places = f"nginx on core {server_core}, the client on core {client_core}"
    notes = [f"{rounds}; {places}. {machine.noise({server_core, client_core})}", *options.note]
    with tempfile.TemporaryDirectory(prefix="loadkit-journeys-") as name:
        folder = Path(name)
        with nginx.running(folder, core=server_core) as server:
            bench = Bench(server=server, folder=folder, core=client_core, seconds=options.seconds)
            results = bench.compare(options.only, options.rounds)
    write = options.only == PEERS if options.write is None else options.write
    publish("journeys", page(options.only, results, notes, LIMITS), write=write)


def _chosen(names: str) -> Sequence[Client]:
    known = {client.name: client for client in PEERS}
    wrong = [name for name in names.split(",") if name not in known]
    if wrong:
        raise argparse.ArgumentTypeError(f"no client {wrong[0]!r}; there are {', '.join(known)}")
    return [client for client in PEERS if client.name in names.split(",")]


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"benchmarks.journeys: {failure}")
