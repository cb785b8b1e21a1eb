"""What is set while the threads of a job work, of Python and of the kernel, and given back at the end.

Of Python: the switch interval and the garbage collector, until the last job of the process has ended. Of the kernel:
how it wakes threads and finds those that wait.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

from loadkit.host.posix import FUTEX_HASH, SET_TIMER_SLACK, prctl

SWITCH_EACH: Final = 80e-6
SWITCH_MOST: Final = 0.1
"""Seconds of the switch interval for each thread, and at most: 5 ms, as Python has it, for 60 threads; 0.1 s for 1,250.
An open run of 1,000/s that had grown to 1,250 threads in a stall sent 78 % of its plan with 5 ms, and all of it with
0.1 s."""


class _Settings:
    """How Python was set before the first of the jobs, and how many jobs there are."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.jobs = 0
        self.interval = 0.0
        self.thresholds = (0, 0, 0)
        self.has_frozen = False
        """The program had the collector leave objects out, and we cannot thaw ours alone."""


_settings: Final = _Settings()


@contextmanager
def interpreter_tuned(*, threads: int = 0, collect_each: int = 0) -> Iterator[None]:
    """Raise the switch interval and the threshold of the garbage collector meanwhile.

    Each thread that waits for the interpreter wakes up every `switchinterval` to ask. Five thousand that were all due
    at once woke a million times a second, took 2.5 CPUs and got nowhere; ours give the interpreter up with each request
    anyway. `collect_each` is how many new objects the collector is to wait for, for a job that leaves no cycles behind.
    """
    with _settings.lock:
        if not _settings.jobs:
            _settings.interval, _settings.thresholds = sys.getswitchinterval(), gc.get_threshold()
            _settings.has_frozen = gc.get_freeze_count() > 0
        _settings.jobs += 1
        raise_switch_interval(threads)
        if collect_each:
            gc.set_threshold(collect_each, *_settings.thresholds[1:])
        # what is there now stays; without this each full collection looks at all of it, and every thread waits
        if not _settings.has_frozen:
            gc.freeze()
    try:
        yield
    finally:
        with _settings.lock:
            _settings.jobs -= 1
            if not _settings.jobs:
                if not _settings.has_frozen:
                    gc.unfreeze()
                gc.set_threshold(*_settings.thresholds)
                sys.setswitchinterval(_settings.interval)


def raise_switch_interval(threads: int) -> None:
    """Make the switch interval long enough for so many threads; it is never made shorter."""
    sys.setswitchinterval(max(sys.getswitchinterval(), min(threads * SWITCH_EACH, SWITCH_MOST)))


_SLACK: Final = 1
_DEFAULT: Final = 0
"""Nanoseconds of timer slack; 0 is what the system has."""
_SET_SLOTS: Final = 1
_GET_SLOTS: Final = 2
_SLOTS: Final = 4096
"""Lists, 64 bytes each."""


@contextmanager
def kernel_tuned(*, punctual: bool) -> Iterator[None]:
    """Have Linux treat the threads well that are started meanwhile; elsewhere, or where it refuses, nothing changes.

    `punctual`: Linux lets a sleep end up to 50 us late, to wake up less often (timer slack, prctl(2)); a thread has
    that of the one that started it.

    For all: since Linux 6.16 those who wait for a lock are in lists of their process (PR_FUTEX_HASH, prctl(2)), four
    for each CPU and 16 at least. When two of the words that Python's interpreter lock is made of fall into one list,
    which is a matter of luck, each hand-over walks past all threads that wait: 3,000 of them, answered at once, took
    95 s of CPU instead of 0.3. More lists make that improbable; they stay for the process.
    """
    if 0 <= prctl(FUTEX_HASH, _GET_SLOTS, 0, 0, 0) < _SLOTS:
        prctl(FUTEX_HASH, _SET_SLOTS, _SLOTS, 0, 0)
    if punctual:
        prctl(SET_TIMER_SLACK, _SLACK)
    try:
        yield
    finally:
        if punctual:
            prctl(SET_TIMER_SLACK, _DEFAULT)
