"""The threads of a fetch: its workers, and the one of the multiplexer."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from loadkit.fetcher.counters import Counters
from loadkit.fetcher.multiplexer import Multiplexer
from loadkit.fetcher.worker import Worker
from loadkit.plan.errors import UsageError

if TYPE_CHECKING:
    from loadkit.fetcher.context import FetchContext

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
