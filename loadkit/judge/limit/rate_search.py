"""The search for the highest rate that holds: which level is tried next, and when it is over.

Threads of a closed workload say cheaply about how much the server can do; rates decide. The way of P. Shivam and
others, "Cutting Corners: Workbench Automation for Server Benchmarking", USENIX ATC 2008, section 3.3: double until it
fails, bisect, few short trials of each level, and more where they do not tell. Short trials begin with an empty queue,
and near the limit most of them hold; so what they find is only where longer ones begin.
"""

from __future__ import annotations

import math
from typing import Final

from loadkit.judge.limit.closed import are_missed, double_threads
from loadkit.judge.limit.levels import BREACHES, MOST_TRIALS, TriedLevel
from loadkit.judge.limit.search import Asking, Ending, Findings, Over, SearchMoment
from loadkit.judge.limit.time_budget import SearchRules, TimeBudget
from loadkit.judge.limit.trials import NextTrial, Trial
from loadkit.judge.limit.tried import TriedLevels
from loadkit.plan.units import show_rate

LONG_TRIALS: Final = 2
"""So many of them at most confirm a level."""
REVISIONS: Final = 5
"""So often may measuring again contradict what was measured before, until nothing can be told."""
ROUNDING: Final = 1.01
"""By how much two levels may be further apart than the resolution, for they have three digits."""


