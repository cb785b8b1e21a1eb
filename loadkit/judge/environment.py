"""The machine and the programs that make figures, as they are stored with them."""

from __future__ import annotations

import os
import platform
import re
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from loadkit._version import __version__
from loadkit.host.posix import peak_memory
from loadkit.host.processes import PROC
from loadkit.host.usage import allowed_cpus, cpu_quota
from loadkit.wire.channel import STAMPS
from loadkit.wire.extension import EXTENSION

if TYPE_CHECKING:
    from loadkit.drive.stats import Driven


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """The machine and the programs that made the figures."""

    loadkit: str
    python: str
    system: str
    machine: str
    cpu_count: int
    transport: str
    clock: str
    """`kernel`: arrivals stamped by the kernel; `own`: by our own clock; `mixed`: some of each."""
    cpu_seconds: float
    """CPU time of the generator while it measured."""
    peak_memory: int
    """Bytes, the generator's largest resident size; of several processes, their sum."""
    cpu_by_process: list[float] = []
    """CPU seconds of each worker process, where there were any; the total has them, and those of who merged."""
    host: str = ""
    processor: str = ""
    allowed_cpus: int = 0
    """CPUs that this process may use; 0 where it is not known, like the memory."""
    cpu_capacity: float = 0
    """The same, less where a cgroup limits the CPU time; 0 where it is not known."""
    memory: int = 0
    """Bytes, of the machine."""
    extension: bool = False
    """Exchanges were done by the extension in C, where they were ordinary."""
    engine: str = ""
    """What carried the users: `threads`, or such as `exchange loop in C, 2 loops, and 3 threads`; empty if unknown."""


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """What the server under test used, where loadkit started it and the system tells (Linux)."""

    cpu_seconds: float
    """CPU time of its processes while requests were measured."""
    peak_memory: int
    """Bytes, the largest resident size of its processes together that was seen, a few times a second."""


def environment(driven: Driven) -> Environment:
    """This machine, and what a run used of it."""
    stats = driven.stats
    return msgspec.structs.replace(
        this_machine(),
        clock=_clock(driven),
        cpu_seconds=stats.cpu_seconds,
        peak_memory=peak_memory() + stats.worker_memory,
        cpu_by_process=list(stats.cpu_by_process),
        engine=stats.engine,
    )


def this_machine() -> Environment:
    """This machine and its programs, without a run."""
    return Environment(
        loadkit=__version__,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        system=f"{platform.system()} {platform.release()}",
        machine=platform.machine(),
        cpu_count=os.cpu_count() or 1,
        transport="sockets",
        clock="kernel" if STAMPS else "own",
        cpu_seconds=0.0,
        peak_memory=0,
        host=platform.node(),
        processor=_processor(),
        allowed_cpus=allowed_cpus(),
        cpu_capacity=min(allowed_cpus(), cpu_quota()),
        memory=_memory(),
        extension=EXTENSION is not None,
    )


def _clock(driven: Driven) -> str:
    """Whose clock stamped the arrivals."""
    replies, unstamped = sum(counts.good for counts in driven.recording.labels.values()), driven.stats.unstamped
    if unstamped and unstamped >= replies:
        return "own"
    if not replies and (driven.recording.timings or not STAMPS):
        # clients of the user's own, timed by `timer`; or none, where the kernel stamps nothing
        return "own"
    return "mixed" if unstamped else "kernel"


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
