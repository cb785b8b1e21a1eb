"""How much a server holds, as it is stored, shown and asserted on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final, Literal

import msgspec

from loadkit.judge.environment import Environment
from loadkit.judge.limit.levels import Holding, TriedLevel
from loadkit.judge.limit.scalability import Amount, Scalability, fit
from loadkit.judge.limit.search import Ending, Findings
from loadkit.judge.limit.threads import ThreadFindings
from loadkit.judge.limit.trials import Trial
from loadkit.plan.threshold import Threshold, threshold
from loadkit.plan.units import show_count, show_percent, show_rate, show_seconds, three_digits

VERSION: Final = 1
TOO_MANY_REQUESTS: Final = "429"
PLATEAU: Final = 0.5
"""The share of the failures that are refusals for a limit of the rate to be what gave way."""


class LevelTrial(msgspec.Struct, frozen=True, kw_only=True):
    """One trial of a level."""

    seconds: Amount
    throughput: Amount
    """Good replies a second, or journeys."""
    values: dict[str, Amount] = {}
    """The figure of each threshold by its text, where one was measured."""
    figures: dict[str, Amount]
    """Response times in seconds by name, and `error_rate`."""
    statuses: dict[int, int] = {}
    """Of good replies."""
    failures: dict[str, int]
    """By status, or by kind where there was none."""
    missed: list[str]
    """The thresholds that it missed."""
    is_saturated: bool
    """More requests arrived than were answered, and it was left early."""
    is_lost: bool
    """The server ended, or could not be reached."""
    unsound: str | None
    """Why it says nothing of the server."""


class LimitLevel(msgspec.Struct, frozen=True, kw_only=True):
    """A level of load, and what is known of it."""

    level: Amount
    """Arrivals a second, or threads."""
    holding: Holding
    missed: list[str]
    """The thresholds that most of its trials missed."""
    throughput: Amount
    """The median over its trials, as the values and figures are; of a level that is missed over those that missed."""
    values: dict[str, Amount] = {}
    """Of each threshold by its text."""
    figures: dict[str, Amount]
    trials: list[LevelTrial]


class Limit(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="limit"):
    """What a search for the limit found."""

    version: Literal[1] = VERSION
    name: str = ""
    """What was searched: the name of a scenario."""
    by: Literal["rate", "threads"] = "rate"
    threads: int | None = None
    """The smallest number of threads that gets 95 % of the best throughput, where these were searched."""
    best: Amount | None = None
    """The best throughput of all numbers of threads, a second."""
    knee: Amount | None = None
    """Threads from which on requests have to wait for each other: the best throughput by that of one thread alone."""
    scalability: Scalability | None = None
    """The Universal Scalability Law, where there are enough numbers of threads and it describes them."""
    thresholds: list[str] = []
    ending: Ending
    reason: str
    """Why it stopped, where that is not that the answer was found."""
    confirmed: Amount | None = None
    """The highest rate that held in a long trial."""
    failed: Amount | None = None
    """The lowest rate above it that is surely missed."""
    gave_way: str = ""
    """What was missed first."""
    levels: list[LimitLevel] = []
    """Rates, from low to high."""
    closed: list[LimitLevel] = []
    """Numbers of threads of a closed workload: what was searched, or from which the search for a rate set out."""
    at_least: Amount | None = None
    """The rate that was asked for."""
    seconds: Amount = 0.0
    """How long it took."""
    notes: list[str] = []
    environment: Environment | None = None

    @property
    def limits(self) -> list[Threshold]:
        """The thresholds, read; `UsageError` for one that cannot be."""
        return [threshold(text) for text in self.thresholds]

    @property
    def rate(self) -> float:
        """The highest rate that was confirmed; 0 where none was."""
        return self.confirmed or 0.0

    @property
    def needed(self) -> str:
        """How many threads are not enough, where more than were tried may get more; empty where that is not known."""
        fewer = [one.level for one in self.closed if self.threads and one.level < self.threads]
        if self.ending != "at least" or not fewer:
            return ""
        most = round(max(fewer))
        return f"more than {show_count(most, 'thread')} {'is' if most == 1 else 'are'} needed"

    @property
    def exit_code(self) -> int:
        """0 found (and no less than was asked for), 1 missed at the lowest rate or less, 2 interrupted, 6 not known."""
        if self.ending == "interrupted":
            return 2
        if self.at_least is not None and self.rate >= self.at_least:
            return 0
        if self.ending == "missed" or (self.at_least is not None and self.failed and self.failed <= self.at_least):
            return 1
        if self.ending == "found":
            return 0 if self.at_least is None else 1
        return 6

    def __repr__(self) -> str:
        return f"<Limit {self.ending}: {describe_limit(self)}>"


def limit_of(found: Findings, thresholds: list[Threshold], at_least: float | None = None) -> Limit:
    """The findings of a search for a rate as they are stored."""
    return Limit(
        thresholds=[one.text for one in thresholds],
        ending=found.ending,
        reason=found.reason,
        confirmed=found.confirmed,
        failed=found.failed,
        gave_way=_gave_way(found),
        levels=[_level(one) for one in found.levels],
        closed=[_level(TriedLevel(one.level, (one,))) for one in found.closed],
        at_least=at_least,
    )


def threads_of(found: ThreadFindings) -> Limit:
    """The findings of a search for threads as they are stored."""
    is_told = found.ending != "cannot tell"
    law = fit([(int(one.level), [trial.throughput for trial in one.trials]) for one in found.levels])
    levels = [
        msgspec.structs.replace(_level(one), throughput=found.throughputs[int(one.level)]) for one in found.levels
    ]
    failing = next((one for one in levels if one.level == found.failing), None)
    return Limit(
        by="threads",
        # where nothing can be told, what gets most is chance
        threads=found.enough if is_told else None,
        best=found.best if is_told else None,
        knee=found.knee if is_told else None,
        scalability=None if isinstance(law, str) else law,
        ending=found.ending,
        reason=found.reason,
        gave_way=_failures_of(failing) if failing else "",
        closed=levels,
        seconds=sum(trial.cost for one in found.levels for trial in one.trials),
        notes=[law] if isinstance(law, str) else [],
    )


def _failures_of(level: LimitLevel) -> str:
    failures: Counter[str] = Counter()
    for one in level.trials:
        failures.update(one.failures)
    kinds = ", ".join(f"{count:,} x {kind}" for kind, count in failures.most_common(3))
    return f"with {show_count(round(level.level), 'thread')} more requests fail ({kinds})"


def _describe_threads(limit: Limit) -> str:
    chosen = next((one for one in limit.closed if one.level == limit.threads), None)
    if chosen is None or not limit.best or limit.ending == "cannot tell":
        return limit.reason
    threads, is_one, is_found = show_count(round(chosen.level), "thread"), limit.threads == 1, limit.ending == "found"
    enough = f"{threads} {'is' if is_one else 'are'} enough:"
    what = enough if is_found else f"{f'{limit.needed}; ' if limit.needed else ''}{threads} get{'s' * is_one}"
    best = f"the best throughput{'' if is_found else ' so far'} ({show_rate(limit.best)})"
    share = f"{show_percent(chosen.throughput / limit.best)} of {best}"
    names = [name for name in ("p50", "p99", "mean") if name in chosen.figures][:2]
    times = "".join(f", {name} {show_seconds(chosen.figures[name])}" for name in names)
    return f"{what} {show_rate(chosen.throughput)}, {share}{times}{f'; {limit.reason}' if limit.reason else ''}"


def describe_limit(limit: Limit) -> str:
    """The answer in a sentence."""
    if limit.by == "threads":
        return _describe_threads(limit)
    missed = f"; {show_rate(limit.failed)} does not" if limit.failed else ""
    if limit.confirmed is None and limit.ending == "missed":
        return limit.reason
    if limit.confirmed is None:
        between = [one.level for one in limit.levels if one.holding == "holds"]
        held = f"{show_rate(max(between))} held in short trials{missed}" if between else "no rate was found to hold"
        return f"{held}: {limit.reason}"
    what = f"at least {show_rate(limit.confirmed)}" if not limit.failed else f"{show_rate(limit.confirmed)} holds"
    joint = "; " if limit.ending == "at least" else ": "
    return f"{what}{missed}{joint + limit.reason if limit.reason else ''}"


def _gave_way(found: Findings) -> str:
    first = next((one for one in found.levels if one.level == found.failed), None)
    if first is None:
        return ""
    trials = [one for one in first.trials if one.unsound is None and one.is_breach]
    if 2 * sum(one.is_lost for one in trials) > len(trials):
        return "the server ended, or could not be reached"
    failures: Counter[str] = Counter()
    for one in trials:
        failures.update(one.failures)
    if failures[TOO_MANY_REQUESTS] > PLATEAU * failures.total() > 0:
        plateau = median(one.throughput for one in trials)
        return f"a plateau: the server limits the rate to about {show_rate(plateau)}, and answers 429 to what is beyond"
    missed = [_missed(limit, trials) for limit in first.missed]
    if failures and any(limit.limits_errors for limit in first.missed):
        missed.append("failures: " + ", ".join(f"{count:,} x {kind}" for kind, count in failures.most_common(3)))
    if trials and all(one.cause == "connections" for one in trials):
        missed.append("all connections were in use")
    return "; ".join(missed) or "more requests arrived than were answered"


def _missed(limit: Threshold, trials: list[Trial]) -> str:
    values = [one.value for trial in trials for one in trial.observed if one.threshold == limit and one.value]
    return f"{limit.text} ({limit.show(median(values))})" if values else limit.text


def _level(tried: TriedLevel) -> LimitLevel:
    trials = [_trial(one) for one in tried.trials]
    # a level that most of its trials miss is not to be shown with a figure within its limit
    telling = [one for one in tried.trials if tried.holding != "missed" or (one.is_breach and one.unsound is None)]
    shown = [_trial(one) for one in telling]
    return LimitLevel(
        level=tried.level,
        holding=tried.holding,
        missed=[one.text for one in tried.missed] if tried.holding != "holds" else [],
        throughput=median(one.throughput for one in shown),
        values=_medians([one.values for one in shown]),
        figures=_medians([one.figures for one in shown]),
        trials=trials,
    )


def _medians(trials: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of each figure, over the trials that have it."""
    names = dict.fromkeys(name for one in trials for name in one)
    return {name: median(one[name] for one in trials if name in one) for name in names}


def _trial(trial: Trial) -> LevelTrial:
    return LevelTrial(
        seconds=float(three_digits(trial.seconds).replace(",", "")),
        throughput=trial.throughput,
        values={one.threshold.text: one.value for one in trial.observed if one.value is not None},
        figures=dict(trial.figures),
        statuses=dict(trial.statuses),
        failures=dict(trial.failures),
        missed=[one.text for one in trial.missed],
        is_saturated=trial.is_saturated,
        is_lost=trial.is_lost,
        unsound=trial.unsound,
    )
