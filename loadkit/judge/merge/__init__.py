"""Several results as one, exactly: counts and histograms add, nothing is averaged.

Throughput is the good replies of all parts over the time in which at least one of them was measured: parts that ran
side by side (on several machines) share their time, and parts one after the other add it up. A merged result keeps the
span of each run that is in it, with the figures that add up only where runs were at the same time: so merging some of
the parts first changes nothing. What is added up are whole numbers, for a sum of floats depends on their order.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from loadkit.judge.bottleneck import DUE_TO, NOTHING, Bottleneck
from loadkit.judge.caveats.figures import OF_FIGURES, of_figures
from loadkit.judge.description import ScenarioInfo
from loadkit.judge.environment import Environment, Server
from loadkit.judge.instants import covered, instant
from loadkit.judge.merge.sums import merged_phases, merged_rows, merged_series, merged_slowest, merged_timings
from loadkit.judge.merge.timeline import known_at_once, most_at_once, run_spans, shift, start_of, when
from loadkit.judge.parts import check_parts, in_order_of_parts, is_part, lacks_load, named, of_machines
from loadkit.judge.result import Result, RunSpan
from loadkit.judge.rows import Row, Timing
from loadkit.judge.threshold_results import Outcome, ThresholdResult, outcome, threshold_results
from loadkit.judge.validity import Caveat, Validity, ranked, validity_of
from loadkit.plan.errors import UsageError
from loadkit.plan.threshold import Threshold, threshold
from loadkit.plan.units import SECOND, nanoseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Value = TypeVar("Value")

_SETTINGS: Final = frozenset({"rate_limit", "per_host", "auto", "auto_levels"})
"""Options of a fetch that were asked for; the others were counted."""

_NAME: Final = 120


def merge(results: Sequence[Result]) -> Result:
    """One result of several of the same load, the same for any order of them, and for any of them merged before.

    Of parts of a load thresholds are judged on all of them together; where one is missing, the load was not applied.
    Raises `UsageError` when they are of different loads, and for parts that cannot be those of one run.
    """
    _check_same(results)
    check_parts(results)
    of_parts = is_part(results[0])
    if len(results) == 1 and not of_parts:
        return results[0]
    # of parts that start in the same instant the one with the lesser text is first, whatever order they were named in
    parts = sorted(results, key=lambda part: (start_of(part), msgspec.json.encode(part)))
    spans = sorted((span for part in parts for span in run_spans(part)), key=when)
    duration = covered(span.ends for span in spans) / SECOND
    scenario = _scenario(parts, spans)
    rows = [(part.total, part.endpoints, shift(part, parts)) for part in parts]
    total, endpoints = merged_rows(rows, scenario, duration)
    machines = in_order_of_parts(machine for part in parts for machine in part.machines)
    limits = _limits(parts)
    phases = merged_phases(parts, scenario)
    timings = merged_timings(parts, scenario, duration)
    found = threshold_results(limits, total, endpoints, phases, timings, _windows(parts, limits))
    # those of the parts; what rests on the figures alone is asked again of the whole
    doubts = ranked(
        [
            *_lasting(parts),
            *of_figures(total, endpoints, phases, timings, limits=limits),
            *(of_machines(machines, duration) if of_parts else ()),
        ]
    )
    validity = validity_of(doubts)
    return msgspec.structs.replace(
        parts[0],
        scenario=scenario,
        environment=_environment(parts, spans),
        started_at=min((part.started_at for part in parts), key=lambda text: (instant(text), text)),
        spans=spans,
        duration=duration,
        outcome=_outcome(parts, total, found, timings, validity),
        total=total,
        endpoints=endpoints,
        phases=phases,
        timings=timings,
        thresholds=found,
        caveats=doubts,
        slowest=merged_slowest(parts),
        intervals=merged_series(parts, spans, [row.name for row in endpoints]),
        validity=validity,
        bottleneck=_bottleneck(spans, scenario),
        server=_server(parts, spans),
        machines=machines,
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


def _limits(parts: Sequence[Result]) -> list[Threshold]:
    """The thresholds of all; parts of a load have judged none of theirs."""
    judged = [one.threshold for part in parts for one in part.thresholds if not one.implied]
    asked = [text for part in parts for text in part.scenario.thresholds if is_part(part)]
    return [threshold(text) for text in dict.fromkeys(asked or judged)]


def _outcome(
    parts: Sequence[Result],
    total: Row,
    found: Sequence[ThresholdResult],
    timings: Sequence[Timing],
    validity: Validity,
) -> Outcome:
    # some of the parts lack what others have
    outcomes = {part.outcome for part in parts if not lacks_load(part)}
    if "server-lost" in outcomes:
        return "server-lost"
    if "not-applied" in outcomes and "interrupted" not in outcomes:
        return "not-applied"
    return outcome(total, found, timings, interrupted="interrupted" in outcomes, validity=validity)


def _windows(parts: Sequence[Result], limits: Sequence[Threshold]) -> list[ThresholdResult]:
    """What each threshold that holds over a time came to in the run in which it came out worst."""
    found = []
    for limit in limits:
        if limit.over is not None:
            each = [one for part in parts for one in part.thresholds if one.threshold == limit.text]
            sign = -1 if limit.is_upper else 1
            found.append(min(each, key=lambda one: (one.passed, one.value is None, sign * (one.value or 0.0))))
    return found


def _lasting(parts: Sequence[Result]) -> list[Caveat]:
    """The caveats of the parts that merging cannot settle; of notes, whose figures differ a little, one a code."""
    found = [caveat for part in parts for caveat in named(part) if caveat.code not in OF_FIGURES]
    found.sort(key=lambda one: (one.code, one.message))
    notes = {caveat.code: caveat for caveat in reversed(found) if caveat.level == "note"}
    return [caveat for caveat in found if caveat.level != "note" or caveat == notes[caveat.code]]


# -- what they are of, and what they ran on


def _scenario(parts: Sequence[Result], spans: Sequence[RunSpan]) -> ScenarioInfo:
    """What was asked for in all: what adds up of runs at the same time, and otherwise what the first run had.

    Parts of a load say what was asked of all of them.
    """
    asked = [part.scenario.iterations for part in parts]
    iterations = [count for count in asked if count is not None]
    rate, most = known_at_once(spans, "rate"), known_at_once(spans, "max_threads")
    of_all: dict[str, Any] = {
        "base_url": ", ".join(sorted({span.base_url for span in spans if span.base_url})),
        "processes": int(most_at_once(spans, "processes")),
        "threads": int(most_at_once(spans, "threads")),
        "rate": None if rate is None else float(rate),
        "max_threads": None if most is None else int(most),
        "iterations": sum(iterations) if len(iterations) == len(asked) else None,
        "endpoints": _names(part.scenario.endpoints for part in parts),
        "journeys": _names(part.scenario.journeys for part in parts),
        "options": _options([part.scenario.options for part in parts]),
    }
    if is_part(parts[0]):
        of_all = {name: of_all[name] for name in ("base_url", "endpoints", "journeys")}
        processes = [machine.processes for part in parts for machine in part.machines]
        of_all["processes"] = sum(processes) if max(processes) > 1 else 1
    return _first([(start_of(part), msgspec.structs.replace(part.scenario, **of_all)) for part in parts])


def _bottleneck(spans: Sequence[RunSpan], scenario: ScenarioInfo) -> Bottleneck:
    """What bound each of the runs, or how many were bound by what.

    What a run says of its own threads and rate holds for the whole only where that has no more of them.
    """
    found = [span.bottleneck or NOTHING for span in spans]
    by = found[0].cause if len({one.cause for one in found}) == 1 else None
    load = (scenario.threads, scenario.max_threads, scenario.rate)
    is_load_of_each = all((span.threads, span.max_threads, span.rate) == load for span in spans)
    if is_load_of_each and len({one.sentence for one in found}) == 1:
        return Bottleneck(by, found[0].sentence)
    counts = Counter(one.cause for one in found)
    left = counts[None]
    if left == len(found):
        return Bottleneck(None, f"None of the {left:,} runs can tell by itself what bound it.")
    parts = [f"{counts[kind]:,} by {name}" for kind, name in DUE_TO.items() if counts[kind]]
    parts += [f"{left:,} by what one run cannot tell"] if left else []
    return Bottleneck(by, f"Of {len(found):,} runs, bound: {', '.join(parts)}.")


def _first(found: Sequence[tuple[int, Value]]) -> Value:
    """What the part that started first has; of those in the same instant the one whose text is less."""
    return min(found, key=lambda one: (one[0], msgspec.json.encode(one[1])))[1]


def _names(parts: Iterable[Sequence[str]]) -> list[str]:
    """All names: in the order of the longest list, then others by the alphabet."""
    lists = sorted({tuple(names) for names in parts}, key=lambda names: (-len(names), names))
    return [*lists[0], *sorted({name for names in lists[1:] for name in names} - set(lists[0]))]


def _options(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a fetch counted adds up; what was asked of it is that of all, or None where they differ."""
    names = dict.fromkeys(name for options in parts for name in sorted(options))
    found = {name: [options[name] for options in parts if name in options] for name in names}
    return {name: _same(values) if name in _SETTINGS else _added(values) for name, values in found.items()}


