"""A fetch from its beginning to its end: the folder, the threads, the progress, the figures."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from loadkit.clock import SystemClock
from loadkit.drive.stats import Driven, RunStats
from loadkit.fetcher.attempts import FetchContext
from loadkit.fetcher.connections import Network
from loadkit.fetcher.figures import FetchSummary, result_of
from loadkit.fetcher.hosts import HostTable
from loadkit.fetcher.multiplexer import IS_AVAILABLE
from loadkit.fetcher.options import FetchOptions
from loadkit.fetcher.pool import WorkerPool, make_room_for
from loadkit.fetcher.progress import progress_of
from loadkit.fetcher.reader import SourceReader
from loadkit.fetcher.schedule import Schedule
from loadkit.fetcher.store import Store
from loadkit.host.tuning import interpreter_tuned
from loadkit.judge.evidence import RunContext
from loadkit.measure.recording import Batch, Recording, second_of
from loadkit.plan.units import SECOND, nanoseconds

if TYPE_CHECKING:
    from typing import Any

    from loadkit.fetcher.manifest import ManifestLine
    from loadkit.fetcher.progress import Watch
    from loadkit.fetcher.sources import Entry
    from loadkit.judge.result import Result

TICK: Final = 0.1
"""Seconds between two looks at a fetch in progress."""
FIRST_TICK: Final = 0.01
"""The same in its first second: a fetch of a few URLs is over soon, and nobody should wait longer for it."""
REPORT_EACH: Final = SECOND // 4
RECENT: Final = 3
"""Seconds of the recording that are kept open."""
GRACE: Final = 5 * SECOND
"""How long exchanges in progress may take when the fetch is stopped."""
COLLECT_EACH: Final = 20_000
"""A URL leaves no cycles behind, and the collector looked for them 40 times in 1,000: 5 % of all CPU."""


class FetchJob:
    """One fetch. `run` does all of it, in whatever thread it is called."""

    def __init__(
        self,
        entries: Iterator[Entry],
        options: FetchOptions,
        *,
        name: str,
        on_line: Callable[[ManifestLine], Any] | None = None,
        watch: Watch | None = None,
        interrupts: Callable[[], int] | None = None,
        expected: int | None = None,
    ) -> None:
        threads = make_room_for(options.threads)
        clock = SystemClock()
        self.options = options
        self._name = name
        self._interrupts = interrupts or (lambda: 0)
        self._expected = expected
        """URLs in the list, if its lines were counted."""
        self._watch = watch
        self._watched_at = 0
        self._recording = Recording()
        self._handed: deque[Batch] = deque()
        """Samples that are not in the recording yet."""
        network = Network(clock, options)
        self.store = Store(options)
        hosts = HostTable(
            per_host=options.per_host,
            first_wait=nanoseconds(options.back_off),
            first_pause=nanoseconds(options.host_pause),
        )
        self._context = FetchContext(
            options=options,
            clock=clock,
            schedule=Schedule(clock, hosts, rate=options.rate),
            network=network,
            store=self.store,
            hand_over=self._handed.append,
            on_line=on_line,
        )
        multiplexed = IS_AVAILABLE and threads > 1 and not on_line and not options.rate
        self._pool = WorkerPool(self._context, threads, multiplexed=multiplexed)
        self._reader = SourceReader(entries, self._context)
        self._started_at = datetime.now(UTC)
        self._stats: RunStats | None = None
        """How it went, when it is over."""
        self._over = threading.Event()

    @property
    def is_stopping(self) -> bool:
        """True if nothing more is begun."""
        return self._context.schedule.is_stopped

    def stop(self) -> None:
        """Begin nothing more."""
        self._context.was_stopped = True
        self._context.schedule.stop()

    def cut(self) -> None:
        """Begin nothing more, and end the exchanges in progress."""
        self.stop()
        self._context.is_cutting = True
        self._pool.abort()

    def wait(self) -> None:
        """Wait until it is over: nothing is written any longer, and the folder is free."""
        # in slices, so that signals are noticed
        while not self._over.wait(TICK):
            pass

    def summary(self) -> FetchSummary:
        """What came of it until now."""
        context, reader = self._context, self._reader
        return FetchSummary(
            name=self._name,
            options=self.options,
            manifest=self.store.manifest.path,
            threads=self._pool.size,
            counters=self._pool.counters(),
            input=reader.stats,
            expected=self._expected,
            circuits=context.schedule.hosts.trips,
            limit=self._pool.limit,
            is_tuning=self._pool.tuner is not None and not self._pool.tuner.is_over,
            was_stopped=context.was_stopped,
            crash=context.crash,
            disk_error=context.disk_error,
        )

    def result(self) -> Result:
        """Its figures, when it is over."""
        assert self._stats
        started, network = self._started_at.isoformat(timespec="milliseconds"), self._context.network
        context = RunContext(
            started_at=started,
            measured_at=started,
            public_hosts=list(network.public),
            clock_steps=self._context.clock.steps,
        )
        driven = Driven(recording=self._recording, stats=self._stats)
        return result_of(self.summary(), driven, context)

    # -- in the thread of the job

    def run(self) -> None:
        """Fetch everything; never raises, see `FetchSummary.raise_error`."""
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001 - raised again where the fetch was asked for
            self._context.fail(error)
        finally:
            self._close_files()
            self._over.set()

    def _run(self) -> None:
        context = self._context
        context.began = context.clock.now()
        cpu = time.process_time()
        threading.Thread(target=self._reader.run, name="loadkit-fetch-reader", daemon=True).start()
        try:
            with interpreter_tuned(collect_each=COLLECT_EACH):
                self._work()
        finally:
            self._stats = RunStats(
                measured_from=context.began,
                stopped_at=context.clock.now(),
                cpu_time=round((time.process_time() - cpu) * SECOND),
                unstamped=self._pool.unstamped,
            )
            self._collect()
            self._recording.finish()
            self._pool.conclude()
        self._report_progress(is_last=True)

    def _work(self) -> None:
        """Have everything fetched."""
        try:
            self._pool.start()
            self._direct()
        finally:
            self._context.schedule.stop()
            self._pool.join()

    def _direct(self) -> None:
        clock, began, stopped_at = self._context.clock, self._context.began, 0
        while self._pool.is_alive:
            self._over.wait(TICK if clock.now() - began > SECOND else FIRST_TICK)
            now, interrupts = clock.now(), self._interrupts()
            if interrupts and not self._context.was_stopped:
                self.stop()
            if self.is_stopping and not stopped_at:
                stopped_at = now
                if self._pool.tuner:
                    self._pool.tuner.end("interrupted", "it was interrupted")
            if stopped_at and (interrupts > 1 or now - stopped_at > GRACE):
                self.cut()
            self._collect()
            clock.reanchor()
            if not stopped_at:
                self._pool.tune(now, self._left())
            self._report_progress()

    def _left(self) -> int | None:
        """URLs that are not done; None while the list is read."""
        counters, read = self._pool.counters(), self._reader.stats
        return read.given - counters.files - counters.failed if read.is_done else None

    def _collect(self) -> None:
        """Take what the workers have handed over into the recording."""
        while self._handed:
            self._recording.absorb(self._handed.popleft())
        self._recording.close_before(self._second() - RECENT - 1)

    def _second(self) -> int:
        return second_of(self._context.clock.now(), self._context.began)

    def _report_progress(self, *, is_last: bool = False) -> None:
        now = self._context.clock.now()
        if not self._watch or (now - self._watched_at < REPORT_EACH and not is_last):
            return
        self._watched_at, second = now, self._second()
        recent = self._recording.between(max(0, second - RECENT), second)
        p99 = recent.response_time.percentile(99)
        self._watch(progress_of(self.summary(), now - self._context.began, p99))

    def _close_files(self) -> None:
        try:
            self.store.close()
        except OSError as error:
            self._context.fail_disk(error)
