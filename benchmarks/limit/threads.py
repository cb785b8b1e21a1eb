"""`python -m benchmarks.limit.threads`: is the recommended number of threads enough, and not too large?

It is if it gets 93 % of the best throughput at least, and three quarters of it less than 95 %.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from statistics import mean

from benchmarks import machine
from benchmarks.limit.real import own
from benchmarks.process import available_cores, pinned_to
from benchmarks.report import Target, publish, table, targets_table
from loadkit import Endpoint, Scenario, limit, run
from loadkit.judge.limit.threads import ThreadFindings
from tests.judge.limit.curves import CURVES, LEAST_SHARE, MOST_SHARE, searched

NOISES = (0.0, 0.01, 0.02, 0.03, 0.05)
QUIET = 0.02
"""The standard deviation of a trial up to which the target holds."""
REAL = ((20, 1), (20, 4), (40, 16), (100, 32), (50, 8, "--exponential"))
"""Milliseconds of a request, workers."""


def simulated(seeds: Sequence[int]) -> str:
    """A row a kind of server, a column a noise."""
    asked = [(at, noise, seed) for at in range(len(CURVES)) for noise in NOISES for seed in seeds]
    with ProcessPoolExecutor() as pool:
        outcomes = dict(zip(asked, pool.map(_one, asked, chunksize=len(seeds)), strict=True))
    rows = []
    for at, curve in enumerate(CURVES):
        found = [[outcomes[at, noise, seed] for seed in seeds] for noise in NOISES]
        true = [f"{mean(curve.is_true(one.enough) for one in column):.0%}" for column in found]
        chosen = [one.enough or 0 for one in found[NOISES.index(QUIET)]]
        rows.append([curve.name, *true, f"{min(chosen)} to {max(chosen)}"])
    head = ["server", *(f"noise {noise:.0%}" for noise in NOISES), f"threads, noise {QUIET:.0%}"]
    about = f"The share of the searches that are true; budget 300 s; seeds {seeds[0]} to {seeds[-1]}."
    return "\n\n".join([about, table(head, rows), targets_table(_targets(outcomes))])


def _one(asked: tuple[int, float, int]) -> ThreadFindings:
    at, noise, seed = asked
    return searched(CURVES[at], noise, seed)


def _targets(outcomes: dict[tuple[int, float, int], ThreadFindings]) -> list[Target]:
    targets = []
    for noise in NOISES:
        all_of_it = [(CURVES[at], one) for (at, other, _), one in outcomes.items() if other == noise]
        found = [(curve, one) for curve, one in all_of_it if one.ending == "found"]
        wrong = mean(not curve.is_true(one.enough) for curve, one in found) if found else None
        claim = f"not true of the {len(found) / len(all_of_it):.0%} that are found, noise {noise:.0%}, at most"
        targets.append(Target(claim=claim, limit=0.05, figure=wrong, reason="none is found"))
    return targets


def real(budget: float) -> str:
    """Servers on loopback with so many workers: what is recommended, and what it gets."""
    rows, low, high = [], [], []
    for milliseconds, workers, *words in REAL:
        with own(milliseconds, workers, *words) as url, pinned_to(available_cores()[-1]):
            scenario = Scenario(endpoints=[Endpoint("GET", url)], name="workers")
            found = limit(scenario, by="threads", budget=budget)
            enough = found.threads or 1
            best = run(scenario.replace(threads=2 * workers, duration=10)).throughput
            at = run(scenario.replace(threads=enough, duration=10)).throughput / best
            fewer = int(0.75 * enough)
            below = run(scenario.replace(threads=fewer, duration=10)).throughput / best if fewer else 0.0
        low.append(1 - at)
        high.append(below)
        name = f"{workers} workers of {milliseconds} ms{', exponential' * bool(words)}"
        rows.append(
            [name, str(enough), f"{best:.1f}/s", f"{at:.1%}", f"{below:.1%}", found.ending, f"{found.seconds:.0f} s"]
        )
        sys.stderr.write(" | ".join(rows[-1]) + "\n")
    head = ["server", "threads", "best", "with these", "with three quarters", "ending", "took"]
    targets = [
        Target(claim="the best throughput less what is recommended, at most", limit=1 - LEAST_SHARE, figure=max(low)),
        Target(claim="three quarters of it get of the best, at most", limit=MOST_SHARE, figure=max(high)),
    ]
    about = f"{machine.described()}. Budget {budget:g} s; each figure is of a run of 10 s after the search."
    return "\n\n".join([about, table(head, rows), targets_table(targets)])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.limit.threads", description=__doc__)
    parser.add_argument("--real", action="store_true", help="real servers on loopback, which takes 10 minutes")
    parser.add_argument("--seeds", type=int, default=20, help="searches of each simulated server and noise")
    parser.add_argument("--budget", type=float, default=100, help="seconds of a search of a real server")
    parser.add_argument("--write", action=argparse.BooleanOptionalAction, default=True, help="into docs/benchmarks.md")
    options = parser.parse_args()
    if options.real:
        publish("limit-threads-real", real(options.budget), write=options.write)
    else:
        publish("limit-threads", simulated(range(options.seeds)), write=options.write)


if __name__ == "__main__":
    main()
