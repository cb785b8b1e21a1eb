"""Thresholds held against a result: each with its value, and what the run comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadkit.judge.result import Outcome, Row, Times, Verdict
from loadkit.judge.summary import histogram
from loadkit.plan.threshold import Threshold, threshold
from loadkit.plan.units import SECOND

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_FAILURES = "error_rate == 0%"
"""What must hold where a scenario says nothing of errors."""

EXIT_CODES: dict[Outcome, int] = {"passed": 0, "failed": 1, "interrupted": 2, "not_applied": 6}


def verdicts(limits: Sequence[Threshold], total: Row, endpoints: Sequence[Row]) -> list[Verdict]:
    """Each threshold with its value. Without one on errors, any failure fails."""
    held = list(limits)
    if not any(limit.limits_errors for limit in limits):
        held.append(threshold(NO_FAILURES))
    by_name = {row.name: row for row in endpoints}
    return [_verdict(limit, total if limit.label is None else by_name.get(limit.label)) for limit in held]


def outcome(total: Row, found: Sequence[Verdict], *, interrupted: bool) -> Outcome:
    """What a run comes to. Nothing sent at all is a load that was not applied."""
    if interrupted:
        return "interrupted"
    if not total.requests:
        return "not_applied"
    return "passed" if all(verdict.passed for verdict in found) else "failed"


def figure(limit: Threshold, row: Row) -> float | None:
    """The value a threshold is about, in seconds, requests a second, a share of 1 or a count."""
    if limit.metric == "throughput":
        return row.throughput
    if limit.metric == "error_rate":
        return row.error_rate if row.requests else None
    if limit.metric == "requests":
        return row.requests
    if limit.metric == "failures":
        return sum(row.failures.values())
    measured: Times = getattr(row, limit.time)
    if limit.percentile is None:
        return float(value) if (value := getattr(measured, limit.metric)) is not None else None
    nanoseconds = histogram(measured).percentile(limit.percentile)
    return None if nanoseconds is None else nanoseconds / SECOND


def _verdict(limit: Threshold, row: Row | None) -> Verdict:
    value = None if row is None else figure(limit, row)
    return Verdict(threshold=limit.text, passed=limit.passes(value), value=value, shown=limit.show(value))
