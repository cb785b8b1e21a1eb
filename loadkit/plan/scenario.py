"""What is run: endpoints, threads, for how long, what must hold. A frozen value; making it does nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil, inf
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, TypedDict, Unpack, cast, overload

from loadkit.plan.arrivals import Spacing
from loadkit.plan.data import Rows
from loadkit.plan.endpoint import Endpoint
from loadkit.plan.errors import UsageError
from loadkit.plan.fields import replace_fields
from loadkit.plan.journey import Journey, function_name, wanted_parameters
from loadkit.plan.labels import MAX_LABELS, fold_path
from loadkit.plan.phases import Phase, Segment, lasting, says_rate, segments_of, threads_beside_rates
from loadkit.plan.placeholders import check_plain_headers, check_unfed
from loadkit.plan.recorded import RecordedArrivals
from loadkit.plan.redact import redacted_repr
from loadkit.plan.scenario_fields import READERS, is_application, parse_base_url
from loadkit.plan.think_time import ThinkTime
from loadkit.plan.threshold import Threshold, threshold
from loadkit.plan.units import SECOND, Duration, Rate, Size, show_span

FREE_PORT: Final = "http://127.0.0.1:0"
"""Where a server is to listen that may choose its port."""

BASE_URL: Final = "LOADKIT_BASE_URL"
"""The variable of the environment with the base URL of those scenarios to which nobody gave one."""

Processes: TypeAlias = int | Literal["auto"]
Engine: TypeAlias = Literal["auto", "loop", "threads"]

DEFAULT_DURATION = 10.0
# of threads that an open workload may grow to: two seconds of arrivals, within these
LEAST_POOL, MOST_POOL = 100, 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a scenario was loaded from, so that another process can load it again, and what it was then."""

    target: str
    """`file.py::name`, or a URL; or what `runner` knows it by, which is empty where only the `record` is replayed."""
    scenario: Scenario
    runner: str = ""
    """The module that makes it in a worker process, where no loader of files does; it has a function `run_part`."""
    record: str = ""
    """The file with what is sent in the place of its own requests, which `runner` reads."""


