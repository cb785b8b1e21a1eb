"""A workload on several processes, each with a part of it: begun together, merged second by second, none left behind.

The workers look at nobody but the server, and all say once a second what they counted. A part is known by its number
alone (`workload(scenario, part, parts)`), so nothing is shared and the whole is exact.
"""

from __future__ import annotations

import contextlib
import selectors
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, cast

import msgspec

from loadkit.drive.director import RECENT, SHOW_EVERY, TICK, Keeper
from loadkit.drive.processes.child import Worker
from loadkit.drive.processes.protocol import Cut, Done, Failed, Go, Message, News, Order, Ready, Stop, Word
from loadkit.drive.progress import Snapshot, Watcher, level_at, stage_at
from loadkit.drive.rows.feed import RowUse, of_all
from loadkit.drive.stats import Driven, RunStats
from loadkit.drive.user import NEVER
from loadkit.measure.packed import unpacked
from loadkit.measure.recording import JOURNEY, NO_SECOND, REQUEST, Batch, Counts, Recording, second_of
from loadkit.plan.errors import LoadkitError, UsageError
from loadkit.plan.journey import Journey
from loadkit.plan.label import OTHER
from loadkit.plan.remote import changes, source_of, told
from loadkit.plan.units import MILLISECOND, SECOND, nanoseconds
from loadkit.plan.workload import Closed, Open, row_turns, workload

if TYPE_CHECKING:
    from loadkit.plan.scenario import Scenario
    from loadkit.wire.base import Clock

LEAD: Final = 50 * MILLISECOND
"""From the word to begin to the beginning, so that all have heard it by then."""

SILENCE: Final = 2 * SECOND
"""Each worker says something once a second; one that does not for so long is stopped, or starved."""

LAG: Final = 2
"""Seconds after which what a second held has come in from all workers."""


def orders_for(scenario: Scenario, parts: int) -> list[Order]:
    """The order for each worker; `UsageError` for a scenario that other processes cannot load."""
    source, different = source_of(scenario).target, changes(scenario)
    return [Order(source=source, changes=different, part=part, parts=parts, path=[*sys.path]) for part in range(parts)]


def with_shared(orders: list[Order], shared: object) -> list[Order]:
    """The same orders with what the scenario's `setup` returned; `UsageError` for what cannot be told."""
    return [msgspec.structs.replace(order, shared=told(shared)) for order in orders]


def drive_processes(
    scenario: Scenario,
    orders: list[Order],
    clock: Clock,
    *,
    watch: Watcher | None = None,
    interrupts: Callable[[], int] = lambda: 0,
    keeper: Keeper | None = None,
) -> Driven:
    """Run a scenario on as many worker processes as there are orders; see `drive`.

    A worker that dies is a sentence in `lost`, and the others go on. One that cannot begin ends the run: `UsageError`
    for the user's mistake, before anything is sent.
    """
    crew = _Crew(scenario, orders, clock, watch, interrupts, keeper)
    try:
        return crew.run()
    finally:
        crew.close()