def _same(values: list[Any]) -> Any:
    return values[0] if all(value == values[0] for value in values) else None


def _added(values: list[Any]) -> Any:
    if all(isinstance(value, dict) for value in values):
        return _options(values)
    if all(isinstance(value, int) for value in values):
        return sum(values)
    if all(isinstance(value, int | float) for value in values):
        return sum(map(nanoseconds, values)) / SECOND
    return _same(values)


def _environment(parts: Sequence[Result], spans: Sequence[RunSpan]) -> Environment:
    """The machine of the first run, with what all of them used."""
    found = [part.environment for part in parts]
    clocks = {one.clock for one in found}
    of_all: dict[str, Any] = {
        "clock": clocks.pop() if len(clocks) == 1 else "mixed",
        "cpu_seconds": _seconds(one.cpu_seconds for one in found),
        "cpu_by_process": sorted((cpu for one in found for cpu in one.cpu_by_process), reverse=True),
        "peak_memory": int(most_at_once(spans, "peak_memory")),
    }
    return _first([(start_of(part), msgspec.structs.replace(part.environment, **of_all)) for part in parts])


def _server(parts: Sequence[Result], spans: Sequence[RunSpan]) -> Server | None:
    """Of all parts, or of none: the CPU of some would be divided by the requests of all."""
    found = [part.server for part in parts if part.server is not None]
    memory = known_at_once(spans, "server_memory")
    if len(found) < len(parts) or memory is None:
        return None
    return Server(cpu_seconds=_seconds(one.cpu_seconds for one in found), peak_memory=int(memory))


def _seconds(parts: Iterable[float]) -> float:
    return sum(map(nanoseconds, parts)) / SECOND
