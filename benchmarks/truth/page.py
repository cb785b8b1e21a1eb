"""The results as a page of Markdown: machine, ratios, exact answers, targets, the wire's own figures."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import machine, nginx
from benchmarks.report import Target, table, targets_table
from benchmarks.truth.cases import Case
from benchmarks.truth.exact import PERCENTS
from benchmarks.truth.measure import Results, Run
from benchmarks.truth.tools import Tool

TOLERANCE = 0.15
RESOLUTION = 10e-6  # seconds: what a call of the kernel takes is in the tool's figure and not on the wire
RESPONSE_TOLERANCE = 0.03
# Few connections and long delays: what a request waits for the server's core is next to nothing there.
UNHURRIED = "closed-4-delays"
JUDGE_TOLERANCE = 0.05
OURS = "loadkit"


def page(tools: Sequence[Tool], cases: Sequence[Case], results: Results, notes: Sequence[str]) -> str:
    measured = [tool for tool in tools if any((case.name, tool.name) in results.runs for case in cases)]
    stalled = [case for case in cases if case.is_answered_exactly]
    parts = [
        machine.described() + ".",
        *notes,
        "Reported service time divided by the wire's, p50 / p90 / p99:",
        _ratios(measured, cases, results),
        "Reported response time under a stall divided by the exact answer, p50 / p90 / p99:",
        _responses(measured, stalled, results),
        targets_table([_judge_target(results), _service_target(cases, results), _response_target(stalled, results)]),
        "On the wire:",
        _wires(measured, cases, results),
        *_left_out(results),
        "Versions: " + _versions(measured) + ".",
    ]
    return "\n\n".join(part for part in parts if part)


def within(reported: float, true: float, tolerance: float, resolution: float = 0.0) -> bool:
    """Whether a figure is as near to the true one as was asked."""
    return abs(reported - true) <= max(tolerance * true, resolution)


def outside(run: Run) -> int:
    """How many percentiles of service time are too far from the wire."""
    pairs = [(run.reported.service[percent], run.wire[percent]) for percent in PERCENTS]
    return sum(not within(*pair, TOLERANCE, RESOLUTION) for pair in pairs)


def _ratios(tools: Sequence[Tool], cases: Sequence[Case], results: Results) -> str:
    rows = []
    for case in cases:
        runs = [results.runs.get((case.name, tool.name)) for tool in tools]
        rows.append([case.name, *(_against_the_wire(run) for run in runs)])
    return table(["case", *(tool.name for tool in tools)], rows)


def _against_the_wire(run: Run | None) -> str:
    if not run:
        return "-"
    return _quotients(run.reported.service, run.wire) + ("" if outside(run) else " ok")


def _responses(tools: Sequence[Tool], cases: Sequence[Case], results: Results) -> str:
    head = ["case", "tool", "plan sent", "exact, ms", "its figure", "reported, ms", "reported / exact"]
    rows = []
    for case in cases:
        runs = {tool.name: results.runs.get((case.name, tool.name)) for tool in tools}
        rows += [[case.name, name, *_response(run, answer(run, results, case))] for name, run in runs.items() if run]
    return table(head, rows) if rows else "(no such case was measured)"


def _response(run: Run, true: dict[int, float]) -> list[str]:
    reported = response_reported(run)
    own = "" if run.response else " (loadkit's run)"
    ratios = _quotients(reported, true) if true else "-"
    kind = "response time" if run.reported.response else "its only time"
    return [f"{run.sent:.1%}", _times(true) + (own if true else ""), kind, _times(reported), ratios]


def response_reported(run: Run) -> dict[int, float]:
    """What a user would take for the response time: where a tool has one time only, that."""
    return run.reported.response or run.reported.service


def answer(run: Run, results: Results, case: Case) -> dict[int, float]:
    """The exact answer of the run itself, or when it did not send its plan, of the run of loadkit, which did."""
    ours = results.runs.get((case.name, OURS))
    return run.response or (ours.response if ours else {})


def _wires(tools: Sequence[Tool], cases: Sequence[Case], results: Results) -> str:
    head = ["case", "tool", "requests", "own count", "service time, ms", "reported, ms", "noted by the server, ms"]
    pairs = [(case.name, tool.name) for case in cases for tool in tools]
    return table(head, [[*pair, *_wire(results.runs[pair])] for pair in pairs if pair in results.runs])


def _wire(run: Run) -> list[str]:
    own = f"{run.reported.requests / run.requests - 1:+.2%}"
    return [f"{run.requests:,}", own, _times(run.wire), _times(run.reported.service), _times(run.noted)]


def _judge_target(results: Results) -> Target:
    """The capture against what the server itself noted: two clocks at two ends of the same delay."""
    runs = [run for (case, _), run in results.runs.items() if case == UNHURRIED]
    apart = [abs(run.wire[percent] / run.noted[percent] - 1) for run in runs for percent in PERCENTS]
    return Target(
        claim=f"judge: the wire within 5 % of the delays the server noted, all tools in {UNHURRIED}",
        limit=JUDGE_TOLERANCE * 100,
        figure=max(apart) * 100 if apart else None,
        unit=" %",
        reason="no such run",
    )


def _service_target(cases: Sequence[Case], results: Results) -> Target:
    runs = _ours(cases, results)
    return Target(
        claim="loadkit: p50, p90 and p99 of service time within 15 % or 10 us of the wire",
        limit=0,
        figure=sum(map(outside, runs)) if runs else None,
        unit=f" of {len(runs) * len(PERCENTS)} outside",
        reason="no run of loadkit",
    )


def _response_target(cases: Sequence[Case], results: Results) -> Target:
    runs = [run for run in _ours(cases, results) if run.response]
    pairs = [(run.reported.response[percent], run.response[percent]) for run in runs for percent in PERCENTS]
    return Target(
        claim="loadkit: p50, p90 and p99 of response time under a stall within 3 % of the exact answer",
        limit=0,
        figure=sum(not within(*pair, RESPONSE_TOLERANCE) for pair in pairs) if runs else None,
        unit=f" of {len(pairs)} outside",
        reason="no run of loadkit that sent its plan",
    )


def _ours(cases: Sequence[Case], results: Results) -> list[Run]:
    return [results.runs[case.name, OURS] for case in cases if (case.name, OURS) in results.runs]


def _left_out(results: Results) -> list[str]:
    lines = [f"Left out: {name}, because {reason}." for name, reason in results.skipped.items()]
    exits = [
        f"{tool} in {case} ended with exit code {run.code}." for (case, tool), run in results.runs.items() if run.code
    ]
    return lines + exits


def _versions(tools: Sequence[Tool]) -> str:
    # both users of Locust are one tool
    known = {tool.name.partition("-")[0]: tool for tool in tools}
    versions = {"nginx": nginx.version()} | {name: tool.version() for name, tool in known.items()}
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _quotients(reported: dict[int, float], true: dict[int, float]) -> str:
    return " / ".join(_short(reported[percent] / true[percent]) for percent in PERCENTS)


def _short(number: float) -> str:
    return f"{number:.2f}" if number < 9.995 else f"{number:,.0f}"


def _times(figures: dict[int, float]) -> str:
    return " / ".join(f"{figures[percent] * 1000:.3f}" for percent in PERCENTS) if figures else "-"
