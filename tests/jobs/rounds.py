"""Rounds of a version whose truth is known, as runs would have stored them."""

from __future__ import annotations

import math
from datetime import timedelta
from itertools import count
from statistics import NormalDist
from typing import Any

from loadkit.judge.result import Result
from loadkit.judge.validity import Caveat
from tests.results import BEGAN, REFUSED, replace, result, row, skewed, times

NUMBERS = count()


def measured(
    slowness: float = 1.0,
    *,
    rounds: int = 5,
    noise: float = 0.01,
    endpoints: tuple[str, ...] = ("GET /",),
    **changes: Any,
) -> list[Result]:
    """Rounds whose p50 is about 10 ms times `slowness`, and their throughput accordingly."""
    found = []
    for k in range(rounds):
        level = slowness * math.exp(noise * NormalDist().inv_cdf((k + 0.5) / rounds))
        replies = round(400 / level)
        rows = [row(name, skewed(10_000 * level, replies, steps=replies)) for name in endpoints]
        began = BEGAN + timedelta(minutes=next(NUMBERS))
        found.append(result(rows, started_at=began.isoformat(timespec="milliseconds"), **changes))
    return found


def failed(one: Result) -> Result:
    total = row("total", times(), failures={REFUSED.kind: 20}, failed_statuses={}, statuses={})
    return replace(one, total=total, endpoints=[replace(total, name="GET /")], outcome="failed")


def unsound(one: Result) -> Result:
    return replace(one, caveats=[Caveat("load-differs", "the load was not that of its plan", "grave")])
