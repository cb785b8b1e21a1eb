"""The result of a run as it is stored, shown and asserted on: plain data, one schema, one version."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from loadkit.judge.confidence import CONFIDENCE, percentile_interval
from loadkit.measure.histogram import Histogram
from loadkit.plan.errors import UsageError
from loadkit.plan.threshold import Threshold, threshold
from loadkit.plan.units import SECOND, show_seconds

VERSION: Final = 2

Kind = Literal["journey", "step", "timer"]
KINDS: Final[tuple[Kind, ...]] = ("journey", "step", "timer")
"""What is timed beside requests, in the order of reports."""

Outcome = Literal["passed", "failed", "interrupted", "not-applied", "server-lost"]
"""`failed`: a threshold was missed. `not-applied`: the load asked for was not put on the target. `server-lost`: the
server that loadkit had started for the run ended during it, or before it."""

Level = Literal["grave", "doubt", "note"]
"""What a caveat means for the figures. `grave`: they are of another load than was asked for, or of a part of it.
`doubt`: some of them may be wrong. `note`: they are right, and there is something to know about them."""

Validity = Literal["clean", "doubtful", "invalid"]
"""How far to believe the figures: as far as the gravest caveat lets them be. Notes leave them clean."""

Cause = Literal["server", "generator", "rate", "connections"]
"""What kept a run from doing more. `rate` is the plan's own pace: its arrivals, or the pauses of its threads."""


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

    @property
    def histogram(self) -> Histogram:
        """The histogram behind the figures; `UsageError` when a file they come from holds another or none."""
        try:
            made = Histogram.decode(self.hdr)
        except ValueError as error:
            raise UsageError(f"a stored histogram cannot be read: {error}") from None
        if made.count != self.count:
            raise UsageError(f"a stored histogram holds {made.count:,} values, and {self.count:,} is said of it")
        made.restore(_nanoseconds(self.min), _nanoseconds(self.max), self.sum_ns)
        return made

    def percentile(self, percent: float) -> float | None:
        """Any percentile in seconds, None where nothing was measured; `UsageError` outside of (0, 100]."""
        __tracebackhide__ = True
        try:
            return seconds(self.histogram.percentile(percent))
        except (ValueError, TypeError):
            raise UsageError(f"a percentile is above 0 and at most 100, like 99.9, not {percent!r}") from None

    def interval(self, percent: float, confidence: float = CONFIDENCE) -> tuple[float | None, float | None]:
        """Between which times, in seconds, a percentile truly is, as surely as `confidence`; see `judge.quantile`.

        None on the side where there are too few replies to say. Raises `UsageError` for a percentile outside of
        (0, 100] and for a confidence outside of (0, 1).
        """
        __tracebackhide__ = True
        try:
            low, high = percentile_interval(self.histogram, percent, confidence)
        except (ValueError, TypeError) as error:
            raise UsageError(str(error)) from None
        return seconds(low), seconds(high)


class FailureExample(msgspec.Struct, frozen=True, kw_only=True):
    """One reason why requests failed, and how often it did."""

    kind: str
    message: str
    count: int
    first_at: float
    """Seconds from the start of the run."""


class _Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What rows of requests and of timings have in common: the figures of their response time."""

    if TYPE_CHECKING:
        response_time: Times

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


class Row(_Figures, frozen=True, kw_only=True):
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

    def __repr__(self) -> str:
        return f"<Row {self.name}: {self.requests:,} requests, p99 {show_seconds(self.response_time.p99)}>"

    def figure(self, limit: Threshold) -> float | None:
        """The value a threshold is about, in seconds, requests a second, a share of 1 or a count.

        None where nothing was measured: nothing was sent, or for a time, nothing came back well.
        """
        return _figure(self, limit)


class Timing(_Figures, frozen=True, kw_only=True):
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

    @property
    def requests(self) -> int:
        """How often it ended, well or not: what the threshold `requests` limits."""
        return self.count

    def figure(self, limit: Threshold) -> float | None:
        """The value a threshold is about, as of a `Row`; `throughput` is of those that came through."""
        return _figure(self, limit)


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


class ThresholdResult(msgspec.Struct, frozen=True, kw_only=True):
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
    level: Level = "doubt"


class Bottleneck(msgspec.Struct, frozen=True):
    """What kept a run from doing more."""

    cause: Cause | None = None
    """None where one run cannot tell."""
    sentence: str = ""
    """The same with its figures, or with what would tell; empty of short runs and where the server ended."""


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A time on the wall clock."""

    start: str
    """UTC, ISO 8601."""
    length: float
    """Seconds."""


