"""The search for the number of threads that is enough: throughput over threads of a closed workload, and its knee.

Each number of threads settles by itself, for a thread waits for its reply. They are doubled until that brings no more;
the smallest number that gets nearly the most is then found by bisection.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Final

from loadkit.judge.limit.levels import TriedLevel
from loadkit.judge.limit.search import Asking, Ending, Over, SearchMoment
from loadkit.judge.limit.trials import NextTrial, Trial
from loadkit.plan.units import show_span

ENOUGH: Final = 0.95
"""The share of the best throughput that is enough."""
GROWN: Final = 1.05
"""The least growth of the throughput, when the threads are doubled, for more of them to be worth a try."""
STANDING: Final = 2
"""Doublings without growth that end the search upwards."""
TRIALS: Final = 2
"""Trials of each number; those that decide have one more."""
LONGEST: Final = 3.0
SHORTEST: Final = 0.5
"""Seconds of a trial."""
PARTS: Final = 50
"""A trial takes no larger part of the budget than one in so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadRules:
    """Within which bounds threads are searched."""

    budget: float
    """Seconds."""
    most: int = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadFindings:
    """What a search for threads came to."""

    ending: Ending
    reason: str
    enough: int | None
    """The smallest number that gets `ENOUGH` of the best throughput."""
    best: float
    """The best throughput, a second."""
    knee: float | None
    """Threads from which on requests have to wait for each other."""
    levels: tuple[TriedLevel, ...]


class ThreadSearch:
    """A search under way."""

    def __init__(self, rules: ThreadRules) -> None:
        self._rules = rules
        self._trials: dict[int, list[Trial]] = {}
        self._elapsed = 0.0

    def trials(self) -> Asking[tuple[Ending, str]]:
        """What to measure next, one after the other; returns how it ended, and why."""
        try:
            reason = yield from self._double()
            yield from self._bisect()
        except Over as over:
            return over.ending, over.reason
        return ("at least" if reason else "found"), reason

    def findings(self, ending: Ending, reason: str) -> ThreadFindings:
        """What is known so far."""
        levels = tuple(TriedLevel(level, tuple(trials)) for level, trials in sorted(self._trials.items()) if trials)
        best, alone = self._best(), self._throughput(1)
        return ThreadFindings(
            ending=ending,
            reason=reason,
            enough=self._enough(),
            best=best,
            # where the bounds of P. J. Denning and J. P. Buzen, "The Operational Analysis of Queueing Network Models"
            # (1978), section 4, cross each other
            knee=best / alone if alone else None,
            levels=levels,
        )

    def moment(self, wanted: NextTrial) -> SearchMoment:
        """How far it has come."""
        return SearchMoment(next_trial=wanted, elapsed=self._elapsed, budget=self._rules.budget, threads=self._enough())

    def _double(self) -> Asking[str]:
        """Double the threads until that brings no more; why it ended before that."""
        threads, standing = 1, 0
        while threads <= self._rules.most:
            before = self._best()
            yield from self._try(threads, TRIALS, "doubling")
            if not self._best():
                raise Over("cannot tell", "not one request was answered well")
            standing = 0 if self._throughput(threads) >= GROWN * before else standing + 1
            if standing == STANDING:
                return ""
            if all(trial.cause == "generator" for trial in self._trials[threads]):
                return f"with {threads} threads loadkit itself was the limit"
            threads *= 2
        return f"no more than {self._rules.most} threads are tried"

    def _bisect(self) -> Asking[None]:
        """Find the smallest number that is enough; the two that decide are measured once more."""
        while True:
            enough = self._enough()
            assert enough is not None
            below = max((one for one in self._trials if one < enough), default=0)
            if enough - below > 1 and enough > 1.05 * below:
                yield from self._try((enough + below) // 2, TRIALS, "between")
                continue
            top = max(self._trials, key=self._throughput)
            wanted = [one for one in (below, enough, top) if one and len(self._trials[one]) <= TRIALS]
            if not wanted:
                return
            yield from self._try(wanted[0], TRIALS + 1, "confirming")

    def _try(self, threads: int, times: int, reason: str) -> Asking[None]:
        trials = self._trials.setdefault(threads, [])
        seconds = max(SHORTEST, min(LONGEST, self._rules.budget / PARTS))
        while len(trials) < times:
            if self._elapsed + seconds > self._rules.budget:
                known: Ending = "at least" if self._enough() else "cannot tell"
                raise Over(known, f"the budget of {show_span(self._rules.budget)} is used up")
            trial = yield NextTrial(level=threads, seconds=seconds, reason=reason, is_closed=True)
            self._elapsed += trial.cost
            trials.append(trial)

    def _throughput(self, threads: int) -> float:
        return median([trial.throughput for trial in self._trials.get(threads, ())] or [0.0])

    def _best(self) -> float:
        return max(map(self._throughput, self._trials), default=0.0)

    def _enough(self) -> int | None:
        least = ENOUGH * self._best()
        return min((one for one in self._trials if self._throughput(one) >= least > 0), default=None)
