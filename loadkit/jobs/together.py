"""Several scenarios at the same time: each driven by a thread of this process, all of them from one instant on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, nullcontext
from threading import Barrier, BrokenBarrierError, Lock
from typing import TYPE_CHECKING, Final

from loadkit.clock import SystemClock
from loadkit.drive.build import origins_of_thread
from loadkit.drive.progress import EndpointProgress, Snapshot, Watcher
from loadkit.host.limits import check_ports, make_room
from loadkit.host.tuning import interpreter_tuned
from loadkit.jobs.interrupts import counted_signals
from loadkit.jobs.loop import check_loop
from loadkit.jobs.run import Companions, Opened, open_scenario
from loadkit.judge.identity import identity
from loadkit.plan.errors import UsageError
from loadkit.plan.scenario import Scenario, addressed
from loadkit.plan.units import MILLISECOND
from loadkit.server.under_test import server_of

if TYPE_CHECKING:
    from loadkit.jobs.otlp import OtlpTarget
    from loadkit.jobs.partial import Partial
    from loadkit.jobs.samples import SampleFile
    from loadkit.judge.identity import Identity
    from loadkit.judge.result import Result
    from loadkit.wire.exchange_log import ExchangeLog

LEAD: Final = 20 * MILLISECOND
"""From the last one that is ready to the common instant: all wake up before it on a busy machine, too."""

LOOK_EVERY: Final = 0.05
"""Seconds between two looks at whether the user has asked to stop."""

CUT: Final = 2
"""As if the user had asked to stop as often."""


def run_together(
    *scenarios: Scenario,
    watch: Watcher | None = None,
    interrupts: Callable[[], int] | None = None,
    partials: Sequence[Partial] = (),
    logs: Sequence[ExchangeLog] = (),
    samples: SampleFile | None = None,
    otlp: OtlpTarget | None = None,
) -> list[Result]:
    """Run scenarios at the same time, and return what was found of each, in their order.

    Each has its own load, warm-up, duration, feeds and thresholds; all begin at one instant, once the set-up of each
    has run and all their threads have connected, and are judged and torn down when the last one has ended.

    >>> browsing, buying = run_together(browse, buy.replace(rate="20/s"))
    >>> browsing.response_time.p99, buying.throughput

    Args:
        scenarios: what to run, two of them at least.
        watch: called a few times a second with a `Snapshot` of all, which has a row for each.
        interrupts: tells how often the user asked to stop, which is for all; by default SIGINT and SIGTERM are counted.
        partials: of each, writes every second or few what was counted so far.
        logs: of each, keeps the first exchanges, whole.
        samples: gets a line for each request that is measured.
        otlp: is sent the metrics of OpenTelemetry of each.

    Raises `UsageError` for what cannot work, as `run` does, and where a scenario is given twice or asks for processes;
    `SetupError` where a set-up fails, and then none is run; `Interrupted` as `run` does.
    """
    found = [addressed(scenario) for scenario in scenarios]
    _check(found)
    opened = _opened(found)
    _check_room(opened)
    progress = _Progress(watch, [one.name or "scenario" for one in found])
    with ExitStack() as stack:
        asked = stack.enter_context(counted_signals() if interrupts is None else nullcontext(interrupts))
        servers = [stack.enter_context(server_of(one.scenario, one.wire, asked)) for one in opened]
        stack.enter_context(interpreter_tuned(threads=sum(one.scenario.total_threads for one in opened)))
        together = _Together(len(opened), asked)

        def run_one(number: int) -> Result:
            return opened[number].run(
                servers[_starts_server(found, number)],
                together.asked,
                watch=progress.watcher(number) if watch else None,
                partial=partials[number] if partials else None,
                log=logs[number] if logs else None,
                samples=samples,
                otlp=otlp,
                companions=Companions(
                    scenarios=[one.scenario for one in opened if one is not opened[number]], wait=together.wait
                ),
            )

        return together.run(run_one)


class _Together:
    """Runs that wait for each other, as long as nobody asks them to stop and none has ended."""

    def __init__(self, count: int, asked: Callable[[], int]) -> None:
        self._count = count
        self._asked = asked
        self._now = SystemClock().now
        self._instant = 0
        self._barrier = Barrier(count, action=self._set_instant)
        self._is_cut = False

    def _set_instant(self) -> None:
        self._instant = self._now() + LEAD

    def wait(self) -> int:
        """Wait until all do; the instant at which they go on."""
        try:
            self._barrier.wait()
        except BrokenBarrierError:
            return self._now()
        return self._instant

    def asked(self) -> int:
        """How often they were asked to stop, by the user, or because one of them cannot be run."""
        return max(self._asked(), CUT if self._is_cut else 0)

    def run(self, run_one: Callable[[int], Result]) -> list[Result]:
        """Run all; raises what any of them raised."""
        with ThreadPoolExecutor(self._count, thread_name_prefix="loadkit-run") as pool:
            try:
                futures = [pool.submit(run_one, number) for number in range(self._count)]
                self._direct(set(futures))
            except BaseException:
                self._cut()
                raise
        return [future.result() for future in futures]

    def _direct(self, running: set[Future[Result]]) -> None:
        while running:
            ended, running = wait(running, timeout=LOOK_EVERY, return_when=FIRST_COMPLETED)
            if any(future.exception() for future in ended):
                self._cut()
            # one that ends has nobody to wait for any more
            if ended or self.asked():
                self._barrier.abort()

    def _cut(self) -> None:
        self._is_cut = True
        self._barrier.abort()


def _check(scenarios: Sequence[Scenario]) -> None:
    if len(scenarios) < 2:
        raise UsageError(f"to run together takes two scenarios at least, and there is {len(scenarios) or 'none'}")
    names: dict[Identity, str] = {}
    for scenario in scenarios:
        check_loop(scenario, call="run_together")
        if scenario.processes != 1:
            raise UsageError(
                f"{scenario.name or 'the scenario'} has processes={scenario.processes!r}, and those that run together "
                "share one process; write processes=1, or --processes 1"
            )
        if (key := identity(scenario)) in names:
            both = " and ".join(dict.fromkeys([names[key], scenario.name or "scenario"]))
            raise UsageError(
                f"{both} would be one in the report, twice of one name and plan: give one more threads, or write two "
                "scenarios with a name each"
            )
        names[key] = scenario.name or "scenario"


def _opened(scenarios: Sequence[Scenario]) -> list[Opened]:
    """Ready to be sent; of those that name the same server at the same URL the first one starts it."""
    found: list[Opened] = []
    for number, scenario in enumerate(scenarios):
        first = _starts_server(scenarios, number)
        is_first = first == number
        wanted = scenario if is_first else scenario.replace(base_url=found[first].scenario.base_url, server=None)
        found.append(open_scenario(wanted, SystemClock()))
    return found


def _starts_server(scenarios: Sequence[Scenario], number: int) -> int:
    """Which of them starts the server of this one."""
    wanted = scenarios[number].server, scenarios[number].base_url
    if wanted[0] is None:
        return number
    return next(position for position, one in enumerate(scenarios) if (one.server, one.base_url) == wanted)


def _check_room(opened: Sequence[Opened]) -> None:
    """Raise `UsageError` where the machine does not allow so many connections in all."""
    connections, to_one = 0, Counter[object]()
    for one in opened:
        threads = one.scenario.total_threads
        origins = origins_of_thread(one.scenario, one.requests)
        connections += threads * len(origins)
        to_one.update(dict.fromkeys((origin for origin in origins if origin is None or not origin.unix), threads))
    make_room(connections)
    for count in to_one.values():
        check_ports(count)


class _Progress:
    """Makes one snapshot of those of all runs, for whoever watches them."""

    def __init__(self, watch: Watcher | None, names: Sequence[str]) -> None:
        self._watch = watch
        self._name = ", ".join(names)
        self._latest: list[Snapshot | None] = [None for _ in names]
        self._lock = Lock()

    def watcher(self, number: int) -> Watcher:
        """What takes the snapshots of one run; that of all is shown when one of the longest running has come."""

        def take(snapshot: Snapshot) -> None:
            with self._lock:
                self._latest[number] = snapshot
                shown = [one for one in self._latest if one]
                if self._watch and snapshot is _longest(shown):
                    self._watch(_merged(self._name, shown))

        return take


def _longest(shown: Sequence[Snapshot]) -> Snapshot:
    """The one that the others are shown with: of those that still send, the one that is to go on for the longest."""
    return max(shown, key=lambda one: (one.stage != "draining", one.planned is None, one.planned or 0.0))


def _merged(name: str, shown: Sequence[Snapshot]) -> Snapshot:
    longest, rates = _longest(shown), [one.rate for one in shown if one.rate is not None]
    return Snapshot(
        name=name,
        stage=longest.stage if len({one.stage for one in shown}) == 1 else "running",
        elapsed=longest.elapsed,
        planned=longest.planned,
        iterations=None,
        threads=sum(one.threads for one in shown),
        in_flight=sum(one.in_flight for one in shown),
        requests=sum(one.requests for one in shown),
        failures=sum(one.failures for one in shown),
        rate=sum(rates) if rates else None,
        p99=None,
        recent=longest.recent,
        is_interrupted=any(one.is_interrupted for one in shown),
        endpoints=lambda: [
            EndpointProgress(name=one.name, requests=one.requests, failures=one.failures, rate=one.rate, p99=one.p99)
            for one in shown
        ],
    )
