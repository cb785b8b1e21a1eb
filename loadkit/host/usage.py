"""The machine under a run, read before and after the time that is measured: did it do anything else meanwhile?

Everything here is what the system tells of itself, most of it in /proc: elsewhere it stays None or zero, and nothing is
concluded from it.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadkit.clock import offset_of
from loadkit.host.posix import cpu_times, open_file_limits, page_size
from loadkit.host.processes import PROC
from loadkit.plan.units import SECOND

CGROUP: Final = Path("/sys/fs/cgroup")

LOOK_EVERY: Final = 1 * SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one process used and what its machine did while it measured."""

    seconds: float = 0.0
    """How long that was; 0 where nothing was measured."""
    cpu_user: float = 0.0
    cpu_system: float = 0.0
    """CPU seconds of this process: in its own code, and in the kernel on its behalf."""
    capacity: float = 1.0
    """CPUs that one interpreter, or the exchange loops, can use: see `capacity`."""
    cpus_busy: float | None = None
    """The share of all CPUs of the machine that somebody used, 0 to 1."""
    stolen: float = 0.0
    """The share of the CPUs' time that the hypervisor gave to other machines, 0 to 1."""
    throttled: float = 0.0
    """Seconds in which the container had used up its share of CPU and had to wait."""
    swapped: int = 0
    """Bytes that went to the swap space and back, of all programs."""
    suspended: float = 0.0
    """Seconds in which the machine slept."""
    descriptors: int | None = None
    """The most files and connections of this process that were open at a time."""
    descriptor_limit: int | None = None
    ports: int | None = None
    """The most local ports taken at a time, at most: our descriptors, and connections resting in TIME_WAIT."""
    port_range: int | None = None

    @property
    def cpu_seconds(self) -> float:
        """CPU time of this process."""
        return self.cpu_user + self.cpu_system

    @property
    def cpu_share(self) -> float:
        """The share of its capacity; over 1 where the kernel worked for it on other CPUs."""
        return self.cpu_seconds / (self.seconds * self.capacity) if self.seconds else 0.0


def worst(uses: Sequence[Usage]) -> Usage:
    """Of several processes on one machine, the one whose interpreter was the busiest, with the worst of the rest.

    Raises `ValueError` for none.
    """
    # of two that were equally busy it is the same one in any order
    busiest = max(uses, key=lambda use: (use.cpu_share, use.seconds, use.cpu_user, use.cpu_system, use.capacity))
    return Usage(
        seconds=busiest.seconds,
        cpu_user=busiest.cpu_user,
        cpu_system=busiest.cpu_system,
        capacity=busiest.capacity,
        cpus_busy=max((use.cpus_busy for use in uses if use.cpus_busy is not None), default=None),
        stolen=max(use.stolen for use in uses),
        throttled=max(use.throttled for use in uses),
        swapped=max(use.swapped for use in uses),
        suspended=max(use.suspended for use in uses),
        descriptors=max((use.descriptors for use in uses if use.descriptors is not None), default=None),
        descriptor_limit=min((use.descriptor_limit for use in uses if use.descriptor_limit), default=None),
        ports=max((use.ports for use in uses if use.ports is not None), default=None),
        port_range=min((use.port_range for use in uses if use.port_range), default=None),
    )


def capacity(cgroup: Path = CGROUP, loops: int = 1) -> float:
    """How many CPUs one interpreter can use, or so many loops without it: one, or the part that its container may have.

    Its lock lets one thread at a time run Python. What the kernel does for the other threads meanwhile may come on top
    on other CPUs, but each of them needs the lock again for every call: in practice the sum stays near one. An
    interpreter without the lock can use all CPUs that the process may run on.
    """
    has_lock = getattr(sys, "_is_gil_enabled", lambda: True)()
    allowed = min(loops, allowed_cpus()) if has_lock else allowed_cpus()
    return min(allowed, cpu_quota(cgroup))


def cpu_quota(cgroup: Path = CGROUP) -> float:
    """CPUs whose time the container may use; infinite where nothing limits it."""
    # "50000 100000": microseconds of CPU in each period of so many; "max 100000" is no limit
    quota = _read(cgroup / "cpu.max").split()
    if len(quota) == 2 and quota[0].isdigit() and quota[1].isdigit() and int(quota[0]) and int(quota[1]):
        return int(quota[0]) / int(quota[1])
    return math.inf


def allowed_cpus() -> int:
    """CPUs that this process may use; a container or `taskset` may leave it fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _read(path: Path) -> str:
    """A small file; empty where it is not there or not ours to read."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _table(text: str) -> dict[str, list[int]]:
    """Lines of a name and numbers by their name; words among the numbers count for nothing."""
    lines = (line.split() for line in text.splitlines())
    return {words[0]: [int(word) for word in words[1:] if word.isdigit()] for words in lines if words}


