"""The search for the number of threads that is enough: throughput over threads of a closed workload, and its knee.

Each number of threads settles by itself, for a thread waits for its reply. They are doubled until that brings no more.
Numbers between those that were tried are then tried near the top, for the throughput may have a peak there, and below
it, for the smallest number that gets nearly as much. The numbers that decide are measured again, in turns, as often as
their trials scatter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Final

from loadkit.judge.limit.levels import TriedLevel
from loadkit.judge.limit.scalability import scatter
from loadkit.judge.limit.search import Asking, Ending, Over, SearchMoment
from loadkit.judge.limit.trials import NextTrial, Trial
from loadkit.plan.units import show_count, show_percent, show_span

ENOUGH: Final = 0.95
"""The share of the best throughput that is enough."""
GROWN: Final = 1.03
"""The least growth of the throughput, when the threads are doubled twice, for more of them to be worth a try."""
FALLEN: Final = 0.8
"""The share of the best throughput below which more threads are not worth a try."""
NEAR_THE_TOP: Final = 0.98
"""The share of the best throughput from which on a number is at the top."""
COARSE: Final = 1.2
"""The ratio of two neighbours below which no number between them is tried at a top that is broad."""
AT_A_FALL: Final = 0.3
"""The share of the resolution that is aimed at where the throughput falls at once beyond the top."""
WORSE: Final = 0.01
"""The share of requests that may fail beside those that fail with fewer threads."""
SURE: Final = 3.0
"""In standard errors."""
TRIALS: Final = 2
"""Trials of each number."""
DIFFERENT: Final = 1.2
"""The ratio of the trials of a number from which on it has one more, so that the middle one counts."""
DECIDING, MOST_DECIDING = 5, 30
"""Trials of the numbers that decide."""
ROUGH: Final = 0.015
"""The standard error with which nothing can be told."""
TRIMMED: Final = 0.2
"""The share of the trials that is left out at each end, such as those during which something else was going on."""
USUAL: Final = 3.0
LONGEST: Final = 20.0
SHORTEST: Final = 0.5
"""Seconds of a trial."""
PARTS, LONG_PARTS = 50, 20
"""A trial takes no larger part of the budget than one in so many: usually, and where replies take long."""
PATIENCE: Final = 20
"""A trial is as long as so many replies to one thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadRules:
    """Within which bounds threads are searched."""

    budget: float
    """Seconds."""
    first: int = 1
    most: int = 1024
    resolution: float = 1.05
    """The ratio of two neighbours below which no number between them is tried."""
    precision: float = 0.008
    """The standard error of the throughput of the numbers that decide that is aimed at, as a share."""
    heeds_refusals: bool = False
    """No number is tried above one with which requests fail."""


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
    throughputs: Mapping[int, float]
    """What each number gets, a second."""
    failing: int | None
    """The smallest number with which more requests fail than with fewer threads."""