class RunSpan(Span, frozen=True, kw_only=True):
    """When a run was measured; in a merged result also what of it adds up only with runs at the same time.

    All but the time is None in the result of one run, which says it elsewhere.
    """

    base_url: str | None = None
    processes: int | None = None
    threads: int | None = None
    max_threads: int | None = None
    rate: float | None = None
    peak_memory: int | None = None
    server_memory: int | None = None
    interval: float | None = None
    """How long the intervals of its series were."""
    bottleneck: Bottleneck | None = None


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
    host: str = ""
    processor: str = ""
    allowed_cpus: int = 0
    """CPUs that this process may use; 0 where it is not known, like the memory."""
    memory: int = 0
    """Bytes, of the machine."""


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """What the server under test used, where loadkit started it and the system tells (Linux)."""

    cpu_seconds: float
    """CPU time of its processes while requests were measured."""
    peak_memory: int
    """Bytes, the largest resident size of its processes together that was seen, a few times a second."""


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
    journeys: list[str] = []
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


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What a result is of: results are merged, and compared, where both are the same."""

    name: str
    """`scenarios/shop.py::browse` from the root of its project, a test's id in pytest, or the request of a bare URL."""
    plan: str
    """A digest of what was asked for: endpoints, load, thresholds, and what else makes figures comparable.

    Neither the `base_url` nor what code does is in it.
    """


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """All that a run found: what every report is made from, and what `--output` stores."""

    identity: Identity
    scenario: ScenarioInfo
    environment: Environment
    started_at: str
    """UTC, ISO 8601."""
    spans: list[RunSpan]
    """When it was measured, a span for each run that is in it."""
    duration: float
    """Seconds that were measured by at least one run: from the end of the warm-up to the stop (or the last reply)."""
    outcome: Outcome
    total: Row
    endpoints: list[Row]
    phases: list[Phase] = []
    timings: list[Timing] = []
    """Journeys, steps and timers; none of them is counted as a request."""
    thresholds: list[ThresholdResult] = []
    caveats: list[Caveat] = []
    intervals: list[Interval] = []
    validity: Validity = "clean"
    """How far to believe the figures; `invalid` is never passed."""
    bottleneck: Bottleneck = Bottleneck()
    """What kept the run from doing more."""
    server: Server | None = None

    @property
    def title(self) -> str:
        """What it is of: `scenarios/shop.py::browse`, a test's id, or a URL."""
        return self.identity.name if "::" in self.identity.name else self.scenario.name

    def __repr__(self) -> str:
        p99 = show_seconds(self.total.response_time.p99)
        return f"<Result {self.scenario.name}: {self.outcome}, {self.requests:,} requests, p99 {p99}>"

    def __getitem__(self, name: str) -> Row:
        """An endpoint's row by its label; `KeyError` naming those there are."""
        __tracebackhide__ = True
        for row in self.endpoints:
            if row.name == name:
                return row
        if any(one.name == name for one in self.timings):
            raise KeyError(f"{name!r} is no endpoint but a journey, step or timer; write result.timing({name!r})")
        raise KeyError(f"{name!r} is no endpoint of this result; there are {[row.name for row in self.endpoints]}")

    def timing(self, name: str) -> Timing:
        """A journey, step or timer by its name; `KeyError` naming those there are."""
        for one in self.timings:
            if one.name == name:
                return one
        raise KeyError(f"{name!r} is no journey, step or timer; there are {[one.name for one in self.timings]}")

    @property
    def passed(self) -> bool:
        """True if the load was applied, something came through, and every threshold held."""
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

    @property
    def lateness(self) -> Times:
        """How late the generator sent, after a request was due; seconds."""
        return self.total.lateness

    @property
    def pickup(self) -> Times:
        """How long good replies waited for the generator to read them; seconds."""
        return self.total.pickup

    @property
    def p50(self) -> float:
        """The median of the response time, seconds; like all of these NaN, which passes no comparison, without one."""
        return self.total.p50

    @property
    def p90(self) -> float:
        """The 90th percentile of the response time, seconds."""
        return self.total.p90

    @property
    def p95(self) -> float:
        """The 95th percentile of the response time, seconds."""
        return self.total.p95

    @property
    def p99(self) -> float:
        """The 99th percentile of the response time, seconds."""
        return self.total.p99

    def percentile(self, percent: float) -> float:
        """Any percentile of the response time, seconds; `UsageError` outside of (0, 100]."""
        __tracebackhide__ = True
        return self.total.percentile(percent)

    @property
    def mean(self) -> float:
        """The mean of the response time, seconds."""
        return self.total.mean

    def check(self, *limits: str) -> list[ThresholdResult]:
        """Hold thresholds against the result: all of them, and fail once with the result of each.

        >>> result.check("p99 < 250ms", "throughput > 500/s", "GET /search: error_rate < 1%")

        Returns the results. Raises `AssertionError` when one is missed, and `UsageError` for text that cannot be read
        or names nothing in the result. Only what is asked is checked: failures are, where a limit is on them, and then
        those of each journey, too.
        """
        __tracebackhide__ = True
        if not limits:
            raise UsageError("check takes limits like check('p99 < 250ms', 'throughput > 500/s')")
        try:
            asked = expanded([threshold(limit) for limit in limits], self.total, self.timings)
            found = [self._held(limit) for limit in [*asked, *of_journeys(asked, self.timings)]]
        except UsageError as error:
            # from here, so that pytest shows the line of the test and not ours
            raise UsageError(str(error)) from None
        if missed := [one for one in found if not one.passed]:
            tail = f"({self.scenario.name}: {len(missed)} of {len(found)} limits missed)"
            raise AssertionError("\n".join(map(_printable, [*_listed(found), tail])))
        return found

    def _held(self, limit: Threshold) -> ThresholdResult:
        value = self._limited(limit).figure(limit)
        return ThresholdResult(threshold=limit.text, passed=limit.passes(value), value=value, shown=limit.show(value))

    def _limited(self, limit: Threshold) -> Row | Timing:
        if limit.label is None:
            return self.total
        named = by_name(self.endpoints, self.phases, self.timings)
        if limit.label not in named:
            known = ", ".join(map(repr, named)) or "none"
            raise UsageError(f"the threshold {limit.text!r} names nothing in the result; there are {known}")
        return named[limit.label]


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A file of results."""

    version: Literal[2]
    results: list[Result]


def by_name(
    endpoints: Sequence[Row], phases: Sequence[Phase] = (), timings: Sequence[Timing] = ()
) -> dict[str, Row | Timing]:
    """What a threshold may name: an endpoint, a phase, a journey, step or timer, or an endpoint in a phase.

    An endpoint in a phase is named like `hold: GET /search`. What stands first here wins where two have one name.
    """
    named: dict[str, Row | Timing] = {f"{phase.name}: {row.name}": row for phase in phases for row in phase.endpoints}
    named |= {one.name: one for one in reversed(timings)}
    named |= {phase.name: phase.total for phase in phases}
    return named | {row.name: row for row in endpoints}


def journeys_among(timings: Sequence[Timing]) -> list[Timing]:
    """Those of journeys, without the steps and timers."""
    return [one for one in timings if one.kind == "journey"]


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
    return [replace(limit, label=name, text=f"{name}: {limit.text}") for name in names]


def of_journeys(limits: Sequence[Threshold], timings: Sequence[Timing]) -> list[Threshold]:
    """What limits on the errors of everything, which count requests, mean for the journeys that failed.

    A journey may fail although all its requests were answered well; one with a limit of its own is left to that.
    """
    own = {limit.label for limit in limits if limit.limits_errors}
    failed = [one.name for one in journeys_among(timings) if one.failures and one.name not in own]
    everything = [limit for limit in limits if limit.limits_errors and limit.label is None]
    return [one for limit in everything for one in _of_each(limit, failed)]


def _figure(row: Row | Timing, limit: Threshold) -> float | None:
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


def _listed(found: list[ThresholdResult]) -> list[str]:
    """A line each; those that were missed come first, for of a long message only the first line may be shown."""
    room = max(len(one.threshold) for one in found)
    return [
        f"{'met   ' if one.passed else 'MISSED'}  {one.threshold:{room}}  {one.shown}"
        for one in sorted(found, key=lambda one: one.passed)
    ]


def _printable(line: str) -> str:
    """A name is the user's own, and an assertion puts it on a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)


def _number(figure: float | None) -> float:
    return math.nan if figure is None else figure


def seconds(nanoseconds: int | None) -> float | None:
    """Nanoseconds as seconds; None stays None."""
    return None if nanoseconds is None else nanoseconds / SECOND


def _nanoseconds(seconds: float | None) -> int:
    return 0 if seconds is None else round(seconds * SECOND)
