"""From what the threads of a run recorded to its result: figures, thresholds, caveats, and what bound it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from loadkit.judge.activity import Activity, Plan, with_threads
from loadkit.judge.bottleneck import NOTHING, bottleneck
from loadkit.judge.caveats import caveats
from loadkit.judge.description import describe
from loadkit.judge.environment import environment
from loadkit.judge.evidence import Evidence
from loadkit.judge.identity import identity
from loadkit.judge.parts import corrected, this_part
from loadkit.judge.result import Result, RunSpan
from loadkit.judge.rows import Interval
from loadkit.judge.summary import ToTimes, intervals, phases, rows, slow_requests, times, timings, without_gaps
from loadkit.judge.threshold_results import Outcome, outcome, threshold_results
from loadkit.judge.validity import validity_of
from loadkit.plan.endpoint import Endpoint
from loadkit.plan.journey import Journey
from loadkit.plan.think_time import Thought, longest_pause
from loadkit.plan.units import SECOND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadkit.drive.stats import Driven, RunStats
    from loadkit.judge.evidence import RunContext
    from loadkit.judge.threshold_results import ThresholdResult
    from loadkit.judge.validity import Validity
    from loadkit.measure.series import Slice
    from loadkit.plan.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """How the result of a run that is under way is made: by callers that pause between its parts."""

    to_times: ToTimes
    to_intervals: Callable[[list[Slice], float], list[Interval]]


def judge(scenario: Scenario, driven: Driven, context: RunContext, *, draft: Draft | None = None) -> Result:
    """What a run found.

    Args:
        scenario: what was asked for.
        driven: what its threads recorded, and how it went.
        context: what else is known of the run: when it was, and of its target.
        draft: how the result of a run that goes on is made; it is `interrupted`, and a note says when it was made.

    Of a part of a load it is what that part came to; thresholds are judged when all parts are merged.
    """
    run, stats = _evidence(scenario, driven, context, draft), driven.stats
    is_whole = context.part.is_whole
    found = (
        threshold_results(run.limits, run.total, run.endpoints, run.phases, run.timings, context.windows)
        if is_whole
        else []
    )
    doubts = caveats(run)
    validity = validity_of(doubts)
    series, by_phase = with_threads(
        _intervals(driven, draft), run.phases, Plan(run.scenario, run.duration), run.activity
    )
    return Result(
        identity=identity(scenario, context.companions),
        scenario=run.scenario if is_whole else describe(scenario),
        environment=run.environment,
        started_at=corrected(context.started_at, context),
        spans=[RunSpan(start=corrected(context.measured_at, context), length=run.duration)],
        duration=run.duration,
        outcome=_outcome(run, found, validity),
        total=run.total,
        endpoints=list(run.endpoints),
        phases=by_phase,
        timings=list(run.timings),
        thresholds=found,
        caveats=doubts,
        intervals=series,
        slowest=slow_requests(driven.recording, started=stats.measured_from),
        validity=validity,
        bottleneck=NOTHING if context.server_loss else bottleneck(run, series),
        server=context.server,
        machines=list(stats.machines) if is_whole else [this_part(run)],
    )


def _evidence(scenario: Scenario, driven: Driven, context: RunContext, draft: Draft | None) -> Evidence:
    # before the figures are made, which takes memory of its own
    machine = environment(driven)
    recording, stats = driven.recording, driven.stats
    started, duration = stats.measured_from, stats.duration
    to_times = draft.to_times if draft else times
    total, endpoints = rows(recording, duration=duration, started=started, to_times=to_times)
    return Evidence(
        scenario=describe(scenario, context.part),
        environment=machine,
        context=context,
        stats=stats,
        duration=duration,
        total=total,
        endpoints=endpoints,
        phases=phases(recording, scenario.segments, started=started, stopped=stats.stopped_at, to_times=to_times),
        timings=timings(recording, requested=stats.requested, duration=duration, started=started, to_times=to_times),
        limits=scenario.limits if context.part.is_whole else (),
        activity=_activity(scenario, stats, is_over=draft is None),
        is_over=draft is None,
    )


def _activity(scenario: Scenario, stats: RunStats, *, is_over: bool) -> Activity:
    """What its threads did, in seconds from the start of what was measured."""
    think, start = cast(Thought, scenario.think_time), stats.measured_from
    tasks = [one.tasks_per_thread for one in scenario.plans if isinstance(one, Journey)]
    return Activity(
        active=[
            ((came - start) / SECOND, (sent - start) / SECOND, (taken - start) / SECOND)
            for came, sent, taken in stats.active
        ],
        longest_pause=math.inf if callable(think) else max(longest_pause(think) / SECOND, cast(float, scenario.pacing)),
        tasks=max([1, *tasks]),
        is_bare=not any(isinstance(one, Endpoint) and one.check for one in scenario.plans),
        is_whole=is_over and not (stats.lost or stats.stuck or stats.halted),
    )


def _intervals(driven: Driven, draft: Draft | None) -> list[Interval]:
    series, duration = driven.recording.series, driven.stats.duration
    if draft is None:
        return intervals(series, duration=duration)
    return draft.to_intervals(without_gaps(series, duration), duration)


def _outcome(run: Evidence, found: Sequence[ThresholdResult], validity: Validity) -> Outcome:
    stats = run.stats
    return outcome(
        run.total,
        found,
        run.timings,
        interrupted=stats.interrupted or not run.is_over,
        is_open=run.is_open,
        is_fault=stats.is_fault or bool(stats.lost),
        is_server_lost=bool(run.context.server_loss),
        is_aborted=run.is_aborted,
        validity=validity,
    )
