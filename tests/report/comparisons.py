"""Comparisons of two versions, made of a few changes."""

from __future__ import annotations

import math
from typing import Any

from loadkit.judge.comparison.blocks import Block, Metric, Round, Version
from loadkit.judge.comparison.changes import Change, Verdict
from loadkit.judge.comparison.comparison import Comparison, comparison
from loadkit.judge.comparison.procedure import Conclusion


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
