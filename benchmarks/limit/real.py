"""Searches for the limit of real servers on loopback, whose capacity is known by construction."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import IO, Final, cast

from benchmarks import machine, nginx
from benchmarks.limit import server as queueing
from benchmarks.process import available_cores, pinned_to
from benchmarks.report import Target, table, targets_table
from loadkit import Endpoint, Limit, Scenario, limit
from loadkit.plan.arrivals import Spacing
from tests.judge.limit.simulated import limit_of_exponential

WITHIN: Final = 0.05
LEAST_TRUE: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A server, what must hold, and the highest rate at which it does."""

    name: str
    served: Callable[[], AbstractContextManager[str]]
    threshold: str
    truth: float
    arrivals: Spacing = "constant"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One search."""

    case: Case
    found: Limit

    @property
    def error(self) -> float | None:
        """By what share the answer is above the true rate; None where there is no answer."""
        return self.found.confirmed / self.case.truth - 1 if self.found.confirmed else None

    @property
    def row(self) -> list[str]:
        one, error = self.found, self.error
        return [
            self.case.name,
            self.case.threshold,
            f"{self.case.truth:.1f}/s",
            f"{one.confirmed:g}/s" if one.confirmed else one.ending,
            f"{one.failed:g}/s" if one.failed else "-",
            f"{error:+.1%}" if error is not None else "-",
            f"{one.seconds:.0f} s",
        ]


@contextlib.contextmanager
def own(*words: str | float) -> Iterator[str]:
    """The server in `server.py`, on a core of its own; yields its address."""
    with pinned_to(available_cores()[0]):
        child = subprocess.Popen([sys.executable, queueing.__file__, *map(str, words)], stdout=subprocess.PIPE)
    with child:
        try:
            yield f"http://127.0.0.1:{int(cast(IO[bytes], child.stdout).readline())}/"
        finally:
            child.kill()


@contextlib.contextmanager
def limiting_nginx(rate: int) -> Iterator[str]:
    """An nginx whose `limit_req` lets so many requests a second in; yields its address."""
    zone = f"limit_req_zone $server_addr zone=all:1m rate={rate}r/s; limit_req_status 429;"
    # `return` would answer before the limit is looked at
    location = "location = /limited { limit_req zone=all burst=10 nodelay; root .; try_files /nginx.conf =404; }"
    with (
        tempfile.TemporaryDirectory() as folder,
        nginx.running(Path(folder), core=available_cores()[0], http=zone, locations=location) as server,
    ):
        yield f"{server.url('http')}limited"


# what fixed workers or a limit of the rate can do at constant arrivals is what they hold; the other truths are those of
# M/M/c, or of M/D/c in 20 million requests
CASES: Final = (
    Case(name="4 workers of 20 ms", served=partial(own, 20, 4), threshold="p99 < 200ms", truth=200),
    Case(name="16 workers of 40 ms", served=partial(own, 40, 16), threshold="p99 < 300ms", truth=400),
    Case(
        name="1 worker of 5 ms, Poisson",
        served=partial(own, 5, 1),
        threshold="p99 < 50ms",
        truth=154.8,
        arrivals="poisson",
    ),
    Case(
        name="8 workers of 25 ms, Poisson",
        served=partial(own, 25, 8),
        threshold="p99 < 100ms",
        truth=291.7,
        arrivals="poisson",
    ),
    Case(
        name="1 worker, exponential, 4 ms, Poisson",
        served=partial(own, 4, 1, "--exponential"),
        threshold="p99 < 100ms",
        truth=limit_of_exponential(1, 0.004, 0.1),
        arrivals="poisson",
    ),
    Case(
        name="4 workers, exponential, 10 ms, Poisson",
        served=partial(own, 10, 4, "--exponential"),
        threshold="p99 < 100ms",
        truth=limit_of_exponential(4, 0.01, 0.1),
        arrivals="poisson",
    ),
    Case(
        name="16 workers, exponential, 40 ms, Poisson",
        served=partial(own, 40, 16, "--exponential"),
        threshold="p99 < 240ms",
        truth=limit_of_exponential(16, 0.04, 0.24),
        arrivals="poisson",
    ),
    Case(name="150 a second, else 429", served=partial(own, 5, 4, "--rate", 150), threshold="p99 < 200ms", truth=150),
    Case(name="400 a second, else 429", served=partial(own, 5, 8, "--rate", 400), threshold="p99 < 200ms", truth=400),
    Case(name="nginx, limit_req 250r/s", served=partial(limiting_nginx, 250), threshold="p99 < 200ms", truth=250),
)


def page(only: str, times: int, budget: float) -> str:
    """Search each so many times."""
    outcomes = []
    for case in CASES:
        for _ in range(times if only in case.name else 0):
            outcomes.append(_searched(case, budget))
            sys.stderr.write(" | ".join(outcomes[-1].row) + f" | {outcomes[-1].found.reason}\n")
    head = ["server", "must hold", "true rate", "holds", "does not", "off by", "took"]
    about = f"{machine.described()}. Budget {budget:g} s; the server on one core, loadkit on the other."
    return "\n\n".join([about, table(head, [one.row for one in outcomes]), targets_table(_targets(outcomes))])


def _searched(case: Case, budget: float) -> Outcome:
    with case.served() as url, pinned_to(available_cores()[1]):
        # the rate is searched; that there is one makes the arrivals those of an open workload
        scenario = Scenario(endpoints=[Endpoint("GET", url)], rate=1, arrivals=case.arrivals, name=case.name)
        return Outcome(case, limit(scenario, case.threshold, budget=budget))


def _targets(outcomes: list[Outcome]) -> list[Target]:
    far = sum(one.error is None or abs(one.error) > WITHIN for one in outcomes) / len(outcomes)
    seconds = [one.found.seconds for one in outcomes]
    return [
        Target(claim="answers more than 5 % off, of all searches, at most", limit=1 - LEAST_TRUE, figure=far),
        Target(
            claim="the largest answer above the true rate, at most",
            limit=0.10,
            figure=max(one.error or 0.0 for one in outcomes),
        ),
        Target(claim="a search, seconds in the median, at most", limit=300, figure=median(seconds)),
    ]
