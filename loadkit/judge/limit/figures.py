"""What the result of a run says as a trial of a level: of each threshold, and whether of the server at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from loadkit.judge.limit.trials import NextTrial, Observed, Trial
from loadkit.judge.result import Result
from loadkit.judge.rows import Row, Timing, journeys_among
from loadkit.judge.threshold_results import by_name, held
from loadkit.plan.threshold import Threshold
from loadkit.plan.units import nanoseconds

if TYPE_CHECKING:
    from loadkit.judge.rows import IntervalRow
    from loadkit.judge.times import Times

SHOWN: Final = ("p50", "p90", "p99", "mean")
OWN_SHARE: Final = 0.5
"""The share of a time limit by which requests may be sent late without being the reason that it is missed."""


def trial_of(
    result: Result, limits: Sequence[Threshold], wanted: NextTrial, *, cost: float, is_saturated: bool = False
) -> Trial:
    """What a run at a level says; `cost` is how long it took in all, seconds."""
    observed = tuple(_observed(limit, result) for limit in limits)
    times = result.response_time if result.requests else _times_of_journeys(result)
    found = {name: value for name in SHOWN if times and (value := getattr(times, name)) is not None}
    trial = Trial(
        level=wanted.level,
        seconds=result.duration,
        cost=cost,
        throughput=arrivals_answered(result),
        observed=observed,
        figures={**found, "error_rate": _error_rate(result)},
        statuses=result.statuses,
        failures=_failures(result),
        is_saturated=is_saturated,
        is_lost=result.outcome == "server-lost" or not is_answered(result),
        cause=result.bottleneck.cause,
    )
    return replace(trial, unsound=None if wanted.is_closed else _unsound(trial, result))


def is_answered(result: Result) -> bool:
    """True if the server answered at all, well or not."""
    return bool(result.response_time.count or result.total.failed_statuses or result.timings)


def arrivals_answered(result: Result) -> float:
    """A second: journeys and the requests beside them, for a rate is one of both."""
    journeys = journeys_among(result.timings)
    if not journeys:
        return result.throughput
    declared = [row.throughput for row in result.endpoints if row.name in result.scenario.endpoints]
    return sum(one.throughput for one in journeys) + sum(declared)


def _unsound(trial: Trial, result: Result) -> str | None:
    """Why the generator, or its machine, was the limit and not the server; None where it was not.

    What holds although loadkit was busy does hold: that it is late makes response times longer, and not shorter.
    """
    caveats = {one.code: one.message for one in result.caveats}
    if "load-differs" in caveats:
        return caveats["load-differs"]
    if "asked-rate" in caveats and "max-threads" not in caveats and not trial.is_lost and not trial.is_saturated:
        return caveats["asked-rate"]
    if not trial.is_breach:
        return None
    if result.bottleneck.cause == "generator":
        return result.bottleneck.sentence
    late = result.lateness.p99 or 0.0
    limited = [one for one in trial.missed if not one.limits_errors and not _is_slow_itself(one, result, late)]
    if "late" in caveats and limited and late > OWN_SHARE * min(one.limit for one in limited):
        return caveats["late"]
    return None


def _is_slow_itself(limit: Threshold, result: Result, late: float) -> bool:
    """True if the service time misses the limit by more than requests were late, which may have come in a bunch."""
    row = _row(limit, result)
    if row is None:
        return False
    times = row.service_time
    value = getattr(times, limit.metric) if limit.percentile is None else times.percentile(limit.percentile)
    return value is not None and value - late > limit.limit


def _row(limit: Threshold, result: Result) -> Row | Timing | None:
    return result.total if limit.label is None else by_name(result.endpoints, (), result.timings).get(limit.label)


def _observed(limit: Threshold, result: Result) -> Observed:
    row = _row(limit, result)
    found = held(limit, row)
    if row is None:
        return Observed(threshold=limit, value=None)
    if limit.metric == "error_rate":
        return _of_errors(limit, result, row)
    if limit.percentile is None:
        return Observed(threshold=limit, value=found.value)
    counts = [pair for pair in _counts_of_times(limit, result, row) if pair[0]] or [(0, 0)]
    # what was never answered has no response time, and would have had the longest of all
    unanswered, (requests, beyond) = row.cut + row.unsent, counts[-1]
    counts[-1] = (requests + unanswered, beyond + unanswered)
    return Observed(threshold=limit, value=found.value, counts=tuple(counts))


def _counts_of_times(limit: Threshold, result: Result, row: Row | Timing) -> list[tuple[int, int]]:
    """Of each interval, where there are any of this figure, else of the whole run."""
    if isinstance(row, Row) and limit.time == "response_time":
        return [_beyond(limit, one.response_time) for one in _intervals(result, limit.label)]
    times: Times = getattr(row, limit.time)
    return [_beyond(limit, times)]


def _beyond(limit: Threshold, times: Times) -> tuple[int, int]:
    bound = nanoseconds(limit.limit) + (limit.comparison == "<=")
    return times.count, times.count - times.histogram.below(bound) if times.count else 0


def _of_errors(limit: Threshold, result: Result, row: Row | Timing) -> Observed:
    """The share of failures: of requests, and where none is named, of journeys, too."""
    if isinstance(row, Timing):
        counts = [(row.count, sum(row.failures.values()))]
    else:
        counts = [(one.requests, one.failures) for one in _intervals(result, limit.label)]
    if limit.label is None:
        counts += [(one.count, sum(one.failures.values())) for one in journeys_among(result.timings)]
    requests, failures = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0)
    return Observed(threshold=limit, value=failures / requests if requests else None, counts=tuple(counts))


def _intervals(result: Result, label: str | None) -> list[IntervalRow]:
    if label is None:
        return [one.total for one in result.intervals]
    return [row for one in result.intervals for row in one.endpoints if row.name == label]


def _times_of_journeys(result: Result) -> Times | None:
    journeys = journeys_among(result.timings)
    return journeys[0].response_time if len(journeys) == 1 else None


def _error_rate(result: Result) -> float:
    return max([result.error_rate, *(one.error_rate for one in journeys_among(result.timings))])


def _failures(result: Result) -> dict[str, int]:
    """By status where there was one, else by kind."""
    by_status = {str(status): count for status, count in result.total.failed_statuses.items()}
    kinds = {kind: count for kind, count in result.failures.items() if not by_status or kind != "check"}
    return by_status | kinds
