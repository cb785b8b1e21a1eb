"""Run a scenario and say what was found: open, start, drive, judge."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, cast

import msgspec

from loadkit.clock import SystemClock
from loadkit.drive.director import drive
from loadkit.drive.machines import addresses_of
from loadkit.host.limits import check_ports
from loadkit.host.locality import is_here, is_public
from loadkit.host.usage import allowed_cpus
from loadkit.jobs.hooks import shared_by
from loadkit.jobs.interrupts import counted_signals
from loadkit.jobs.loop import check_loop
from loadkit.jobs.parts import await_lead, beginning, check_part
from loadkit.jobs.probes import check_trust, clock_ahead, notes, redirects
from loadkit.plan.endpoint import Endpoint
from loadkit.plan.errors import UsageError
from loadkit.plan.part import WHOLE, Part
from loadkit.plan.remote import with_source
from loadkit.plan.scenario import Scenario, addressed
from loadkit.plan.units import SECOND, show_count
from loadkit.server.serving import started_servers
from loadkit.server.start import place_of
from loadkit.server.under_test import server_of, with_port
from loadkit.server.usage import ServerUsage
from loadkit.wire.base import Origin, Request
from loadkit.wire.encode import encode, origin_of
from loadkit.wire.protocols import Wire
from loadkit.wire.sockets import SocketWire

if TYPE_CHECKING:
    from distributed import Client

    from loadkit.drive.cluster.cluster import Machines
    from loadkit.drive.collect import Keeper
    from loadkit.drive.processes.protocol import Assignment
    from loadkit.drive.progress import Watcher
    from loadkit.drive.stats import Driven, RunStats
    from loadkit.jobs.otlp import OtlpExport, OtlpTarget
    from loadkit.jobs.partial import Partial
    from loadkit.jobs.samples import SampleFile
    from loadkit.judge.evidence import RunContext
    from loadkit.judge.judge import Draft
    from loadkit.judge.result import Result
    from loadkit.judge.windows import WindowMonitor
    from loadkit.measure.recording import OnClose, Recording
    from loadkit.measure.samples import SampleBuffer
    from loadkit.server.start import ServerProcess
    from loadkit.wire.exchange_log import ExchangeLog


def run(
    scenario: Scenario,
    *,
    watch: Watcher | None = None,
    interrupts: Callable[[], int] | None = None,
    partial: Partial | None = None,
    clock: SystemClock | None = None,
    log: ExchangeLog | None = None,
    samples: SampleFile | None = None,
    on: str | Client | None = None,
    workers: int | None = None,
    workers_timeout: float = 30.0,
    otlp: OtlpTarget | None = None,
    part: Part = WHOLE,
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
        log: keeps the first exchanges, whole; of several processes those of the first one.
        samples: gets a line for each request that is measured.
        on: other machines, which share the load: a Dask client, the address of a scheduler, or `local:4`, a cluster of
            processes on this machine.
        workers: how many of its workers are to share it; by default all.
        workers_timeout: how many seconds it waits until there are so many.
        otlp: is sent the metrics of OpenTelemetry while it runs.
        part: what this machine has of a load that several share; thresholds are judged when all parts are merged.

    Raises `UsageError` before anything is sent for what cannot work: a host that does not resolve, a certificate
    that is not trusted, a server that does not come up or whose port is in use, one in the event loop that this call
    would block, too few file descriptors; `SetupError`, which is one, where a set-up fails; and `Interrupted` where the
    user asks to stop while the server starts, or all machines wait for their beginning.
    """
    scenario, clock = addressed(scenario), clock or SystemClock()
    check_loop(scenario, call="run")
    check_part(scenario, part)
    with ExitStack() as stack:
        asked = interrupts or stack.enter_context(counted_signals())
        machines = None
        if on is not None:
            from loadkit.drive.cluster.cluster import connected, machines_for

            if not part.is_whole:
                raise UsageError(f"part {part} is of a load that machines share by themselves; leave on out")
            scenario, client = with_source(scenario), stack.enter_context(connected(on))
            machines = stack.enter_context(machines_for(scenario, client, workers, workers_timeout, clock, asked))
        opened = open_scenario(scenario, clock, machines, part)
        own = stack.enter_context(server_of(opened.scenario, opened.wire, asked))
        return opened.run(own, asked, watch=watch, partial=partial, log=log, samples=samples, otlp=otlp)


def _monitor(scenario: Scenario) -> WindowMonitor:
    from loadkit.judge.windows import WindowMonitor

    return WindowMonitor(scenario)


@dataclass(frozen=True, slots=True, kw_only=True)
class Companions:
    """The runs that are to be at the same time as one, in this process."""

    scenarios: Sequence[Scenario]
    wait: Callable[[], int]
    """Waits until all have come as far: they are set up, they have connected, they have ended. Then all go on at the
    instant that it returns, nanoseconds of the monotonic clock."""


