"""A workload on threads: one for each virtual user, started together, stopped by the clock.

One thread directs: it sets when the run ends, merges what the others hand over, adds threads where an open workload
finds all of them busy, and ends what does not end by itself. The others only read the state of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from loadkit.drive.build import Builder
from loadkit.drive.collect import Collector, Keeper, Relay
from loadkit.drive.loop_thread import LoopThread, Runnable
from loadkit.drive.outstanding import Monitor
from loadkit.drive.progress import Display, Watcher
from loadkit.drive.rows.feed import RowsUsedUp
from loadkit.drive.rows.sender import Feeds
from loadkit.drive.run_plan import RunPlan
from loadkit.drive.state import NEVER, RunState
from loadkit.drive.stats import Driven, RunStats
from loadkit.drive.target import Target
from loadkit.drive.threads import Growth, UserThreads
from loadkit.host.tuning import interpreter_tuned, kernel_tuned
from loadkit.host.usage import Probe, Usage
from loadkit.measure.recording import JOURNEY, Recording
from loadkit.plan.part import WHOLE, Part
from loadkit.plan.units import MILLISECOND, SECOND, nanoseconds
from loadkit.plan.workload import Closed, Open, workload
from loadkit.wire.exchange_log import BODY

if TYPE_CHECKING:
    from loadkit.measure.recording import OnClose
    from loadkit.measure.samples import SampleBuffer
    from loadkit.plan.scenario import Scenario
    from loadkit.wire.base import Clock, Request
    from loadkit.wire.exchange_log import ExchangeLog
    from loadkit.wire.protocols import Wire

SETTLE: Final = 20 * MILLISECOND
"""From the last connection on: the kernel stamps arrivals from up to 8 ms after it was first asked to (1 % of runs)."""

READ_BEFORE: Final = 2 * MILLISECOND
"""Before the beginning of one of several runs, or processes, the machine is read, which takes a quarter of that."""

PATIENCE: Final = 2 * SECOND
"""With threads that were told to end at once and are held by code of others."""

COLLECT_EACH: Final = 50_000
"""Objects after which the garbage collector looks for cycles where users are carried: at each 700, as Python has it,
replies waited up to 8 ms for it with 10,000 users."""

TICK: Final = 0.1
"""Seconds between two looks at a run."""


def drive(
    scenario: Scenario,
    requests: Sequence[Request | None],
    wire: Wire,
    clock: Clock,
    *,
    watch: Watcher | None = None,
    interrupts: Callable[[], int] = lambda: 0,
    shared: object = None,
    part: Part = WHOLE,
    relay: Relay | None = None,
    begin: Callable[[], int] | None = None,
    keeper: Keeper | None = None,
    monitor: Monitor | None = None,
    is_monitored: bool = False,
    probe: Probe | None = None,
    log: ExchangeLog | None = None,
    samples: SampleBuffer | None = None,
    on_close: OnClose | None = None,
) -> Driven:
    """Run a scenario whose endpoints became `requests`, in order; its journeys, None there, are given `shared`.

    `interrupts` tells how often the user asked to stop: once drains, twice cuts. Raises `UsageError` before anything
    is sent when the machine does not allow so many threads or connections. What one of several processes
    counts goes to `relay`, and not into the recording. One of several runs of this process calls
    `begin` when all its threads have connected, and begins at the instant that it returns. The first exchanges are kept
    by `log`, and each request that is measured goes to `samples`, too;
    `on_close` is told what each second held.
    `monitor` may end the run; a part of a run that one looks at as a whole `is_monitored`.
    """
    load = workload(scenario, part)
    state = RunState(tuple(one.end for one in load.segments))
    state.samples = samples
    recording = Recording(scenario.labels, phases=len(load.segments), on_close=on_close)
    for journey in scenario.journeys:
        recording.unsent(journey.label, 0, 0, kind=JOURNEY)  # so that each has a row, in their order
    collector = Collector(recording, state, clock, relay=relay, keeper=keeper, monitor=monitor)
    keep = BODY if log else None
    if log:
        requests = [one if one is None or one.keep is not None else replace(one, keep=keep) for one in requests]
    with Feeds(scenario, seed=scenario.seed, part=part, keep=keep) as feeds:
        plan = RunPlan(
            scenario=scenario,
            load=load,
            requests=requests,
            wire=wire,
            clock=clock,
            feeds=feeds,
            shared=shared,
            log=log,
            is_monitored=is_monitored or monitor is not None,
        )
        begin = relay.begin if relay else begin
        return _Director(plan, state, collector, watch, interrupts, begin, probe or Probe()).run()


class _Director:
    def __init__(
        self,
        plan: RunPlan,
        state: RunState,
        collector: Collector,
        watch: Watcher | None,
        interrupts: Callable[[], int],
        begin: Callable[[], int] | None,
        probe: Probe,
    ) -> None:
        self._plan = plan
        self._state = state
        self._collector = collector
        self._interrupts = interrupts
        self._await_others = begin
        self._probe = probe
        self._clock = plan.clock
        threads = self._threads = UserThreads(state, plan.clock)
        if plan.is_monitored:
            collector.outstanding = threads.outstanding
        self._display = Display(
            plan.scenario, plan.load, state, collector.recording, plan.clock, watch, threads.under_way
        )
        self._growth: Growth | None = None
        self._target = Target()
        self._cut_at = NEVER
        self._has_ended = False

    def run(self) -> Driven:
        first = self._first()
        are_loops = all(isinstance(one, LoopThread) for one in first)
        if are_loops:
            self._probe.loops = len(first)
        # a loop leaves no cycles behind
        collect_each = COLLECT_EACH if are_loops else 0
        punctual = self._growth is not None
        with interpreter_tuned(threads=len(first), collect_each=collect_each), kernel_tuned(punctual=punctual):
            try:
                self._start(first)
                self._direct()
            except BaseException:
                self._leave_nobody()
                raise
            finally:
                if self._growth and not self._threads.any_alive:
                    self._growth.pool.close()
        return self._result()

    # -- before

    def _first(self) -> Sequence[Runnable]:
        """What the first threads run."""
        load, builder = self._plan.load, Builder(self._plan, self._state, self._collector.hand_over)
        most = builder.make_room()
        if isinstance(load, Closed):
            return builder.closed_users(load)
        pool = builder.pool(load, self._threads.notify)
        self._growth = Growth(pool, self._threads, builder, most)
        return builder.open_users(load, pool)

    def _start(self, first: Sequence[Runnable]) -> None:
        """All threads connect, then wait for each other and start together; an interrupt ends their connecting."""
        threads = self._threads
        threads.start(first, self._begin)
        while not threads.are_ready and not threads.is_broken:
            if self._interrupts() and not self._state.is_interrupted:
                self._state.is_interrupted = True
                threads.abort()
            if self._interrupts() > 1:
                # somebody's own code holds a thread
                self._cut()
                threads.break_off()
            self._display.show(stage="starting")
            threads.await_event(TICK / 50)
        if not threads.is_broken:
            # the parent of several processes waits until each is ready, and starts none if one is not
            self._clock.pause(SETTLE, lambda: False)
            self._await_beginning()
        if not threads.release():
            # a thread could not be made ready; it is told when all have ended
            self._state.began = self._state.stop_at = self._state.measured_from = self._clock.now()

    def _await_beginning(self) -> None:
        """Read the machine, which takes 0.5 ms, by which the first request would be late if it were read later."""
        if self._await_others:
            self._state.began = self._await_others()
            self._clock.pause(self._state.began - READ_BEFORE - self._clock.now(), lambda: bool(self._interrupts()))
        if not self._plan.load.warmup:
            self._probe.begin()
        if self._await_others:
            self._clock.pause(self._state.began - self._clock.now(), lambda: bool(self._interrupts()))

    def _begin(self) -> None:
        """All are ready: set when it ends. Called by one thread while the others wait."""
        state, load = self._state, self._plan.load
        state.began = min(state.began, self._clock.now())
        # one of several processes, or runs, may have waited long for the order to begin
        self._state.is_interrupted = self._state.is_interrupted or bool(self._interrupts())
        if self._state.is_interrupted:
            state.stop_at = state.measured_from = state.began
            return
        state.measured_from = state.began + load.warmup
        if load.duration is not None:
            state.stop_at = state.measured_from + load.duration

    # -- during

    def _direct(self) -> None:
        looked = self._clock.now()
        # cut long ago, those that still do not end are held by code of their own
        while self._threads.unfinished > 0 and self._clock.now() <= self._cut_at + PATIENCE:
            if self._threads.await_event(TICK):
                if self._growth and self._clock.now() < self._state.stop_at:
                    self._growth.grow()
                if self._clock.now() - looked < TICK * SECOND:
                    continue
            looked = self._clock.now()
            self._look(looked)
        # all may have ended since it was looked at
        self._state.stop_at_halt()
        self._probe.end()
        is_over = self._threads.unfinished <= 0
        if not is_over:
            self._threads.abandon()
        self._collector.collect()
        self._threads.raise_crash(is_interrupted=self._state.is_interrupted)
        if is_over:
            self._threads.join()

    def _look(self, now: int) -> None:
        self._collector.collect()
        self._clock.reanchor()
        if self._state.measured_from <= now < self._state.stop_at:
            self._threads.note_in_flight()
        # the machine, as the warm-up ends, as the measured time does (both a tick late at most), and in between
        if now >= self._state.stop_at:
            self._probe.end()
        elif self._probe.has_begun:
            self._probe.look()
        elif now >= self._state.measured_from:
            self._probe.begin()
        self._steer()
        self._display.show()
        self._collector.keep(lambda recording, end: self._driven(recording, end, self._probe.use_so_far()))

    def _steer(self) -> None:
        state, now, asked = self._state, self._clock.now(), self._interrupts()
        planned = state.stop_at
        if asked and (now < state.stop_at or state.finishing):
            state.is_interrupted = True
            state.stop(now)
        if self._collector.is_missed:
            state.stop(now)
        state.stop_at_halt()
        if not self._plan.scenario.keep_going and self._target.is_down(self._threads.users, now, state.began):
            state.stop(now)
        if state.stop_at < planned:
            self._threads.stop()
        if now >= state.stop_at and not (state.finishing or self._has_ended):
            # those in the middle of a journey may be long in code of their own
            self._has_ended = True
            self._end_threads()
        late = now > state.stop_at + self._plan.load.graceful_stop
        if (asked > 1 or late) and not state.cutting:
            self._cut()

    def _end_threads(self) -> None:
        """The end has come: nobody is parked any more, and no journey begins another request."""
        self._state.is_stopped = True
        if self._growth:
            self._growth.pool.wake_all()
        self._threads.stop()

    def _cut(self) -> None:
        self._cut_at = self._clock.now()
        self._state.cutting = True
        self._end_threads()
        self._threads.abort()

    def _leave_nobody(self) -> None:
        """Something was thrown at us, by a watcher or by a handler of signals: no thread goes on without us."""
        self._state.stop_at = self._state.measured_from = 0
        self._cut()
        self._threads.break_off()
        self._threads.join(within=PATIENCE)

    # -- after

    def _result(self) -> Driven:
        if self._growth:
            # what threads of a closed workload did not come to they count themselves
            never_sent = self._growth.pool.never_sent(self._state.stop_at - self._state.measured_from)
            self._collector.count_unsent(self._plan.scenario, self._growth.pool.rotation, never_sent)
        self._collector.finish()
        self._display.show(stage="draining", is_last=True)
        return self._driven(self._collector.recording, self._stopped_at(), self._probe.use(), self._threads.places())

    def _stopped_at(self) -> int:
        """The planned end, even where the last arrival before it has been answered and nobody waits for it."""
        load, stop_at = self._plan.load, self._state.stop_at
        is_timed = not load.arrivals.is_cut_short if isinstance(load, Open) else bool(load.segments)
        if is_timed and stop_at < NEVER:
            return stop_at
        ended = 0 if self._threads.any_alive else max(user.ended for user in self._threads.users)
        return min(stop_at, ended or self._clock.now())

    def _driven(self, recording: Recording, stopped_at: int, use: Usage, stuck: tuple[str, ...] = ()) -> Driven:
        users = self._threads.users
        measured_from = min(self._state.measured_from, self._clock.now())
        span = (stopped_at - measured_from) / SECOND
        halt = self._state.halt[1] if self._state.halt else None
        stats = RunStats(
            measured_from=measured_from,
            stopped_at=stopped_at,
            interrupted=self._state.is_interrupted,
            unreachable=self._target.was_down,
            fault=str(halt) if halt and halt.is_fault and not halt.is_interrupt else "",
            is_dry=isinstance(halt, RowsUsedUp),
            rows=self._plan.feeds.uses,
            unstamped=sum(user.unstamped for user in users),
            # the machine is read a little before and after what is measured
            cpu_time=nanoseconds(use.cpu_seconds * min(1.0, span / use.seconds)) if use.seconds else 0,
            threads=len(users),
            engines=self._threads.engines,
            was_short=self._growth is not None and self._growth.pool.was_short,
            in_flight=self._threads.mean_in_flight,
            stuck=stuck,
            faults=tuple(fault for user in users for fault in user.faults),
            requested=tuple(sorted({pair for user in users for pair in user.requested})),
            use=use,
            active=tuple(span for user in users for span in user.active.spans),
        )
        return Driven(recording=recording, stats=stats)
