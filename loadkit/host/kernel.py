"""What the kernel is asked for before many threads wait: to wake them on time, and not to search for them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# <linux/prctl.h>
_SET_TIMER_SLACK: Final = 29
_SLACK: Final = 1
_DEFAULT: Final = 0
_FUTEX_HASH: Final = 78
_SET_SLOTS: Final = 1
_GET_SLOTS: Final = 2
_SLOTS: Final = 4096
"""Lists, 64 bytes each."""


@contextmanager
def tuned(*, punctual: bool) -> Iterator[None]:
    """Have Linux treat the threads well that are started meanwhile; elsewhere, or where it refuses, nothing changes.

    `punctual`: Linux lets a sleep end up to 50 us late, to wake up less often (timer slack, prctl(2)); a thread has
    that of the one that started it.

    For all: since Linux 6.16 those who wait for a lock are in lists of their process (PR_FUTEX_HASH, prctl(2)), four
    for each CPU and 16 at least. When two of the words that Python's interpreter lock is made of fall into one list,
    which is a matter of luck, each hand-over walks past all threads that wait: 3,000 of them, answered at once, took
    95 s of CPU instead of 0.3. More lists make that improbable; they stay for the process.
    """
    if sys.platform != "linux":
        yield
        return
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    if 0 <= prctl(_FUTEX_HASH, _GET_SLOTS, 0, 0, 0) < _SLOTS:
        prctl(_FUTEX_HASH, _SET_SLOTS, _SLOTS, 0, 0)
    if punctual:
        prctl(_SET_TIMER_SLACK, _SLACK)
    try:
        yield
    finally:
        if punctual:
            prctl(_SET_TIMER_SLACK, _DEFAULT)
