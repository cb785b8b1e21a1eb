"""Sentences about a run for any report: its load, target, start and outcome, and what its figures mean."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, cast

from loadkit.judge.description import ScenarioInfo
from loadkit.judge.parts import PARTS_LACK, is_part
from loadkit.judge.result import Result
from loadkit.judge.threshold_results import ThresholdResult, never_finished
from loadkit.judge.validity import Level, Validity
from loadkit.plan.recorded import RECORDED
from loadkit.plan.threshold import threshold
from loadkit.plan.units import show_count, show_rate, show_span
from loadkit.report.figures import show_time
from loadkit.report.machines import describe_machines, describe_missing
from loadkit.report.table import Tone

TONES: Final[dict[Validity, Tone]] = {"clean": "good", "doubtful": "doubt", "invalid": "bad"}
CAVEAT_TONES: Final[dict[Level, Tone]] = {"grave": "bad", "doubt": "doubt", "note": ""}

PARTIAL: Final = "partial"
"""The caveat of what was written while the run went on."""

_TIMES: Final = (
    "response time: from the instant a request was due to its last byte; service time: from the sending of its first "
    "byte; lateness (sent after due) and pickup (read after arrival) are the generator's own. "
    "Percentiles are of good replies"
)
_CLOCKS: Final = {
    "kernel": "arrivals are stamped by the kernel",
    "own": "arrivals are stamped by loadkit's own clock, which is late when threads have to wait for each other",
    "mixed": "some arrivals are stamped by the kernel, others by loadkit's own clock",
}


def describe_run(result: Result) -> str:
    """The load, the start, and the number of runs that were merged, or the parts of it."""
    count = len(result.spans)
    merged = describe_machines(result.machines) or (f"merged from {count:,} runs" if count > 1 else "")
    return "; ".join(filter(None, [describe_load(result.scenario), f"started {_when(result.started_at)}", merged]))


def describe_load(scenario: ScenarioInfo) -> str:
    """The load of a scenario on one line: `16 threads, 30s, closed`."""
    parts = [
        _load(scenario) + _processes(scenario),
        "" if scenario.iterations is None else show_count(scenario.iterations, "iteration"),
        f"{show_count(scenario.iterations_per_thread, 'iteration')} a thread"
        if scenario.iterations_per_thread is not None
        else "",
        f"{show_span(scenario.duration)}{_phases(scenario)}" if scenario.duration is not None else "",
        _kind(scenario),
        f"after {show_span(scenario.warmup)} of warm-up" if scenario.warmup else "",
        f"{scenario.think_time} to think" if scenario.think_time else "",
        f"one request every {show_span(scenario.pacing)} a thread" if scenario.pacing else "",
    ]
    return ", ".join(part for part in parts if part)


def _load(scenario: ScenarioInfo) -> str:
    if scenario.rate is None:
        return show_count(scenario.threads, "thread")
    spacing = f" in {scenario.arrivals} arrivals" if scenario.arrivals not in (None, "constant") else ""
    mean = " in the mean" if scenario.phases or scenario.arrivals == RECORDED else ""
    return f"{show_rate(scenario.rate)} asked{mean}{spacing}"


def _processes(scenario: ScenarioInfo) -> str:
    if scenario.processes == "auto":
        return " in as many processes as there are CPUs for"
    return f" in {scenario.processes:,} processes" if scenario.processes > 1 else ""


def _kind(scenario: ScenarioInfo) -> str:
    if scenario.rate is None:
        return "closed"
    return f"open on up to {show_count(scenario.max_threads, 'thread')}" if scenario.max_threads is not None else "open"


def _phases(scenario: ScenarioInfo) -> str:
    """The load over time: `0 to 50 in 30s, 50 for 2m`."""
    parts = [
        f"{one.start:g} for {show_span(one.duration)}"
        if one.start == one.end
        else f"{one.start:g} to {one.end:g} {f'in {show_span(one.duration)}' if one.duration else 'at once'}"
        for one in scenario.phases
    ]
    return f" ({', '.join(parts)})" if parts else ""


def describe_target(scenario: ScenarioInfo) -> str:
    """The base URL, and whether certificates were not verified; empty if neither is known."""
    # without a base URL each endpoint has its own, in its name
    parts = (scenario.base_url, "" if scenario.verify else "certificates not verified")
    return ", ".join(part for part in parts if part)


def _when(started_at: str) -> str:
    """When a run started, in UTC."""
    try:
        at = datetime.fromisoformat(started_at)
    except ValueError:
        return started_at
    # a time without a zone is UTC by contract
    utc = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return f"{utc:%Y-%m-%d %H:%M:%S} UTC"


def is_partial(result: Result) -> bool:
    """True of what was written while the run went on."""
    return any(one.code == PARTIAL for one in result.caveats)


def describe_outcome(result: Result, *, is_live: bool = False) -> tuple[str, str, Tone]:
    """The outcome of a run: a word, the rest of the sentence, and the tone of both.

    Where the report `is_live`, what was written while the run went on is how that stands.
    """
    if aborted := next((one for one in result.thresholds if one.aborted and result.outcome == "failed"), None):
        return "ABORTED", f" after {show_time(result.duration)}: {_missed_over(aborted)}", "bad"
    limits = [one for one in result.thresholds if not one.implied]
    missed, all_of_them = sum(not one.passed for one in limits), len(limits)
    so_far = sum(not one.passed and one.value is not None for one in limits)
    of_them = f"{missed} of {all_of_them} thresholds" if all_of_them > 1 else "its only threshold"
    if result.outcome == "passed" and is_part(result):
        return "DONE", ": thresholds are judged when all parts are merged by loadkit report", "good"
    if result.outcome == "passed":
        none = f"no {'request' if result.requests else 'journey'} failed"
        implied = len(result.thresholds) > all_of_them
        met = f" {_each(all_of_them)}{f', and {none}' * implied}"
        return "PASSED", met if all_of_them else f": {none}", "good"
    if result.outcome == "interrupted":
        of_those = f", {so_far} of {all_of_them} thresholds missed so far" if so_far else ""
        word, joint = ("RUNNING", "for") if is_live and is_partial(result) else ("INTERRUPTED", "after")
        return word, f" {joint} {show_time(result.duration)}{of_those}", "doubt"
    if result.outcome == "server-lost":
        return "SERVER LOST", ": the server that loadkit started ended", "bad"
    if result.outcome == "not-applied" and any(one.code in PARTS_LACK for one in result.caveats):
        return "NOT APPLIED", f": {describe_missing(result.machines)}", "bad"
    if result.outcome == "not-applied":
        return "NOT APPLIED", ": the load asked for was not put on the target", "bad"
    if missed:
        return "FAILED", f" {of_them}", "bad"
    return "FAILED", _failed(result), "bad"


def _missed_over(one: ThresholdResult) -> str:
    """What ended the run: `p99 over 10s was 1.4 s from 2 to 12 s (limit 1 s)`."""
    limit = threshold(one.threshold)
    over, bound = show_span(cast(float, limit.over)), limit.show(limit.limit)
    whose = f"{limit.label}: " if limit.label else ""
    return f"{whose}{limit.metric} over {over} was {one.shown} (limit {bound})"


def _failed(result: Result) -> str:
    if never_finished(result.timings):
        return ": no journey ever came to its end"
    if not result.failures and any(one.failures for one in result.timings):
        return ": journeys failed"
    return ": requests failed" if result.total.statuses else ": not one good reply"


def is_believable(result: Result) -> bool:
    """False for a run without one good reply, whose figures nobody has to believe or doubt."""
    return bool(result.total.response_time.count) or result.validity != "clean"


def _each(count: int) -> str:
    return f"all {count} thresholds" if count > 1 else "its only threshold"


def describe_times(result: Result) -> str:
    """The definitions of the times in the report, for "response time" differs from tool to tool."""
    if not result.total.response_time.count:
        return ""
    return f"{_TIMES}; {_CLOCKS[clock]}." if (clock := result.environment.clock) in _CLOCKS else f"{_TIMES}."
