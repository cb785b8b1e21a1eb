"""`python -m benchmarks.cost` and its kin: compare clients and write the table into docs/benchmarks.md."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import machine, nginx
from benchmarks.cost.client import Client
from benchmarks.cost.measure import SHORT, Bench
from benchmarks.cost.page import page
from benchmarks.process import Failed, available_cores, interrupt_on_terminate
from benchmarks.report import publish


def compare(section: str, peers: Sequence[Client], limits: Sequence[tuple[str, str, float]]) -> None:
    """The whole of a benchmark: ask the command line, run, print, and write into a section of docs/benchmarks.md."""
    try:
        _compare(section, peers, limits)
    except Failed as failure:
        sys.exit(f"benchmarks.{section}: {failure}")


def asked(section: str, peers: Sequence[Client]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{section}", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each client runs (default 5)")
    parser.add_argument("--seconds", type=int, default=4, help="length of the long run (default 4)")
    parser.add_argument("--only", type=_chosen(peers), default=peers, metavar="NAMES", help="such as wrk,k6")
    parser.add_argument("--note", action="append", default=[], help="a sentence to put above the table")
    write = argparse.BooleanOptionalAction
    parser.add_argument("--write", action=write, help="into docs/benchmarks.md (default: unless --only is given)")
    options = parser.parse_args()
    if options.rounds < 1 or options.seconds <= SHORT:
        parser.error(f"at least 1 round, and more than {SHORT} second")
    return options


def _compare(section: str, peers: Sequence[Client], limits: Sequence[tuple[str, str, float]]) -> None:
    options = asked(section, peers)
    interrupt_on_terminate()
    server_core, client_core = available_cores()
    rounds = f"{options.rounds} rounds of {SHORT} s and {options.seconds} s"
    places = f"nginx on core {server_core}, the client on core {client_core}"
    notes = [f"{rounds}; {places}. {machine.noise({server_core, client_core})}", *options.note]
    with tempfile.TemporaryDirectory(prefix=f"loadkit-{section}-") as name:
        folder = Path(name)
        with nginx.running(folder, core=server_core) as server:
            bench = Bench(server=server, folder=folder, core=client_core, seconds=options.seconds)
            results = bench.compare(options.only, options.rounds)
    write = options.only == peers if options.write is None else options.write
    publish(section, page(options.only, results, notes, limits), write=write)


def _chosen(peers: Sequence[Client]) -> Callable[[str], Sequence[Client]]:
    def chosen(names: str) -> Sequence[Client]:
        known = {client.name: client for client in peers}
        wrong = [name for name in names.split(",") if name not in known]
        if wrong:
            raise argparse.ArgumentTypeError(f"no client {wrong[0]!r}; there are {', '.join(known)}")
        return [client for client in peers if client.name in names.split(",")]

    return chosen
