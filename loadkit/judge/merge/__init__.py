"""Several results as one, exactly: counts and histograms add, nothing is averaged.

Throughput is the good replies of all parts over the time in which at least one of them was measured: parts that ran
side by side (on several machines) share their time, and parts one after the other add it up. A merged result keeps the
span of each run that is in it, with the figures that add up only where runs were at the same time: so merging some of
the parts first changes nothing. What is added up are whole numbers, for a sum of floats depends on their order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from loadkit.judge.caveats import OF_FIGURES, of_figures
from loadkit.judge.instants import covered, instant
from loadkit.judge.merge.origin import merged_bottleneck, merged_environment, merged_scenario, merged_server
from loadkit.judge.merge.overlap import ends, run_spans, shift, start_of, when
from loadkit.judge.merge.series import merged_series
from loadkit.judge.merge.sums import dated_row, merged_phases, merged_row, merged_rows, merged_timings
from loadkit.judge.result import Result
from loadkit.judge.rows import Row, Timing
from loadkit.judge.summary import TOTAL
from loadkit.judge.threshold_results import Outcome, ThresholdResult, outcome, threshold_results
from loadkit.judge.validity import Caveat, ranked, validity_of
from loadkit.plan.errors import UsageError
from loadkit.plan.threshold import threshold
from loadkit.plan.units import SECOND

if TYPE_CHECKING:
    from collections.abc import Sequence


_NAME: Final = 120


def merge(results: Sequence[Result]) -> Result:
    """One result of several of the same load, the same for any order of them, and for any of them merged before.

    Raises `UsageError` when they are of different loads.
    """
    _check_same(results)
    if len(results) == 1:
        return results[0]
    # of parts that start in the same instant the one with the lesser text is first, whatever order they were named in
    parts = sorted(results, key=lambda part: (start_of(part), msgspec.json.encode(part)))
    spans = sorted((span for part in parts for span in run_spans(part)), key=when)
    duration = covered(map(ends, spans)) / SECOND
    scenario = merged_scenario(parts, spans)
    endpoints = merged_rows(
        [[dated_row(row, shift(part, parts)) for row in part.endpoints] for part in parts], scenario, duration
    )
    total = merged_row(TOTAL, [dated_row(part.total, shift(part, parts)) for part in parts], duration)
    limits = [
        threshold(text)
        for text in dict.fromkeys(v.threshold for part in parts for v in part.thresholds if not v.implied)
    ]
    phases = merged_phases(parts, scenario)
    timings = merged_timings(parts, scenario, duration)
    found = threshold_results(limits, total, endpoints, phases, timings)
    # those of the parts; what rests on the figures alone is asked again of the whole
    doubts = ranked([*_lasting(parts), *of_figures(total, endpoints, phases, timings, limits=limits)])
    return msgspec.structs.replace(
        parts[0],
        scenario=scenario,
        environment=merged_environment(parts, spans),
        started_at=min((part.started_at for part in parts), key=lambda text: (instant(text), text)),
        spans=spans,
        duration=duration,
        outcome=_outcome(parts, total, found, timings),
        total=total,
        endpoints=endpoints,
        phases=phases,
        timings=timings,
        thresholds=found,
        caveats=doubts,
        intervals=merged_series(parts, spans, [row.name for row in endpoints]),
        validity=validity_of(doubts),
        bottleneck=merged_bottleneck(spans, scenario),
        server=merged_server(parts, spans),
    )


def _check_same(parts: Sequence[Result]) -> None:
    names = sorted({part.identity.name for part in parts})
    if len(names) > 1:
        raise UsageError(
            f"these are results of different scenarios and cannot be one: {' and '.join(map(_cut, names))}"
        )
    if len({part.identity.plan for part in parts}) > 1:
        raise UsageError(f"these are results of different loads of {_cut(names[0])} and cannot be one")


def _cut(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[:_NAME]}…"


def _outcome(
    parts: Sequence[Result], total: Row, found: Sequence[ThresholdResult], timings: Sequence[Timing]
) -> Outcome:
    outcomes = {part.outcome for part in parts}
    if "server-lost" in outcomes:
        return "server-lost"
    if "not-applied" in outcomes and "interrupted" not in outcomes:
        return "not-applied"
    return outcome(total, found, timings, interrupted="interrupted" in outcomes)


def _lasting(parts: Sequence[Result]) -> list[Caveat]:
    """The caveats of the parts that merging cannot settle; of notes, whose figures differ a little, one a code."""
    found = [caveat for part in parts for caveat in part.caveats if caveat.code not in OF_FIGURES]
    found.sort(key=lambda one: (one.code, one.message))
    notes = {caveat.code: caveat for caveat in reversed(found) if caveat.level == "note"}
    return [caveat for caveat in found if caveat.level != "note" or caveat == notes[caveat.code]]
