"""What is asked of the system's own library: resource limits, resource use and prctl; nothing where it has none."""

from __future__ import annotations

import os
import sys
from typing import Final

try:
    import resource
except ImportError:  # not a POSIX system
    resource = None  # type: ignore[assignment]

SET_PDEATHSIG: Final = 1
SET_TIMER_SLACK: Final = 29
FUTEX_HASH: Final = 78
"""Options of prctl, from <linux/prctl.h>."""


def prctl(option: int, *arguments: int) -> int:
    """Call prctl(2) for this process or thread; -1 where Linux refuses, and elsewhere."""
    if sys.platform != "linux":
        return -1
    import ctypes

    return int(ctypes.CDLL(None).prctl(option, *arguments))


def open_file_limits() -> tuple[float, float] | None:
    """How many files this process may have open: as it is, and as far as it may be raised; None if nobody limits it."""
    if resource is None:
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _number(soft), _number(hard)


def _number(limit: int) -> float:
    return float("inf") if limit == resource.RLIM_INFINITY else limit


def raise_open_file_limit(wanted: int) -> None:
    """Let this process have `wanted` files open, or as many as it may."""
    if (limits := open_file_limits()) and limits[0] < wanted:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(min(wanted, limits[1])), hard))


def cpu_times() -> tuple[float, float]:
    """CPU seconds of this process so far: in its own code, and in the kernel on its behalf."""
    if resource is None:
        used = os.times()
        return used.user, used.system
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime, usage.ru_stime


def peak_memory() -> int:
    """The largest resident size of this process, bytes; 0 where the system does not say."""
    if resource is None:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def page_size() -> int:
    """Bytes of a page of memory."""
    try:
        return os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not a POSIX system
        return 4096
