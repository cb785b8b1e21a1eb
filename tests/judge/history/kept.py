"""Runs as the history keeps them, a day apart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from loadkit.judge.environment import Environment
from loadkit.judge.history.kept_run import KeptRun, Revision, kept_run
from loadkit.judge.identity import Identity
from loadkit.judge.times import Times
from tests.results import BEGAN, ENVIRONMENT, replace, result, row, spans

GET = "GET /"
STEADY = spans((10, 1000))


def kept(
    day: int,
    *,
    times: Times = STEADY,
    name: str = "shop.py::browse",
    plan: str = "0123456789abcdef",
    base_url: str = "http://127.0.0.1:8000",
    revision: str = "1a2b3c4d5e6f",
    load: str = "16 threads, 30s, closed",
    environment: Environment = ENVIRONMENT,
    **changes: Any,
) -> KeptRun:
    """A sound run of that day, with one endpoint."""
    made = result(
        [row(GET, times, throughput=1 / times.mean if times.mean else 0.0)],
        identity=Identity(name=name, plan=plan),
        started_at=(BEGAN + timedelta(days=day)).isoformat(timespec="milliseconds"),
        scenario={"base_url": base_url},
        **changes,
    )
    made = replace(made, environment=environment)
    return kept_run(made, made.total, Revision(commit=revision, branch="main"), load)


def runs(medians: Sequence[float], *, first: int = 0) -> list[KeptRun]:
    """Sound runs whose replies took so many milliseconds, nearly."""
    # no two are alike, as in life
    return [
        kept(first + day, times=spans((median * (1 + 0.002 * (day % 3)), 1000)), revision=f"{first + day:07x}")
        for day, median in enumerate(medians)
    ]
