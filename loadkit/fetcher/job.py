"""A fetch from its beginning to its end: the folder, the threads, what is shown meanwhile, what is found."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from loadkit.clock import SystemClock
from loadkit.drive.stats import Driven, RunStats
from loadkit.fetcher.connections import EACH, Network
from loadkit.fetcher.folder import JsonLinesFile, OutputFolder, sweep
from loadkit.fetcher.manifest import FetchReply, Manifest, ManifestLine
from loadkit.fetcher.multiplexer import HAS_POLL, Pump
from loadkit.fetcher.options import AUTO, FetchOptions
from loadkit.fetcher.progress import Progress
from loadkit.fetcher.reader import InputStats, SourceReader
from loadkit.fetcher.resume import PreviousRuns, digest_of, read_previous_runs
from loadkit.fetcher.schedule import Schedule
from loadkit.fetcher.thread_tuner import MOST, Auto
from loadkit.fetcher.worker import Counters, FetchContext, Worker
from loadkit.host.limits import make_room
from loadkit.host.tuning import interpreter_tuned
from loadkit.judge.caveats import caveats
from loadkit.judge.description import ScenarioInfo
from loadkit.judge.environment import environment
from loadkit.judge.evidence import Evidence, RunContext
from loadkit.judge.identity import Identity, digest, plain
from loadkit.judge.result import Result
from loadkit.judge.spans import RunSpan
from loadkit.judge.summary import intervals, rows
from loadkit.judge.threshold_results import Outcome, threshold_results
from loadkit.judge.validity import validity_of
from loadkit.measure.recording import Batch, Recording, second_of
from loadkit.plan.errors import LoadkitError, NothingToRun, OutputError, UsageError, reason_of
from loadkit.plan.units import MILLISECOND, SECOND

if TYPE_CHECKING:
    from loadkit.fetcher.sources import SourceItem

TICK: Final = 0.1
SHOW_EVERY: Final = 250 * MILLISECOND
RECENT: Final = 3
GRACE: Final = 5 * SECOND
"""What is under way may take so long when the run is stopped."""
OPEN_EACH: Final = EACH + 8
"""Files a thread may have open: connections, folders, a body."""
OF_A_LOAD: Final = frozenset({"nothing-sent", "pickup", "mixed-clock"})
"""Caveats that say how well a load was applied; a fetch is done when everything is there, however hard that was."""
COMPARABLE: Final = (
    "threads",
    "method",
    "user_agent",
    "timeout",
    "retries",
    "max_wait",
    "rate",
    "per_host",
    "max_size",
    "redirects",
    "raw",
    "insecure",
)
"""Fields of a plan that make the figures of two fetches comparable; where bodies go, and what was there, do not."""
COLLECT_EACH: Final = 20_000
"""A URL leaves no cycles behind, and the collector looked for them 40 times in 1,000: 5 % of all CPU."""
STACK: Final = 512 * 1024

Watch = Callable[[Progress], None]


class FetchJob:
    """One fetch. `run` does all of it, in whatever thread it is called."""

    def __init__(
        self,
        entries: Iterator[SourceItem],
        plan: FetchOptions,
        *,
        name: str,
        on_reply: Callable[[FetchReply], Any] | None = None,
        watch: Watch | None = None,
        interrupts: Callable[[], int] | None = None,
        expected: int | None = None,
    ) -> None:
        self.plan = plan
        self.counters = Counters()
        self.threads = _most_threads() if plan.threads == AUTO else int(plan.threads)
        make_room(self.threads * OPEN_EACH)
        self._name = name
        self._on_reply = on_reply
        self._watch = watch
        self._interrupts = interrupts or (lambda: 0)
        self._expected = expected
        self._clock = SystemClock()
        self._auto = Auto(self.threads) if plan.threads == AUTO else None
        self._network = Network(self._clock, plan.scenario())
        if plan.ca is not None or plan.cert is not None:
            self._network.prepare_tls()
        self._schedule = Schedule(
            self._clock,
            per_host=plan.per_host,
            rate=plan.rate_a_second,
            first_wait=plan.first_wait,
            first_pause=plan.first_pause,
        )
        self._recording = Recording()
        self._handed: deque[Batch] = deque()
        self._workers: list[Worker] = []
        self._running: list[threading.Thread] = []
        self._is_interrupted = False
        self._stopped_at = 0
        self._shown = 0
        self._result: Result | None = None
        self._over = threading.Event()
        self._has_line = threading.Condition()
        self._waiting = 0
        self._open(entries)

    def _open(self, entries: Iterator[SourceItem]) -> None:
        """Make the folder, lock it, and see what is in it."""
        plan = self.plan
        try:
            plan.into.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make the folder {plan.into}: {reason_of(error)}") from None
        self._manifest = Manifest(plan.into)
        self.manifest_path = self._manifest.path
        try:
            before = self._look_back()
            self._appended = None if plan.append is None else JsonLinesFile(plan.append, before.appended)
        except BaseException:
            self._manifest.close()
            raise
        self._manifest.begin()
        self._context = FetchContext(
            plan=plan,
            names=plan.names,
            clock=self._clock,
            schedule=self._schedule,
            network=self._network,
            manifest=self._manifest,
            before=before,
            appended=self._appended,
            hand_over=self._handed.append,
            began=0,
            on_line=self._tell,
        )
        self._reader = SourceReader(entries, plan, self._schedule, self._manifest, before)

    def _look_back(self) -> PreviousRuns:
        plan = self.plan
        if plan.append is not None and self._manifest.is_empty and _size(plan.append):
            raise UsageError(f"{plan.append} is there already, and no manifest tells of it; append to another file")
        output = OutputFolder(plan.into)
        try:
            before = read_previous_runs(
                self._manifest, output, verify=plan.verify, appended=plan.append, duplicates=plan.duplicates
            )
        finally:
            output.close()
        before.orphans = sweep(plan.into, lambda path: digest_of(path) in before.files)
        if self._manifest.is_empty:
            # without a manifest nothing in the folder is known to be of ours
            before.orphans = {}
        return before

    # -- while it runs

    def run(self) -> None:
        """Fetch everything; never raises, see `complain`."""
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001 - raised again by `complain`, where the fetch was asked for
            self._context.crash = self._context.crash or error
            self._schedule.stop()
        finally:
            self._over.set()
            with self._has_line:
                self._has_line.notify_all()

    def _run(self) -> None:
        self._started = datetime.now(UTC)
        self._began = self._context.began = self._clock.now()
        cpu = time.process_time()
        reader = threading.Thread(target=self._reader.run, name="loadkit-fetch-reader", daemon=True)
        reader.start()
        try:
            with interpreter_tuned(collect_each=COLLECT_EACH):
                self._work()
        finally:
            self._stopped_at = self._clock.now()
            self._cpu = time.process_time() - cpu
            self._collect()
            self._recording.finish()
            self.counters = self._added_up()
            self._close()
        self._show(every=0)

    def _work(self) -> None:
        """Have everything fetched."""
        try:
            if HAS_POLL and self.threads > 1 and not self._on_reply and not self.plan.rate:
                pump = Pump(self._clock)
                self._pumping = threading.Thread(
                    target=self._pump, args=(pump,), name="loadkit-fetch-pump", daemon=True
                )
                self._pumping.start()
                self._context.pump = pump
            self._adjust()
            self._direct()
        finally:
            self._schedule.stop()
            for thread in self._running:
                thread.join()
            if self._context.pump:
                self._context.pump.end()
                self._pumping.join()

    def _close(self) -> None:
        try:
            if self._appended:
                self._appended.close()
            self._manifest.close()
        except OSError as error:
            self._context.trouble = self._context.trouble or error

    def _adjust(self) -> None:
        """Have as many threads as are wanted."""
        wanted = self._auto.threads if self._auto else self.threads
        headers = self.plan.common_headers()
        before = threading.stack_size(STACK)
        try:
            while len(self._workers) < wanted:
                worker = Worker(len(self._workers), self._context, headers)
                thread = threading.Thread(
                    target=self._live, args=(worker,), name=f"loadkit-fetch-{len(self._workers)}", daemon=True
                )
                self._workers.append(worker)
                thread.start()
                self._running.append(thread)
        except RuntimeError as error:
            raise UsageError(f"cannot start more than {len(self._running):,} threads here: {error}") from None
        finally:
            threading.stack_size(before)
        self._schedule.let(wanted)

    def _live(self, worker: Worker) -> None:
        try:
            worker.run()
        except BaseException as error:  # noqa: BLE001 - a fault of ours or of on_reply, raised again by `complain`
            self._context.crash = self._context.crash or error
            self._schedule.stop()

    def _pump(self, pump: Pump) -> None:
        try:
            pump.run()
        except BaseException as error:  # noqa: BLE001 - as above
            self._context.crash = self._context.crash or error
            self._schedule.stop()

    def _direct(self) -> None:
        stopped_at = 0
        while any(thread.is_alive() for thread in self._running):
            self._over.wait(TICK) if self._waits_long() else time.sleep(0.01)
            now = self._clock.now()
            asked = self._interrupts()
            if asked and not self._is_interrupted:
                self.stop()
            if self._schedule.is_stopped and not stopped_at:
                stopped_at = now
            if stopped_at and (asked > 1 or now - stopped_at > GRACE):
                self.cut()
            self._collect()
            self._clock.reanchor()
            if self._auto and not stopped_at:
                self._steer(self._auto, now)
            self._show(every=SHOW_EVERY)

    def _waits_long(self) -> bool:
        """A fetch of a few URLs is over at once, and nobody should wait a tenth of a second for it."""
        return self._clock.now() - self._began > SECOND

    def _steer(self, auto: Auto, now: int) -> None:
        counters = self._added_up()
        failures = sum(worker.failed for worker in self._workers)
        auto.look(now, counters.files + failures, failures + self._schedule.throttles)
        self._adjust()
        self.threads = auto.threads

    @property
    def is_stopping(self) -> bool:
        """Whether nothing more is begun."""
        return self._schedule.is_stopped

    def wait(self) -> None:
        """Wait until it is over: nothing is written any more, and the folder is free."""
        # in slices, so that signals are noticed
        while not self._over.wait(TICK):
            pass

    def stop(self) -> None:
        """Begin nothing more."""
        self._is_interrupted = True
        self._schedule.stop()

    def cut(self) -> None:
        """Begin nothing more, and end what is under way."""
        self.stop()
        self._context.is_cutting = True
        for worker in self._workers:
            worker.connections.abort()

    def _collect(self) -> None:
        while self._handed:
            self._recording.absorb(self._handed.popleft())
        self._recording.close_before(second_of(self._clock.now(), self._began) - RECENT - 1)

    def _added_up(self) -> Counters:
        whole = Counters()
        for worker in self._workers:
            whole.add(worker.counters)
        return whole

    def _show(self, *, every: int) -> None:
        now = self._clock.now()
        if not self._watch or now - self._shown < every:
            return
        self._shown = now
        counters, stats = self._added_up(), self.stats
        second = second_of(now, self._began)
        recent = self._recording.between(max(0, second - RECENT), second)
        p99 = recent.response_time.percentile(99)
        self._watch(
            Progress(
                name=self._name,
                elapsed=(now - self._began) / SECOND,
                done=counters.files,
                failed=sum(worker.failed for worker in self._workers) + stats.refused,
                skipped=stats.complete + stats.duplicates,
                bytes=counters.bytes,
                of=stats.given if stats.is_done else self._estimate(),
                threads=self.threads,
                p99=None if p99 is None else p99 / SECOND,
                is_stopping=self._is_interrupted or self.trouble is not None,
            )
        )

    def _estimate(self) -> int | None:
        """How many there will be, where the lines were counted before."""
        if self._expected is None:
            return None
        return max(0, self._expected - self.stats.complete - self.stats.duplicates - self.stats.refused)

    def _tell(self, line: ManifestLine) -> None:
        if self._on_reply:
            self._on_reply(self._reply(line))
        if self._waiting:
            with self._has_line:
                self._has_line.notify_all()

    def _reply(self, line: ManifestLine) -> FetchReply:
        root = self.plan.append.parent if line.offset is not None and self.plan.append else self.plan.into
        return FetchReply(
            url=line.url,
            status=line.status,
            file=None if line.file is None else Path(root, line.file),
            bytes=line.bytes,
            seconds=line.seconds,
            error=line.error,
            attempts=line.attempts,
            position=line.position,
            sha256=line.sha256,
            final_url=line.final_url,
        )

    def replies(self) -> Iterator[FetchReply]:
        """Those of this run, as they complete. Leaving it before its end, however that is done, stops the fetch."""
        try:
            yield from self._replies()
        except BaseException:
            self.stop()
            raise
        self.complain()

    def _replies(self) -> Iterator[FetchReply]:
        at = self._manifest.began_at
        while True:
            is_over = self._over.is_set()
            end = self._manifest.size
            for line in self._manifest.lines(at, end):
                yield self._reply(line)
            at = end
            if is_over and at == self._manifest.size:
                break
            with self._has_line:
                self._waiting += 1
                if self._manifest.size == at and not self._over.is_set():
                    self._has_line.wait(TICK)
                self._waiting -= 1

    # -- after

    @property
    def stats(self) -> InputStats:
        """What was read."""
        return self._reader.stats

    @property
    def failed(self) -> int:
        """URLs that failed for good, and lines that are none."""
        return sum(worker.failed for worker in self._workers) + self.stats.refused

    @property
    def left(self) -> int:
        """URLs that were read and not settled."""
        return self.stats.given - self.counters.files - sum(worker.failed for worker in self._workers)

    @property
    def is_interrupted(self) -> bool:
        """Whether it was stopped before its end."""
        return self._is_interrupted and (self.left > 0 or not self.stats.is_done)

    @property
    def trouble(self) -> OSError | None:
        """Why the disk takes no more."""
        return self._context.trouble or self._reader.trouble

    @property
    def exit_code(self) -> int:
        """See `FetchResult.exit_code`."""
        if self.trouble or self._context.crash:
            return OutputError.exit_code
        if self.is_interrupted:
            return 2
        if not self.stats.read:
            return NothingToRun.exit_code
        return 1 if self.failed else 0

    @property
    def reasons(self) -> dict[Any, list[str]]:
        """Some URLs of each failure."""
        return self._context.reasons

    @property
    def circuits(self) -> int:
        """How often a host was left alone for it did not answer."""
        return self._schedule.trips

    @property
    def auto(self) -> Auto | None:
        """Who looked for the number of threads."""
        return self._auto

    def complain(self) -> None:
        """Raise what ended it before its end."""
        crash = self._reader.crash or self._context.crash
        if isinstance(crash, LoadkitError):
            raise crash
        if crash:
            raise LoadkitError(f"the fetch was ended by {crash!r}") from crash
        if self.trouble:
            reason = (self.trouble.strerror or str(self.trouble)).lower()
            raise OutputError(
                f"cannot write into {self.plan.into}: {reason}; what is done is kept, --resume does the rest"
            )
        if not self.stats.read and not self._is_interrupted:
            raise NothingToRun(f"there is no URL in {self._name}")

    def result(self) -> Result:
        """The figures, made once."""
        if self._result is None:
            self._result = self._made()
        return self._result

    def _made(self) -> Result:
        if self.left > 0 and self._recording.labels:
            first = next(iter(self._recording.labels.values()))
            first.unsent += max(0, self.left - self._recording.total().cut)
        stats = self._stats()
        total, endpoints = rows(self._recording, duration=stats.duration, started=self._began)
        info = self._info([row.name for row in endpoints])
        driven = Driven(recording=self._recording, stats=stats)
        machine = environment(driven, clock_source=self._network.wire.clock_source)
        started = self._started.isoformat(timespec="milliseconds")
        context = RunContext(
            started_at=started,
            measured_at=started,
            public_hosts=list(self._network.public),
            clock_steps=self._clock.steps,
        )
        evidence = Evidence(
            scenario=info,
            environment=machine,
            context=context,
            stats=stats,
            duration=stats.duration,
            total=total,
            endpoints=endpoints,
        )
        doubts = [caveat for caveat in caveats(evidence) if caveat.code not in OF_A_LOAD]
        return Result(
            identity=Identity(name=info.name, plan=digest([plain(getattr(self.plan, name)) for name in COMPARABLE])),
            scenario=info,
            environment=machine,
            started_at=started,
            spans=[RunSpan(start=started, length=stats.duration)],
            duration=stats.duration,
            outcome=self._outcome(),
            total=total,
            endpoints=endpoints,
            thresholds=threshold_results([], total, endpoints) if total.requests else [],
            caveats=doubts,
            intervals=intervals(self._recording.series, duration=stats.duration),
            validity=validity_of(doubts),
        )

    def _stats(self) -> RunStats:
        return RunStats(
            measured_from=self._began,
            stopped_at=self._stopped_at,
            cpu_time=round(self._cpu * SECOND),
            unstamped=sum(worker.connections.unstamped for worker in self._workers),
        )

    def _outcome(self) -> Outcome:
        if self.is_interrupted or self.trouble:
            return "interrupted"
        return "failed" if self.failed else "passed"

    def _info(self, labels: list[str]) -> ScenarioInfo:
        plan, counters, stats = self.plan, self.counters, self.stats
        return ScenarioInfo(
            name=f"fetch {self._name}",
            description="",
            base_url="",
            threads=self.threads,
            duration=None,
            iterations=stats.given or None,
            rate=None,
            warmup=0.0,
            think_time="",
            timeout=plan.seconds,
            transport="sockets",
            verify=not plan.insecure,
            endpoints=labels,
            options={
                "files": counters.files,
                "bytes": counters.bytes,
                "complete": stats.complete,
                "duplicates": stats.duplicates,
                "refused": stats.refused,
                "retries": dict(sorted(counters.retries.items())),
                "redirects": counters.redirects,
                "network_seconds": counters.network / SECOND,
                "disk_seconds": counters.disk / SECOND,
                "rate_limit": plan.rate_a_second,
                "per_host": plan.per_host,
                "auto": self._auto.said if self._auto else None,
            },
        )


def _most_threads() -> int:
    """How many threads may be tried: fewer where there may be few open files."""
    for most in (MOST, MOST // 4):
        with contextlib.suppress(UsageError):
            make_room(most * OPEN_EACH)
            return most
    return MOST // 16


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
