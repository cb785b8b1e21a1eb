"""Threads for what may block, as many as are needed at once: connecting, and exchanges that are out of the ordinary."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from loadkit.plan.units import MILLISECOND

if TYPE_CHECKING:
    from loadkit.wire.base import Clock

STACK: Final = 256 * 1024
"""Bytes: 24 kB of it is used; 5,000 threads with the default of 8 MB would reserve 40 GB."""

_stack_size: Final = threading.Lock()
"""Held while the size of stacks, which is one for the process, is ours: runs may start threads at the same time."""

AT_ONCE: Final = 16
"""So many threads are made as soon as nobody is free; more, when they have all been held up for a while."""

HELD_UP: Final = 10 * MILLISECOND

Value = TypeVar("Value")
_Work: TypeAlias = Callable[[], Callable[[], None]]


class BlockingThreads:
    """Does work on threads of its own, and hands out what is to be done with what came of it.

    All is called by one thread; `wake` is called by others, when there is something to `finish`.
    """

    def __init__(self, name: str, clock: Clock, wake: Callable[[], None]) -> None:
        self._name = name
        self._clock = clock
        self._wake = wake
        self._work: SimpleQueue[_Work | None] = SimpleQueue()
        self._done: deque[Callable[[], None]] = deque()
        self._threads: list[threading.Thread] = []
        self._begun = 0
        """Written by any thread, and only to see that some went on."""
        self._seen = 0
        self._seen_at = clock.now()
        """How many had begun when it was looked last, and when that was another number."""
        self._free = threading.Semaphore(0)
        """As long as there are threads that wait for work, less what waits for them."""

    def submit(self, work: Callable[[], Value], then: Callable[[Value], None]) -> None:
        """Have it done; `then` is called with its value, or what it raised is raised, when it is finished."""

        def do() -> Callable[[], None]:
            try:
                value = work()
            except BaseException as error:  # noqa: BLE001 - raised again by whoever finishes it
                return partial(_raise, error)
            return partial(then, value)

        self._work.put(do)
        if not self._free.acquire(blocking=False) and len(self._threads) < AT_ONCE:
            self._start(1)

    def finish(self) -> None:
        """Go on with what has been done, and make twice as many threads if for a while none began with anything."""
        while self._done:
            self._done.popleft()()
        if self._seen != self._begun:
            self._seen, self._seen_at = self._begun, self._clock.now()
        elif (waiting := self._work.qsize()) and self._clock.now() - self._seen_at > HELD_UP:
            self._start(min(waiting, len(self._threads)))
            self._seen_at = self._clock.now()

    def _start(self, many: int) -> None:
        with small_stacks():
            for _ in range(many):
                thread = threading.Thread(target=self._run, name=f"{self._name}-{len(self._threads)}", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    if self._threads:
                        # the system has no more: those that there are go on
                        return
                    raise
                self._threads.append(thread)

    def _run(self) -> None:
        while work := self._work.get():
            self._begun += 1
            self._done.append(work())
            self._free.release()
            self._wake()

    def close(self) -> None:
        """End the threads, and wait until all have ended what they are in."""
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join()


@contextmanager
def small_stacks() -> Iterator[None]:
    """Threads that are started meanwhile have small stacks."""
    with _stack_size:
        before = threading.stack_size(STACK)
        try:
            yield
        finally:
            threading.stack_size(before)


def _raise(error: BaseException) -> None:
    raise error
