"""Simulated servers whose true limit is known, of each kind that a search has to find."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from loadkit.judge.limit.levels import replies_needed
from loadkit.judge.limit.rate_search import RateSearch
from loadkit.judge.limit.search import Findings, find
from loadkit.judge.limit.time_budget import SearchRules
from tests.judge.limit.simulated import (
    Admission,
    Draw,
    Simulated,
    exponential,
    fixed,
    limit_of_exponential,
    lognormal,
    pareto,
    room,
    token_bucket,
)


@dataclass(frozen=True, slots=True)
class Server:
    """A kind of server."""

    name: str
    made: Callable[..., Simulated]
    """Takes a seed."""
    truth: Callable[[float], float]
    """The highest rate that holds, at a time of its life."""
    drifts: bool = False


@dataclass(frozen=True, slots=True)
class Searched:
    """A search, and the truth."""

    findings: Findings
    truth: float
    """The highest rate that holds, at the time at which the answer was confirmed."""
    drifts: bool

    @property
    def answer(self) -> float:
        """In true rates."""
        return (self.findings.confirmed or 0.0) / self.truth

    @property
    def is_true(self) -> bool:
        """True if the true rate is enclosed, give or take 5 %, or if it drifts and cannot be told."""
        low, high = self.findings.confirmed, self.findings.failed
        if low is None or high is None:
            return self.drifts and self.findings.ending == "cannot tell"
        return low / 1.05 <= self.truth <= high * 1.05


def searched(made: Simulated, *, stops: Callable[[], bool] = lambda: False, **rules: Any) -> Findings:
    """Search the limit of a server, as `loadkit limit` does."""
    given = {
        "budget": 300,
        "replies": max(map(replies_needed, made.limits)),
        "longest": max((one.limit for one in made.limits if one.percentile), default=0.0),
    }
    return find(RateSearch(SearchRules(**{**given, **rules})), made.measure, stops)


def beside_truth(server: Server, seed: int, **rules: Any) -> Searched:
    """The same, and the truth."""
    made = server.made(seed=seed)
    found = searched(made, **rules)
    ran = zip(made.trials, made.began, strict=True)
    confirming = [began + one.seconds / 2 for one, began in ran if one.level == found.confirmed and not one.is_closed]
    return Searched(found, server.truth(confirming[-1] if confirming else made.now), server.drifts)


def _constant(rate: float) -> Callable[[float], float]:
    return lambda now: rate


def _exponential_workers(workers: int) -> Server:
    """400 requests a second at most, and a limit of ten service times, or of some more."""
    mean, limit = workers / 400, max(0.1, 6 * workers / 400)
    name = f"M/M/{workers}, p99 < {1000 * limit:g}ms"
    made = partial(_made, exponential(mean), workers, f"p99 < {1000 * limit:g}ms")
    return Server(name, made, _constant(limit_of_exponential(workers, mean, limit)))


def _made(
    service: Draw,
    workers: int,
    *limits: str,
    seed: int,
    admits: Callable[[], Admission] | None = None,
    slower: Callable[[float, int], float] = lambda now, waiting: 1.0,
    refusal: str = "503",
) -> Simulated:
    return Simulated(
        service,
        workers,
        limits=limits,
        slower=slower,
        admits=admits() if admits else None,
        refusal=refusal,
        seed=seed,
    )


def _slow_start(now: float) -> float:
    return 1 + 2 * math.exp(-now / 15)


def _leak(now: float) -> float:
    return 1 + now / 1500


def _waves(now: float) -> float:
    return 1 + 0.1 * math.sin(2 * math.pi * now / 400)


def _drifting(name: str, slower: Callable[[float], float]) -> Server:
    made = partial(_made, exponential(0.01), 4, "p99 < 100ms", slower=lambda now, waiting: slower(now))
    return Server(name, made, lambda now: limit_of_exponential(4, 0.01 * slower(now), 0.1), drifts=True)


# a truth that is a number here is that of 20 million requests (`python -m benchmarks.limit --truths` for fewer)
SERVERS: tuple[Server, ...] = (
    *(_exponential_workers(workers) for workers in (1, 2, 4, 8, 16, 64)),
    Server("M/D/1, p99 < 20ms", partial(_made, fixed(0.0025), 1, "p99 < 20ms"), _constant(287.6)),
    Server("M/D/8, p99 < 50ms", partial(_made, fixed(0.02), 8, "p99 < 50ms"), _constant(335.2)),
    Server("Pareto service, p99 < 200ms", partial(_made, pareto(0.02), 8, "p99 < 200ms"), _constant(375.3)),
    Server("lognormal service, p99 < 150ms", partial(_made, lognormal(0.02, 1.0), 8, "p99 < 150ms"), _constant(335.8)),
    Server(
        "a queue that refuses with 503",
        partial(_made, exponential(0.004), 2, "error_rate < 1%", admits=partial(room, 20)),
        _constant(446.1),
    ),
    Server(
        "a limit of the rate, with 429",
        partial(
            _made,
            exponential(0.004),
            4,
            "p99 < 100ms",
            "error_rate < 1%",
            admits=partial(token_bucket, 200, 20),
            refusal="429",
        ),
        _constant(191.7),
    ),
    Server(
        "collapses when 100 wait",
        partial(_made, exponential(0.01), 4, "p99 < 100ms", slower=lambda now, waiting: 3.0 if waiting > 100 else 1.0),
        _constant(limit_of_exponential(4, 0.01, 0.1)),
    ),
    Server(
        "slow at first",
        partial(_made, exponential(0.01), 4, "p99 < 100ms", slower=lambda now, waiting: _slow_start(now)),
        _constant(limit_of_exponential(4, 0.01, 0.1)),
    ),
    _drifting("gets slower all the time", _leak),
    _drifting("slower and faster by turns", _waves),
)
