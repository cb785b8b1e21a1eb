"""What a figure was measured on, so that it can be compared with another."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path


def described() -> str:
    """One line: day, cores, processor, kernel, Python."""
    today = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    cores = len(os.sched_getaffinity(0))
    return f"{today}; {cores} cores, {_processor()}; {platform.system()} {platform.release()}; {_python()}"


def busy(cores: Iterable[int], seconds: float = 1.0) -> float:
    """The share of these cores that others use while we do nothing."""
    names = {f"cpu{core}" for core in cores}
    before = _ticks(names)
    time.sleep(seconds)
    work, total = (after - then for after, then in zip(_ticks(names), before, strict=True))
    return work / total if total else 0.0


def noise(cores: Iterable[int]) -> str:
    """A sentence about how busy the machine is without us, with a warning when that spoils the figures."""
    share = busy(cores)
    warning = ": too much for figures to be trusted" if share > 0.05 else ""
    return f"Before the start others used {share:.0%} of these cores{warning}."


def _ticks(names: set[str]) -> tuple[int, int]:
    """Busy and total clock ticks of some cores; the fourth and fifth column are idle time."""
    work = total = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *columns = line.split()
        if name in names:
            ticks = [int(column) for column in columns[:8]]
            total += sum(ticks)
            work += sum(ticks) - ticks[3] - ticks[4]
    return work, total


def _python() -> str:
    return f"{platform.python_implementation()} {platform.python_version()}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
