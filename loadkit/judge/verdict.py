"""Thresholds held against a result: each with its value, and what the run comes to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from loadkit.judge.result import Outcome, Phase, Row, Soundness, Times, Verdict
from loadkit.judge.summary import histogram
from loadkit.plan.threshold import Threshold, threshold
from loadkit.plan.units import SECOND

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_FAILURES = threshold("error_rate == 0%")
"""What must hold where a scenario says nothing of errors."""

EXIT_CODES: dict[Outcome, int] = {"passed": 0, "failed": 1, "interrupted": 2, "not_applied": 6}


def verdicts(
    limits: Sequence[Threshold], total: Row, endpoints: Sequence[Row], phases: Sequence[Phase] = ()
) -> list[Verdict]:
    """Each threshold with its value. Without one on errors, any failure fails.

    A threshold may name an endpoint, a phase, or an endpoint in a phase (`hold: GET /search: p99 < 100ms`).
    """
    by_name = judged(total, endpoints, phases)
    held = [(limit, False) for limit in limits] + [(limit, True) for limit in _unsaid(limits, endpoints)]
    return [_verdict(limit, by_name.get(limit.label), implied=implied) for limit, implied in held]


def judged(total: Row, endpoints: Sequence[Row], phases: Sequence[Phase] = ()) -> dict[str | None, Row]:
    """The rows that thresholds can be about, by the label they name them with; None is the total."""
    by_name: dict[str | None, Row] = {None: total}
    by_name |= {f"{phase.name}: {row.name}": row for phase in phases for row in phase.endpoints}
    return by_name | {phase.name: phase.total for phase in phases} | {row.name: row for row in endpoints}


def _unsaid(limits: Sequence[Threshold], endpoints: Sequence[Row]) -> list[Threshold]:
    """No failures: in all, or where only some endpoints have a limit on them, of each of the others."""
    said = {limit.label for limit in limits if limit.limits_errors}
    if not said:
        return [NO_FAILURES]
    others = [row.name for row in endpoints if row.name not in said and row.requests]
    text = NO_FAILURES.text
    return [] if None in said else [replace(NO_FAILURES, label=name, text=f"{name}: {text}") for name in others]


APPLIED = 0.95
"""The share of what was due below which a load counts as not applied."""


def outcome(
    total: Row,
    found: Sequence[Verdict],
    *,
    interrupted: bool,
    is_open: bool = False,
    is_fault: bool = False,
    verdict: Soundness = "clean",
) -> Outcome:
    """What a run comes to; without a good reply none passes.

    A load was not applied when nothing was sent at all, when the plan broke off (`is_fault`), in an open workload when
    fewer requests were sent than `APPLIED` of those that were due, or when the figures are invalid for another reason.
    """
    if interrupted:
        return "interrupted"
    sent = total.requests + total.cut
    if not sent or is_fault or verdict == "invalid" or (is_open and sent < APPLIED * (sent + total.unsent)):
        return "not_applied"
    return "passed" if total.response_time.count and all(verdict.passed for verdict in found) else "failed"


def figure(limit: Threshold, row: Row) -> float | None:
    """The value a threshold is about, in seconds, requests a second, a share of 1 or a count.

    None where nothing was measured: nothing was sent, or for a time, nothing came back well.
    """
    if limit.metric == "requests":
        return row.requests
    if not row.requests:
        return None
    if limit.metric == "throughput":
        return row.throughput
    if limit.metric == "error_rate":
        return row.error_rate
    if limit.metric == "failures":
        return sum(row.failures.values())
    measured: Times = getattr(row, limit.time)
    if limit.percentile is None:
        return float(value) if (value := getattr(measured, limit.metric)) is not None else None
    nanoseconds = histogram(measured).percentile(limit.percentile)
    return None if nanoseconds is None else nanoseconds / SECOND


def _verdict(limit: Threshold, row: Row | None, *, implied: bool) -> Verdict:
    value = None if row is None else figure(limit, row)
    return Verdict(
        threshold=limit.text, passed=limit.passes(value), value=value, shown=limit.show(value), implied=implied
    )
