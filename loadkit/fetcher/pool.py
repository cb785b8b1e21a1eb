"""The threads of a fetch, and how many there are: as many as were asked for, or as many as are enough."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from loadkit.fetcher.connections import CONNECTIONS
from loadkit.fetcher.counters import Counters
from loadkit.fetcher.multiplexer import Multiplexer
from loadkit.fetcher.options import AUTO
from loadkit.fetcher.tuner import TOO_SHORT, ThreadTuner, Work
from loadkit.fetcher.worker import Worker
from loadkit.host.limits import make_room
from loadkit.judge.limit.limit import Limit, threads_of
from loadkit.plan.errors import UsageError

if TYPE_CHECKING:
    from loadkit.fetcher.attempts import FetchContext

STACK: Final = 512 * 1024
"""Bytes of a thread's stack."""
FILES_PER_THREAD: Final = CONNECTIONS + 8
"""Files a thread may have open: connections, folders, a body."""
MAX_THREADS: Final = 256
"""The most that are tried."""


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
    """Workers, each on a thread of its own, that can become more and fewer: one too many ends after its request."""

    def __init__(self, context: FetchContext, threads: int, *, multiplexed: bool) -> None:
        self._context = context
        self.tuner = ThreadTuner(threads) if context.options.threads == AUTO else None
        """Finds how many threads there are to be; None if their number was given."""
        self.limit: Limit | None = None
        """What it found, in the end."""
        self.size = self.tuner.threads if self.tuner else threads
        """How many workers may run."""
        self._workers: list[Worker] = []
        """All that ever ran, for what they have counted."""
        self._threads: list[threading.Thread] = []
        """Of the workers that were started last, by their number."""
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

    def counters(self) -> Counters:
        """The counts of all workers, added up."""
        whole = Counters()
        for worker in self._workers:
            whole.add(worker.counters)
        return whole

    def tune(self, now: int, left: int | None) -> None:
        """Let as many workers run as the search wants, if their number was not given; so many URLs are left."""
        tuner = self.tuner
        if not tuner or tuner.is_over:
            return
        if left is not None and left < 2 * self.size:
            tuner.end("cannot tell", TOO_SHORT)
            return
        counters = self.counters()
        work = Work(now, counters.files, counters.refused, counters.network_time)
        self.size = tuner.observe(work, running=sum(thread.is_alive() for thread in self._threads))
        self.start()

    def start(self) -> None:
        """Let `size` workers run; raises `UsageError` if no more threads can be started."""
        before = threading.stack_size(STACK)
        self._context.schedule.set_limit(self.size)
        try:
            if self._is_multiplexed and not self._multiplexer:
                multiplexer = Multiplexer(self._context.clock)
                self._multiplexing = self._start("multiplexer", multiplexer.run)
                self._multiplexer = multiplexer
            for number in range(self.size):
                self._start_worker(number)
        except RuntimeError as error:
            raise UsageError(f"cannot start more than {len(self._threads):,} threads here: {error}") from None
        finally:
            threading.stack_size(before)

    def _start_worker(self, number: int) -> None:
        if number < len(self._threads) and self._threads[number].is_alive():
            return
        worker = Worker(number, self._context, self._multiplexer)
        self._workers.append(worker)
        self._threads[number : number + 1] = [self._start(str(number), worker.run)]

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

    def conclude(self) -> None:
        """Say how many threads are enough, as far as that was found."""
        self.limit = threads_of(self.tuner.findings()) if self.tuner else None

    def _start(self, name: str, run: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=self._run, args=(run,), name=f"loadkit-fetch-{name}", daemon=True)
        thread.start()
        return thread

    def _run(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001 - a fault of ours or of a callback, raised again by the job
            self._context.fail(error)