class ScenarioFields(TypedDict, total=False):
    """What `Scenario.replace` takes, and the fixture `load`."""

    endpoints: Sequence[Endpoint | Journey | Callable[..., Any]]
    base_url: str | None
    threads: int
    duration: Duration | None
    iterations: int | None
    iterations_per_thread: int | None
    warmup: Duration
    think_time: ThinkTime
    pacing: Duration
    rate: Rate | None
    arrivals: Spacing | RecordedArrivals
    max_threads: int | None
    phases: Sequence[Phase]
    processes: Processes
    engine: Engine
    seed: int
    thresholds: Sequence[str | Threshold]
    headers: dict[str, str]
    timeout: Duration
    graceful_stop: Duration
    verify: bool
    ca: str | Path | None
    cert: str | Path | tuple[str | Path, str | Path] | None
    body_limit: Size
    setup: Callable[..., Any] | None
    teardown: Callable[..., Any] | None
    thread_setup: Callable[..., Any] | None
    thread_feed: Rows | None
    server: Sequence[str] | str | None
    ready: str
    ready_timeout: Duration
    prepare: str | None
    keep_going: bool
    name: str | None
    description: str
    source: Source | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Endpoints, how hard they are hit, for how long, and what must hold.

    >>> browse = Scenario(base_url="http://127.0.0.1:8000", endpoints=[Endpoint("GET", "/")], threads=16)
    >>> browse.replace(duration="1m30s").duration
    90.0

    Args:
        endpoints: what is requested: `Endpoint`s, and functions of several requests (see `Journey`); those without
            `threads` of their own share the scenario's by weight.
        base_url: what relative paths are joined to; where nothing gives one, the environment's `LOADKIT_BASE_URL`.
        threads: virtual users, each with one connection of its own; each sends its next request when it has the last
            reply (a closed workload). With a `rate`, how many there are at first.
        duration: how long is measured. 10 s if neither it nor `iterations` nor `phases` is said. `phases` are made
            longer or shorter to last as long in all.
        iterations: requests and journeys in all, shared out over the threads; with `duration`, whichever ends first.
        iterations_per_thread: requests of each thread, instead.
        warmup: sent before, not counted; at the load with which the run begins.
        think_time: a pause of each thread between a reply and the next request: always as long, anything in a range
            `("1s", "3s")`, or what a function of a `random.Random` returns (seconds).
        pacing: from the start of a request to that of the thread's next one, if the reply is in by then.
        rate: arrivals a second, such as `"200/s"`: an open workload, in which requests are due by the clock whatever
            the server does.
        arrivals: `"constant"` gaps, or `"poisson"`.
        max_threads: how many threads an open workload may grow to; if not said, two seconds of arrivals, at least 100,
            at most 5,000.
        phases: the load over time: `[ramp("30s", to=50), hold("2m"), ramp("10s", to=0)]`, threads in a closed workload,
            arrivals a second in an open one.
        processes: how many processes share the threads or arrivals, for one interpreter uses one CPU; `"auto"` is as
            many as there are CPUs, less one for a target on this machine. It needs a scenario loaded from its file.
        engine: how virtual users are carried: `"threads"`, a thread of the system for each; `"loop"`, exchange loops
            for all between whose requests no code of theirs runs, and a thread for each other; `"auto"` is what
            `LOADKIT_ENGINE` of the environment says, else threads.
        seed: of all that is drawn by lot: arrivals, think times, the order of rows. The same seed, the same run.
        thresholds: limits such as `"p99 < 250ms"`, or of any so many seconds, `"p99 < 1s over 10s"`, which may end the
            run, `"p99 < 1s over 10s or abort"`; see `Threshold`. They are kept as text. Without one on errors, any
            failure fails the scenario.
        headers: sent with each request; an endpoint's own win.
        timeout: the deadline of one request in all, from the start of connecting or sending to its last byte.
        graceful_stop: how long requests in flight may take at the end before they are cut.
        verify, ca, cert: TLS: check certificates; a file (or folder) of authorities to trust instead of the system's; a
            client's certificate (a file, or certificate and key).
        body_limit: how much of a body is kept for a check to read.
        setup, teardown: called once before and once after the run, in no figure, with a `Session`; what `setup` returns
            is given to journeys as `shared`. It may be a generator: what stands behind its `yield` tears down.
        thread_setup, thread_feed: called by each thread before its first request, in no figure, with a `Session`, and
            with the next of these rows as `row`; also a generator. Journeys without a `setup` of their own get what it
            returns as `own`. What is returned by name, here, by `setup` or in the row, fills the placeholders of
            endpoints and of `headers`: `{"token": ...}` those like `"Bearer {token}"`.
        server, ready, ready_timeout: a command to start before and stop after, or an application by name
            (`"shop.app:app"`), the path that answers when it is up, and how long that may take. `{port}` in a command
            is the port of base_url; without one, or where that is 0, a free one. `{python}`, or `python` as its first
            word, is the interpreter that runs now. A port in use is refused. A `base_url` that is given later
            (`replace`, `--base-url`, `load(..., base_url=)`) takes its place: it is not started.
        prepare: a command line such as `"pip install -e ."` that sets up the environment of a revision before its
            server is started for a comparison; a virtual environment of its own is active then.
        keep_going: go on although the target cannot be reached at all.
        name: how reports call it; the variable's name in a scenario file.
        source: where the loader found it; nobody else sets it.

    Durations and sizes are text with units or numbers (seconds, bytes) and are kept as numbers.
    Raises `UsageError` for a value it cannot use, when it is made.
    """

    endpoints: Sequence[Endpoint | Journey | Callable[..., Any]]
    base_url: str | None = None
    threads: int = 10
    duration: Duration | None = None
    iterations: int | None = None
    iterations_per_thread: int | None = None
    warmup: Duration = 0.0
    think_time: ThinkTime = 0.0
    pacing: Duration = 0.0
    rate: Rate | None = None
    arrivals: Spacing | RecordedArrivals = "constant"
    max_threads: int | None = None
    phases: Sequence[Phase] = ()
    processes: Processes = 1
    engine: Engine = "auto"
    seed: int = 0
    thresholds: Sequence[str | Threshold] = ()
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    timeout: Duration = 10.0
    graceful_stop: Duration = 5.0
    verify: bool = True
    ca: str | Path | None = None
    cert: str | Path | tuple[str | Path, str | Path] | None = field(default=None, repr=False)
    body_limit: Size = 16_000_000
    setup: Callable[..., Any] | None = None
    teardown: Callable[..., Any] | None = None
    thread_setup: Callable[..., Any] | None = None
    thread_feed: Rows | None = None
    server: Sequence[str] | str | None = None
    ready: str = "/"
    ready_timeout: Duration = 30.0
    prepare: str | None = None
    keep_going: bool = False
    name: str | None = None
    description: str = ""
    source: Source | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, read in READERS.items():
            object.__setattr__(self, name, read(getattr(self, name), what=name))
        self._conclude()
        _check_placeholders(self)
        _check_journeys(self)
        _check_workload(self)
        _check_phases(self)
        _check_processes(self)
        _check_labels(self)
        _check_windows(self)

    def _conclude(self) -> None:
        """Fill in what follows from other fields."""
        keep = object.__setattr__
        if self.base_url is None and self.server and _chooses_port(self.server):
            keep(self, "base_url", FREE_PORT)
        if self.phases:
            if isinstance(self.duration, float):
                keep(self, "phases", lasting(self.phases, self.duration))
            keep(self, "duration", None)

    def __repr__(self) -> str:
        return redacted_repr(self)

    @property
    def limits(self) -> tuple[Threshold, ...]:
        """The thresholds, read."""
        return tuple(threshold(cast(str, text)) for text in self.thresholds)

    @property
    def has_values(self) -> bool:
        """True if set-ups may fill placeholders, or the row of each thread."""
        return bool(self.setup or self.thread_setup or self.thread_feed)

    @property
    def is_open(self) -> bool:
        """True if requests are due by the clock (a rate), and not when the last reply is in."""
        is_recorded = isinstance(self.arrivals, RecordedArrivals)
        return self.rate is not None or is_recorded or says_rate(self.phases)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The phases, each with its place in time and its levels; none where the load is always the same."""
        base = self.rate if self.is_open else self.threads
        assert not isinstance(base, str)
        return segments_of(self.phases, base or 0)

    @property
    def total_threads(self) -> int:
        """Threads at most: the shared ones, where an endpoint shares, and those that endpoints have of their own."""
        if self.is_open:
            return self.most_threads
        if self.phases:
            return ceil(max(max(one.first, one.last) for one in self.segments))
        own = sum(one.threads or 0 for one in self.plans)
        return own + (self.threads if any(one.threads is None for one in self.plans) else 0)

    @property
    def most_threads(self) -> int:
        """How many threads an open workload may grow to."""
        if self.max_threads is not None:
            return self.max_threads
        recorded = self.arrivals.most if isinstance(self.arrivals, RecordedArrivals) else 0
        most = recorded or max((max(one.first, one.last) for one in self.segments), default=0) or self.rate
        assert isinstance(most, int | float)
        return max(self.threads, LEAST_POOL, min(ceil(2 * most), MOST_POOL))

    @property
    def labels(self) -> tuple[str, ...]:
        """The rows of a report in the order of the endpoints, each once."""
        journeys = {one.label for one in self.plans if isinstance(one, Journey)}
        return tuple(row for row in dict.fromkeys(self.rows) if row not in journeys)

    @property
    def plans(self) -> tuple[Endpoint | Journey, ...]:
        """The endpoints and journeys."""
        return cast("tuple[Endpoint | Journey, ...]", self.endpoints)

    @property
    def journeys(self) -> tuple[Journey, ...]:
        """The journeys among the endpoints."""
        return tuple(one for one in self.plans if isinstance(one, Journey))

    @property
    def rows(self) -> tuple[str, ...]:
        """The row of each endpoint, in their order.

        Where there would be more than a report can bear, raw paths are folded: `/users/17` and `/users/18` are one.
        """
        labels = tuple(one.label for one in self.plans)
        if len(set(labels)) <= MAX_LABELS:
            return labels
        return tuple(
            one.name or (fold_path(one.label) if isinstance(one, Endpoint) else one.label) for one in self.plans
        )

    def replace(self, **changes: Unpack[ScenarioFields]) -> Scenario:
        """The same scenario with some fields changed; `UsageError` for a field there is not.

        Other `threads` or another `rate` take the place of its phases, for as long as those last in all, and
        thresholds on the phases go with them. A `base_url` takes the place of its server.
        """
        if changes.get("base_url"):
            changes = {"server": None, **changes}
        if "phases" in changes:
            changes = {"duration": None, **changes}
        elif self.phases and not {"threads", "rate"}.isdisjoint(changes):
            names = tuple(one.name for one in self.segments)
            lasting = [one.text for one in self.limits if (one.label or "").partition(": ")[0] not in names]
            span = sum(phase.duration for phase in self.phases)
            changes = {"phases": (), "duration": span, "thresholds": lasting, **changes}
        return replace_fields(self, changes)


