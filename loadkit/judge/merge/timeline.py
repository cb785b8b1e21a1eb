"""When the runs in results were, and what they had together at the same time."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import msgspec

from loadkit.judge.instants import instant
from loadkit.judge.parts import is_part, share_of
from loadkit.judge.result import Result, RunSpan

if TYPE_CHECKING:
    from collections.abc import Sequence


def run_spans(part: Result) -> list[RunSpan]:
    """The runs in a result, each with what of it adds up only with runs at the same time."""
    first = part.spans[0]
    if first.threads is not None:
        return part.spans
    scenario = part.scenario
    if is_part(part):
        scenario = share_of(scenario, part.machines[0])
    return [
        msgspec.structs.replace(
            first,
            base_url=scenario.base_url,
            processes=scenario.processes if isinstance(scenario.processes, int) else 1,
            threads=scenario.threads,
            max_threads=scenario.max_threads,
            rate=scenario.rate,
            peak_memory=part.environment.peak_memory,
            server_memory=part.server.peak_memory if part.server else None,
            interval=interval_length(part),
            bottleneck=part.bottleneck,
        )
    ]


def when(span: RunSpan) -> tuple[int, bytes]:
    """A key that puts runs in order of their start."""
    return instant(span.start), msgspec.json.encode(span)


def start_of(part: Result) -> int:
    """When the first run in a result began to be measured, nanoseconds."""
    return min(instant(span.start) for span in part.spans)


def shift(part: Result, parts: Sequence[Result]) -> int:
    """How many nanoseconds later than the first a part began to be measured."""
    return start_of(part) - start_of(parts[0])


def interval_length(part: Result) -> float:
    """Seconds that an interval of its series lasts."""
    return max((interval.length for interval in part.intervals), default=1.0)


def most_at_once(spans: Sequence[RunSpan], name: str) -> Fraction:
    """The most of something that runs had together at any time; runs one after the other had it in turn."""
    changes = []
    for span in spans:
        start, end = span.ends
        amount = Fraction(getattr(span, name) or 0)
        # one that measured for no time still had its threads when it started
        changes += [(start, 1, amount), (max(end, start + 1), 0, -amount)]
    most = now = Fraction(0)
    for _, _, amount in sorted(changes):
        now += amount
        most = max(most, now)
    return most


def known_at_once(spans: Sequence[RunSpan], name: str) -> Fraction | None:
    """The same of what not every run has; None where one has none."""
    return None if any(getattr(span, name) is None for span in spans) else most_at_once(spans, name)
