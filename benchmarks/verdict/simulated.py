"""Comparisons of simulated servers on simulated machines: how often they are right."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from statistics import median

from benchmarks import machine
from benchmarks.report import Target, table, targets_table
from benchmarks.verdict.worlds import ERRORS, NOISES, P50, P99, THROUGHPUT, World
from loadkit.judge.comparison.blocks import Block, Metric
from loadkit.judge.comparison.procedure import Conclusion, Rules, conclude

BUDGET = 300.0
NAIVE = 0.05
"""The rule to compare with: two single runs that differ by more."""
MOST_WORSE, MOST_UNDECIDED, LEAST_FOUND = 0.005, 0.20, 0.95
TOLERANCES = {P50: 0.05, THROUGHPUT: 0.05, ERRORS: 0.001}


@dataclass(frozen=True, slots=True)
class Case:
    """What is simulated, and the metric that changed in truth."""

    title: str
    changed: Metric | None = None
    change: float = 0.0

    @property
    def tolerances(self) -> dict[Metric, float]:
        """The metrics that decide by default, and the one that is named."""
        return {**TOLERANCES, **({P99: 0.05} if self.changed == P99 else {})}


CASES = (Case("nothing changed"), Case("p50 +10 %", P50, 0.10), Case("p99 +25 %", P99, 0.25))


@dataclass(slots=True)
class Found:
    """What the comparisons of a case came to."""

    runs: int
    verdicts: Counter[str] = field(default_factory=Counter)
    changed_worse: int = 0
    naive: int = 0
    seconds: list[float] = field(default_factory=list)

    def count(self, conclusion: Conclusion, changed: Metric | None, seconds: float) -> None:
        self.verdicts[conclusion.verdict] += 1
        self.seconds.append(seconds)
        is_worse = any(one.metric == changed and one.verdict == "worse" for one in conclusion.changes)
        self.changed_worse += conclusion.verdict == "worse" and is_worse
        self.naive += is_naively_worse(conclusion.blocks[0], changed or P50)

    def share(self, count: int) -> str:
        return f"{100 * count / self.runs:.1f} %"


def is_naively_worse(block: Block, metric: Metric) -> bool:
    """What one run of each, and a fixed limit, would have said."""
    (old, *_), (new, *_) = block.figures(metric, "old"), block.figures(metric, "new")
    return new > old * (1 + NAIVE)


def simulate(case: Case, noise: str, runs: int) -> Found:
    """Comparisons with the seeds 0 to `runs`."""
    found = Found(runs)
    for seed in range(runs):
        world = World(noise, {case.changed: case.change} if case.changed else {}, seed, BUDGET)
        rules = Rules(tolerances=case.tolerances, budget=BUDGET, seed=seed)
        conclusion = conclude(rules, world.block, world.elapsed)
        found.count(conclusion, case.changed, world.now)
    return found


def row(case: Case, noise: str, found: Found) -> list[str]:
    verdicts = found.verdicts
    return [
        case.title,
        noise,
        found.share(verdicts["worse"]),
        found.share(found.changed_worse) if case.changed else "-",
        found.share(verdicts["no worse"] + verdicts["better"]),
        found.share(verdicts["cannot tell"]),
        f"{median(found.seconds):.0f} s",
        found.share(found.naive),
    ]


def targets(found: dict[tuple[str, str], Found]) -> list[Target]:
    """The worst of the three kinds of noise for each claim."""
    same = [one for (title, _), one in found.items() if title == CASES[0].title]
    worst = max((one.verdicts["worse"] / one.runs for one in same), default=None)
    undecided = max((one.verdicts["cannot tell"] / one.runs for one in same), default=None)
    claims = [
        Target(claim="nothing changed: worse in at most 0.5 %", limit=MOST_WORSE, figure=worst),
        Target(claim="nothing changed: undecided in at most 20 %", limit=MOST_UNDECIDED, figure=undecided),
    ]
    for case in CASES[1:]:
        missed = max(1 - one.changed_worse / one.runs for (title, _), one in found.items() if title == case.title)
        claims.append(Target(claim=f"{case.title}: missed in at most 5 %", limit=1 - LEAST_FOUND, figure=missed))
    return claims


def page(runs: int) -> str:
    found = {(case.title, noise): simulate(case, noise, runs) for case in CASES for noise in NOISES}
    rows = [row(case, noise, found[case.title, noise]) for case in CASES for noise in NOISES]
    head = [
        "changed",
        "noise",
        "worse",
        "in that figure",
        "no worse",
        "cannot tell",
        "took",
        "naive: worse",
    ]
    return "\n\n".join(
        [
            f"{machine.described()}. {runs:,} simulated comparisons of each kind.",
            table(head, rows),
            targets_table(targets(found)),
        ]
    )
