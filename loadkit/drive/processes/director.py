"""A workload on several processes, each with a part of it: begun together, merged second by second, none left behind.

The workers look at nobody but the server, and all say once a second what they counted. A part is known by its number
alone (`workload(scenario, part)`), so nothing is shared and the whole is exact.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from loadkit.drive.collect import Collector, Keeper
from loadkit.drive.director import TICK
from loadkit.drive.outstanding import Monitor, Outstanding
from loadkit.drive.processes.child import ChildProcess
from loadkit.drive.processes.group import SILENCE, WorkerGroup
from loadkit.drive.processes.losses import check_start, count_lost, count_not_begun, losses
from loadkit.drive.processes.protocol import Assignment, Cut, Stop
from loadkit.drive.processes.records import machine_records
from loadkit.drive.processes.worker_state import Channel
from loadkit.drive.progress import Display, Watcher
from loadkit.drive.rows.feed import sum_of_uses
from loadkit.drive.state import NEVER, RunState
from loadkit.drive.stats import Driven, RunStats
from loadkit.measure.recording import Recording
from loadkit.plan.errors import LoadkitError
from loadkit.plan.part import WHOLE, Part
from loadkit.plan.remote import changed_fields, source_of, to_json_value
from loadkit.plan.units import SECOND, nanoseconds
from loadkit.plan.workload import row_owners, workload

if TYPE_CHECKING:
    from loadkit.measure.recording import OnClose
    from loadkit.measure.samples import SampleBuffer
    from loadkit.plan.scenario import Scenario
    from loadkit.wire.base import Clock, Request

FAR: Final = SECOND
"""Before the beginning of all machines, its workers are told of it: they believe in none that is much farther off."""

LAG: Final = 1
"""Seconds by which what a second held comes in from all workers later than it does from threads."""


def assignments_for(
    scenario: Scenario, requests: list[Request | None], processes: int, part: Part = WHOLE
) -> list[Assignment]:
    """One for each worker that shares a part; `UsageError` for a scenario that other processes cannot load."""
    source, different, path = source_of(scenario), changed_fields(scenario), [*sys.path]
    return [
        Assignment(
            source=source.target,
            runner=source.runner,
            record=source.record,
            changes=different,
            requests=requests,
            part=one,
            path=path,
        )
        for one in part.split(processes)
    ]


def with_shared(assignments: list[Assignment], shared: object) -> list[Assignment]:
    """The same with what the scenario's `setup` returned; `UsageError` for what cannot be told."""
    return [msgspec.structs.replace(assignment, shared=to_json_value(shared)) for assignment in assignments]


def drive_processes(
    scenario: Scenario,
    assignments: list[Assignment],
    clock: Clock,
    *,
    watch: Watcher | None = None,
    interrupts: Callable[[], int] = lambda: 0,
    keeper: Keeper | None = None,
    samples: SampleBuffer | None = None,
    monitor: Monitor | None = None,
    on_close: OnClose | None = None,
    part: Part = WHOLE,
    open_channel: Callable[[Assignment], Channel] = ChildProcess,
) -> Driven:
    """Run a scenario, or the part of it that they share, on as many processes as there are assignments; see `drive`.

    Each is one that `open_channel` leads to: a child of this one, or one on another machine.

    A worker that dies is a sentence in `lost`, and the others go on. One that cannot begin ends the run: `UsageError`
    for the user's mistake, before anything is sent.
    """
    assignments = [msgspec.structs.replace(one, is_monitored=monitor is not None) for one in assignments]
    group = WorkerGroup(clock, samples, open_channel)
    try:
        return _Director(scenario, part, group, clock, watch, interrupts, keeper, monitor, on_close).run(assignments)
    finally:
        group.close()


