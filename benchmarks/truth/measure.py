"""Runs each tool through each case, with a fresh server and a capture of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import process
from benchmarks.process import Failed
from benchmarks.truth import servers
from benchmarks.truth.capture import Capture, Gaps, capturing, read
from benchmarks.truth.cases import Case
from benchmarks.truth.exact import PERCENTS, percentiles, response_times, service_times
from benchmarks.truth.servers import Server
from benchmarks.truth.tools import Asked, Reported, Tool

GRACE = 30  # seconds a run may take longer than asked before it is stopped
SENT_ALL = 0.999


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: what the tool says, what the wire says, and what the server noted; seconds.

    `response` is the exact answer of an open plan, and there only when all of the plan was sent.
    """

    reported: Reported
    requests: int
    wire: dict[int, float]
    sent: float
    response: dict[int, float]
    noted: dict[int, float]
    code: int


@dataclass(slots=True)
class Results:
    """Runs by case and tool; and for those that failed, the reason."""

    runs: dict[tuple[str, str], Run] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def drop(self, name: str, reason: str) -> None:
        self.skipped[name] = reason
        print(f"  {name:34} left out: {reason}", file=sys.stderr)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where the tools run: the servers on one core, the tools on another; the capture shares the servers'."""

    folder: Path
    server_core: int
    client_core: int
    seconds: dict[str, int]

    def compare(self, tools: Sequence[Tool], cases: Sequence[Case]) -> Results:
        results = Results()
        for tool in tools:
            if reason := tool.missing(self.folder):
                results.drop(tool.name, reason)
        for case in cases:
            print(case.name, file=sys.stderr)
            for tool in tools:
                if tool.name not in results.skipped and (tool.has_open or not case.rate):
                    self._measure(tool, case, results)
        return results

    def _measure(self, tool: Tool, case: Case, results: Results) -> None:
        try:
            run = self._sound_run(tool, case)
        except Failed as failure:
            results.drop(f"{tool.name} in {case.name}", str(failure))
            return
        results.runs[case.name, tool.name] = run
        ratios = " ".join(f"{run.reported.service[percent] / run.wire[percent]:8.3f}" for percent in PERCENTS)
        print(f"  {tool.name:12} {run.requests:9,} on the wire, reported / wire: {ratios}", file=sys.stderr)

    def _sound_run(self, tool: Tool, case: Case) -> Run:
        try:
            return self._run(tool, case)
        except Gaps as gaps:
            print(f"  {tool.name:12} once more: {gaps}", file=sys.stderr)
            return self._run(tool, case)

    def _run(self, tool: Tool, case: Case) -> Run:
        file = self.folder / "lo.pcap"
        seconds = self.seconds[case.server]
        with servers.running(case.server, self.folder, core=self.server_core) as server:
            asked = Asked(case=case, url=server.url, seconds=seconds, folder=self.folder)
            command = tool.command(asked)
            with capturing(server.port, file, core=self.server_core):
                output, code = self._end_of(command, tool, seconds)
        capture = read(file, server.port)
        file.unlink()
        _see_that_all_is_there(capture, server.answered)
        return compared(_reported(tool, asked, output), capture, asked, server, code)

    def _end_of(self, command: Sequence[str | Path], tool: Tool, seconds: int) -> tuple[str, int]:
        limit = seconds + GRACE
        ended = process.run(command, core=self.client_core, limit=limit, folder=self.folder, accepted=tool.accepted)
        return ended.output, ended.code


def compared(reported: Reported, capture: Capture, asked: Asked, server: Server, code: int) -> Run:
    """What the tool said beside what the capture and the server know."""
    rate, found = asked.case.rate, capture.exchanges
    sent = len(found) / (rate * asked.seconds) if rate else 1.0
    return Run(
        reported=reported,
        requests=len(found),
        wire=percentiles(service_times(found)),
        noted=percentiles(server.delays) if server.delays else {},
        sent=sent,
        response=percentiles(response_times(found, rate)) if rate and sent >= SENT_ALL else {},
        code=code,
    )


def _reported(tool: Tool, asked: Asked, output: str) -> Reported:
    try:
        return tool.reported(asked, output)
    except (OSError, ValueError, KeyError, StopIteration) as error:
        raise Failed(f"its figures cannot be read: {error!r}") from error


def _see_that_all_is_there(capture: Capture, answered: int) -> None:
    """As many exchanges as the server answered; one a connection may have been cut by the tool's end."""
    seen = len(capture.exchanges)
    if not seen:
        raise Failed("no request came")
    if abs(seen - answered) > capture.connections:
        raise Gaps(f"{seen:,} exchanges were captured, and the server answered {answered:,}")
