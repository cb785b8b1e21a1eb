"""The machine and the programs that make figures, as they are stored with them."""

from __future__ import annotations

import os
import platform
import re
from functools import cache

from loadkit._version import __version__
from loadkit.host.machine import PROC, allowed_cpus
from loadkit.judge.result import Environment


def environment(
    *, transport: str, clock: str, cpu_seconds: float, peak_memory: int, cpu_by_process: tuple[float, ...] = ()
) -> Environment:
    """This machine, and what a run used of it."""
    return Environment(
        loadkit=__version__,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        system=f"{platform.system()} {platform.release()}",
        machine=platform.machine(),
        cpu_count=os.cpu_count() or 1,
        transport=transport,
        clock=clock,
        cpu_seconds=cpu_seconds,
        peak_memory=peak_memory,
        cpu_by_process=list(cpu_by_process),
        host=platform.node(),
        processor=_processor(),
        allowed_cpus=allowed_cpus(),
        memory=_memory(),
    )


@cache
def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", (PROC / "cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not a POSIX system
        return 0
