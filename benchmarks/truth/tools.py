"""The tools that are compared: how each is asked for a case, and what it reports of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.cost.peers import K6, LOCUST, loadkit_missing, locust_missing
from benchmarks.cost.probe import found_on_path, python_package, says
from benchmarks.process import LOADKIT
from benchmarks.truth.cases import Case
from benchmarks.truth.exact import PERCENTS

HEY_WORKERS = 50
LOCUST_USERS = 100
# what loadkit and k6 begin an open workload with; more are added when they are needed
FIRST = 100
NOT_APPLIED = 6

K6_SCRIPT = """
import http from 'k6/http';
export const options = {options};
export default function () {{ http.get('{url}'); }}
"""
LOADKIT_SCENARIO = """
from itertools import count
from loadkit import Endpoint, Scenario, rows

numbered = Scenario(endpoints=[Endpoint("GET", "{url}?n={{n}}", feed=rows({{"n": n}} for n in count()))])
"""
LOCUSTFILE = """
from locust import FastHttpUser, HttpUser, constant_throughput, task

class Http(HttpUser):
    {wait}
    @task
    def home(self):
        self.client.get("/")

class Fast(FastHttpUser):
    {wait}
    @task
    def home(self):
        self.client.get("/")
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One run that is asked of a tool; the folder is a temporary one for its files."""

    case: Case
    url: str
    seconds: int
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What a tool says: how many requests, and percentiles in seconds; `response` only if it tells them apart."""

    requests: int
    service: dict[int, float]
    response: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool.

    `command` gives the words to start it (and writes what files it needs), `reported` reads its figures,
    `missing` says why it cannot run here, or nothing.
    """

    name: str
    command: Callable[[Asked], Sequence[str | Path]]
    reported: Callable[[Asked, str], Reported]
    missing: Callable[[Path], str]
    version: Callable[[], str]
    has_open: bool = True
    accepted: tuple[int, ...] = (0,)
    """Exit codes with which its figures are still worth a look."""


def loadkit_command(asked: Asked) -> list[str | Path]:
    result = asked.folder / "loadkit.json"
    result.unlink(missing_ok=True)
    case = asked.case
    target, load = asked.url, ["--threads", str(case.connections)]
    if case.rate:
        load = ["--rate", f"{case.rate}/s", "--threads", str(FIRST), "--max-threads", str(case.most)]
    if case.is_answered_exactly:
        scenario = asked.folder / "numbered.py"
        scenario.write_text(LOADKIT_SCENARIO.format(url=asked.url))
        target = str(scenario)
    return [*LOADKIT, "run", target, *load, "--duration", f"{asked.seconds}s", "--quiet", "--output", result]


def loadkit_reported(asked: Asked, _output: str) -> Reported:
    total = json.loads((asked.folder / "loadkit.json").read_text())["results"][0]["total"]
    times = [
        {percent: total[name][f"p{percent}"] for percent in PERCENTS} for name in ("service_time", "response_time")
    ]
    return Reported(requests=total["requests"], service=times[0], response=times[1] if asked.case.rate else {})


def wrk_command(asked: Asked) -> list[str | Path]:
    return ["wrk", "-t1", f"-c{asked.case.connections}", f"-d{asked.seconds}s", "--latency", asked.url]


def wrk_reported(_asked: Asked, output: str) -> Reported:
    units = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
    lines = re.findall(r"^ +(\d+)% +([\d.]+)(us|ms|s|m)$", output, re.MULTILINE)
    found = {int(percent): float(value) * units[unit] for percent, value, unit in lines}
    return Reported(requests=_number(r"(\d+) requests in", output), service=_wanted(found))


def hey_command(asked: Asked) -> list[str | Path]:
    case = asked.case
    # -q is a rate for each worker
    load = (
        ["-c", str(HEY_WORKERS), "-q", f"{case.rate / HEY_WORKERS:g}"] if case.rate else ["-c", str(case.connections)]
    )
    return ["hey", "-z", f"{asked.seconds}s", *load, asked.url]


def hey_reported(_asked: Asked, output: str) -> Reported:
    lines = re.findall(r"^ +(\d+)%+ in ([\d.]+) secs$", output, re.MULTILINE)
    found = {int(percent): float(value) for percent, value in lines}
    return Reported(requests=_number(r"\[200\]\s+(\d+) responses", output), service=_wanted(found))


def k6_command(asked: Asked) -> list[str | Path]:
    script, summary = asked.folder / "script.js", asked.folder / "k6.json"
    script.write_text(K6_SCRIPT.format(options=json.dumps(_k6_options(asked)), url=asked.url))
    summary.unlink(missing_ok=True)
    # --no-usage-report: nothing here talks to anything but loopback
    return [K6, "run", "--no-usage-report", "--quiet", "--summary-export", summary, script]


def _k6_options(asked: Asked) -> dict[str, object]:
    case = asked.case
    duration = {"duration": f"{asked.seconds}s"}
    load: dict[str, object] = {"executor": "constant-vus", "vus": case.connections, **duration}
    if case.rate:
        load = {"executor": "constant-arrival-rate", "rate": case.rate, "timeUnit": "1s", **duration}
        load |= {"preAllocatedVUs": FIRST, "maxVUs": case.most}
    return {"scenarios": {"load": load}, "summaryTrendStats": [f"p({percent})" for percent in PERCENTS]}


def k6_reported(asked: Asked, _output: str) -> Reported:
    metrics = json.loads((asked.folder / "k6.json").read_text())["metrics"]
    times = metrics["http_req_duration"]
    service = {percent: times[f"p({percent})"] / 1000 for percent in PERCENTS}
    return Reported(requests=metrics["http_reqs"]["count"], service=service)


def locust_command(kind: str) -> Callable[[Asked], list[str | Path]]:
    def command(asked: Asked) -> list[str | Path]:
        case, locustfile = asked.case, asked.folder / "locustfile.py"
        users = str(LOCUST_USERS if case.rate else case.connections)
        wait = f"wait_time = constant_throughput({case.rate / LOCUST_USERS:g})" if case.rate else ""
        locustfile.write_text(LOCUSTFILE.format(wait=wait))
        load = ["--users", users, "--spawn-rate", users, "--run-time", f"{asked.seconds}s"]
        quiet = ["--headless", "--only-summary"]
        return [LOCUST, "--locustfile", locustfile, "--host", asked.url.rstrip("/"), *quiet, *load, kind]

    return command


def locust_reported(_asked: Asked, output: str) -> Reported:
    """From the table at its end: its CSV files lack the last second of a run."""
    table = output.rpartition("Response time percentiles")[2].splitlines()
    head = next(line.split() for line in table if "# reqs" in line)
    row = next(line.split() for line in table if line.split()[:1] == ["Aggregated"])
    # "Type Name 50% ... 100% # reqs" above "Aggregated 6 ... 20 280"
    values = dict(zip(head[2:], row[1:], strict=False))
    service = {percent: float(values[f"{percent}%"]) / 1000 for percent in PERCENTS}
    return Reported(requests=int(row[-1]), service=service)


def _number(pattern: str, output: str) -> int:
    found = re.search(pattern, output)
    if not found:
        raise ValueError(f"nothing like {pattern!r} in its output")
    return int(found[1])


def _wanted(found: dict[int, float]) -> dict[int, float]:
    return {percent: found[percent] for percent in PERCENTS}


loadkit = Tool(
    name="loadkit",
    command=loadkit_command,
    reported=loadkit_reported,
    missing=loadkit_missing,
    version=python_package("pytest-loadkit"),
    accepted=(0, NOT_APPLIED),
)
wrk = Tool(
    name="wrk",
    command=wrk_command,
    reported=wrk_reported,
    missing=found_on_path("wrk"),
    version=says(["wrk", "-v"], r"wrk (\S+)"),
    has_open=False,
)
hey = Tool(
    name="hey",
    command=hey_command,
    reported=hey_reported,
    missing=found_on_path("hey"),
    # hey does not know its own version; Debian does
    version=says(["sh", "-c", "dpkg-query --show hey || echo hey ?"], r"hey\s+(\S+)"),
)
k6 = Tool(
    name="k6",
    command=k6_command,
    reported=k6_reported,
    missing=found_on_path(K6),
    version=says([K6, "version"], r"k6\S* (v\S+)"),
)
locust_fast = Tool(
    name="locust-fast",
    command=locust_command("Fast"),
    reported=locust_reported,
    missing=locust_missing,
    version=says([str(LOCUST), "--version"], r"locust (\S+)"),
)
locust_http = Tool(
    name="locust-http",
    command=locust_command("Http"),
    reported=locust_reported,
    missing=locust_missing,
    version=locust_fast.version,
)

TOOLS = [loadkit, wrk, hey, k6, locust_fast, locust_http]
