"""The threads of a fetch: its workers, and the one of the multiplexer."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import TYPE_CHECKING, Final

from loadkit.fetcher.figures import Counters
from loadkit.fetcher.multiplexer import Multiplexer
from loadkit.fetcher.worker import Worker
from loadkit.plan.errors import UsageError
from loadkit.plan.units import SECOND, show_rate

if TYPE_CHECKING:
    from loadkit.fetcher.outcomes import FetchContext

STACK: Final = 512 * 1024
"""Bytes of a thread's stack."""


class WorkerPool:
    """Workers, each on a thread of its own, that can become more and never fewer; a limit lets some of them wait."""

    def __init__(self, context: FetchContext, *, multiplexed: bool) -> None:
        self._context = context
        self._workers: list[Worker] = []
        self._threads: list[threading.Thread] = []
        self._multiplexed = multiplexed
        self._multiplexer: Multiplexer | None = None
        self._multiplexing: threading.Thread | None = None

    @property
    def is_alive(self) -> bool:
        """True if a worker runs."""
        return any(thread.is_alive() for thread in self._threads)

    @property
    def unstamped(self) -> int:
        """Replies without a time stamp of the kernel."""
        return sum(worker.connections.unstamped for worker in self._workers)

    def counters(self) -> Counters:
        """The counts of all workers, added up."""
        whole = Counters()
        for worker in self._workers:
            whole.add(worker.counters)
        return whole

    def set_size(self, size: int) -> None:
        """Let so many workers run; raises `UsageError` if no more threads can be started."""
        before = threading.stack_size(STACK)
        try:
            if self._multiplexed and not self._multiplexer:
                self._start_multiplexer()
            while len(self._workers) < size:
                self._start(Worker(len(self._workers), self._context, self._multiplexer))
        except RuntimeError as error:
            raise UsageError(f"cannot start more than {len(self._threads):,} threads here: {error}") from None
        finally:
            threading.stack_size(before)
        self._context.schedule.set_limit(size)

    def abort(self) -> None:
        """End the exchanges in progress."""
        for worker in self._workers:
            worker.connections.abort()

    def join(self) -> None:
        """Wait until all workers have ended, then end the multiplexer."""
        for thread in self._threads:
            thread.join()
        if self._multiplexer and self._multiplexing:
            self._multiplexer.close()
            self._multiplexing.join()

    def _start_multiplexer(self) -> None:
        multiplexer = Multiplexer(self._context.clock)
        name = "loadkit-fetch-multiplexer"
        thread = threading.Thread(target=self._run_multiplexer, args=(multiplexer,), name=name, daemon=True)
        thread.start()
        self._multiplexer, self._multiplexing = multiplexer, thread

    def _start(self, worker: Worker) -> None:
        name = f"loadkit-fetch-{len(self._workers)}"
        thread = threading.Thread(target=self._run, args=(worker,), name=name, daemon=True)
        self._workers.append(worker)
        thread.start()
        self._threads.append(thread)

    def _run(self, worker: Worker) -> None:
        try:
            worker.run()
        except BaseException as error:  # noqa: BLE001 - a fault of ours or of a callback, raised again by the job
            self._context.crash(error)

    def _run_multiplexer(self, multiplexer: Multiplexer) -> None:
        try:
            multiplexer.run()
        except BaseException as error:  # noqa: BLE001 - as above
            self._context.crash(error)


FIRST: Final = 4
MAX_THREADS: Final = 256
SLICE: Final = SECOND // 4
SLICES: Final = 6
LONGEST: Final = 10 * SECOND
EACH: Final = 5
"""URLs of each thread that a step must see: the rate of fewer is chance."""
CONNECTING: Final = SECOND // 4
"""Nanoseconds in which new threads connect, which are not counted."""
WORTH: Final = 0.05
"""A gain below this is not worth more threads, however certain."""
SIGMA: Final = 2.0
WORSE: Final = 0.01
"""How much the share of bad replies may rise from one step to the next."""


@dataclass(slots=True)
class Step:
    """The rate that so many threads reached."""

    threads: int
    began: int
    done_at_start: int = 0
    bad_at_start: int = 0
    slices: list[float] = field(default_factory=list)
    bad_share: float = 0.0

    @property
    def rate(self) -> float:
        """URLs a second."""
        return mean(self.slices) if self.slices else 0.0

    @property
    def noise(self) -> float:
        """The standard error of the rate."""
        return stdev(self.slices) / len(self.slices) ** 0.5 if len(self.slices) > 1 else 0.0


class ThreadTuner:
    """Decides on the number of threads, by nothing but the times and counts it is given."""

    def __init__(self, most: int = MAX_THREADS) -> None:
        self.threads = min(FIRST, most)
        self.steps: list[Step] = []
        self.verdict = ""
        self._most = most
        self._step: Step | None = None
        self._slice_at = 0
        self._slice_from = 0

    def observe(self, now: int, done: int, bad: int) -> int:
        """The number of threads from now on; `done` and `bad` (failed, or asked to wait) are counts so far."""
        if self.verdict:
            return self.threads
        step = self._step
        if step is None:
            self._step = Step(self.threads, now + CONNECTING)
            self._slice_at = 0
            return self.threads
        if now < step.began:
            return self.threads
        if not self._slice_at:
            step.done_at_start, step.bad_at_start = done, bad
            self._slice_at, self._slice_from = now, done
            return self.threads
        if now - self._slice_at >= SLICE:
            step.slices.append((done - self._slice_from) * SECOND / (now - self._slice_at))
            self._slice_at, self._slice_from = now, done
            if self._has_seen_enough(step, now, done):
                self._decide(step, done, bad)
        return self.threads

    @staticmethod
    def _has_seen_enough(step: Step, now: int, done: int) -> bool:
        if len(step.slices) < SLICES:
            return False
        return done - step.done_at_start >= EACH * step.threads or now - step.began > LONGEST

    def _decide(self, step: Step, done: int, bad: int) -> None:
        step.bad_share = (bad - step.bad_at_start) / max(1, done - step.done_at_start)
        before = self.steps[-1] if self.steps else None
        self.steps.append(step)
        self._step = None
        if before is None or self._is_better(before, step):
            if step.threads >= self._most:
                self._end_at(step, f"{self._most} is the most it tries")
            else:
                self.threads = min(self._most, max(step.threads + 1, step.threads * 3 // 2))
            return
        if step.bad_share > before.bad_share + WORSE:
            why = (
                f"with {step.threads} the share of bad replies rose from {before.bad_share:.1%} to {step.bad_share:.1%}"
            )
        else:
            gain = step.rate / before.rate - 1 if before.rate else 0.0
            noise = SIGMA * (step.noise**2 + before.noise**2) ** 0.5 / before.rate if before.rate else 0.0
            why = f"{step.threads} gave {gain:+.0%}, where {max(noise, WORTH):.0%} would be more than noise"
        self._end_at(before, why)

    @staticmethod
    def _is_better(before: Step, step: Step) -> bool:
        if step.bad_share > before.bad_share + WORSE:
            return False
        noise = SIGMA * (step.noise**2 + before.noise**2) ** 0.5
        return bool(step.rate > before.rate + max(noise, WORTH * before.rate))

    def _end_at(self, step: Step, why: str) -> None:
        self.threads = step.threads
        self.verdict = f"settled on {step.threads} threads at {show_rate(step.rate)}: {why}"

    @property
    def summary(self) -> str:
        """What it found, or how far it got."""
        if self.verdict:
            return self.verdict
        return f"{self.threads} threads when the list ended: too short a fetch to settle"
