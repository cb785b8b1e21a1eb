"""The result of a run as it is stored, shown and asserted on: plain data, one schema, one version."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from loadkit.plan.units import show_seconds

VERSION: Final = 1

PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9)

Outcome = Literal["passed", "failed", "interrupted", "not_applied"]
"""`failed`: a threshold was missed. `not_applied`: the load asked for was not put on the target."""


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """How long something took, over many requests; seconds, `None` where nothing was measured.

    Percentiles are the smallest value of which at least that share of the requests was not above
    (rank rounded up), from the histogram, with its three digits; `min`, `mean` and `max` are exact.
    `hdr` is the standard compressed HdrHistogram text, in nanoseconds; `sum_ns` keeps merging exact.
    """

    count: int
    sum_ns: int
    min: float | None
    mean: float | None
    p50: float | None
    p75: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    p99_9: float | None
    max: float | None
    hdr: str

    def __repr__(self) -> str:
        return f"<Times of {self.count:,}: p50 {show_seconds(self.p50)}, p99 {show_seconds(self.p99)}>"


class FailureExample(msgspec.Struct, frozen=True, kw_only=True):
    """One reason why requests failed, and how often it did."""

    kind: str
    message: str
    count: int
    first_at: float
    """Seconds from the start of the run."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one endpoint, or of all of them together.

    `requests == sum(statuses) + sum(failures)`: each request is counted once. `statuses` are those of good
    replies; the status of a reply that failed its expectation is in `failed_statuses` beside its failure.
    `throughput` is good replies a second that came before the stop; `drained` came after it. `unsent` and
    `cut` are neither requests nor failures. `response_time` and its fellows are of good replies only,
    `failure_time` is of the others.
    """

    name: str
    requests: int
    throughput: float
    error_rate: float
    statuses: dict[int, int]
    failures: dict[str, int]
    failed_statuses: dict[int, int]
    examples: list[FailureExample]
    drained: int
    unsent: int
    cut: int
    connects: int
    reconnects: int
    connect_seconds: float
    bytes_sent: int
    bytes_received: int
    response_time: Times
    service_time: Times
    lateness: Times
    pickup: Times
    failure_time: Times


class IntervalRow(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint, or the total, within one interval: its requests by when they were taken."""

    name: str
    requests: int
    failures: int
    response_time: Times


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A slice of the series, one second long, or 2, 4, 8 … in long runs."""

    start: float
    """Seconds from the start of what is measured."""
    length: float
    total: IntervalRow
    endpoints: list[IntervalRow]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """A threshold and how it came out; `value` is None where nothing was measured, which never passes."""

    threshold: str
    passed: bool
    value: float | None
    shown: str
    """The value as a person reads it: `212 ms`, `0.31 %`."""
    implied: bool = False
    """Not asked for: nothing was said of errors, and then none may happen."""


class Caveat(msgspec.Struct, frozen=True, kw_only=True):
    """A reason to doubt the figures: a short code to look for, and a sentence with the figure and what to do."""

    code: str
    message: str


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a run with its own figures, which are of the requests that were due in it."""

    name: str
    start: float
    """Seconds from the start of what is measured."""
    length: float
    total: Row
    endpoints: list[Row] = []


class PhasePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for in a phase: the load at its start and at its end, threads or arrivals a second."""

    name: str
    duration: float
    start: float
    end: float


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """The machine and the programs that made the figures."""

    loadkit: str
    python: str
    system: str
    machine: str
    cpu_count: int
    transport: str
    clock: str
    """`kernel`: arrivals stamped by the kernel; `own`: by our own clock; `mixed`: some of each."""
    cpu_seconds: float
    """CPU time of the generator while it measured."""
    peak_memory: int
    """Bytes, the generator's largest resident size; of several processes, their sum."""
    cpu_by_process: list[float] = []
    """CPU seconds of each worker process, where there were any; the total has them, and those of who merged."""


class ScenarioInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, as text and numbers, without secrets."""

    name: str
    description: str
    base_url: str
    threads: int
    duration: float | None
    iterations: int | None
    rate: float | None
    """Arrivals a second, the mean where phases change it; None in a closed workload."""
    warmup: float
    think_time: str
    """As a person writes it: `500ms`, `1s to 3s`; empty where there is none."""
    timeout: float
    transport: str
    verify: bool
    endpoints: list[str]
    arrivals: str | None = None
    """`constant` or `poisson`; None in a closed workload."""
    max_threads: int | None = None
    iterations_per_thread: int | None = None
    pacing: float = 0.0
    phases: list[PhasePlan] = []
    processes: int | Literal["auto"] = 1
    """How many shared the load; `auto` is a number in a result."""
    seed: int = 0
    options: dict[str, Any] = {}


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """All that a run found: what every report is made from, and what `--output` stores."""

    version: Literal[1] = VERSION
    scenario: ScenarioInfo
    environment: Environment
    started_at: str
    """UTC, ISO 8601."""
    duration: float
    """Seconds that were measured: from the end of the warm-up to the stop (or the last reply)."""
    outcome: Outcome
    total: Row
    endpoints: list[Row]
    phases: list[Phase] = []
    thresholds: list[Verdict] = []
    caveats: list[Caveat] = []
    intervals: list[Interval] = []

    def __repr__(self) -> str:
        p99 = show_seconds(self.total.response_time.p99)
        return f"<Result {self.scenario.name}: {self.outcome}, {self.requests:,} requests, p99 {p99}>"

    def __getitem__(self, name: str) -> Row:
        """An endpoint's row by its label; `KeyError` naming those there are."""
        for row in self.endpoints:
            if row.name == name:
                return row
        raise KeyError(f"{name!r} is no endpoint of this result; there are {[row.name for row in self.endpoints]}")

    @property
    def passed(self) -> bool:
        """Whether the load was applied and every threshold held."""
        return self.outcome == "passed"

    @property
    def requests(self) -> int:
        """Requests that ended, well or not."""
        return self.total.requests

    @property
    def throughput(self) -> float:
        """Good replies a second."""
        return self.total.throughput

    @property
    def error_rate(self) -> float:
        """The share of requests that failed, 0 to 1."""
        return self.total.error_rate

    @property
    def statuses(self) -> dict[int, int]:
        """How many good replies had which status."""
        return self.total.statuses

    @property
    def failures(self) -> dict[str, int]:
        """How many requests failed, by kind."""
        return self.total.failures

    @property
    def response_time(self) -> Times:
        """From due to the last byte, of good replies; seconds."""
        return self.total.response_time

    @property
    def service_time(self) -> Times:
        """From the first byte sent to the last byte, of good replies; seconds."""
        return self.total.service_time
