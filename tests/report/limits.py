"""Limits of simulated servers, and made of a few levels."""

from __future__ import annotations

from functools import cache

from loadkit.judge.limit.levels import Holding
from loadkit.judge.limit.limit import LevelTrial, Limit, LimitLevel, limit_of, threads_of
from loadkit.judge.limit.rate_search import RateSearch
from loadkit.judge.limit.scalability import fit
from loadkit.judge.limit.search import find
from loadkit.judge.limit.threads import ThreadRules, ThreadSearch
from loadkit.judge.limit.time_budget import SearchRules
from tests.judge.limit.simulated import Simulated, exponential, room
from tests.results import ENVIRONMENT, replace

P99 = "p99 < 100ms"


@cache
def searched_by_rate() -> Limit:
    """What a search finds of a server that refuses what has no room."""
    server = Simulated(exponential(0.05), 4, admits=room(60), limits=["p99 < 500ms", "error_rate < 0.1%"])
    found = find(RateSearch(SearchRules(budget=300, replies=459, longest=0.5)), server.measure)
    return replace(limit_of(found, server.limits), name="shop.py::browse", seconds=118.0, environment=ENVIRONMENT)


@cache
def searched_by_threads() -> Limit:
    """What a search finds of a server of four workers."""
    server = Simulated(exponential(0.01), 4)
    found = find(ThreadSearch(ThreadRules(budget=120)), server.measure)
    return replace(threads_of(found), name="shop.py::browse", seconds=61.0, environment=ENVIRONMENT)


def level(rate: float, holding: Holding, p99: float, *, throughput: float | None = None, trials: int = 2) -> LimitLevel:
    """A level all of whose trials are alike."""
    one = LevelTrial(
        seconds=4.0,
        throughput=throughput or rate,
        values={P99: p99, "error_rate < 0.1%": 0.0},
        figures={"p50": p99 / 4, "p90": p99 / 2, "p99": p99, "mean": p99 / 3, "error_rate": 0.0},
        statuses={200: round(4 * rate)},
        failures={},
        missed=[P99] if holding == "missed" else [],
        is_saturated=False,
        is_lost=False,
        unsound="loadkit itself was the limit" if holding == "inconclusive" else None,
    )
    return LimitLevel(
        level=rate,
        holding=holding,
        missed=one.missed,
        throughput=one.throughput,
        values=one.values,
        figures=one.figures,
        trials=[one] * trials,
    )


FOUND = Limit(
    name="shop.py::browse",
    thresholds=[P99, "error_rate < 0.1%"],
    ending="found",
    reason="",
    confirmed=1800.0,
    failed=1880.0,
    gave_way="p99 < 100ms (212 ms)",
    levels=[
        level(500, "holds", 0.005),
        level(1000, "holds", 0.02),
        level(1800, "holds", 0.08, trials=3),
        level(1840, "unclear", 0.101, trials=4),
        level(1880, "missed", 0.2, throughput=1840),
        level(2000, "inconclusive", 0.4, throughput=1700),
    ],
    closed=[level(1, "unclear", 0.004, throughput=250, trials=1), level(2, "unclear", 0.004, throughput=480, trials=1)],
    at_least=2000.0,
    seconds=143.0,
    notes=["the threshold 'throughput > 500/s' says nothing of how much is held, and was left out"],
    environment=ENVIRONMENT,
)

ENOUGH = Limit(
    name="shop.py::browse",
    by="threads",
    threads=4,
    best=82.0,
    knee=4.1,
    ending="found",
    reason="",
    closed=[
        level(threads, "holds", p99, throughput=throughput)
        for threads, p99, throughput in ((1, 0.2, 20), (2, 0.2, 41), (4, 0.22, 80), (8, 0.32, 82), (16, 0.4, 79))
    ],
    seconds=61.0,
    environment=ENVIRONMENT,
)

SCALING = replace(
    ENOUGH,
    best=82.0,
    threads=16,
    closed=[
        level(threads, "holds", 0.05 * (1 + threads / 4), throughput=throughput)
        for threads, throughput in ((1, 20), (2, 34), (4, 53), (8, 71), (16, 79), (32, 73))
    ],
    scalability=fit([(1, [20, 21]), (2, [34, 33]), (4, [53, 54]), (8, [71, 70]), (16, [79, 80]), (32, [73, 72])]),
)


def hostile_limit(text: str) -> Limit:
    """A limit that says it wherever it can say anything."""
    # a threshold is read before it is shown, but its label may be anything
    limit = f"{text.strip().replace(chr(0), '')}: p99 < 100ms"
    trial = replace(
        FOUND.levels[4].trials[0],
        values={limit: 0.2},
        figures={text: 0.2, "p99": 0.2},
        failures={text: 3},
        missed=[limit, text],
        unsound=text,
    )
    levels = [
        replace(one, values={limit: 0.2}, figures={text: 1.0, "p99": 0.2}, missed=[text], trials=[trial, trial])
        for one in FOUND.levels
    ]
    return replace(
        FOUND,
        name=text,
        thresholds=[limit],
        reason=text,
        gave_way=text,
        levels=levels,
        closed=levels[:2],
        notes=[text],
        environment=replace(ENVIRONMENT, system=text, python=text),
    )
