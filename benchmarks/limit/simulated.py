"""Searches for the limit of simulated servers whose truth is known: how often the answer encloses it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from statistics import mean, median

from benchmarks import machine
from benchmarks.report import Target, table, targets_table
from loadkit.judge.limit.levels import allowed
from loadkit.judge.limit.trials import NextTrial
from tests.judge.limit.servers import SERVERS, Searched, Server, beside_truth

LEAST_TRUE, HIGHEST = 0.95, 1.10


@dataclass(frozen=True, slots=True)
class Outcome:
    """One search."""

    name: str
    seed: int
    found: Searched

    @property
    def line(self) -> str:
        one = self.found.findings
        what = "true" if self.found.is_true else "NOT TRUE"
        answer = f"{one.ending}: {one.confirmed} holds, {one.failed} does not"
        return f"{self.name} {self.seed}: {what} ({self.found.truth:.1f}); {answer} {one.reason} {one.elapsed:.0f} s"


def page(only: str, seeds: Sequence[int], budget: float) -> str:
    """Search each server with each seed, on all cores."""
    with ProcessPoolExecutor() as pool:
        asked = [(at, seed) for at, one in enumerate(SERVERS) if only in one.name for seed in seeds]
        outcomes = []
        for outcome in pool.map(partial(_one, budget=budget), asked):
            outcomes.append(outcome)
            sys.stderr.write(f"{outcome.line}\n")
    rows = [_row(name, list(group)) for name, group in groupby(outcomes, key=lambda one: one.name)]
    head = ["server", "true rate", "true", "cannot tell", "answer / true rate", "largest", "apart", "took (longest)"]
    about = f"{machine.described()}. Budget {budget:g} s; seeds {seeds[0]} to {seeds[-1]}."
    return "\n\n".join([about, table(head, rows), targets_table(_targets(outcomes))])


def _one(asked: tuple[int, int], budget: float) -> Outcome:
    at, seed = asked
    return Outcome(SERVERS[at].name, seed, beside_truth(SERVERS[at], seed, budget=budget))


def _row(name: str, outcomes: list[Outcome]) -> list[str]:
    searches = [one.found for one in outcomes]
    found = [one.findings for one in searches]
    answers = [one.answer for one in searches if one.answer]
    apart = [one.failed / one.confirmed - 1 for one in found if one.confirmed and one.failed]
    seconds = [one.elapsed for one in found]
    return [
        name,
        f"{mean(one.truth for one in searches):.1f}/s",
        f"{sum(one.is_true for one in searches)} of {len(found)}",
        str(sum(one.ending == "cannot tell" for one in found)),
        f"{median(answers):.3f}" if answers else "-",
        f"{max(answers):.3f}" if answers else "-",
        f"{median(apart):.1%}" if apart else "-",
        f"{median(seconds):.0f} s ({max(seconds):.0f} s)",
    ]


def _targets(outcomes: list[Outcome]) -> list[Target]:
    longest = max(one.found.findings.elapsed for one in outcomes)
    wrong = sum(not one.found.is_true for one in outcomes) / len(outcomes)
    largest = max(one.found.answer for one in outcomes)
    return [
        Target(claim="the true rate is not enclosed, of all searches, at most", limit=1 - LEAST_TRUE, figure=wrong),
        Target(claim="the largest answer, in true rates, at most", limit=HIGHEST, figure=largest),
        Target(claim="the longest search, seconds, at most", limit=300, figure=longest),
    ]


def print_truths(only: str) -> None:
    """The rate at which each server is at its limit, of long runs at one rate after the other."""
    with ProcessPoolExecutor() as pool:
        wanted = [one for one in range(len(SERVERS)) if only in SERVERS[one].name and not SERVERS[one].drifts]
        for at, rate in zip(wanted, pool.map(_truth, wanted), strict=True):
            print(f"{SERVERS[at].name}: {rate:.1f}/s, and {SERVERS[at].truth(1e9):.1f}/s is taken", flush=True)


def _truth(at: int) -> float:
    low, high = 10.0, 480.0
    for k in range(10):
        middle = (low + high) / 2
        runs = [_beyond(SERVERS[at], middle, 600 if k < 4 else 4000, seed) for seed in range(1 if k < 4 else 10)]
        low, high = (middle, high) if mean(runs) < 1 else (low, middle)
    return (low + high) / 2


def _beyond(server: Server, rate: float, seconds: float, seed: int) -> float:
    """How many times as many requests as are allowed are beyond the limit, after the server has warmed up."""
    made = server.made(seed=seed)
    replies = [one for one in made.sent(NextTrial(level=rate, seconds=seconds, reason="")) if one[0] > 150]
    shares = []
    for limit in made.limits:
        if limit.limits_errors:
            beyond = sum(not is_good for *_, is_good in replies) / len(replies)
        else:
            good = [span for _, span, is_good in replies if is_good]
            beyond = sum(span > limit.limit for span in good) / len(good)
        shares.append(beyond / (allowed(limit) or 1))
    return max(shares)
