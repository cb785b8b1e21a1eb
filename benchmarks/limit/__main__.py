"""`python -m benchmarks.limit`: how near the limit that is found is to the true one, and writes it into the page."""

from __future__ import annotations

import argparse

from benchmarks.limit import real, simulated
from benchmarks.report import publish


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.limit", description=__doc__)
    parser.add_argument("--simulated", action="store_true", help="servers in virtual time, which is what it does")
    parser.add_argument("--real", action="store_true", help="real servers on loopback, 20 searches")
    parser.add_argument("--times", type=int, default=2, help="searches of each real server")
    parser.add_argument("--truths", action="store_true", help="compute the true rates anew, which takes 10 minutes")
    parser.add_argument("--only", default="", help="servers whose names have this in them")
    parser.add_argument("--seeds", type=int, default=20, help="searches of each server")
    parser.add_argument("--first", type=int, default=9000, help="the first seed")
    parser.add_argument("--budget", type=float, help="seconds of a search (default 300; 130 of real servers)")
    parser.add_argument("--write", action=argparse.BooleanOptionalAction, default=True, help="into docs/benchmarks.md")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.seeds)
    if options.truths:
        simulated.print_truths(options.only)
    elif options.real:
        found = real.page(options.only, options.times, options.budget or 130)
        publish("limit-real", found, write=options.write and not options.only)
    else:
        found = simulated.page(options.only, seeds, options.budget or 300)
        publish("limit", found, write=options.write and not options.only)


if __name__ == "__main__":
    main()
