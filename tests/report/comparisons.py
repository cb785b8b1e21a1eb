"""Comparisons of two versions, made of a few changes."""

from __future__ import annotations

import math
from dataclasses import replace as changed
from typing import Any

from loadkit.judge.comparison.blocks import Block, Metric, Round, Version
from loadkit.judge.comparison.changes import Change, Verdict
from loadkit.judge.comparison.comparison import Comparison, RoundFigures, comparison
from loadkit.judge.comparison.procedure import Conclusion
from loadkit.judge.validity import Caveat
from tests.results import ENVIRONMENT, replace, skewed


def change(
    metric: Metric, before: float, after: float, bounds: tuple[float, float, float], verdict: Verdict, *, decides=True
) -> Change:
    low, estimate, high = bounds
    return Change(
        metric=metric,
        before=before,
        after=after,
        change=estimate,
        low=low,
        high=high,
        tolerance=0.001 if metric.is_share else 0.05,
        verdict=verdict,
        blocks=12,
        decides=decides,
        order_effect=0.0,
    )


def found(
    verdict: Verdict, *changes: Change, reason: str = "", confirming: int = 0, shown=(), **changed: Any
) -> Comparison:
    order: tuple[Version, ...] = ("old", "new", "new", "old")
    block = Block(tuple(Round(version=version, figures={Metric("p50"): 0.01}) for version in order))
    values = {
        "new": "tree",
        "old": "main (1a2b3c4)",
        "notes": ["the working tree has 1 file that is not committed, and is measured as it is"],
    }
    return comparison(
        Conclusion(
            verdict=verdict, changes=changes, blocks=(block,) * 12, confirming=(block,) * confirming, reason=reason
        ),
        shown,
        seconds=72.4,
        environment=None,
        **(values | changed),
    )


SLOWER = change(Metric("p50"), 0.010, 0.0112, (0.074, 0.118, 0.16), "worse")
ERRORS = change(Metric("error_rate"), 0.0, 0.0002, (-0.0001, 0.0002, 0.0004), "no worse")
THROUGHPUT = change(Metric("throughput"), 1784, 1701, (-0.09, -0.047, -0.01), "cannot tell")
TAIL = change(Metric("p99"), 0.047, 0.046, (-0.2, -0.02, math.inf), "cannot tell", decides=False)
SEARCH = change(Metric("p50", "GET /search"), 0.012, 0.012, (-0.01, 0.0, 0.01), "no worse", decides=False)


ORDER: tuple[Version, ...] = ("old", "new", "new", "old")


def in_rounds(count: int, *, unsound: int = -1, first: float = 0.0100) -> list[RoundFigures]:
    """The rounds of so many blocks, of which one may not be sound."""
    return [
        RoundFigures(
            version=version,
            block=block,
            figures={"p50": first * (1.12 if version == "new" else 1) + block * 1e-6, "error_rate": 0.0},
            unsound="the machine was busy" if (block, k) == (unsound, 0) else None,
        )
        for block in range(count)
        for k, version in enumerate(ORDER)
    ]


WORSE: Comparison = replace(
    found("worse", SLOWER, ERRORS, THROUGHPUT, shown=[TAIL, SEARCH]),
    rounds=in_rounds(12, unsound=2),
    confirming=in_rounds(4),
    response_time={"old": skewed(10_000, 4_000), "new": skewed(11_200, 4_000)},
    environment=ENVIRONMENT,
)


def hostile_comparison(text: str) -> Comparison:
    """A comparison that says it wherever it can say anything."""
    labelled = [changed(one, metric=changed(one.metric, label=text)) for one in (SLOWER, SEARCH)]
    return replace(
        WORSE,
        new=text,
        old=text,
        changes=found("worse", SLOWER).changes,
        endpoints=found("worse", *labelled).endpoints,
        rounds=[replace(one, unsound=one.unsound and text) for one in WORSE.rounds],
        notes=[text],
        reason=text,
        caveats=[Caveat(code=text, message=text, level="grave")],
        environment=replace(ENVIRONMENT, system=text, python=text),
    )
