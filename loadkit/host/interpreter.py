"""What Python is asked for while the threads of a job work; given back when the last job of the process has ended."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

SWITCH_EACH: Final = 80e-6
SWITCH_MOST: Final = 0.1
"""Seconds of patience for each thread, and at most: 5 ms, as Python has it, for 60 threads; 0.1 s for 1,250. An open
run of 1,000/s that had grown to 1,250 threads in a stall sent 78 % of its plan with 5 ms, and all of it with 0.1 s."""


class _Usual:
    """How it was before the first of the jobs, and how many there are."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.jobs = 0
        self.interval = 0.0
        self.thresholds = (0, 0, 0)
        self.has_frozen = False
        """The program had the collector leave objects out, and we cannot thaw ours alone."""


_usual: Final = _Usual()


@contextmanager
def eased(*, threads: int = 0, collect_each: int = 0) -> Iterator[None]:
    """Let threads wait longer before they ask for the interpreter, and the garbage collector look at less.

    Each that waits wakes up every `switchinterval` to ask. Five thousand that were all due at once woke a million times
    a second, took 2.5 CPUs and got nowhere; ours give the interpreter up with each request anyway. `collect_each` is
    how many new objects the collector is to wait for, for a job that leaves no cycles behind.
    """
    with _usual.lock:
        if not _usual.jobs:
            _usual.interval, _usual.thresholds = sys.getswitchinterval(), gc.get_threshold()
            _usual.has_frozen = gc.get_freeze_count() > 0
        _usual.jobs += 1
        be_patient(threads)
        if collect_each:
            gc.set_threshold(collect_each, *_usual.thresholds[1:])
        # what is there now stays; without this each full collection looks at all of it, and every thread waits
        if not _usual.has_frozen:
            gc.freeze()
    try:
        yield
    finally:
        with _usual.lock:
            _usual.jobs -= 1
            if not _usual.jobs:
                if not _usual.has_frozen:
                    gc.unfreeze()
                gc.set_threshold(*_usual.thresholds)
                sys.setswitchinterval(_usual.interval)


def be_patient(threads: int) -> None:
    """Have so many threads wait long enough."""
    sys.setswitchinterval(max(sys.getswitchinterval(), min(threads * SWITCH_EACH, SWITCH_MOST)))