class ThreadSearch:
    """A search under way."""

    def __init__(self, rules: ThreadRules) -> None:
        self._rules = rules
        self._trials: dict[int, list[Trial]] = {}
        self._elapsed = 0.0
        self._seconds = max(SHORTEST, min(USUAL, rules.budget / PARTS))

    def trials(self) -> Asking[tuple[Ending, str]]:
        """What to measure next, one after the other; returns how it ended, and why."""
        ending: Ending = "at least"
        try:
            if not (reason := (yield from self._double())):
                ending = "found"
            while (wanted := self._between() or self._deciding()) is not None:
                yield from self._try(*wanted)
        except Over as over:
            if over.ending == "cannot tell":
                return over.ending, over.reason
            reason = f"fewer may be, too: {over.reason}" if ending == "found" else over.reason
        error = self._error(min(len(self._trials[one]) for one in self._decisive))
        if error > max(ROUGH, self._rules.precision):
            scattered = f"trials of one number of threads scatter by {show_percent(self._scatter)}"
            return "cannot tell", f"{scattered}: too much for the budget of {show_span(self._rules.budget)}"
        return ending, reason

    def findings(self, ending: Ending, reason: str) -> ThreadFindings:
        """What is known so far."""
        best, alone = self._best, self._throughput(1)
        return ThreadFindings(
            ending=ending,
            reason=reason,
            enough=self._enough,
            best=best,
            # where the bounds of P. J. Denning and J. P. Buzen, "The Operational Analysis of Queueing Network Models"
            # (1978), section 4, cross each other
            knee=best / alone if alone else None,
            levels=tuple(TriedLevel(level, tuple(self._trials[level])) for level in self._levels),
            throughputs={level: self._throughput(level) for level in self._levels},
            failing=next((level for level in self._levels if level not in self._sound), None),
        )

    def moment(self, wanted: NextTrial, trial: Trial | None = None) -> SearchMoment:
        """How far it has come, before a trial or once it is over."""
        return SearchMoment(
            next_trial=wanted, elapsed=self._elapsed, budget=self._rules.budget, trial=trial, threads=self._enough
        )

    # -- what is tried

    def _double(self) -> Asking[str]:
        """Double the threads until that brings no more; why it ended before that."""
        threads, most = min(self._rules.first, self._rules.most), self._rules.most
        while True:
            yield from self._try(threads, "doubling")
            while not self._is_tried(threads):
                yield from self._try(threads, "doubling")
            if not self._best:
                raise Over("cannot tell", "not one request was answered well")
            if (yield from self._is_past_the_top()):
                return ""
            if all(trial.cause == "generator" for trial in self._trials[threads]):
                return f"with {show_count(threads, 'thread')} loadkit itself was the limit"
            if threads >= most:
                return f"no more than {show_count(most, 'thread')} {'is' if most == 1 else 'are'} tried"
            threads = min(2 * threads, most)

    def _is_past_the_top(self) -> Asking[bool]:
        """True if more threads than the most that were tried are not worth a try.

        That the throughput does not grow is measured again, beside that of the fewer threads, before it is believed:
        any number gets less for some seconds in which something else is going on.
        """
        last = self._levels[-1]
        if last not in self._sound:
            return True
        while (found := self._reference()) and len(self._trials[last]) < DECIDING:
            fewer, share = found
            yield from self._try(fewer, "again, whether more threads get more")
            yield from self._try(last, "again, whether more threads get more")
            if self._trials[last][-1].throughput < share * self._trials[fewer][-1].throughput:
                return True
        return False

    def _reference(self) -> tuple[int, float] | None:
        """Fewer threads that get so much that more than the most are not worth a try, and the share of it that the most
        do not get; None where more are.
        """
        *before, last = self._levels
        for numbers, share in ((before, FALLEN), (before[:-1], GROWN)):
            fewer = max(numbers, key=self._throughput, default=None)
            if fewer is not None and self._throughput(last) < share * self._throughput(fewer):
                return fewer, share
        return None

    def _between(self) -> tuple[int, str] | None:
        """A number that was not tried and may get more than the top, or be enough and smaller."""
        if unsure := next((one for one in self._levels if not self._is_tried(one)), None):
            return unsure, "between"
        top, enough = self._top, self._enough
        for low, high in pairwise((0, *self._levels)):
            if low == top and self._may_be_tried(high):
                falls = high not in self._sound or self._throughput(high) < ENOUGH * self._best
                ratio = 1 + AT_A_FALL * (self._rules.resolution - 1) if falls else COARSE
            elif high == enough:
                ratio = self._rules.resolution
            elif high == top:
                ratio = COARSE
            else:
                continue
            if high - low > 1 and high > ratio * low:
                middle = round(math.sqrt(low * high)) if low else high // 2
                return min(max(middle, low + 1), high - 1), "between"
        return None

    def _may_be_tried(self, threads: int) -> bool:
        return threads in self._sound or not self._rules.heeds_refusals

    def _is_tried(self, threads: int) -> bool:
        """True if a number has had its trials, of which there is one more where they differ much."""
        rates = [one.throughput for one in self._trials[threads]]
        wanted = TRIALS + (max(rates) > DIFFERENT * min(rates))
        return len(rates) >= wanted or not self._may_be_tried(threads)

    def _deciding(self) -> tuple[int, str] | None:
        """The number among those that decide that has the fewest trials, if these are not enough."""
        fewest = min(self._decisive, key=lambda one: len(self._trials[one]))
        trials = len(self._trials[fewest])
        if trials >= DECIDING and (
            self._error(trials) <= self._rules.precision or trials >= MOST_DECIDING or not self._has_time
        ):
            return None
        return fewest, "again, what decides"

    def _try(self, threads: int, reason: str) -> Asking[None]:
        while True:
            if not self._has_time:
                # of one number nothing is known of more
                known: Ending = "at least" if self._enough and len(self._levels) > 1 else "cannot tell"
                raise Over(known, f"the budget of {show_span(self._rules.budget)} is used up")
            trial = yield NextTrial(level=threads, seconds=self._seconds, reason=reason, is_closed=True)
            self._elapsed += trial.cost
            if trial.throughput or trial.is_lost or self._trials or self._seconds >= self._most_seconds:
                break
            # a reply takes longer than a trial
            self._seconds = min(5 * self._seconds, self._most_seconds)
        if not self._trials:
            patience = PATIENCE * trial.figures.get("p50", 0.0)
            self._seconds = max(self._seconds, min(patience, self._most_seconds))
        self._trials.setdefault(threads, []).append(trial)

    @property
    def _most_seconds(self) -> float:
        return min(LONGEST, self._rules.budget / LONG_PARTS)

    @property
    def _has_time(self) -> bool:
        return self._elapsed + self._seconds <= self._rules.budget

    # -- what is known

    @property
    def _levels(self) -> list[int]:
        """The numbers that were tried, from low to high."""
        return sorted(self._trials)

    @property
    def _sound(self) -> list[int]:
        """Those with which no more requests fail than with fewer threads."""
        sound: list[int] = []
        failed = requests = 0.0
        for threads in self._levels:
            trials = self._trials[threads]
            fails = sum(sum(one.failures.values()) for one in trials)
            made = fails + sum(one.throughput * one.seconds for one in trials)
            usual = failed / max(1, requests)
            allowed = min(1.0, usual + WORSE)
            error = math.sqrt(usual * (1 - usual) / max(1, requests) + allowed * (1 - allowed) / max(1, made))
            if not sound or fails / max(1, made) <= allowed + SURE * error:
                sound.append(threads)
                failed, requests = failed + fails, requests + made
        return sound

    def _throughput(self, threads: int) -> float:
        """The mean of its trials, without those furthest off.

        The first trials of a number that decides do not count: it was chosen by them, as the best of many by chance.
        """
        trials = self._trials.get(threads, [])
        rates = sorted(trial.throughput for trial in (trials[TRIALS:] if len(trials) >= DECIDING else trials))
        cut = max(int(TRIMMED * len(rates)), len(rates) > TRIALS)
        return fmean(rates[cut : len(rates) - cut] or [0.0])

    @property
    def _best(self) -> float:
        return max(map(self._throughput, self._sound), default=0.0)

    @property
    def _top(self) -> int:
        """The smallest number that gets the best throughput, or next to it."""
        near = min(NEAR_THE_TOP, 1 - self._rules.precision)
        return min(one for one in self._sound if self._throughput(one) >= near * self._best)

    @property
    def _enough(self) -> int | None:
        least = ENOUGH * self._best
        return min((one for one in self._sound if self._throughput(one) >= least > 0), default=None)

    @property
    def _decisive(self) -> list[int]:
        """What is enough, what is next below it, and what gets most."""
        enough = self._enough
        assert enough is not None
        below = [one for one in self._levels if one < enough]
        return list(dict.fromkeys([*below[-1:], enough, max(self._sound, key=self._throughput)]))

    @property
    def _scatter(self) -> float:
        """Of the trials of one number: of all of them, or of those that decide, where these scatter more."""
        return max(
            scatter([(one, [trial.throughput for trial in self._trials[one]]) for one in numbers])
            for numbers in (self._levels, self._decisive)
        )

    def _error(self, trials: int) -> float:
        """The standard error of the throughput of a number with so many trials, as a share."""
        return self._scatter / math.sqrt(trials - TRIALS if trials >= DECIDING else trials)