def _chooses_port(server: Sequence[str]) -> bool:
    return is_application(server) or any("{port}" in word for word in server)


def addressed(scenario: Scenario) -> Scenario:
    """The scenario with the base URL of the environment, where nobody gave it one.

    Raises `UsageError` where a request has no host all the same.
    """
    if scenario.base_url is None and (url := os.environ.get(BASE_URL)):
        scenario = scenario.replace(base_url=parse_base_url(url, what=BASE_URL), server=scenario.server)
    relative = [one.label for one in scenario.plans if isinstance(one, Endpoint) and one.path.startswith("/")]
    if scenario.server is not None and scenario.ready.startswith("/"):
        relative.append(f"ready {scenario.ready!r}")
    if relative and scenario.base_url is None:
        whose = scenario.name or "the scenario"
        raise UsageError(
            f"{relative[0]} is relative; give {whose} a base_url like 'http://127.0.0.1:8000', or --base-url"
        )
    return scenario


def _check_placeholders(scenario: Scenario) -> None:
    """What set-ups fill is known when they have run."""
    setup = scenario.thread_setup
    if setup and not scenario.thread_feed and "row" in wanted_parameters(setup, what="thread_setup"):
        raise UsageError("thread_setup takes a row and has no feed; write thread_feed=rows('users.csv')")
    if scenario.has_values:
        return
    for one in scenario.plans:
        if isinstance(one, Endpoint) and one.feed is None:
            check_unfed(one)
    check_plain_headers(scenario.headers, whose="the scenario")


