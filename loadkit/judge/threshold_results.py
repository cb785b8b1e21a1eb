"""Thresholds held against a result: each with its value, and what the run comes to."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

import msgspec

from loadkit.judge.rows import Phase, Row, Timing, journeys_among
from loadkit.judge.times import Times
from loadkit.judge.validity import Validity
from loadkit.plan.labels import is_hop, without_origin
from loadkit.plan.threshold import Threshold, threshold

if TYPE_CHECKING:
    from collections.abc import Sequence

Outcome = Literal["passed", "failed", "interrupted", "not-applied", "server-lost"]
"""`failed`: a threshold was missed. `not-applied`: the load asked for was not put on the target. `server-lost`: the
server that loadkit had started for the run ended during it, or before it."""

NO_FAILURES = threshold("error_rate == 0%")
"""What must hold where a scenario says nothing of errors."""

EXIT_CODES: dict[Outcome, int] = {"passed": 0, "failed": 1, "interrupted": 2, "not-applied": 6, "server-lost": 1}


class ThresholdResult(msgspec.Struct, frozen=True, kw_only=True):
    """A threshold and how it came out; `value` is None where nothing was measured, which never passes."""

    threshold: str
    passed: bool
    value: float | None
    shown: str
    """The value as a person reads it: `212 ms`, `0.31 %`."""
    implied: bool = False
    """Not asked for: nothing was said of errors, and then none may happen."""
    at: float | None = None
    """Of one that holds over so many seconds: when the worst of them ended, seconds from the start of what is measured.

    Then it may have passed although its value does not: chance explains that.
    """
    aborted: bool = False
    """It was missed, and the run was ended for that."""


def threshold_results(
    limits: Sequence[Threshold],
    total: Row,
    endpoints: Sequence[Row],
    phases: Sequence[Phase] = (),
    timings: Sequence[Timing] = (),
    windows: Sequence[ThresholdResult] = (),
) -> list[ThresholdResult]:
    """Each threshold with its value. Without one on errors, any failure fails, of a journey too.

    A threshold may name an endpoint, a journey, step or timer, a phase, or an endpoint in a phase
    (`hold: GET /search: p99 < 100ms`). `windows` are those that hold over a time, which are judged while a run goes on.
    """
    named = by_name(endpoints, phases, timings)
    journeys = journeys_among(timings)
    own = expanded([limit for limit in limits if limit.over is None], total, timings)
    over_a_time = [limit for limit in limits if limit.over is not None]

    def result(limit: Threshold, *, implied: bool) -> ThresholdResult:
        return held(limit, total if limit.label is None else named.get(limit.label), implied=implied)

    return [
        *(result(limit, implied=False) for limit in own),
        *windows,
        *(result(limit, implied=True) for limit in _unsaid([*own, *over_a_time], total, endpoints, journeys)),
    ]


def _unsaid(
    limits: Sequence[Threshold], total: Row, endpoints: Sequence[Row], journeys: Sequence[Timing]
) -> list[Threshold]:
    """No failures: in all, or where only some endpoints have a limit on them, of each of the others.

    A limit on those of everything, which counts requests, holds for each journey that failed, too.
    """
    said = {limit.label for limit in limits if limit.limits_errors}
    if None in said:
        return of_journeys(limits, journeys)
    if not said:
        # a journey that requests nothing itself, but by a client of its own, is limited alone
        alone = not total.requests and journeys
        names = [one.name for one in journeys if one.failures or alone]
        return [*([] if alone else [NO_FAILURES]), *_of_each(NO_FAILURES, names)]
    rows: list[Row | Timing] = [*endpoints, *journeys]
    return _of_each(
        NO_FAILURES, [row.name for row in rows if row.name not in said and row.requests and not is_hop(row.name)]
    )


MIN_APPLIED = 0.95
"""The share of what was due below which a load counts as not applied."""


def outcome(
    total: Row,
    found: Sequence[ThresholdResult],
    timings: Sequence[Timing] = (),
    *,
    interrupted: bool,
    is_open: bool = False,
    is_fault: bool = False,
    is_server_lost: bool = False,
    is_aborted: bool = False,
    validity: Validity = "clean",
) -> Outcome:
    """What a run comes to; without a good reply, or anything timed that came through, none passes.

    Nor does one in which journeys were begun and none of them ever ended, whatever they requested and timed.

    A load was not applied when nothing was sent or begun at all, when the plan broke off (`is_fault`), in an open
    workload when fewer requests were sent, or journeys begun, than `MIN_APPLIED` of those that were due, or when the
    figures are invalid for another reason. The two are not added up: the requests that journeys make themselves would
    hide the journeys that never began. Whatever was measured, a run whose server ended (`is_server_lost`) is that. One
    that was ended for a threshold (`is_aborted`) has failed, also where a server that stalls kept requests from being
    sent.
    """
    if is_server_lost:
        return "server-lost"
    if interrupted:
        return "interrupted"
    journeys = journeys_among(timings)
    sent, begun = total.requests + total.cut, sum(one.count + one.cut for one in journeys)
    lacking = _lacks(sent, total.unsent) or _lacks(begun, sum(one.unsent for one in journeys))
    if not (sent or begun) or is_fault or (is_open and lacking and not is_aborted) or validity == "invalid":
        return "not-applied"
    worked = total.response_time.count or any(one.response_time.count for one in timings)
    worked = worked and not never_finished(timings)
    return "passed" if worked and all(one.passed for one in found) else "failed"


def never_finished(timings: Sequence[Timing]) -> bool:
    """Journeys were begun, and none of them ended, well or not."""
    return bool(unfinished(timings)) and not any(one.count for one in journeys_among(timings))


def unfinished(timings: Sequence[Timing]) -> list[Timing]:
    """The journeys that were begun, and never ended."""
    return [one for one in journeys_among(timings) if one.cut and not one.count]


def _lacks(begun: int, unsent: int) -> bool:
    return begun < MIN_APPLIED * (begun + unsent)


def held(limit: Threshold, row: Row | Timing | None, *, implied: bool = False) -> ThresholdResult:
    """What comes of a threshold on a row, which is None where nothing has the name that it gives."""
    value = None if row is None else _figure(row, limit)
    # what journeys request and time is not known before they do: a misspelt name is found here
    shown = limit.show(value) if row is not None else "nothing has that name"
    return ThresholdResult(threshold=limit.text, passed=limit.passes(value), value=value, shown=shown, implied=implied)


def _figure(row: Row | Timing, limit: Threshold) -> float | None:
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
    if limit.percentile is not None:
        return measured.percentile(limit.percentile)
    return float(value) if (value := getattr(measured, limit.metric)) is not None else None


def by_name(
    endpoints: Sequence[Row], phases: Sequence[Phase] = (), timings: Sequence[Timing] = ()
) -> dict[str, Row | Timing]:
    """What a threshold may name: an endpoint, a phase, a journey, step or timer, or an endpoint in a phase.

    An endpoint in a phase is named like `hold: GET /search`. What stands first here wins where two have one name. One
    of a whole URL is named by its path, too, where no other has that.
    """
    named: dict[str, Row | Timing] = {f"{phase.name}: {row.name}": row for phase in phases for row in phase.endpoints}
    named |= {one.name: one for one in reversed(timings)}
    named |= {phase.name: phase.total for phase in phases}
    named |= {row.name: row for row in endpoints}
    paths = Counter(without_origin(row.name) for row in endpoints)
    short = {path: row for row in endpoints if paths[path := without_origin(row.name)] == 1}
    return named | {path: row for path, row in short.items() if path not in named}


def expanded(limits: Sequence[Threshold], total: Row, timings: Sequence[Timing]) -> list[Threshold]:
    """The limits; where nothing but journeys was requested, each on the errors of everything becomes one a journey."""
    journeys = [one.name for one in journeys_among(timings)]
    if total.requests or not journeys:
        return list(limits)
    return [
        one
        for limit in limits
        for one in (_of_each(limit, journeys) if limit.limits_errors and limit.label is None else [limit])
    ]


def _of_each(limit: Threshold, names: Sequence[str]) -> list[Threshold]:
    return [limit.named(name) for name in names]


def of_journeys(limits: Sequence[Threshold], timings: Sequence[Timing]) -> list[Threshold]:
    """What limits on the errors of everything, which count requests, mean for the journeys that failed.

    A journey may fail although all its requests were answered well; one with a limit of its own is left to that.
    """
    own = {limit.label for limit in limits if limit.limits_errors}
    failed = [one.name for one in journeys_among(timings) if one.failures and one.name not in own]
    everything = [limit for limit in limits if limit.limits_errors and limit.label is None and limit.over is None]
    return [one for limit in everything for one in _of_each(limit, failed)]