def _slept() -> int | None:
    """Nanoseconds that the machine has been suspended since it started; None where no clock tells."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return None
    return offset_of(lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME), readings=3)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    at: int
    user: float
    system: float
    slept: int | None
    cpus: tuple[int, int, int] | None
    """Ticks of all CPUs since the start of the machine: all of them, idle, stolen."""
    swapped: int
    """Pages."""
    throttled: int
    """Microseconds."""


class Probe:
    """Reads the machine at the begin and the end of what is measured, and a few things once a second between.

    It belongs to one thread. `now` and `slept` tell the time and for how long the machine has been suspended, in
    nanoseconds.
    """

    def __init__(
        self,
        *,
        proc: Path = PROC,
        cgroup: Path = CGROUP,
        slept: Callable[[], int | None] = _slept,
        now: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.loops = 1
        """How many can use a CPU each: the interpreter, or the loops in C that do all the work."""
        self._proc = proc
        self._cgroup = cgroup
        self._slept = slept
        self._now = now
        self._first: _Reading | None = None
        self._last: _Reading | None = None
        self._looked = 0
        self._descriptors: int | None = None
        self._ports: int | None = None

    @property
    def has_begun(self) -> bool:
        """The first reading has been taken."""
        return self._first is not None

    def begin(self) -> None:
        """The first reading."""
        self._first = self._read()
        self._look(first=True)

    def look(self) -> None:
        """Once a second, however often it is called: what may be used up in between. 50 us."""
        if self._first and not self._last and self._now() - self._looked >= LOOK_EVERY:
            self._look()

    def end(self) -> None:
        """The last reading; calling it again changes nothing."""
        if self._first and not self._last:
            self._last = self._read()
            self._look()

    def use(self) -> Usage:
        """What changed between the first and the last reading; nothing where there were not both."""
        return self._between(self._first, self._last)

    def use_so_far(self) -> Usage:
        """What changed since the first reading. 0.5 ms."""
        return self._between(self._first, self._last or self._read())

    def _between(self, first: _Reading | None, last: _Reading | None) -> Usage:
        if not first or not last:
            return Usage()
        busy, stolen = _shares(first, last)
        return Usage(
            seconds=(last.at - first.at) / SECOND,
            cpu_user=last.user - first.user,
            cpu_system=last.system - first.system,
            capacity=capacity(self._cgroup, self.loops),
            cpus_busy=busy,
            stolen=stolen,
            throttled=max(0, last.throttled - first.throttled) / 1e6,
            swapped=max(0, last.swapped - first.swapped) * page_size(),
            suspended=max(0, (last.slept or 0) - (first.slept or 0)) / SECOND,
            descriptors=self._descriptors,
            descriptor_limit=_descriptor_limit(),
            ports=self._ports,
            port_range=self._port_range(),
        )

    def _read(self) -> _Reading:
        user, system = cpu_times()
        swap = _table(_read(self._proc / "vmstat"))
        throttled = _table(_read(self._cgroup / "cpu.stat")).get("throttled_usec") or [0]
        return _Reading(
            at=self._now(),
            user=user,
            system=system,
            slept=self._slept(),
            cpus=_cpus(_table(_read(self._proc / "stat"))),
            swapped=sum(sum(swap.get(name, [])) for name in ("pswpin", "pswpout")),
            throttled=throttled[0],
        )

    def _look(self, *, first: bool = False) -> None:
        self._looked = self._now()
        open_now = self._open_descriptors(first=first)
        if open_now is None:
            return
        self._descriptors = max(self._descriptors or 0, open_now)
        resting = self._resting()
        if resting is not None:
            self._ports = max(self._ports or 0, open_now + resting)

    def _open_descriptors(self, *, first: bool) -> int | None:
        folder = self._proc / "self" / "fd"
        try:
            # Linux 6.2 tells their number as the size; before, they are counted one by one, and each thread waits
            return folder.stat().st_size or (len(list(folder.iterdir())) if first else None)
        except OSError:
            return None

    def _resting(self) -> int | None:
        """Connections in TIME_WAIT, of all programs: `TCP: inuse 5 orphan 0 tw 1148 alloc 6 mem 1`."""
        for line in _read(self._proc / "net" / "sockstat").splitlines():
            words = line.split()
            if words[:1] == ["TCP:"] and "tw" in words[:-1]:
                count = words[words.index("tw") + 1]
                return int(count) if count.isdigit() else None
        return None

    def _port_range(self) -> int | None:
        ends = _read(self._proc / "sys" / "net" / "ipv4" / "ip_local_port_range").split()
        return int(ends[1]) - int(ends[0]) + 1 if len(ends) == 2 and all(map(str.isdigit, ends)) else None


def _cpus(stat: dict[str, list[int]]) -> tuple[int, int, int] | None:
    """proc_stat(5): user nice system idle iowait irq softirq steal; guests are in the first two already."""
    ticks = stat.get("cpu", [])[:8]
    return (sum(ticks), ticks[3] + ticks[4], ticks[7]) if len(ticks) == 8 else None


def _shares(first: _Reading, last: _Reading) -> tuple[float | None, float]:
    """How busy the CPUs were, and how much of them was stolen."""
    if not first.cpus or not last.cpus or last.cpus[0] <= first.cpus[0]:
        return None, 0.0
    passed, idle, stolen = (after - before for before, after in zip(first.cpus, last.cpus, strict=True))
    return min(1.0, max(0.0, 1 - idle / passed)), max(0.0, stolen / passed)


def _descriptor_limit() -> int | None:
    limits = open_file_limits()
    return None if limits is None or limits[0] == math.inf else int(limits[0])