def _check_workload(scenario: Scenario) -> None:
    if scenario.iterations is not None and scenario.iterations_per_thread is not None:
        raise UsageError("iterations are those of the run and iterations_per_thread those of each thread; give one")
    if scenario.think_time and scenario.pacing:
        raise UsageError("think_time and pacing both say when a thread sends its next request; give one")
    if isinstance(scenario.arrivals, RecordedArrivals):
        _check_recorded(scenario)
    if scenario.is_open:
        _check_open(scenario)
    elif scenario.max_threads is not None or scenario.arrivals != "constant":
        what = "max_threads" if scenario.max_threads is not None else "arrivals"
        raise UsageError(f"{what} belongs to an open workload; give it a rate like '200/s'")


def _check_journeys(scenario: Scenario) -> None:
    for one in scenario.journeys:
        if one.tasks_per_thread > 1 and one.threads is None and len(scenario.plans) > 1:
            raise UsageError(f"{one.label} has tasks_per_thread beside other endpoints; give it threads of its own")


def _check_open(scenario: Scenario) -> None:
    for what in ("think_time", "pacing", "iterations_per_thread"):
        if getattr(scenario, what):
            raise UsageError(f"{what} belongs to a closed workload; with a rate, requests are due by the clock")
    for one in scenario.plans:
        if one.threads is not None:
            raise UsageError(f"{one.label} has threads of its own; with a rate, give it a weight")
        if isinstance(one, Journey) and one.tasks_per_thread > 1:
            raise UsageError(
                f"{one.label} has tasks_per_thread; with a rate, each is started when it is due: leave it out"
            )


def _check_recorded(scenario: Scenario) -> None:
    for what in ("rate", "phases", "iterations", "warmup"):
        if getattr(scenario, what):
            raise UsageError(f"{what} and recorded arrivals both say when requests are due; give one")