class _Director:
    def __init__(
        self,
        scenario: Scenario,
        part: Part,
        group: WorkerGroup,
        clock: Clock,
        watch: Watcher | None,
        interrupts: Callable[[], int],
        keeper: Keeper | None,
        monitor: Monitor | None,
        on_close: OnClose | None,
    ) -> None:
        self._scenario = scenario
        self._group = group
        self._clock = clock
        self._interrupts = interrupts
        self._part = part
        self._load = load = workload(scenario, part)
        self._state = state = RunState()
        recording = Recording(scenario.labels, phases=len(load.segments), on_close=on_close)
        self._collector = Collector(
            recording, state, clock, keeper=keeper, monitor=monitor, outstanding=self._outstanding, lag=LAG
        )
        self._display = Display(scenario, load, state, recording, clock, watch, group.under_way, lag=LAG)
        self._ends_at = self._cut_at = NEVER
        """When the last part is to end, as far as it is known; when all were told to be done at once."""
        self._looked = 0
        self._cpu = 0.0

    def run(self, assignments: list[Assignment]) -> Driven:
        for assignment in assignments:
            self._group.start(assignment)
        try:
            is_ready = self._all_are_ready()
        except LoadkitError:
            self._end_before_start(self._clock.now() + self._load.graceful_stop)
            raise
        if not is_ready:
            self._state.is_interrupted = True
            self._state.began = self._state.measured_from = self._state.stop_at = self._clock.now()
            self._end_before_start(NEVER)
            return self._result()
        self._go()
        while self._group.running:
            self._look()
        self._group.await_end()
        return self._result()

    # -- before

    def _all_are_ready(self) -> bool:
        """Wait until all have connected, and other machines, too, begin soon; True if nobody interrupted it."""
        while not all(worker.is_ready for worker in self._group.workers) or self._begins_in() > FAR:
            if self._interrupts():
                return False
            self._group.read(TICK)
            for worker in self._group.workers:
                check_start(worker)
            self._display.show(stage="starting")
        return True

    def _begins_in(self) -> int:
        """Nanoseconds until other machines begin, too, which is 0 where they do not care, and less in the past."""
        return 0 if self._part.at is None else self._part.at - self._clock.wall_offset - self._clock.now()

    def _end_before_start(self, cut_at: int) -> None:
        """Have all tear down what they have set up; those that do not are told once more, and then killed."""
        self._group.send(Stop())
        while self._group.running and self._clock.now() < self._cut_at + 2 * SILENCE:
            self._group.read(TICK)
            if self._cut_at == NEVER and (self._interrupts() > 1 or self._clock.now() > cut_at):
                self._cut()
            self._display.show(stage="starting")

    def _go(self) -> None:
        self._clock.reanchor()
        self._cpu = time.process_time()
        state = self._state
        state.began = self._looked = self._clock.now() + max(self._group.lead, self._begins_in())
        state.measured_from = state.began + self._load.warmup
        if self._load.duration is not None:
            state.stop_at = state.measured_from + self._load.duration
        self._group.begin(state.began)

    # -- during

    def _look(self) -> None:
        self._group.read(TICK)
        self._collect()
        now = self._clock.now()
        self._group.excuse_pause(now - self._looked)
        self._looked = now
        self._clock.reanchor()
        self._steer(now)
        self._watch_over(now)
        self._display.show(note=self._group.silence())
        self._collector.keep(lambda recording, end: self._driven(recording, self._state.measured_from, end))

    def _collect(self) -> None:
        for batch in self._group.batches(self._state.measured_from):
            self._collector.hand_over(batch)
        self._collector.collect()

    def _outstanding(self) -> list[Outstanding]:
        return self._group.outstanding(self._state.measured_from)

    def _steer(self, now: int) -> None:
        asked = self._interrupts()
        if asked and now < self._state.stop_at:
            self._state.is_interrupted = True
            self._stop(now)
        if self._collector.is_missed:
            self._stop(now)
        done = [worker.done.stats for worker in self._group.workers if worker.done]
        if any(stats.is_fault or stats.interrupted for stats in done):
            self._stop(now)
        if self._is_out_of_rows(done):
            self._stop(now)
        if asked > 1 and self._cut_at == NEVER:
            self._cut()

    def _is_out_of_rows(self, done: list[RunStats]) -> bool:
        """No process has rows left of a feed that has ended; one that has goes on until it has used them."""
        ended = [
            k for k, uses in enumerate(zip(*(one.rows for one in done), strict=True)) if sum_of_uses(uses).is_spent
        ]
        if not ended:
            return False
        running = {worker.part.process for worker in self._group.running}
        owners = _row_owners(self._scenario, self._part, len(self._group.workers))
        return any(running.isdisjoint(owners[k]) for k in ended)

    def _stop(self, now: int) -> None:
        if now < self._state.stop_at:
            self._state.stop_at = now
            self._group.send(Stop())

    def _cut(self) -> None:
        self._cut_at = self._clock.now()
        self._group.send(Cut())

    def _watch_over(self, now: int) -> None:
        """Notice who is silent, and end those who stay so when all is over."""
        running = self._group.running
        self._group.note_silence(now)
        some_are_done = len(running) < len(self._group.workers)
        if now >= self._state.stop_at or (some_are_done and all(worker.silent_since for worker in running)):
            self._ends_at = min(self._ends_at, now)
        if now > min(self._ends_at + self._load.graceful_stop, self._cut_at) + SILENCE:
            self._group.kill_silent(now)

    # -- after

    def _result(self) -> Driven:
        self._collect()
        measured_from, stopped_at = self._times()
        recording = self._collector.recording
        count_lost(self._group.workers, self._scenario, self._collector, stopped_at - measured_from)
        self._collector.finish()
        count_not_begun(self._group.workers, self._scenario, self._load, recording)
        self._display.show(stage="draining", is_last=True)
        return self._driven(recording, measured_from, stopped_at)

    def _driven(self, recording: Recording, measured_from: int, stopped_at: int) -> Driven:
        workers, done = self._group.workers, self._done()
        some = RunStats.merge(done) if done else RunStats(measured_from=measured_from, stopped_at=stopped_at)
        others = [worker.latest for worker in workers if worker.latest and not worker.done]
        own = nanoseconds(time.process_time() - self._cpu) if self._cpu else 0
        stats = msgspec.structs.replace(
            some,
            measured_from=measured_from,
            stopped_at=stopped_at,
            interrupted=some.interrupted or self._state.is_interrupted,
            unreachable=some.unreachable and not self._group.running,
            cpu_time=some.cpu_time + own + sum(nanoseconds(one.cpu_seconds) for one in others),
            cpu_by_process=tuple(worker.cpu_seconds for worker in workers),
            threads=some.threads + sum(one.threads for one in others),
            in_flight=some.in_flight if len(done) == len(workers) else None,
            lost=tuple(losses(workers)),
            silent=tuple(self._group.silences),
        )
        stats = msgspec.structs.replace(stats, machines=tuple(machine_records(workers, self._clock, stats)))
        return Driven(recording=recording, stats=stats)

    def _done(self) -> list[RunStats]:
        """What those did that have told, by our clock."""
        return [worker.done.stats.shifted(self._state.began) for worker in self._group.workers if worker.done]

    def _times(self) -> tuple[int, int]:
        """When measuring began and ended: for the whole, when it did for the last."""
        if done := self._done():
            return min(one.measured_from for one in done), max(one.stopped_at for one in done)
        stopped_at = min(self._state.stop_at, self._clock.now())
        return min(self._state.measured_from, stopped_at), stopped_at


def _row_owners(scenario: Scenario, part: Part, processes: int) -> list[frozenset[int]]:
    """The processes that have rows of each feed."""
    feeds = {id(one.feed): one.feed for one in scenario.plans if one.feed is not None}.values()
    return [frozenset(row_owners(scenario, feed, part, processes)) for feed in feeds]