ALONE: Final = Companions(scenarios=(), wait=lambda: 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A scenario that can be sent: its hosts resolve, and its requests are encoded."""

    scenario: Scenario
    requests: Sequence[Request | None]
    wire: Wire
    clock: SystemClock
    origins: Sequence[Origin]
    assignments: list[Assignment]
    """For worker processes, where there are several."""
    part: Part
    monitor: WindowMonitor | None
    machines: Machines | None = None
    """Those that run it; None for this one."""

    def run(
        self,
        own: ServerProcess | None,
        asked: Callable[[], int],
        *,
        watch: Watcher | None,
        partial: Partial | None,
        log: ExchangeLog | None,
        samples: SampleFile | None,
        otlp: OtlpTarget | None,
        companions: Companions = ALONE,
    ) -> Result:
        """Run it, once its server is up, and return what was found; for the arguments see `run`."""
        scenario, wire, monitor = self.scenario, self.wire, self.monitor
        # the network of other machines is another one, and each of them looks for itself
        for origin in () if self.machines else self.origins:
            check_trust(scenario, wire, origin)
        faults: list[str] = []
        usage = self._server_usage(own, watch)
        is_in_process = any(place_of(origin).is_own() for origin in self.origins)
        with shared_by(scenario, wire.resolver, faults) as shared:
            companions.wait()
            began = self.clock.now()
            wall = datetime.fromtimestamp((began + self.clock.wall_offset) / SECOND, UTC)
            started_at = wall.isoformat(timespec="microseconds")
            usage.note()

            def stops() -> int:
                return max(asked(), usage.is_lost())

            # what judges is imported when there is something to judge: a tenth of the CPU until the first request
            def context(stats: RunStats) -> RunContext:
                from loadkit.judge.evidence import RunContext
                from loadkit.judge.instants import later

                measured_at = later(started_at, max(0, stats.measured_from - began) / SECOND)
                # a part may have waited for the others, and they have not been set up at the same time
                begun_at = later(measured_at, 0.0005 - cast(float, scenario.warmup)) if self.part.at else started_at
                return RunContext(
                    started_at=f"{begun_at[:23]}{begun_at[26:]}",
                    measured_at=measured_at,
                    server=usage.between(stats.measured_from, stats.stopped_at),
                    is_in_process=is_in_process,
                    is_same_host=is_on_this_host(self.origins),
                    clock_steps=self.clock.steps,
                    companions=companions.scenarios,
                    windows=monitor.results if monitor else (),
                    part=self.part,
                    addresses=addresses_of(self.origins, wire) if self.part.count > 1 else (),
                )

            def unfinished(driven: Driven, draft: Draft) -> Result:
                from loadkit.judge.judge import judge

                return judge(scenario, driven, context(driven.stats), draft=draft)

            await_lead(self.part, self.part.share(scenario.total_threads), self.clock, stops)
            export = self._export(otlp, asked) if otlp else None
            with export or nullcontext():
                with (
                    partial.during(unfinished) if partial else nullcontext() as keeper,
                    samples.during(scenario.name or "", self.clock) if samples else nullcontext() as buffer,
                ):
                    begin = companions.wait if companions.scenarios else beginning(self.part, self.clock)
                    on_close = export.take if export else None
                    driven = self._drive(shared, usage.watch, stops, begin, keeper, log, buffer, on_close)
                usage.note()
                usage.is_lost()
                loss = usage.loss(driven.stats.measured_from)
                # what is left to do takes CPU, which those would lack that still send
                companions.wait()
        # while the server is up, for it may be asked where its redirects lead
        known = self._probed(context(driven.stats), driven.recording)
        failed = driven.recording.total().failures
        is_servers = "disconnect" in failed.kinds or max(failed.statuses, default=0) >= HTTPStatus.INTERNAL_SERVER_ERROR
        if not loss and is_servers and (output := usage.output()):
            message = f"requests failed, and these are the last lines that the server printed: {output}"
            known = dataclasses.replace(known, notes=[*known.notes, ("server-output", message)])
        if export:
            known = dataclasses.replace(known, notes=[*known.notes, *export.notes()])
        known = dataclasses.replace(known, server_loss=loss, faults=faults)
        from loadkit.judge.judge import judge

        return judge(scenario, driven, known)

    def _export(self, otlp: OtlpTarget, asked: Callable[[], int]) -> OtlpExport:
        from loadkit.jobs.otlp import OtlpExport

        return OtlpExport(otlp, self.scenario.name or "", self.origins, self.clock, asked)

    def _server_usage(self, own: ServerProcess | None, watch: Watcher | None) -> ServerUsage:
        """The servers among the target that loadkit started."""
        servers = started_servers([(origin.host, origin.port) for origin in self.origins])
        return ServerUsage([*servers, *([own] if own else [])], self.clock.now, watch)

    def _drive(
        self,
        shared: object,
        watch: Watcher | None,
        interrupts: Callable[[], int],
        begin: Callable[[], int] | None,
        keeper: Keeper | None,
        log: ExchangeLog | None,
        samples: SampleBuffer | None,
        on_close: OnClose | None,
    ) -> Driven:
        """Send it, in this process or in several."""
        if self.assignments:
            from loadkit.drive.processes.child import ChildProcess
            from loadkit.drive.processes.director import drive_processes, with_shared

            assignments = [
                msgspec.structs.replace(one, has_samples=samples is not None)
                for one in with_shared(self.assignments, shared)
            ]
            if log:
                assignments[0] = msgspec.structs.replace(assignments[0], logged=log.most)
            if self.machines:
                assignments = self.machines.assigned(assignments)
            driven = drive_processes(
                self.scenario,
                assignments,
                self.clock,
                watch=watch,
                interrupts=interrupts,
                keeper=keeper,
                samples=samples,
                monitor=self.monitor,
                open_channel=self.machines.open_channel if self.machines else ChildProcess,
                on_close=on_close,
                part=self.part,
            )
            if log:
                log.exchanges += driven.stats.exchanges
            return driven
        return drive(
            self.scenario,
            self.requests,
            self.wire,
            self.clock,
            watch=watch,
            interrupts=interrupts,
            shared=shared,
            part=self.part,
            begin=begin,
            keeper=keeper,
            log=log,
            samples=samples,
            monitor=self.monitor,
            on_close=on_close,
        )

    def _probed(self, context: RunContext, recording: Recording) -> RunContext:
        """The same with what is asked of the target once the run is over."""
        public = [origin.host for origin in self.origins if not origin.unix and is_public(origin.host)]
        if self.machines:
            return dataclasses.replace(context, public_hosts=public)
        return dataclasses.replace(
            context,
            public_hosts=public,
            redirects=list(redirects(self.scenario, recording.labels, self.wire)),
            notes=list(notes(self.scenario, self.origins, recording.total(), self.clock)),
            # parts have nothing else in common
            clock_ahead=clock_ahead(self.scenario, self.origins[0], self.wire, self.clock)
            if self.origins and self.part.at and not self.part.is_whole
            else None,
        )


def open_scenario(
    scenario: Scenario, clock: SystemClock, machines: Machines | None = None, part: Part = WHOLE
) -> Opened:
    """Raises `UsageError` for what cannot be sent, or not by other processes, before a server is started."""
    scenario = with_port(scenario)
    requests = [encode(one, scenario) if isinstance(one, Endpoint) else None for one in scenario.plans]
    wire = SocketWire(clock, scenario)
    origins = dict.fromkeys(request.origin for request in requests if request)
    if scenario.journeys and scenario.base_url:
        origins |= {origin_of(scenario.base_url)[0]: None}
    for origin in () if machines else origins:
        wire.resolve(origin)
    # a machine of several has one process, and the run has as many as there are machines
    processes = _worker_count(scenario, machines) if machines else process_count(scenario, list(origins), part)
    scenario = scenario.replace(processes=1 if machines else processes)
    assignments = []
    if processes > 1 or machines:
        from loadkit.drive.processes.director import assignments_for

        assignments = assignments_for(scenario, requests, processes, part)
    if assignments and not machines and any(not origin.unix for origin in origins):
        # each looks whether there are local ports for its own part, and they share those of the machine
        check_ports(part.share(scenario.total_threads))
    return Opened(
        scenario=scenario,
        requests=requests,
        wire=wire,
        clock=clock,
        origins=list(origins),
        assignments=assignments,
        part=part,
        monitor=_monitor(scenario) if any(limit.over for limit in scenario.limits) else None,
        machines=machines,
    )


def _worker_count(scenario: Scenario, machines: Machines) -> int:
    count, threads = len(machines.workers), scenario.total_threads
    if count > threads:
        raise UsageError(
            f"{count:,} workers cannot share {show_count(threads, 'thread')}; give each one at least, or use fewer: "
            f"--workers {threads}"
        )
    return count


def process_count(scenario: Scenario, origins: list[Origin], part: Part = WHOLE) -> int:
    """How many processes run a scenario, or a part; `auto` leaves a CPU to a target on this machine."""
    threads = part.share(scenario.total_threads)
    if scenario.processes != "auto":
        if scenario.processes > threads:
            raise UsageError(
                f"{scenario.processes:,} processes cannot share {show_count(threads, 'thread')} of part {part}; "
                "give each one at least, or use fewer processes"
            )
        return scenario.processes
    if scenario.source is None:  # others would not find it
        return 1
    spared = is_on_this_host(origins)
    return max(1, min(allowed_cpus() - spared, threads))


def is_on_this_host(origins: Sequence[Origin]) -> bool:
    """True if one of them is on this machine."""
    return any(origin.unix or is_here(origin.host) for origin in origins)
