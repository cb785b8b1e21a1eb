"""Run a scenario and say what was found: the whole way from a plan to a result."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, cast

from loadkit.clock import SystemClock
from loadkit.drive.director import drive
from loadkit.drive.processes.director import drive_processes, orders_for, with_shared
from loadkit.drive.stats import Driven
from loadkit.host.limits import check_ports
from loadkit.host.listening import is_held_here
from loadkit.host.locality import is_here, is_public
from loadkit.host.machine import allowed_cpus, peak_memory
from loadkit.jobs.interrupts import Interrupts
from loadkit.jobs.loop import check_loop
from loadkit.jobs.redirects import redirects
from loadkit.judge.activity import Activity, Plan, with_threads
from loadkit.judge.bottleneck import NOTHING, bound
from loadkit.judge.caveats import caveats, soundness
from loadkit.judge.environment import environment
from loadkit.judge.evidence import Load
from loadkit.judge.identity import identity
from loadkit.judge.instants import later
from loadkit.judge.result import Environment, Interval, PhasePlan, Result, Row, RunSpan, ScenarioInfo, Server, Timing
from loadkit.judge.summary import intervals, phases, rows, times, timings, without_gaps
from loadkit.judge.thresholds import outcome, verdicts
from loadkit.plan.endpoint import Endpoint, bare
from loadkit.plan.errors import SetupError, UsageError
from loadkit.plan.journey import Journey
from loadkit.plan.redact import masked
from loadkit.plan.scenario import FREE_PORT, Scenario, check_addresses, is_application
from loadkit.plan.think_time import Thought, longest, told
from loadkit.plan.units import SECOND
from loadkit.plan.workload import Open, workload
from loadkit.server.serving import (
    application_command,
    application_environment,
    filled,
    free_port,
    started_servers,
)
from loadkit.server.start import Place, ServerProcess, check_free, place_of, running
from loadkit.server.usage import Watched
from loadkit.wire.base import Clock, Origin, Request, Wire
from loadkit.wire.encode import encode, origin_of
from loadkit.wire.sockets import SocketWire

if TYPE_CHECKING:
    from pathlib import Path

    from loadkit.drive.progress import Watcher
    from loadkit.jobs.partial import Draft, Partial

PROBE: Final = 2.0
"""Seconds for a handshake with a server that answered nothing."""


def run(
    scenario: Scenario,
    *,
    watch: Watcher | None = None,
    interrupts: Callable[[], int] | None = None,
    partial: Partial | None = None,
    clock: SystemClock | None = None,
) -> Result:
    """Run a scenario and return what was found.

    >>> result = run(Scenario(endpoints=[Endpoint("GET", "http://127.0.0.1:8000/")], duration="5s"))
    >>> result.throughput, result.response_time.p99

    Args:
        scenario: what to run.
        watch: called a few times a second with a `Snapshot`.
        interrupts: tells how often the user asked to stop; by default SIGINT and SIGTERM are counted while it runs.
        partial: writes every second or few what was counted so far, for the case that this process is killed.
        clock: what times it; by default the clock of the system.

    Raises `UsageError` before anything is sent for what cannot work: a host that does not resolve, a certificate
    that is not trusted, a server that does not come up or whose port is in use, one in the event loop that this call
    would block, too few file descriptors; and `SetupError`, which is one, where a set-up fails.
    """
    check_addresses(scenario)
    check_loop(scenario, call="run")
    clock = clock or SystemClock()
    scenario = _placed(scenario)
    requests = [encode(one, scenario) if isinstance(one, Endpoint) else None for one in scenario.plans]
    wire = SocketWire(clock, scenario)
    origins = dict.fromkeys(request.origin for request in requests if request)
    if scenario.journeys and scenario.base_url:
        origins |= {origin_of(scenario.base_url)[0]: None}
    for origin in origins:
        wire.resolve(origin)
    processes = process_count(scenario, list(origins))
    scenario = scenario.replace(processes=processes)
    # what cannot be told to other processes is said before a server is started
    orders = orders_for(scenario, processes) if processes > 1 else []
    if orders and any(not origin.unix for origin in origins):
        # each looks whether there are local ports for its own part, and they share those of the machine
        check_ports(scenario.total_threads)
    with Interrupts() if interrupts is None else nullcontext(interrupts) as asked, _server(scenario, wire) as own:
        for origin in origins:
            _check_trust(scenario, wire, origin)
        faults: list[str] = []
        servers = started_servers([(origin.host, origin.port) for origin in origins])
        watched = Watched([*servers, *([own] if own else [])], clock.now, watch)
        is_this_process = any(is_held_here(place_of(origin).listeners()) for origin in origins)
        with shared_by(scenario, faults) as shared:
            started, began = datetime.now(UTC).isoformat(timespec="milliseconds"), clock.now()
            watched.note()

            def ends() -> int:
                return max(asked(), watched.is_lost())

            def made(driven: Driven, draft: Draft | None = None, loss: str = "") -> Result:
                used = watched.between(driven.stats.measured_from, driven.stats.stopped_at)
                server = _Target(use=used, loss=loss, is_this_process=is_this_process)
                instants = started, later(started, max(0, driven.stats.measured_from - began) / SECOND)
                reasons = (*driven.stats.faults, *faults)
                return _result(scenario, list(origins), wire, driven, clock, instants, server, reasons, draft)

            with partial.during(made) if partial else nullcontext() as keeper:
                if orders:
                    orders = with_shared(orders, shared)
                    driven = drive_processes(
                        scenario, orders, clock, watch=watched.watch, interrupts=ends, keeper=keeper
                    )
                else:
                    driven = drive(
                        scenario,
                        requests,
                        wire,
                        clock,
                        watch=watched.watch,
                        interrupts=ends,
                        shared=shared,
                        keeper=keeper,
                    )
            watched.note()
            watched.is_lost()
            loss = watched.loss(driven.stats.measured_from)
        # while the server is up, for it may be asked where its redirects lead
        return made(driven, loss=loss)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """What is known of the server that was loaded, beside its replies."""

    use: Server | None
    loss: str
    """How it ended during the run or before, if it did and loadkit had started it."""
    is_this_process: bool


ONCE_AT_MOST: Final = 6
"""Times the timeout of a request that each endpoint or journey may take where each is sent once: a minute with 10 s."""


def once(scenario: Scenario) -> Scenario:
    """The same scenario with each endpoint sent once, by one thread, and only failures judged.

    It ends after `ONCE_AT_MOST` timeouts an endpoint: a journey may have a loop without an end.
    """
    endpoints = [one.replace(weight=1, threads=None, **_alone(one)) for one in scenario.plans]
    return scenario.replace(
        endpoints=endpoints,
        threads=1,
        iterations=len(endpoints),
        iterations_per_thread=None,
        duration=ONCE_AT_MOST * cast(float, scenario.timeout) * len(endpoints),
        phases=(),
        rate=None,
        arrivals="constant",
        max_threads=None,
        processes=1,
        warmup=0,
        think_time=0,
        pacing=0,
        thresholds=(),
    )


def _alone(plan: object) -> dict[str, int]:
    return {} if isinstance(plan, Endpoint) else {"tasks_per_thread": 1}


@contextmanager
def shared_by(scenario: Scenario, faults: list[str]) -> Iterator[object]:
    """What the scenario's `setup` returns; `teardown` is called at the end. Their requests are in no figure.

    Raises `SetupError` when the set-up fails; why a tear-down failed is added to `faults`, for the figures stand.
    """
    if scenario.setup is None and scenario.teardown is None:
        yield None
        return
    from loadkit.drive.journeys.runner import failure_of, settle
    from loadkit.plan.journey import begun, call, ended
    from loadkit.wire.session.lookups import Lookups
    from loadkit.wire.session.session import Session

    lookups = Lookups(system=True)
    deadline = cast(float, scenario.timeout)
    with Session(base_url=scenario.base_url, deadline=deadline, lookups=lookups) as http, ExitStack() as ends:
        settle(http, scenario)
        shared: object = None
        try:
            if scenario.setup:
                shared = made = call(scenario.setup, {}, http=http)
                if inspect.isgeneratorfunction(scenario.setup):
                    shared = begun(cast("Iterator[object]", made))
                    ends.callback(ended, made)
        except (Exception, SystemExit) as error:
            raise SetupError(f"the setup of the scenario failed: {failure_of(error).message}", error) from error
        if scenario.teardown:
            ends.callback(call, scenario.teardown, {"shared": shared}, http=http)
        try:
            yield shared
        finally:
            try:
                ends.close()
            except (Exception, SystemExit) as error:  # noqa: BLE001 - it is the user's
                faults.append(f"the teardown of the scenario failed: {failure_of(error).message}")


def _server(scenario: Scenario, wire: Wire) -> AbstractContextManager[ServerProcess | None]:
    if scenario.server is None:
        return nullcontext()
    probe = encode(Endpoint("GET", scenario.ready, timeout=1), scenario)
    wire.resolve(probe.origin)
    place = place_of(probe.origin)
    if _is_aimed_elsewhere(scenario) and place.answers():
        return nullcontext()
    check_free(place)
    is_app = is_application(scenario.server)
    if is_app and (place.unix or not place.is_here):
        raise UsageError(f"an application is served by this machine on a port, and not at {place}")
    return running(
        application_command(scenario.server[0], f"{place.host}:{place.port}") if is_app else scenario.server,
        trouble=lambda: _trouble(wire, probe, place),
        within=cast(float, scenario.ready_timeout),
        place=place,
        environment=application_environment() if is_app else None,
        called=scenario.server[0] if is_app else None,
    )


def _placed(scenario: Scenario) -> Scenario:
    """The scenario with the port of its server filled in, a free one where it may choose."""
    if not scenario.server or not scenario.base_url:
        return scenario
    port = origin_of(scenario.base_url)[0].port
    if not port:
        port = free_port()
        scenario = scenario.replace(base_url=re.sub(r":0(?=/|$)", f":{port}", scenario.base_url, count=1))
    return scenario.replace(server=filled(scenario.server or (), port))


def _is_aimed_elsewhere(scenario: Scenario) -> bool:
    """The base URL is not that of its file: what answers there is meant, and not the server of the file."""
    return scenario.source is not None and scenario.source.scenario.base_url not in (scenario.base_url, FREE_PORT)


def _trouble(wire: Wire, probe: Request, place: Place) -> str:
    """Why the server does not count as up; nothing where it is."""
    connection = wire.connect(probe.origin)
    status, *_, note = connection.sender(probe)(probe)
    connection.close()
    if 200 <= status < 500:
        return ""
    if status:
        return f"the last answer of {place} to {masked(probe.url)} was {status}"
    return note.failure.message if note and note.failure else f"no reply from {place}"


def _check_trust(scenario: Scenario, wire: Wire, origin: Origin) -> None:
    """A certificate that is not trusted will not be for any thread: say it once, before the start."""
    if not origin.tls:
        return
    connection = wire.connect(origin)
    failure = connection.open().failure
    connection.close()
    if failure and failure.kind == "tls":
        raise UsageError(f"{failure.message}; {_advice(failure.message, scenario.ca)}")


def _advice(reason: str, ca: str | Path | None) -> str:
    if "mismatch" in reason:
        return "use a name that the certificate is for, or accept any with --insecure"
    if "expired" in reason or "not yet valid" in reason:
        return "the server needs another, or accept any with --insecure"
    if "certificate" in reason and ca is not None:
        return f"no authority in ca={str(ca)!r}, which stands for the system's, has signed it; name the right file"
    if "certificate" in reason:
        return "trust its authority with --ca FILE, or accept any with --insecure"
    return "is it https that is spoken there?"


def _notes(scenario: Scenario, origins: list[Origin], total: Row, clock: Clock) -> Iterator[tuple[str, str]]:
    """What of the surroundings a user may not expect."""
    for origin in origins:
        if not origin.unix and _has_proxy(origin):
            yield "proxy", f"the environment names a proxy for {origin}, which is not used: requests go straight there"
        if _is_unanswered(total) and _speaks_tls(scenario, origin, clock):
            yield "https", f"{origin} speaks https, and http was sent there; write https://{origin}"


def _unfinished(duration: float) -> Iterator[tuple[str, str]]:
    message = (
        f"written after {duration:g} s that were measured, and the run went on; the rest is not in it, nor the last "
        "replies of threads that then waited for another or paused"
    )
    yield "partial", message


def _has_proxy(origin: Origin) -> bool:
    from requests.utils import get_environ_proxies, select_proxy

    url = f"{origin.scheme}://{origin}/"
    return bool(select_proxy(url, get_environ_proxies(url)))


def _is_unanswered(total: Row) -> bool:
    """Whether nothing came back but what servers of https have for http: nothing, an alert, or a 400."""
    return bool(total.requests and not total.statuses) and (
        set(total.failures) <= {"disconnect", "protocol", "send", "check"} and set(total.failed_statuses) <= {400}
    )


def _speaks_tls(scenario: Scenario, origin: Origin, clock: Clock) -> bool:
    if origin.tls or origin.unix:
        return False
    there = Origin("https", origin.host, origin.port)
    wire = SocketWire(clock, scenario.replace(verify=False, ca=None, cert=None, timeout=PROBE))
    try:
        wire.resolve(there)
    except UsageError:
        return False
    connection = wire.connect(there)
    failure = connection.open().failure
    connection.close()
    return failure is None


def _result(
    scenario: Scenario,
    origins: list[Origin],
    wire: Wire,
    driven: Driven,
    clock: SystemClock,
    instants: tuple[str, str],
    server: _Target,
    faults: tuple[str, ...],
    draft: Draft | None = None,
) -> Result:
    started, measured_at = instants
    duration, began = _duration(driven), driven.stats.measured_from
    to_times = draft.to_times if draft else times
    total, endpoints = rows(driven.recording, duration=duration, started=began, to_times=to_times)
    by_phase = phases(
        driven.recording, scenario.stretches, started=began, stopped=driven.stats.stopped_at, to_times=to_times
    )
    timed = timings(driven.recording, duration=duration, started=began, to_times=to_times)
    found = verdicts(scenario.limits, total, endpoints, by_phase, timed)
    info = describe(scenario)
    machine = _environment(_clock_source(wire, driven, total.response_time.count, timed), driven)
    activity = _activity(scenario, driven, is_over=draft is None)
    load = Load(
        total=total,
        scenario=info,
        duration=duration,
        timings=timed,
        use=driven.stats.use,
        in_flight=driven.stats.in_flight,
        threads=driven.stats.threads,
        was_short=driven.stats.was_short,
        is_kernel_timed=machine.clock != "own",
        activity=activity,
        has_target_inside=server.is_this_process,
    )
    doubts = caveats(
        load,
        machine,
        endpoints=endpoints,
        phases=by_phase,
        timings=timed,
        limits=scenario.limits,
        stuck=driven.stats.stuck,
        unreachable=driven.stats.unreachable,
        halted=driven.stats.halted,
        faults=faults,
        is_fault=driven.stats.is_fault,
        unstamped=driven.stats.unstamped,
        same_host=any(origin.unix or is_here(origin.host) for origin in origins),
        server_lost=server.loss,
        lost=driven.stats.lost,
        silent=driven.stats.silent,
        public=[] if draft else [origin.host for origin in origins if not origin.unix and is_public(origin.host)],
        steps=clock.steps,
        redirects=[] if draft else list(redirects(scenario, endpoints, wire)),
        notes=list(_unfinished(duration) if draft else _notes(scenario, origins, total, clock)),
    )
    verdict = soundness(doubts)
    series, by_phase = with_threads(_series(driven, duration, draft), by_phase, Plan(info, duration), activity)
    finding = NOTHING if server.loss else bound(load, series)
    return Result(
        identity=identity(scenario),
        scenario=info,
        environment=machine,
        started_at=started,
        spans=[RunSpan(start=measured_at, length=duration)],
        duration=duration,
        outcome=outcome(
            total,
            found,
            timed,
            interrupted=driven.stats.interrupted or draft is not None,
            is_open=scenario.is_open,
            is_fault=driven.stats.is_fault or bool(driven.stats.lost),
            is_server_lost=bool(server.loss),
            verdict=verdict,
        ),
        total=total,
        endpoints=endpoints,
        phases=by_phase,
        timings=timed,
        thresholds=found,
        caveats=doubts,
        intervals=series,
        verdict=verdict,
        bound_by=finding.by,
        bound=finding.sentence,
        server=server.use,
    )


def _series(driven: Driven, duration: float, draft: Draft | None) -> list[Interval]:
    series = driven.recording.series
    return (
        draft.to_intervals(without_gaps(series, duration), duration) if draft else intervals(series, duration=duration)
    )


def process_count(scenario: Scenario, origins: list[Origin]) -> int:
    """How many processes run a scenario; `auto` leaves a CPU to a target on this machine."""
    if scenario.processes != "auto":
        return scenario.processes
    if scenario.source is None:  # others would not find it
        return 1
    spared = any(origin.unix or is_here(origin.host) for origin in origins)
    return max(1, min(allowed_cpus() - spared, scenario.total_threads))


def _duration(driven: Driven) -> float:
    return max(0, driven.stats.stopped_at - driven.stats.measured_from) / SECOND


def _activity(scenario: Scenario, driven: Driven, *, is_over: bool) -> Activity:
    """What its threads did, in seconds from the start of what was measured."""
    think, start = cast(Thought, scenario.think_time), driven.stats.measured_from
    tasks = [one.tasks_per_thread for one in scenario.plans if isinstance(one, Journey)]
    return Activity(
        active=[
            ((came - start) / SECOND, (sent - start) / SECOND, (taken - start) / SECOND)
            for came, sent, taken in driven.stats.active
        ],
        longest_pause=math.inf if callable(think) else max(longest(think) / SECOND, cast(float, scenario.pacing)),
        tasks=max([1, *tasks]),
        is_bare=not any(isinstance(one, Endpoint) and one.check for one in scenario.plans),
        is_whole=is_over and not (driven.stats.lost or driven.stats.stuck or driven.stats.halted),
    )


def describe(scenario: Scenario) -> ScenarioInfo:
    """A scenario as it is stored with its result: what was asked, without headers, bodies and secrets."""
    load = workload(scenario)
    return ScenarioInfo(
        name=scenario.name or "scenario",
        description=scenario.description,
        base_url=bare(scenario.base_url) if scenario.base_url else "",
        threads=scenario.threads if isinstance(load, Open) else scenario.total_threads,
        duration=None if load.duration is None else load.duration / SECOND,
        iterations=scenario.iterations,
        iterations_per_thread=scenario.iterations_per_thread,
        rate=_mean_rate(load) if isinstance(load, Open) else None,
        arrivals=scenario.arrivals if isinstance(load, Open) else None,
        max_threads=scenario.most_threads if isinstance(load, Open) else None,
        phases=[
            PhasePlan(name=one.name, duration=one.length / SECOND, start=one.first, end=one.last)
            for one in scenario.stretches
        ],
        processes=scenario.processes,
        seed=scenario.seed,
        warmup=cast(float, scenario.warmup),
        think_time=told(cast(Thought, scenario.think_time)),
        pacing=cast(float, scenario.pacing),
        timeout=cast(float, scenario.timeout),
        transport="sockets",
        verify=scenario.verify,
        endpoints=list(scenario.labels),
        journeys=[journey.label for journey in scenario.journeys],
    )


def _mean_rate(load: Open) -> float:
    laid = load.arrivals.stretches
    if len(laid) == 1 and laid[0].first == laid[0].last:
        return laid[0].first
    return float(sum(one.amount() for one in laid) * SECOND / laid[-1].end)


def _clock_source(wire: Wire, driven: Driven, replies: int, timed: Sequence[Timing]) -> str:
    if wire.clock_source == "own" or (driven.stats.unstamped and driven.stats.unstamped >= replies):
        return "own"
    if not replies and timed:
        # clients of the user's own, timed by `timer`
        return "own"
    return "mixed" if driven.stats.unstamped else "kernel"


def _environment(clock: str, driven: Driven) -> Environment:
    return environment(
        transport="sockets",
        clock=clock,
        cpu_seconds=driven.stats.cpu_seconds,
        cpu_by_process=driven.stats.cpu_by_process,
        peak_memory=peak_memory() + driven.stats.worker_memory,
    )
