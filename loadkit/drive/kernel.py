"""Waking up on time: what Linux adds to a sleep, and how to have less of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# <linux/prctl.h>
_SET_TIMER_SLACK: Final = 29
_SLACK: Final = 1
_DEFAULT: Final = 0


@contextmanager
def punctual(is_wanted: bool) -> Iterator[None]:
    """Let threads that are started meanwhile wake up when they asked to.

    Linux lets a sleep end up to 50 us late, to wake up less often (timer slack, prctl(2)); a thread has that of the one
    that started it. Elsewhere, or where it is not allowed, nothing changes.
    """
    if not is_wanted or sys.platform != "linux":
        yield
        return
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    prctl(_SET_TIMER_SLACK, _SLACK)
    try:
        yield
    finally:
        prctl(_SET_TIMER_SLACK, _DEFAULT)
