"""Changes between rounds that were not measured in turns: how often they are right where the truth is known."""

from __future__ import annotations

import math
import random

import pytest

from loadkit.judge.comparison.blocks import Metric, Round, Version
from loadkit.judge.comparison.changes import Verdict, changes_between, overall

P50, THROUGHPUT, ERRORS = Metric("p50"), Metric("throughput"), Metric("error_rate")
TOLERANCES = {P50: 0.05, THROUGHPUT: 0.05, ERRORS: 0.001}


def verdicts(slowness: float, *, rounds: int, noise: float, runs: int) -> list[Verdict]:
    """Of comparisons in which rounds differ by chance alone, but for the new version."""
    lot = random.Random(rounds)

    def made(version: Version) -> Round:
        level = math.exp(lot.gauss(0, noise)) * (slowness if version == "new" else 1)
        return Round(version=version, figures={P50: 0.01 * level, THROUGHPUT: 1000 / level, ERRORS: 0.0})

    versions: tuple[Version, ...] = ("old", "new")
    return [
        overall(changes_between([made(version) for version in versions for _ in range(rounds)], TOLERANCES))
        for _ in range(runs)
    ]


@pytest.mark.parametrize("rounds", [5, 8])
def test_worse_is_said_of_what_is_not_as_rarely_as_it_may_be(rounds: int) -> None:
    same = verdicts(1.0, rounds=rounds, noise=0.06, runs=1000)
    assert same.count("worse") <= 5
    # at the very limit of what is tolerated, which is the worst case
    assert verdicts(1.05, rounds=rounds, noise=0.06, runs=1000).count("worse") <= 50 + 4 * math.sqrt(50)


@pytest.mark.parametrize(("slowness", "noise", "least"), [(1.10, 0.01, 0.95), (1.25, 0.06, 0.8), (1.5, 0.06, 1.0)])
def test_worse_is_said_of_what_is(slowness: float, noise: float, least: float) -> None:
    found = verdicts(slowness, rounds=8, noise=noise, runs=200)
    assert found.count("worse") >= least * 200


def test_3_rounds_against_3_are_never_worse() -> None:
    assert verdicts(3.0, rounds=3, noise=0.01, runs=50).count("worse") == 0
