"""The plan of a run along its time axis: arrivals a second, and phases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

from loadkit.judge.instants import instant, united
from loadkit.judge.result import Result
from loadkit.judge.rows import Interval
from loadkit.plan.recorded import RECORDED
from loadkit.plan.units import SECOND
from loadkit.report.charts.svg import Band, Scale


def asked_rates(result: Result, intervals: Sequence[Interval]) -> Iterator[tuple[float, float]]:
    """The arrivals a second that an open workload asked for, as corners of a line."""
    scenario = result.scenario
    if scenario.rate is None or scenario.arrivals == RECORDED:
        return
    if len(result.spans) > 1:
        yield from _asked_of_all(intervals)
        return
    if not scenario.phases:
        yield from ((0.0, scenario.rate), (result.duration or 1.0, scenario.rate))
        return
    begins = 0.0
    for phase in scenario.phases:
        yield begins, phase.start
        begins += phase.duration
        yield begins, phase.end


def _asked_of_all(intervals: Sequence[Interval]) -> Iterator[tuple[float, float]]:
    """The same of merged runs, from their intervals; nothing unless it is known of all."""
    if all(one.asked is not None for one in intervals):
        yield from ((at, one.asked) for one in intervals for at in (one.start, one.start + one.measured) if one.asked)


def phase_bands(result: Result, axis: Scale) -> list[Band]:
    """The stretch of each phase; none for less than two phases."""
    if len(result.scenario.phases) < 2:
        return []
    return [
        Band(start=axis.place(start), width=axis.place(end) - axis.place(start), text=name)
        for name, start, end in _phase_spans(result)
        if end > start
    ]


def _phase_spans(result: Result) -> Iterator[tuple[str, float, float]]:
    if len(result.spans) > 1:
        began = min(instant(span.start) for span in result.spans)
        for phase in result.phases:
            spans = [one.ends for one in phase.spans]
            for start, end in united(spans):
                yield phase.name, (start - began) / SECOND, (end - began) / SECOND
        return
    plans = result.scenario.phases
    ends = [0.0, *accumulate(plan.duration for plan in plans)]
    yield from ((plan.name, start, end) for plan, (start, end) in zip(plans, pairwise(ends), strict=True))
