"""Thresholds held against a result: each with its value, and what the run comes to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from loadkit.judge.result import Outcome, Row, Verdict
from loadkit.plan.threshold import Threshold, threshold

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_FAILURES = threshold("error_rate == 0%")
"""What must hold where a scenario says nothing of errors."""

EXIT_CODES: dict[Outcome, int] = {"passed": 0, "failed": 1, "interrupted": 2, "not_applied": 6}


def verdicts(limits: Sequence[Threshold], total: Row, endpoints: Sequence[Row]) -> list[Verdict]:
    """Each threshold with its value. Without one on errors, any failure fails."""
    by_name = {row.name: row for row in endpoints}
    held = [(limit, False) for limit in limits] + [(limit, True) for limit in _unsaid(limits, endpoints)]
    return [
        _verdict(limit, total if limit.label is None else by_name.get(limit.label), implied=implied)
        for limit, implied in held
    ]


def _unsaid(limits: Sequence[Threshold], endpoints: Sequence[Row]) -> list[Threshold]:
    """No failures: in all, or where only some endpoints have a limit on them, of each of the others."""
    said = {limit.label for limit in limits if limit.limits_errors}
    if not said:
        return [NO_FAILURES]
    others = [row.name for row in endpoints if row.name not in said and row.requests]
    text = NO_FAILURES.text
    return [] if None in said else [replace(NO_FAILURES, label=name, text=f"{name}: {text}") for name in others]


APPLIED = 0.95
"""The share of the asked rate below which a load counts as not applied."""


def outcome(
    total: Row,
    found: Sequence[Verdict],
    *,
    interrupted: bool,
    asked_rate: float | None = None,
    duration: float = 0.0,
) -> Outcome:
    """What a run comes to; without a good reply none passes.

    A load was not applied when nothing was sent at all, or fewer requests than `APPLIED` of those that
    `asked_rate` (a second) makes in `duration` seconds.
    """
    if interrupted:
        return "interrupted"
    sent = total.requests + total.cut
    if not sent or (asked_rate is not None and sent < APPLIED * asked_rate * duration):
        return "not_applied"
    return "passed" if total.response_time.count and all(verdict.passed for verdict in found) else "failed"


def figure(limit: Threshold, row: Row) -> float | None:
    """The value a threshold is about, in seconds, requests a second, a share of 1 or a count.

    None where nothing was measured: nothing was sent, or for a time, nothing came back well.
    """
    return row.figure(limit)


def _verdict(limit: Threshold, row: Row | None, *, implied: bool) -> Verdict:
    value = None if row is None else figure(limit, row)
    return Verdict(
        threshold=limit.text, passed=limit.passes(value), value=value, shown=limit.show(value), implied=implied
    )
