"""The threads of a fetch, and how many there are: as many as were asked for, or as many as help.

To find their number, each step works for a while with so many threads and counts what was done in slices of that time.
It goes on to half as many again as long as the rate grows by more than its noise, and goes back to the step before when
it does not, or when failures or replies that say not now become more.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import TYPE_CHECKING, Final

from loadkit.fetcher.connections import CONNECTIONS
from loadkit.fetcher.counters import Counters
from loadkit.fetcher.multiplexer import Multiplexer
from loadkit.fetcher.options import AUTO
from loadkit.fetcher.worker import Worker
from loadkit.host.limits import make_room
from loadkit.plan.errors import UsageError
from loadkit.plan.units import SECOND, show_rate

if TYPE_CHECKING:
    from loadkit.fetcher.attempts import FetchContext

STACK: Final = 512 * 1024
"""Bytes of a thread's stack."""
FILES_PER_THREAD: Final = CONNECTIONS + 8
"""Files a thread may have open: connections, folders, a body."""
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


def make_room_for(threads: int | str) -> int:
    """Let the process open the files of so many threads, and return how many: with `auto` the most that may be tried.

    Raises `UsageError` if so many files may not be open.
    """
    if threads != AUTO:
        most = int(threads)
    else:
        for most in (MAX_THREADS, MAX_THREADS // 4):
            with contextlib.suppress(UsageError):
                make_room(most * FILES_PER_THREAD)
                return most
        most = MAX_THREADS // 16
    make_room(most * FILES_PER_THREAD)
    return most


class WorkerPool:
    """Workers, each on a thread of its own, that can become more and never fewer; a limit lets some of them wait."""

    def __init__(self, context: FetchContext, threads: int, *, multiplexed: bool) -> None:
        self._context = context
        self._tuner = ThreadTuner(threads) if context.options.threads == AUTO else None
        self.size = self._tuner.threads if self._tuner else threads
        """How many workers may run."""
        self._workers: list[Worker] = []
        self._threads: list[threading.Thread] = []
        self._is_multiplexed = multiplexed
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

    @property
    def tuning(self) -> str | None:
        """What came of finding the number of threads; None if it was given."""
        return self._tuner.summary if self._tuner else None

    def counters(self) -> Counters:
        """The counts of all workers, added up."""
        whole = Counters()
        for worker in self._workers:
            whole.add(worker.counters)
        return whole

    def tune(self, now: int) -> None:
        """Let as many workers run as seem to help, if their number was not given."""
        if self._tuner:
            counters = self.counters()
            bad = counters.failed + self._context.schedule.hosts.throttles
            self.size = self._tuner.observe(now, counters.files + counters.failed, bad)
            self.start()

    def start(self) -> None:
        """Let `size` workers run; raises `UsageError` if no more threads can be started."""
        before = threading.stack_size(STACK)
        try:
            if self._is_multiplexed and not self._multiplexer:
                multiplexer = Multiplexer(self._context.clock)
                self._multiplexing = self._start("multiplexer", multiplexer.run)
                self._multiplexer = multiplexer
            while len(self._workers) < self.size:
                worker = Worker(len(self._workers), self._context, self._multiplexer)
                self._workers.append(worker)
                self._threads.append(self._start(str(len(self._threads)), worker.run))
        except RuntimeError as error:
            raise UsageError(f"cannot start more than {len(self._threads):,} threads here: {error}") from None
        finally:
            threading.stack_size(before)
        self._context.schedule.set_limit(self.size)

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

    def _start(self, name: str, run: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=self._run, args=(run,), name=f"loadkit-fetch-{name}", daemon=True)
        thread.start()
        return thread

    def _run(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001 - a fault of ours or of a callback, raised again by the job
            self._context.fail(error)


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