class RateSearch:
    """A search under way."""

    def __init__(self, rules: SearchRules) -> None:
        self._rules = rules
        self._time = TimeBudget(rules)
        self._closed: list[Trial] = []
        self._tried = TriedLevels()
        self._confirmed: float | None = None
        self._low: float | None = None
        self._high: float | None = None
        self._blocked: dict[float, str] = {}
        """Levels at which the generator or its machine was the limit, and why."""
        self._revisions = 0

    def trials(self) -> Asking[tuple[Ending, str]]:
        """What to measure next, one after the other; returns how it ended, and why."""
        try:
            yield from self._bracket((yield from self._begin()), 2)
            while True:
                yield from self._bisect()
                yield from self._verify()
        except Over as over:
            return over.ending, over.reason

    def findings(self, ending: Ending, reason: str) -> Findings:
        """What is known so far."""
        return Findings(
            ending=ending,
            reason=reason,
            confirmed=self._confirmed,
            failed=self._tried.lowest_missed(self._confirmed or 0.0),
            levels=tuple(self._tried),
            closed=tuple(self._closed),
            elapsed=self._time.elapsed,
        )

    def moment(self, wanted: NextTrial, trial: Trial | None = None) -> SearchMoment:
        """How far it has come, before a trial or once it is over."""
        trials = () if trial is None or wanted.is_closed else (*self._tried[wanted.level].trials, trial)
        return SearchMoment(
            next_trial=wanted,
            trial=trial,
            holding=TriedLevel(wanted.level, trials).holding if trials else None,
            elapsed=self._time.elapsed,
            budget=self._rules.budget,
            confirmed=self._confirmed,
            holds=self._low,
            fails=self._high,
        )

    # -- the stages

    def _begin(self) -> Asking[float]:
        """About how much the server can do; returns the first rate."""
        self._closed.clear()
        yield from double_threads(self._closed, self._closed_trial, self._time.closed_seconds)
        best = max(trial.throughput for trial in self._closed)
        self._time.expect(best)
        if are_missed(self._closed):
            # not even one thread alone: what does not hold at the lowest rate holds at none
            return self._rules.first or self._time.lowest
        if self._time.too_short:
            raise Over("cannot tell", self._time.too_short)
        return self._rules.first or max(self._time.lowest, _rounded(best / 2))

    def _bracket(self, level: float, factor: float) -> Asking[None]:
        """A rate that holds and one that does not, a factor apart."""
        while self._low is None or self._high is None:
            level = min(max(level, self._time.lowest), self._rules.highest)
            if (yield from self._holds(level, "upwards" if self._low else "downwards")):
                self._low = level
                if level >= self._rules.highest:
                    self._high = level
                level = _rounded(level * factor)
                continue
            self._high = level
            if self._low is None and level <= self._time.lowest:
                yield from self._miss(level)
                # what was measured before is of a server that is no longer so, or chance of few requests
                self._high = None
                level = yield from self._begin()
                continue
            level = _rounded(level / factor if self._low is None else level * factor)

    def _miss(self, lowest: float) -> Asking[None]:
        """Look again at the lowest rate; raise `Over` where it does not hold then, either."""
        if lowest in self._blocked:
            raise Over("cannot tell", self._blocked[lowest])
        seconds = self._time.seconds(lowest)
        if self._time.has_time(seconds):
            trial = yield from self._measured(lowest, seconds, "the lowest rate again")
            if not trial.is_breach:
                self._tried.replace(lowest, trial)
                return
            self._tried.add(lowest, trial)
        raise Over("missed", f"it does not hold at the lowest rate, {show_rate(lowest)}")

    def _bisect(self) -> Asking[None]:
        assert self._low is not None
        assert self._high is not None
        while self._are_apart(self._low, self._high) and self._time.has_time_to_bisect(self._low):
            middle = _rounded(math.sqrt(self._low * self._high))
            if (yield from self._holds(middle, "between")):
                self._low = middle
            else:
                self._high = middle

    def _verify(self) -> Asking[None]:
        """Confirm what holds, and look again at what does not; raises `Over` when both are sure."""
        assert self._low is not None
        assert self._high is not None
        low, high = self._low, self._high
        if low != self._confirmed and not (yield from self._is_confirmed(low)):
            self._revise()
            yield from self._go_below(low)
            return
        self._confirmed = low
        if high in self._blocked:
            raise Over("at least", f"beyond that this machine cannot send: {self._blocked[high]}")
        if high <= low:
            raise Over("at least", f"no higher rate than {show_rate(low)} is tried")
        above = _rounded(high * (1 + 2 * self._rules.resolution))
        if not (yield from self._fails_again(high)):
            self._revise()
            self._low, self._high = high, None
            yield from self._bracket(above, 1.5)
            return
        while self._tried.lowest_missed(low) is None:
            # so near the limit no number of trials tells surely
            yield from self._holds(above, "where it is surely missed")
            above = _rounded(above * (1 + 2 * self._rules.resolution))
        yield from self._narrow()
        raise Over("found", "")

    def _go_below(self, level: float) -> Asking[None]:
        """A level that was thought to hold does not: on with one that is lower by the resolution."""
        self._high = level
        below = level / (1 + self._rules.resolution)
        known = self._tried.highest_that_holds(below * ROUNDING)
        if below >= self._time.lowest:
            self._low = max(known or 0.0, _rounded(below))
        elif known:
            self._low = known
        else:
            self._low = None
            yield from self._bracket(self._time.lowest, 2)

    def _narrow(self) -> Asking[None]:
        """Use what is left of the time to bring what holds and what does not nearer to each other."""
        assert self._confirmed is not None
        doubt = self._tried.lowest_doubt(self._confirmed) or self._confirmed
        while self._are_apart(self._confirmed, doubt):
            middle = _rounded(math.sqrt(self._confirmed * doubt))
            if not self._time.has_time(self._time.long_seconds(middle)):
                return
            if (yield from self._is_confirmed(middle)):
                self._confirmed = middle
            else:
                doubt = middle
        yield from self._narrow_from_above(doubt)
        for _ in range(LONG_TRIALS):
            is_missed = self._tried[doubt].holding == "missed"
            if is_missed or doubt in self._blocked or not self._time.has_time(self._time.long_seconds(doubt)):
                return
            yield from self._longer(doubt, "whether it is surely missed")

    def _narrow_from_above(self, doubt: float) -> Asking[None]:
        """Bring what is surely missed nearer to a level that no number of trials may tell of."""
        failed = self._tried.lowest_missed(doubt)
        while failed and self._are_apart(doubt, failed):
            middle = _rounded(math.sqrt(doubt * failed))
            if not self._time.has_time(*[self._time.seconds(middle)] * MOST_TRIALS):
                return
            yield from self._holds(middle, "where it is surely missed")
            if self._tried[middle].holding != "missed":
                doubt = middle
            failed = self._tried.lowest_missed(doubt)

    def _revise(self) -> None:
        self._revisions += 1
        if self._revisions <= REVISIONS:
            return
        between = " and ".join(map(show_rate, self._tried.sure))
        raise Over("cannot tell", f"between {between} what was measured again contradicts what was measured before")

    def _are_apart(self, low: float, high: float) -> bool:
        return high > low * (1 + self._rules.resolution) * ROUNDING

    # -- a level

    def _holds(self, level: float, reason: str) -> Asking[bool]:
        """Try a level until its trials tell; where they never do, the side on which most of them lie."""
        while not self._tried[level].is_settled:
            self._tried.add(level, (yield from self._measured(level, self._time.seconds(level), reason)))
        state = self._tried[level]
        if state.holding == "inconclusive":
            self._blocked[level] = next(one.unsound for one in reversed(state.trials) if one.unsound)
            return False
        return state.leans_to_hold

    def _longer(self, level: float, reason: str) -> Asking[Trial]:
        trial = yield from self._measured(level, self._time.long_seconds(level), reason)
        self._tried.add(level, trial)
        return trial

    def _is_confirmed(self, level: float) -> Asking[bool]:
        """True if a level holds in a longer trial, or in two of these together where one does not tell surely."""
        trials: list[Trial] = []
        while len(trials) < LONG_TRIALS:
            trials.append((yield from self._longer(level, "confirming")))
            if trials[-1].is_breach:
                break
            if self._tried[level].holding_so_far == "holds":
                return True
        return TriedLevel(level, tuple(trials)).leans_to_hold

    def _fails_again(self, level: float) -> Asking[bool]:
        """False if what was missed in short trials holds by now, as of a server that was slow only at first."""
        if any(one.seconds > self._time.seconds(level) for one in self._tried[level].trials):
            return True
        again: list[Trial] = []
        while len(again) < BREACHES:
            again.append((yield from self._measured(level, self._time.seconds(level), "again, what did not hold")))
            if again[-1].is_breach:
                self._tried.add(level, *again)
                return True
        # what was measured before is of a server that is no longer so
        self._tried.replace(level, *again)
        return False

    def _closed_trial(self, threads: int, seconds: float) -> Asking[Trial]:
        return self._measured(threads, seconds, "what closed threads get", is_closed=True)

    def _measured(self, level: float, seconds: float, reason: str, *, is_closed: bool = False) -> Asking[Trial]:
        if not self._time.has_time(seconds):
            raise self._used_up()
        trial = yield NextTrial(level=level, seconds=seconds, reason=reason, is_closed=is_closed)
        self._time.spend(trial.seconds, trial.cost)
        return trial

    def _used_up(self) -> Over:
        if self._confirmed is None:
            return Over("cannot tell", self._time.used_up)
        return Over("found" if self._tried.lowest_missed(self._confirmed) else "at least", self._time.used_up)


def _rounded(rate: float) -> float:
    """Three digits."""
    return float(f"{rate:.3g}")
