"""The search for the highest rate that holds: which level is tried next, and when it is over.

It has no clock and no network: it yields what to measure, is sent what was found, and returns how it ended. Threads of
a closed workload say cheaply about how much the server can do, for each number of them settles by itself; rates decide.

The way of P. Shivam and others, "Cutting Corners: Workbench Automation for Server Benchmarking", USENIX ATC 2008,
section 3.3: double until it fails, bisect, few short trials of each level, and more where they do not tell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol, TypeAlias, TypeVar

from loadkit.judge.limit.levels import BREACHES, TriedLevel
from loadkit.judge.limit.time_budget import LONGEST, LOWEST_PARTS, SearchRules, TimeBudget
from loadkit.judge.limit.trials import NextTrial, Trial
from loadkit.plan.errors import Interrupted
from loadkit.plan.units import show_rate, show_span

T = TypeVar("T")
F_co = TypeVar("F_co", covariant=True)

Ending: TypeAlias = Literal["found", "missed", "at least", "cannot tell", "interrupted"]
"""How a search ended. `missed`: at the lowest rate already. `at least`: something else than the server kept it from
going higher."""

Asking: TypeAlias = Generator[NextTrial, Trial, T]
"""A part of a search: yields what to measure, is sent what was found."""

MOST_THREADS: Final = 256
GROWN: Final = 1.1
"""The least growth of the throughput, when the threads are doubled, for the server to have had more to give."""
LONG_TRIALS: Final = 3
"""So many of them at most confirm a level."""
REVISIONS: Final = 5
"""So often may measuring again contradict what was measured before, until nothing can be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchMoment:
    """How far a search has come."""

    next_trial: NextTrial
    """What is measured next, or now."""
    elapsed: float
    budget: float
    trial: Trial | None = None
    """What it came to, once it is over."""
    threads: int | None = None
    """The smallest number of threads that is enough so far, where these are searched."""
    confirmed: float | None = None
    holds: float | None = None
    fails: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a search came to."""

    ending: Ending
    reason: str
    """Why it stopped."""
    confirmed: float | None
    """The highest rate that held in a long trial."""
    failed: float | None
    """The lowest rate that is surely missed."""
    levels: tuple[TriedLevel, ...]
    """Of rates, from low to high."""
    closed: tuple[Trial, ...]
    elapsed: float


class Search(Protocol[F_co]):
    """A search under way, that has neither clock nor network."""

    def trials(self) -> Asking[tuple[Ending, str]]:
        """What to measure next, one after the other; returns how it ended, and why."""

    def findings(self, ending: Ending, reason: str) -> F_co:
        """What is known so far."""

    def moment(self, wanted: NextTrial) -> SearchMoment:
        """How far it has come."""


def find(
    search: Search[F_co],
    measure: Callable[[NextTrial], Trial],
    stops: Callable[[], bool] = lambda: False,
    watch: Callable[[SearchMoment], None] = lambda _: None,
) -> F_co:
    """Search by trials that `measure` makes; `stops` is True once the user asks so.

    `watch` is called before each trial, and after it.
    """
    trials = search.trials()
    try:
        wanted = next(trials)
        while True:
            watch(search.moment(wanted))
            try:
                trial = measure(wanted)
            except Interrupted:
                return search.findings("interrupted", "it was interrupted")
            if stops():
                return search.findings("interrupted", "it was interrupted")
            moment = search.moment(wanted)
            watch(replace(moment, elapsed=moment.elapsed + trial.cost, trial=trial))
            wanted = trials.send(trial)
    except StopIteration as ended:
        ending, reason = ended.value
        return search.findings(ending, reason)


class Over(Exception):
    """The search has come to its end."""

    def __init__(self, ending: Ending, reason: str) -> None:
        super().__init__(reason)
        self.ending: Ending = ending
        self.reason = reason


class RateSearch:
    """A search under way."""

    def __init__(self, rules: SearchRules) -> None:
        self._rules = rules
        self._lowest = max(rules.lowest, rules.replies * LOWEST_PARTS / rules.budget)
        self._closed: list[Trial] = []
        self._short: dict[float, list[Trial]] = {}
        self._long: dict[float, list[Trial]] = {}
        self._confirmed: float | None = None
        self._low: float | None = None
        self._high: float | None = None
        self._blocked: dict[float, str] = {}
        """Levels at which the generator or its machine was the limit, and why."""
        self._time = TimeBudget(rules)
        self._revisions = 0

    def trials(self) -> Asking[tuple[Ending, str]]:
        """What to measure next, one after the other; returns how it ended, and why."""
        try:
            yield from self._bracket_by_threads()
            yield from self._bracket(self._first(), 2)
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
            failed=self._lowest_failed,
            levels=tuple(self._states),
            closed=tuple(self._closed),
            elapsed=self._time.elapsed,
        )

    @property
    def _states(self) -> list[TriedLevel]:
        return [self._state(level) for level in sorted({*self._short, *self._long}) if self._state(level).trials]

    @property
    def _lowest_failed(self) -> float | None:
        above = self._confirmed or 0.0
        return next((one.level for one in self._states if one.holding == "missed" and one.level > above), None)

    def moment(self, wanted: NextTrial) -> SearchMoment:
        """How far it has come."""
        return SearchMoment(
            next_trial=wanted,
            elapsed=self._time.elapsed,
            budget=self._rules.budget,
            confirmed=self._confirmed,
            holds=self._low,
            fails=self._high,
        )

    # -- the stages

    def _bracket_by_threads(self) -> Asking[None]:
        """About how much the server can do: double the threads until that brings no more."""
        threads, best, standing, seconds = 1, 0.0, 0, self._time.closed_seconds
        while threads <= MOST_THREADS and standing < 2:
            reason = "what closed threads get"
            trial = yield from self._measured(threads, seconds, reason, is_closed=True)
            if not trial.throughput and not trial.is_lost and seconds < LONGEST:
                # a reply takes longer than a trial
                seconds = min(5 * seconds, LONGEST)
                continue
            self._closed.append(trial)
            if trial.is_lost and not best:
                raise Over("cannot tell", "not one request of the first trial was answered well")
            standing = standing + 1 if trial.throughput < GROWN * best else 0
            best = max(best, trial.throughput)
            self._time.expect(best)
            # of one trial with few requests a breach may be chance
            if all(one.is_breach for one in self._closed[-BREACHES:]) or trial.unsound or trial.cause == "generator":
                break
            threads *= 2

    def _first(self) -> float:
        """The first rate."""
        best = max(trial.throughput for trial in self._closed)
        if 0 < best < self._lowest:
            budget = show_span(math.ceil(self._rules.replies * LOWEST_PARTS / best))
            raise Over(
                "cannot tell",
                f"closed threads get {show_rate(best)}, and a trial needs {self._rules.replies} replies: "
                f"at such a rate the budget has to be {budget} or more",
            )
        if all(trial.is_breach for trial in self._closed):
            # not even one thread alone: what does not hold at the lowest rate holds at none
            return self._rules.first or self._lowest
        return self._rules.first or max(self._lowest, _rounded(best / 2))

    def _bracket(self, level: float, factor: float) -> Asking[None]:
        """A rate that holds and one that does not, a factor apart."""
        while self._low is None or self._high is None:
            level = min(max(level, self._lowest), self._rules.highest)
            if (yield from self._holds(level, "upwards" if self._low else "downwards")):
                self._low = level
                if level >= self._rules.highest:
                    self._high = level
                level = _rounded(level * factor)
            else:
                self._high = level
                if self._low is None and level <= self._lowest:
                    raise self._lost(level)
                level = _rounded(level / factor)

    def _lost(self, level: float) -> Over:
        """What there is to say when the lowest rate does not hold."""
        if level in self._blocked:
            return Over("cannot tell", self._blocked[level])
        return Over("missed", f"it does not hold at the lowest rate, {show_rate(level)}")

    def _bisect(self) -> Asking[None]:
        assert self._low is not None
        assert self._high is not None
        while self._high > self._low * (1 + self._rules.resolution) and self._time.has_time_to_bisect(self._low):
            middle = _rounded(math.sqrt(self._low * self._high))
            if (yield from self._holds(middle, "between")):
                self._low = middle
            else:
                self._high = middle

    def _verify(self) -> Asking[None]:
        """Confirm what holds, and look again at what does not; raises `Over` when both are sure."""
        low, high = self._low, self._high
        assert low is not None
        if self._state(low).holding != "holds" and not self._time.has_time(2 * self._time.long_seconds(low)):
            # there is time to confirm one level alone, which had better be one that surely holds
            low = max((one.level for one in self._states if one.holding == "holds" and one.level < low), default=low)
        assert high is not None
        if not (yield from self._is_confirmed(low)):
            self._revise()
            yield from self._go_below(low)
            return
        self._confirmed = low
        if high in self._blocked:
            raise Over("at least", self._blocked[high])
        if high <= low:
            raise Over("at least", f"no higher rate than {show_rate(low)} is tried")
        above = high * (1 + 2 * self._rules.resolution)
        if not (yield from self._fails_again(high)):
            self._revise()
            self._low, self._high = high, None
            yield from self._bracket(above, 1.5)
            return
        while self._lowest_failed is None:
            # so near the limit no number of trials tells surely
            yield from self._holds(_rounded(above), "where it is surely missed")
            above *= 1 + 2 * self._rules.resolution
        raise Over("found", "")

    def _go_below(self, level: float) -> Asking[None]:
        """A level that was thought to hold does not: on with the next lower one that does."""
        self._high = level
        self._low = max((one for one in self._short if one < level and self._state(one).leans_to_hold), default=None)
        if self._low is None:
            yield from self._bracket(level / 2, 2)

    def _revise(self) -> None:
        self._revisions += 1
        if self._revisions > REVISIONS:
            raise Over("cannot tell", "what was measured again contradicts what was measured before")

    # -- a level

    def _holds(self, level: float, reason: str) -> Asking[bool]:
        """Try a level until its trials tell; where they never do, the side on which most of them lie."""
        trials = self._short.setdefault(level, [])
        while not self._state(level).is_settled:
            trials.append((yield from self._measured(level, self._time.seconds(level), reason)))
        state = self._state(level)
        if state.holding == "inconclusive":
            self._blocked[level] = next(one.unsound for one in reversed(trials) if one.unsound)
            return False
        return state.leans_to_hold

    def _is_confirmed(self, level: float) -> Asking[bool]:
        """True if a level holds in a trial that is longer, or in several of these together."""
        trials = self._long.setdefault(level, [])
        while len(trials) < LONG_TRIALS:
            trials.append((yield from self._measured(level, self._time.long_seconds(level), "confirming")))
            state = TriedLevel(level, tuple(trials))
            if trials[-1].is_saturated or trials[-1].is_lost:
                return False
            if state.holding_so_far != "unclear":
                return state.holding_so_far == "holds"
        return TriedLevel(level, tuple(trials)).leans_to_hold

    def _fails_again(self, level: float) -> Asking[bool]:
        """False if what was missed holds by now, as of a server that was slow only at first."""
        again: list[Trial] = []
        while len(again) < BREACHES:
            again.append((yield from self._measured(level, self._time.seconds(level), "again, what did not hold")))
            if again[-1].is_breach:
                break
        else:
            # what was measured before is of a server that is no longer so
            self._short[level], self._long[level] = again, []
            return False
        self._short[level] += again
        while self._state(level).holding != "missed" and len(self._long.get(level, ())) < LONG_TRIALS:
            trial = yield from self._measured(
                level, self._time.long_seconds(level), "more trials of what does not hold"
            )
            self._long.setdefault(level, []).append(trial)
        return not self._state(level).leans_to_hold

    def _state(self, level: float) -> TriedLevel:
        return TriedLevel(level, (*self._short.get(level, ()), *self._long.get(level, ())))

    def _measured(self, level: float, seconds: float, reason: str, *, is_closed: bool = False) -> Asking[Trial]:
        if self._time.elapsed + seconds > self._rules.budget:
            raise self._used_up()
        trial = yield NextTrial(level=level, seconds=seconds, reason=reason, is_closed=is_closed)
        self._time.spend(seconds, trial.cost)
        return trial

    def _used_up(self) -> Over:
        reason = f"the budget of {show_span(self._rules.budget)} is used up"
        if self._confirmed is None:
            return Over("cannot tell", reason)
        return Over("found" if self._lowest_failed else "at least", reason)


def _rounded(rate: float) -> float:
    """Three digits."""
    return float(f"{rate:.3g}")
