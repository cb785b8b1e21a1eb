"""`python -m benchmarks.truth`: holds what the tools report against a packet capture."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from benchmarks import machine
from benchmarks.process import Failed, available_cores, interrupt_on_terminate
from benchmarks.report import publish
from benchmarks.truth import servers
from benchmarks.truth.cases import CASES, QUICK, SERVERS, Case
from benchmarks.truth.measure import Bench
from benchmarks.truth.page import page
from benchmarks.truth.tools import TOOLS, Tool


def asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.truth", description=__doc__)
    parser.add_argument("--only", type=_tools, default=TOOLS, metavar="NAMES", help="tools, such as wrk,loadkit")
    parser.add_argument("--cases", type=_cases, default=CASES, metavar="PATTERNS", help="such as 'closed-*,*-stalls'")
    parser.add_argument("--quick", action="store_true", help="short runs: does it work? Nothing is written")
    parser.add_argument("--note", action="append", default=[], help="a sentence to put above the table")
    write = argparse.BooleanOptionalAction
    parser.add_argument("--write", action=write, help="into docs/benchmarks.md (default: when nothing is left out)")
    return parser.parse_args()


def main() -> None:
    options = asked()
    interrupt_on_terminate()
    server_core, client_core = available_cores()
    seconds = QUICK if options.quick else SERVERS
    lengths = ", ".join(f"{length} s {kind}" for kind, length in seconds.items())
    places = f"the server and tcpdump on core {server_core}, the client on core {client_core}"
    notes = [f"{lengths}; {places}. {machine.noise({server_core, client_core})}", *options.note]
    with tempfile.TemporaryDirectory(prefix="loadkit-truth-") as name:
        folder = Path(name)
        if reason := servers.missing(folder):
            raise Failed(reason)
        bench = Bench(folder=folder, server_core=server_core, client_core=client_core, seconds=seconds)
        results = bench.compare(options.only, options.cases)
    whole = options.only == TOOLS and options.cases == CASES and not options.quick
    write = whole if options.write is None else options.write
    publish("truth", page(options.only, options.cases, results, notes), write=write)


def _tools(names: str) -> Sequence[Tool]:
    known = {tool.name: tool for tool in TOOLS}
    wrong = [name for name in names.split(",") if name not in known]
    if wrong:
        raise argparse.ArgumentTypeError(f"no tool {wrong[0]!r}; there are {', '.join(known)}")
    return [tool for tool in TOOLS if tool.name in names.split(",")]


def _cases(patterns: str) -> Sequence[Case]:
    found = [case for case in CASES if any(fnmatchcase(case.name, pattern) for pattern in patterns.split(","))]
    if not found:
        known = ", ".join(case.name for case in CASES)
        raise argparse.ArgumentTypeError(f"no case is like {patterns!r}; there are {known}")
    return found


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"benchmarks.truth: {failure}")
