"""The figures of a result, as they are stored: of endpoints, journeys, steps and timers, phases and intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from loadkit.judge.instants import Span
from loadkit.judge.times import Times
from loadkit.plan.units import show_count, show_seconds
from loadkit.wire.failed_reply import FailedReply

Kind = Literal["journey", "step", "timer"]


KINDS: Final[tuple[Kind, ...]] = ("journey", "step", "timer")
"""What is timed beside requests, in the order of reports."""


class FailureExample(msgspec.Struct, frozen=True, kw_only=True):
    """One reason why requests failed, and how often it did."""

    kind: str
    message: str
    count: int
    first_at: float
    """Seconds from the start of the run."""
    reply: FailedReply | None = None
    """The first reply that failed so; None where none came, or its body was not kept."""


class SlowRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One of the requests that took longest, with a good reply; times are seconds."""

    method: str
    url: str
    """As it was filled; secrets in it are masked."""
    status: int
    at: float
    """When it was due, from the start of the run."""
    response_time: float
    service_time: float
    endpoint: str
    """The name of its row."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What rows, timings and results have in common: the figures of their response time."""

    if TYPE_CHECKING:

        @property
        def response_time(self) -> Times:
            """From due to the last byte, of good replies; seconds."""

    @property
    def p50(self) -> float:
        """The median of the response time, seconds; like all of these NaN, which passes no comparison, without one."""
        return _number(self.response_time.p50)

    @property
    def p90(self) -> float:
        """The 90th percentile of the response time, seconds."""
        return _number(self.response_time.p90)

    @property
    def p95(self) -> float:
        """The 95th percentile of the response time, seconds."""
        return _number(self.response_time.p95)

    @property
    def p99(self) -> float:
        """The 99th percentile of the response time, seconds."""
        return _number(self.response_time.p99)

    def percentile(self, percent: float) -> float:
        """Any percentile of the response time, seconds; `UsageError` outside of (0, 100]."""
        __tracebackhide__ = True
        return _number(self.response_time.percentile(percent))

    @property
    def mean(self) -> float:
        """The mean of the response time, seconds."""
        return _number(self.response_time.mean)


class Row(Figures, frozen=True, kw_only=True):
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
    connect_time: Times | None = None
    """Of each connection that was made, those before the start among them: until TCP had it, without the lookup of the
    name; None if none was made, or by a client that does not say."""
    tls_time: Times | None = None
    """Of each TLS handshake; None if there was none."""
    first_byte_time: Times | None = None
    """From the sending to the first piece of good replies that came in several; None where each came in one, and its
    service time is the time to its first byte."""

    def __repr__(self) -> str:
        return f"<Row {self.name}: {show_count(self.requests, 'request')}, p99 {show_seconds(self.response_time.p99)}>"


class Timing(Figures, frozen=True, kw_only=True):
    """What is known of something that is no request: a journey, a step of one, or what a timer measured.

    `throughput` is those that came through, a second. `response_time` is from the instant it was due, which for a step
    or a timer is when it began. `drained` ended after the stop, and are not in the throughput; `cut` never did, and
    `unsent` were due and never began: they are in no other figure.
    """

    kind: Kind
    name: str
    count: int
    throughput: float
    error_rate: float
    failures: dict[str, int]
    """By kind: `check` is an assertion, anything else the type of what was raised."""
    examples: list[FailureExample]
    drained: int
    cut: int
    unsent: int = 0
    response_time: Times
    service_time: Times
    failure_time: Times
    endpoints: list[str] = []
    """Of a journey, the rows of the requests that were seen within it; those of other journeys may be in them, too."""

    @property
    def requests(self) -> int:
        """How often it ended, well or not: what the threshold `requests` limits."""
        return self.count


class IntervalRow(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint, or the total, within one interval: its requests by when they were taken."""

    name: str
    requests: int
    failures: int
    response_time: Times


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A slice of the series, one second long, or 2, 4, 8 … in long runs."""

    start: float
    """Seconds from the start of what is measured, to the second in a merged result."""
    length: float
    measured: float
    """Seconds of it that were measured: less than its length where a run began or stopped within it."""
    threads: float | None = None
    """Threads that were active, the mean; None where it is not known."""
    asked: float | None = None
    """Threads that the plan had, the mean, or arrivals a second in an open workload; None where it is not known."""
    total: IntervalRow
    endpoints: list[IntervalRow]


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a run with its own figures, which are of the requests that were due in it."""

    name: str
    start: float
    """Seconds from the start of what is measured."""
    length: float
    """Seconds that were measured."""
    threads: float | None = None
    """Threads that were active, the mean; None in an open workload and where it is not known."""
    asked: float | None = None
    """Threads that the plan had, the mean, or arrivals a second in an open workload; None where it is not known."""
    total: Row
    endpoints: list[Row] = []
    spans: list[Span] = []
    """When it was in each run of a merged result; in one run its start and length say it."""


def journeys_among(timings: Sequence[Timing]) -> list[Timing]:
    """Those of journeys, without the steps and timers."""
    return [one for one in timings if one.kind == "journey"]


def _number(figure: float | None) -> float:
    return math.nan if figure is None else figure
