"""How much a server holds: the highest rate at which the thresholds are met, found by real trials."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from loadkit.clock import SystemClock
from loadkit.jobs.interrupts import counted_signals
from loadkit.jobs.run import run
from loadkit.judge.limit.figures import is_answered, trial_of
from loadkit.judge.limit.levels import replies_needed
from loadkit.judge.limit.limit import Limit, limit_of, threads_of
from loadkit.judge.limit.rate_search import RateSearch
from loadkit.judge.limit.search import Findings, Search, SearchMoment, find
from loadkit.judge.limit.threads import ThreadFindings, ThreadRules, ThreadSearch
from loadkit.judge.limit.time_budget import SearchRules
from loadkit.judge.limit.trials import NextTrial, Observed, Trial, piles_up
from loadkit.judge.threshold_results import NO_FAILURES
from loadkit.plan.errors import UsageError
from loadkit.plan.fields import parse_positive_seconds
from loadkit.plan.scenario import Scenario, addressed
from loadkit.plan.scenario_fields import is_application
from loadkit.plan.threshold import Threshold, threshold
from loadkit.plan.units import MILLISECOND, SECOND, Duration, Rate, per_second
from loadkit.server.serving import running_server, served

if TYPE_CHECKING:
    from loadkit.drive.progress import Snapshot
    from loadkit.judge.result import Result

BUDGET: Final = 300.0
RECOVERY: Final = 15.0
"""Seconds that a server has, after a level that it did not hold, to answer as fast as it did at first."""
PROBE: Final = 0.3
"""Seconds of a look at whether it does, on one thread."""
RECOVERED: Final = 2.0
"""How many times as long as at first its replies may take then, beside `SLACK`."""
SLACK: Final = 0.005
EARLIEST: Final = 1.5
"""Seconds of a trial before it is left for requests that pile up."""
LEFT_OUT: Final = ("throughput", "requests", "failures")
"""Figures that grow with the load, or with the time that it lasts."""


def limit(
    scenario: Scenario,
    *thresholds: str,
    by: str = "rate",
    budget: Duration = BUDGET,
    at_least: Rate | None = None,
    watch: Callable[[SearchMoment], None] | None = None,
    interrupts: Callable[[], int] | None = None,
) -> Limit:
    """Search for the highest rate that a server holds: at which all thresholds are met.

    >>> found = limit(browse, "p99 < 100ms", "error_rate < 0.1%")
    >>> assert found.rate > 500

    Args:
        scenario: what is sent; its threads, rate, phases and duration play no part.
        thresholds: what must hold; if none is given, those of the scenario. Without one on errors none may happen.
        by: `"rate"`, or `"threads"`: then how many threads of a closed workload are enough for 95 % of the best
            throughput; thresholds play no part.
        budget: how long it may take; 5 minutes if not said.
        at_least: a rate that is asked for: it is among those that are tried.
        watch: called with how far it has come: before, in and after each trial.
        interrupts: tells how often the user asked to stop; by default SIGINT and SIGTERM are counted.

    Raises `UsageError` before anything is sent as `run` does.
    """
    scenario = addressed(scenario)
    if by not in ("rate", "threads"):
        raise UsageError(f"a limit is searched by rate or by threads, not by {by!r}")
    if by == "threads" and (thresholds or at_least is not None):
        raise UsageError("by threads there are no thresholds and no rate to hold; leave them out")
    limits, notes = limits_of(scenario, thresholds) if by == "rate" else ([], [])
    asked = None if at_least is None else per_second(at_least, what="at_least")
    time = parse_positive_seconds(budget, what="budget")
    search: Search[Findings | ThreadFindings] = (
        ThreadSearch(ThreadRules(budget=time)) if by == "threads" else RateSearch(_rules(limits, time, asked))
    )
    show = watch or (lambda _: None)
    clock = SystemClock()
    began = clock.now()
    counting = counted_signals() if interrupts is None else nullcontext(interrupts)
    with counting as stops, ExitStack() as stack:
        trials = _Trials(scenario, limits, clock, stops, stack)

        def measure(wanted: NextTrial) -> Trial:
            moment = search.moment(wanted)

            def show_spent(spent: float, *, is_recovering: bool = False) -> None:
                show(replace(moment, elapsed=moment.elapsed + spent, is_recovering=is_recovering))

            return trials.measure(wanted, show_spent)

        found = find(search, measure, lambda: bool(stops()), show)
    made = limit_of(found, limits, asked) if isinstance(found, Findings) else threads_of(found)
    return msgspec.structs.replace(
        made,
        name=scenario.name or "the scenario",
        seconds=(clock.now() - began) / SECOND,
        notes=[*made.notes, *notes],
        environment=trials.last.environment if trials.last else None,
    )


def _rules(limits: Sequence[Threshold], budget: float, first: float | None) -> SearchRules:
    return SearchRules(
        budget=budget,
        replies=max(map(replies_needed, limits)),
        longest=max((one.limit for one in limits if not one.limits_errors), default=0.0),
        first=first,
    )


def limits_of(scenario: Scenario, given: Sequence[str]) -> tuple[list[Threshold], list[str]]:
    """The thresholds of a search, and notes on those that are left out; `UsageError` for those it cannot use."""
    limits = [threshold(text) for text in given] or [one for one in scenario.limits if one.over is None]
    if over := next((one for one in limits if one.over is not None), None):
        raise UsageError(f"a trial is judged as a whole, and {over.text!r} holds over a time; leave that out")
    over_a_time = [] if given else [one for one in scenario.limits if one.over is not None]
    kept = [one for one in limits if one.metric not in LEFT_OUT]
    left = [one.text for one in limits if one.metric in LEFT_OUT]
    if given and left:
        raise UsageError(f"a limit of the rate cannot be found by {left[0]!r}; use a response time or the error rate")
    if not kept:
        raise UsageError("there is no threshold to search by; give one like -t 'p99 < 100ms'")
    for one in kept:
        if not one.comparison.startswith("<") and not (one.limits_errors and not one.limit):
            raise UsageError(f"{one.text!r} is no limit from above; write it like 'p99 < 100ms'")
    if not any(one.limits_errors for one in kept):
        kept.append(NO_FAILURES)
    return kept, [
        *(f"the threshold {text!r} says nothing of how much is held, and was left out" for text in left),
        *(f"the threshold {one.text!r} is left out, for a trial is judged as a whole" for one in over_a_time),
    ]


def _at_any_level(scenario: Scenario, limits: Sequence[Threshold]) -> Scenario:
    """The scenario without a load of its own; `UsageError` where a threshold names nothing in it."""
    endpoints = [replace(one, threads=None) if one.threads else one for one in scenario.plans]
    return scenario.replace(
        endpoints=endpoints,
        phases=(),
        duration=1,
        iterations=None,
        iterations_per_thread=None,
        rate=None,
        arrivals="constant",
        max_threads=None,
        threads=1,
        think_time=0,
        pacing=0,
        warmup=0,
        processes=1,
        thresholds=[one.text for one in limits],
    )


class _Trials:
    """Runs the trials of a search, and waits after each until the server has recovered from it."""

    def __init__(
        self,
        scenario: Scenario,
        limits: Sequence[Threshold],
        clock: SystemClock,
        stops: Callable[[], int],
        stack: ExitStack,
    ) -> None:
        self._asked = scenario
        self._sent = _at_any_level(scenario, limits)
        self._limits = limits
        self._clock = clock
        self._stops = stops
        self._stack = stack
        self._target: Scenario | None = None
        self._usual: float | None = None
        """The median response time of one thread alone, seconds."""
        self._number = 0
        """Of the trials so far."""
        self.last: Result | None = None

    def measure(self, wanted: NextTrial, show: Callable[..., None]) -> Trial:
        """Run one trial; `show` is called with the seconds that have gone by in it, where it is watched anyway.

        It gets `is_recovering=True` while the server is waited for after it.
        """
        began = self._clock.now()
        self._number += 1
        piling = _Piling(wanted.level)
        try:
            scenario = self._at(wanted)
        except UsageError:
            if self.last is None:
                raise
            # its server did start before
            return Trial(
                level=wanted.level,
                seconds=0.0,
                cost=self._since(began),
                throughput=0.0,
                observed=tuple(Observed(threshold=one, value=None) for one in self._limits),
                is_lost=True,
            )

        def watch(snapshot: Snapshot) -> None:
            piling.watch(snapshot)
            show(self._since(began))

        watched = None if wanted.is_closed else watch
        result = self.last = run(scenario, watch=watched, interrupts=lambda: max(self._stops(), piling.has_begun))
        if self._usual is None:
            self._usual = result.response_time.p50
        trial = trial_of(result, self._limits, wanted, cost=0.0, is_saturated=piling.has_begun)
        if trial.is_breach and self._usual is not None and not self._stops():
            self._recover(lambda: show(self._since(began), is_recovering=True), was_lost=trial.is_lost)
        return replace(trial, cost=self._since(began))

    def _since(self, began: int) -> float:
        return (self._clock.now() - began) / SECOND

    def _at(self, wanted: NextTrial) -> Scenario:
        """The scenario at a level."""
        asked, scenario = self._asked, self._up().replace(duration=wanted.seconds)
        if not wanted.is_closed:
            max_threads = asked.max_threads if asked.is_open else None
            return scenario.replace(
                rate=wanted.level,
                arrivals=asked.arrivals,
                # the same arrivals again would be no second trial
                seed=asked.seed + self._number,
                max_threads=max_threads,
                processes=asked.processes,
            )
        threads = int(wanted.level)
        processes = asked.processes if asked.processes == "auto" else min(asked.processes, threads)
        return scenario.replace(threads=threads, processes=processes)

    def _up(self) -> Scenario:
        """The scenario, aimed at its server, which is started where it does not run yet."""
        if self._target is None:
            self._target = self._stack.enter_context(_serving(self._sent, self._stops))
        return self._target

    def _recover(self, show: Callable[[], None], *, was_lost: bool) -> None:
        """Wait until replies take no longer than at first: a queue is empty, or a server is back."""
        until = self._clock.now() + round(RECOVERY * SECOND)
        while self._clock.now() < until and not self._stops():
            show()
            if was_lost:
                self._stack.close()
                self._target = None
            try:
                result = run(self._up().replace(duration=PROBE), interrupts=self._stops)
            except UsageError:
                was_lost = True
            else:
                was_lost, median = not is_answered(result), result.response_time.p50
                if median is not None and median <= RECOVERED * (self._usual or median) + SLACK:
                    return
            self._clock.pause(100 * MILLISECOND, lambda: False)


class _Piling:
    """Watches a trial, to leave it when requests pile up."""

    def __init__(self, rate: float) -> None:
        self.has_begun = False
        self._rate = rate
        self._under_way: list[float] = []
        self._times: list[float] = []

    def watch(self, snapshot: Snapshot) -> None:
        """Look at a snapshot."""
        if snapshot.stage != "running" or snapshot.p99 is None:
            return
        self._under_way.append(snapshot.in_flight)
        self._times.append(snapshot.p99)
        if snapshot.elapsed >= EARLIEST and piles_up(self._under_way, self._times, self._rate * snapshot.elapsed):
            self.has_begun = True


@contextmanager
def _serving(scenario: Scenario, stops: Callable[[], int]) -> Iterator[Scenario]:
    """The scenario aimed at its server, which runs until the block is left.

    A server that has a fixed port is started for each trial, as `run` does.
    """
    command = scenario.server
    if not command or not (is_application(command) or any("{port}" in word for word in command)):
        yield scenario
        return
    app = command[0] if is_application(command) else command
    server = served(app, ready=scenario.ready, within=scenario.ready_timeout)
    with running_server(server, stops) as url:
        yield scenario.replace(base_url=f"{url}{urlsplit(scenario.base_url or '').path}")
