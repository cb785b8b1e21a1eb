"""`python -m benchmarks.verdict`: how often comparisons are right, and writes it into the page."""

from __future__ import annotations

import argparse

from benchmarks.report import publish
from benchmarks.verdict import processes, simulated


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdict", description=__doc__)
    parser.add_argument("--processes", action="store_true", help="real processes, which takes 50 minutes")
    parser.add_argument("--runs", type=int, help="comparisons of each kind (default 1000; 40 and 20 of processes)")
    parser.add_argument("--write", action=argparse.BooleanOptionalAction, default=True, help="into docs/benchmarks.md")
    options = parser.parse_args()
    if options.processes:
        publish("verdict-processes", processes.page(options.runs), write=options.write)
    else:
        publish("verdict", simulated.page(options.runs or 1000), write=options.write)


if __name__ == "__main__":
    main()