class _Crew:
    def __init__(
        self,
        scenario: Scenario,
        orders: list[Order],
        clock: Clock,
        watch: Watcher | None,
        interrupts: Callable[[], int],
        keeper: Keeper | None,
    ) -> None:
        self._keeper = keeper
        self._scenario = scenario
        self._workload: Closed | Open = workload(scenario)
        self._orders = orders
        self._clock = clock
        self._watch = watch
        self._interrupts = interrupts
        self._recording = Recording(scenario.labels, phases=len(self._workload.stretches))
        self._selector = selectors.DefaultSelector()
        self._workers: list[Worker] = []
        self._silent: list[str] = []
        self._began = 0
        self._measured_from = self._stop_at = NEVER
        self._ends_at = self._cut_at = NEVER
        """When the last part is to end, as far as it is known; when all were told to be done at once."""
        self._interrupted = False
        self._looked = 0
        self._shown = 0
        self._cpu = 0.0
        feeds = {id(one.feed): one.feed for one in scenario.plans if one.feed is not None}.values()
        self._row_owners = [frozenset(row_turns(scenario, feed, len(orders))) for feed in feeds]
        """The processes that have rows of each feed."""

    def run(self) -> Driven:
        for order in self._orders:
            self._hire(order)
        try:
            is_ready = self._all_are_ready()
        except LoadkitError:
            self._end_before_start(self._clock.now() + self._workload.graceful_stop)
            raise
        if not is_ready:
            self._interrupted = True
            self._began = self._measured_from = self._stop_at = self._clock.now()
            self._end_before_start(NEVER)
            return self._result()
        self._go()
        self._direct()
        for worker in self._workers:
            worker.dismiss()
            self._pass_on(worker, worker.pipes[1])
        return self._result()

    def close(self) -> None:
        """Whatever happened: no worker is left behind."""
        for worker in self._workers:
            worker.close()
        self._selector.close()

    # -- before

    def _hire(self, order: Order) -> None:
        worker = Worker(order.part, order.parts)
        self._workers.append(worker)
        news, said = worker.pipes
        self._selector.register(news, selectors.EVENT_READ, (worker, self._read_news))
        self._selector.register(said, selectors.EVENT_READ, (worker, self._pass_on))
        worker.tell(order)

    def _all_are_ready(self) -> bool:
        """Wait until all have connected; whether nobody interrupted it."""
        while not all(worker.is_ready for worker in self._workers):
            if self._interrupts():
                return False
            self._listen()
            for worker in self._workers:
                self._check_start(worker)
            self._show("starting")
        return True

    def _check_start(self, worker: Worker) -> None:
        if worker.failed and worker.failed.is_usage:
            error = UsageError(worker.failed.message)
            error.exit_code = worker.failed.exit_code
            raise error
        if worker.failed or worker.lost:
            raise LoadkitError(f"{worker} {worker.lost or worker.ending()}, before it was ready")

    def _end_before_start(self, cut_at: int) -> None:
        """Have all tear down what they have set up; those that do not are told once more, and then killed."""
        self._tell(Stop())
        while any(worker.is_running for worker in self._workers) and self._clock.now() < self._cut_at + 2 * SILENCE:
            self._listen()
            if self._cut_at == NEVER and (self._interrupts() > 1 or self._clock.now() > cut_at):
                self._cut_at = self._clock.now()
                self._tell(Cut())
            self._show("starting")

    def _go(self) -> None:
        self._clock.reanchor()
        self._cpu = time.process_time()
        self._began = self._looked = self._clock.now() + LEAD
        self._measured_from = self._began + self._workload.warmup
        if self._workload.duration is not None:
            self._stop_at = self._measured_from + self._workload.duration
        for worker in self._workers:
            worker.heard = self._began
            worker.tell(Go(at=self._began + self._clock.wall_offset))

    # -- during

    def _direct(self) -> None:
        while any(worker.is_running for worker in self._workers):
            self._listen()
            now = self._clock.now()
            self._forgive(now - self._looked)
            self._looked = now
            self._recording.close_before(second_of(now, self._measured_from) - RECENT - LAG)
            self._clock.reanchor()
            self._steer(now)
            self._watch_over(now)
            self._show(self._stage(now))
            self._keep()

    def _keep(self) -> None:
        before = second_of(self._clock.now(), self._measured_from) - LAG + 1
        if self._keeper and before > 0 and self._keeper.is_due:
            self._keeper.take(lambda: self._so_far(before))

    def _so_far(self, before: int) -> Driven:
        recording = self._recording.so_far(before)
        stopped_at = min(self._measured_from + recording.complete * SECOND, self._stop_at)
        return self._driven(recording, self._measured_from, stopped_at)

    def _forgive(self, span: int) -> None:
        """If it was us who slept (a Ctrl-Z, a suspended laptop), the workers were not silent meanwhile."""
        if span > SECOND:
            for worker in self._workers:
                worker.heard += span

    def _listen(self) -> None:
        for key, _ in self._selector.select(TICK):
            worker, read = key.data
            read(worker, key.fd)

    def _read_news(self, worker: Worker, pipe: int) -> None:
        messages = worker.news()
        if messages is None:
            self._selector.unregister(pipe)
            self._pass_on(worker, worker.pipes[1])
            if worker.is_running:
                worker.lost = worker.ending()
            return
        for message in messages:
            self._heed(worker, message)

    def _pass_on(self, worker: Worker, pipe: int) -> None:
        """What the code in a worker prints is for the user, as it is without workers."""
        text, is_end = worker.said()
        if is_end and pipe in self._selector.get_map():
            self._selector.unregister(pipe)
        # it is written as far as there is somebody to read it
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(text)
            sys.stderr.flush()

    def _heed(self, worker: Worker, message: Message) -> None:
        now = self._clock.now()
        if worker.quiet_since:
            self._silent.append(f"{worker} was silent for {self._span(worker.quiet_since, now)}")
            worker.quiet_since = 0
        worker.heard = max(worker.heard, now)
        match message:
            case Ready():
                worker.is_ready = True
            case News():
                worker.latest = message
                for parcel in message.parcels:
                    batch = unpacked(parcel, start=self._measured_from)
                    worker.account(batch)
                    self._recording.absorb(batch)
            case Done():
                worker.done = message
            case Failed():
                worker.failed = message

    def _span(self, start: int, end: int) -> str:
        return f"{(end - start) / SECOND:.1f} s, from {max(0, start - self._began) / SECOND:.1f} s after the start"

    def _steer(self, now: int) -> None:
        asked = self._interrupts()
        if asked and now < self._stop_at:
            self._interrupted = True
            self._stop(now)
        done = [worker.done.stats for worker in self._workers if worker.done]
        if any(stats.is_fault or stats.interrupted for stats in done):
            self._stop(now)
        if self._is_out_of_rows():
            self._stop(now)
        if asked > 1 and self._cut_at == NEVER:
            self._cut_at = now
            self._tell(Cut())

    def _is_out_of_rows(self) -> bool:
        """No process has rows left of a feed that has ended; one that has goes on until it has used them."""
        running = {worker.part for worker in self._workers if worker.is_running}
        uses = self._uses()
        return any(
            use.is_spent and running.isdisjoint(owners) for use, owners in zip(uses, self._row_owners, strict=False)
        )

    def _uses(self) -> list[RowUse]:
        """What was used of each feed by the processes that are done."""
        by_process = [worker.done.stats.rows for worker in self._workers if worker.done]
        return [of_all(uses) for uses in zip(*by_process, strict=True)]

    def _stop(self, now: int) -> None:
        if now >= self._stop_at:
            return
        self._stop_at = now
        self._tell(Stop())

    def _tell(self, word: Word) -> None:
        for worker in self._workers:
            if worker.is_running:
                worker.tell(word)

    def _watch_over(self, now: int) -> None:
        """Notice who is silent, and end those who stay so when all is over."""
        running = [worker for worker in self._workers if worker.is_running]
        for worker in running:
            if now - worker.heard > SILENCE and not worker.quiet_since:
                worker.quiet_since = worker.heard
        some_are_done = len(running) < len(self._workers)
        if now >= self._stop_at or (some_are_done and all(worker.quiet_since for worker in running)):
            self._ends_at = min(self._ends_at, now)
        for worker in running:
            if worker.quiet_since and now > min(self._ends_at + self._workload.graceful_stop, self._cut_at) + SILENCE:
                worker.kill()
                worker.lost = f"was silent for {self._span(worker.quiet_since, now)}, and was killed"

    def _stage(self, now: int) -> str:
        start = self._measured_from
        stage = stage_at(self._workload.stretches, now - start, self._stop_at - start)
        silent = [str(worker.part + 1) for worker in self._workers if worker.is_running and worker.quiet_since]
        return f"{stage}, process {', '.join(silent)} silent" if silent else stage

    def _show(self, stage: str) -> None:
        now = self._clock.now()
        if not self._watch or now - self._shown < SHOW_EVERY:
            return
        self._shown = now
        last = max(0, second_of(now, self._measured_from) - LAG + 1) if self._began else 0
        seconds = min(RECENT, last) if now < self._stop_at else 0
        recent = self._recording.between(last - seconds, last)
        p99 = recent.response_time.percentile(99) if seconds else None
        requests, failures = self._recording.requests_and_failures()
        told = [worker.latest for worker in self._workers if worker.latest and worker.is_running]
        level = level_at(self._workload.stretches, now - self._measured_from)
        is_open = isinstance(self._workload, Open)
        # of journeys, it cannot be held against a rate of requests
        asked = cast(float, self._scenario.rate) if self._scenario.rate else level
        self._watch(
            Snapshot(
                name=self._scenario.name or "",
                stage=stage,
                elapsed=self._elapsed(now),
                planned=None if self._workload.duration is None else self._workload.duration / SECOND,
                iterations=self._workload.iterations,
                threads=sum(news.threads for news in told),
                in_flight=sum(news.in_flight for news in told),
                requests=requests,
                failures=failures,
                rate=recent.good / seconds if seconds else None,
                p99=None if p99 is None else p99 / SECOND,
                asked_rate=asked if is_open and not self._scenario.journeys else None,
                asked_threads=None if is_open else level,
                journeys=self._recording.journeys() if self._scenario.journeys else None,
                is_interrupted=self._interrupted,
            )
        )

    def _elapsed(self, now: int) -> float:
        if not self._began:
            return 0.0
        start = self._began if now < self._measured_from else self._measured_from
        return max(0, now - start) / SECOND

    # -- after

    def _result(self) -> Driven:
        measured_from, stopped_at = self._times()
        self._count_lost(stopped_at - measured_from)
        self._recording.finish()
        self._count_not_begun()
        self._shown = 0
        self._show("draining")
        return self._driven(self._recording, measured_from, stopped_at)

    def _driven(self, recording: Recording, measured_from: int, stopped_at: int) -> Driven:
        done = self._done()
        some = RunStats.merge(done) if done else RunStats(measured_from=measured_from, stopped_at=stopped_at)
        others = [worker.latest for worker in self._workers if worker.latest and not worker.done]
        own = nanoseconds(time.process_time() - self._cpu) if self._cpu else 0
        stats = msgspec.structs.replace(
            some,
            measured_from=measured_from,
            stopped_at=stopped_at,
            interrupted=some.interrupted or self._interrupted,
            unreachable=some.unreachable and not any(worker.is_running for worker in self._workers),
            cpu_time=some.cpu_time + own + sum(nanoseconds(news.cpu_seconds) for news in others),
            cpu_by_process=tuple(_cpu(worker) for worker in self._workers),
            threads=some.threads + sum(news.threads for news in others),
            in_flight=some.in_flight if len(done) == len(self._workers) else None,
            lost=tuple(self._losses()),
            silent=tuple(self._silent),
        )
        return Driven(recording=recording, stats=stats)

    def _done(self) -> list[RunStats]:
        """What those did that have told, by our clock."""
        return [worker.done.stats.shifted(self._began) for worker in self._workers if worker.done]

    def _times(self) -> tuple[int, int]:
        """When measuring began and ended: for the whole, when it did for the last."""
        if done := self._done():
            return min(one.measured_from for one in done), max(one.stopped_at for one in done)
        stopped_at = min(self._stop_at, self._clock.now())
        return min(self._measured_from, stopped_at), stopped_at

    def _losses(self) -> Iterable[str]:
        all_are_unreachable = all(worker.done.stats.unreachable for worker in self._workers if worker.done)
        for worker in self._workers:
            if worker.lost:
                yield f"{worker} {worker.lost}"
            elif worker.done and worker.done.stats.unreachable and not all_are_unreachable:
                yield f"{worker} never got a connection and stopped early"

    def _count_lost(self, length: int) -> None:
        """What was due in the part of a lost worker, and is not known to have been sent, is unsent."""
        for worker in self._workers:
            if isinstance(self._workload, Open) and worker.lost:
                for (kind, label, phase), count in self._missing(worker, length).items():
                    self._recording.absorb(Batch(NO_SECOND, phase, label, [], 0, Counts(unsent=count), kind=kind))

    def _missing(self, worker: Worker, length: int) -> Counter[tuple[str, str, int]]:
        """By kind, label and phase; journeys are counted in no phase."""
        load = workload(self._scenario, worker.part, len(self._workers))
        assert isinstance(load, Open)
        rows = [self._row(position) for position in load.turns]
        due: Counter[tuple[str, str, int]] = Counter()
        for number, at in load.arrivals.dues():
            if at >= length:
                break
            kind, label = rows[number % len(rows)]
            phase = next((k for k, one in enumerate(load.stretches) if at < one.end), 0) if kind == REQUEST else 0
            due[kind, label, phase] += 1
        due.subtract(worker.reported)
        return +due

    def _row(self, position: int) -> tuple[str, str]:
        """What an arrival for this endpoint or journey is counted as: kind and label."""
        label = self._scenario.rows[position]
        if isinstance(self._scenario.plans[position], Journey):
            return JOURNEY, label
        return REQUEST, label if label in self._recording.labels else OTHER

    def _count_not_begun(self) -> None:
        """Iterations of lost workers; those that a living one did not come to it has counted itself."""
        load, total = self._workload, self._recording.total()
        if not isinstance(load, Closed) or load.iterations is None or not any(one.lost for one in self._workers):
            return
        journeys = [counts for (kind, _), counts in self._recording.timings.items() if kind == JOURNEY]
        told = sum(counts.requests + counts.cut + counts.unsent for counts in (*journeys, total))
        # what journeys request cannot be told from what endpoints do, so that this may be too few
        label = next(iter(self._scenario.rows))
        kind = JOURNEY if label in [journey.label for journey in self._scenario.journeys] else REQUEST
        self._recording.unsent(label, 0, max(0, load.iterations - told), kind=kind)


def _cpu(worker: Worker) -> float:
    if worker.done:
        return worker.done.stats.cpu_seconds
    return worker.latest.cpu_seconds if worker.latest else 0.0
