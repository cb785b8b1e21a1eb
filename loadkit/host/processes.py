"""What a process and those it started use: CPU time and memory, as Linux tells in /proc."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")

_SCHED: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeUsage:
    """What a tree of processes has used: CPU seconds since it began, and bytes that are resident now."""

    cpu_seconds: float
    memory: int


def tree_usage(roots: Iterable[int]) -> TreeUsage | None:
    """What the trees below these processes use; None where the system does not tell, or none is alive.

    The CPU of children that ended counts as their parent's, once it has waited for them.
    """
    found = [one for pid in tree(roots) if (one := _of(pid))]
    if not found:
        return None
    return TreeUsage(cpu_seconds=sum(one.cpu_seconds for one in found), memory=sum(one.memory for one in found))


def tree(roots: Iterable[int]) -> list[int]:
    """These processes and all below them, each once."""
    found: dict[int, None] = {}
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found[pid] = None
            waiting += _children(pid)
    return list(found)


def alive() -> list[int]:
    """The processes of this machine that /proc shows."""
    return [int(entry.name) for entry in PROC.glob("[0-9]*")]


def members(session: int) -> list[int]:
    """The processes of a session that have not ended; its leader, whose id it has, may be among those that have."""
    return [pid for pid in alive() if (fields := _stat(pid)) and int(fields[3]) == session and fields[0] not in "ZX"]


def began(pid: int) -> int | None:
    """When a process began, in ticks of the system's clock since it came up; None where the system does not say."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def name_of(pid: int) -> str:
    """What a process is called; nothing where the system does not say."""
    try:
        return (PROC / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _stat(pid: int) -> list[str]:
    """The fields of proc(5) from the third on, the state; the name before them, in brackets, may hold anything."""
    try:
        return (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _children(pid: int) -> Iterator[int]:
    for file in (PROC / str(pid) / "task").glob("*/children"):
        try:
            yield from map(int, file.read_text().split())
        except OSError:  # ended meanwhile
            continue


def _of(pid: int) -> TreeUsage | None:
    fields = _stat(pid)
    try:
        status = (PROC / str(pid) / "status").read_text()
    except OSError:
        return None
    if not fields:
        return None
    # utime, stime, cutime and cstime are fields 14 to 17 of proc(5)
    own, waited_for = (sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK") for ticks in (fields[11:13], fields[13:15]))
    resident = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    return TreeUsage(
        cpu_seconds=_exact(pid, own) + waited_for,
        memory=int(resident[1]) * 1024 if resident else 0,
    )


def _exact(pid: int, rounded: float) -> float:
    """The CPU clock of a process, to the nanosecond where /proc has hundredths of a second.

    Its number is made as by MAKE_PROCESS_CPUCLOCK of Linux, include/linux/posix-timers.h.
    """
    try:
        return time.clock_gettime((~pid << 3) | _SCHED)
    except OSError:
        return rounded