def _check_phases(scenario: Scenario) -> None:
    if not scenario.phases:
        return
    mixed = threads_beside_rates(scenario.phases) if scenario.rate is None else None
    if mixed is not None:
        raise UsageError(
            f"the phases have {mixed:g} threads beside a rate; write all of them like '{mixed:g}/s', or none"
        )
    segments, what = scenario.segments, "rate" if scenario.is_open else "threads"
    if not any(one.first or one.last for one in segments):
        raise UsageError(f"the phases never have any {what}; say how many, like ramp('30s', to=50)")
    if scenario.iterations is not None or scenario.iterations_per_thread is not None:
        raise UsageError("phases end by the clock; leave the iterations out")
    if scenario.warmup and not segments[0].first:
        raise UsageError("warmup is at the load with which the phases begin, and that is 0; begin with a hold")
    if scenario.is_open:
        return
    for plan in scenario.plans:
        if plan.threads is not None:
            raise UsageError(f"{plan.label} has threads of its own, which phases do not change; give it a weight")
    for one in segments:
        if one.last != int(one.last) or one.first != int(one.first):
            raise UsageError(
                f"{one.name} has {one.first:g} to {one.last:g} threads; give whole numbers, or a rate like '2.5/s'"
            )


def _check_processes(scenario: Scenario) -> None:
    processes = scenario.processes
    if processes == "auto":
        return
    if processes > scenario.total_threads:
        threads = "thread" if scenario.total_threads == 1 else "threads"
        raise UsageError(
            f"{processes:,} processes cannot share {scenario.total_threads:,} {threads}; "
            "give each one at least, or use fewer processes"
        )


def _check_labels(scenario: Scenario) -> None:
    phases = [one.name for one in scenario.segments]
    if scenario.journeys:
        # what a journey requests is known when it has done so
        return
    for limit in scenario.limits:
        if limit.label is None or limit.label in (*scenario.labels, *phases):
            continue
        phase, separator, label = limit.label.partition(": ")
        if not separator or phase not in phases or label not in scenario.labels:
            known = ", ".join(repr(name) for name in (*scenario.labels, *phases))
            what = "endpoint or phase" if phases else "endpoint"
            raise UsageError(f"the threshold {limit.text!r} names no {what} of the scenario; there are {known}")


def _check_windows(scenario: Scenario) -> None:
    """A threshold that holds over a time needs a run, or a phase, that lasts as long."""
    phases = {one.name: one for one in scenario.segments}
    for limit in scenario.limits:
        name = (limit.label or "").partition(": ")[0]
        if name in phases and limit.label not in scenario.labels:
            what, room = f"the phase {name!r}", _whole_seconds(phases[name])
        elif phases:
            what, room = "the run", sum(phase.duration for phase in scenario.phases)
        elif scenario.duration is None and scenario.iterations is None and scenario.iterations_per_thread is None:
            what, room = "the run", DEFAULT_DURATION
        else:
            what, room = "the run", cast("float | None", scenario.duration) or inf
        if limit.over is not None and cast(float, limit.over) > room:
            over = show_span(cast(float, limit.over))
            raise UsageError(
                f"the threshold {limit.text!r} is about {over}, and {what} lasts {show_span(room)}; "
                f"let it last longer, or write the threshold over less than that"
            )


def _whole_seconds(segment: Segment) -> float:
    """How many of the seconds of a run lie in a phase as a whole."""
    return float(max(0, segment.end // SECOND - -(-segment.start // SECOND)))


@overload
def scenario(function: Callable[..., Any], /) -> Scenario:
    """With what a scenario has if nothing is said."""


@overload
def scenario(**fields: Any) -> Callable[[Callable[..., Any]], Scenario]:
    """With these fields."""


def scenario(function: Any = None, /, **fields: Any) -> Any:
    """Make a function a scenario of one journey; `fields` are those of `Scenario`.

    >>> @scenario(threads=10, duration="30s", base_url="http://127.0.0.1:8000")
    ... def buy(http):
    ...     http.get("/items/7").raise_for_status()

    Nothing is registered: the name now stands for a `Scenario`. Raises `UsageError` as `Scenario` does.
    """

    if "endpoints" in fields:
        raise UsageError("@scenario makes a scenario of the function below it; for several write Scenario(endpoints=…)")

    def make(function: Callable[..., Any]) -> Scenario:
        if not callable(function) or isinstance(function, type):
            raise UsageError(f"@scenario takes a function like def buy(http): ..., not {function!r}")
        summary = (getattr(function, "__doc__", None) or "").strip().partition("\n")[0]
        given: dict[str, Any] = {"name": function_name(function), "description": summary} | fields
        return Scenario(endpoints=[function], **given)

    return make if function is None else make(function)
