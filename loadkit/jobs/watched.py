"""The server under test, watched while it is under load: its CPU and memory a few times a second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from loadkit.jobs.processes import Used, used
from loadkit.judge.result import Server

if TYPE_CHECKING:
    from loadkit.drive.progress import Snapshot, Watcher


class Watched:
    """What processes used, noted with the time; a run's watcher that hands on to another one."""

    def __init__(self, pids: Sequence[int], now: Callable[[], int], watch: Watcher | None) -> None:
        self._pids = pids
        self._now = now
        self._watch = watch
        self._noted: list[tuple[int, Used]] = []

    @property
    def watch(self) -> Watcher | None:
        """What a run should call: ours where there is a server of ours, else the one that was given."""
        return self._take if self._pids else self._watch

    def note(self) -> None:
        """Note what is used now."""
        if self._pids and (found := used(self._pids)):
            self._noted.append((self._now(), found))

    def _take(self, snapshot: Snapshot) -> None:
        self.note()
        if self._watch:
            self._watch(snapshot)

    def between(self, start: int, end: int) -> Server | None:
        """What was used between two instants of the clock; None if nothing was noted.

        Between two notes CPU is taken to have been used evenly: a warm-up ends in the middle of them.
        """
        if not self._noted:
            return None
        return Server(
            cpu_seconds=max(0.0, self._cpu_at(end) - self._cpu_at(start)),
            peak_memory=max(found.memory for _, found in self._noted),
        )

    def _cpu_at(self, instant: int) -> float:
        before_at, before = self._noted[0]
        for at, found in self._noted:
            if at >= instant:
                share = (instant - before_at) / (at - before_at) if at > before_at else 0.0
                return before.cpu_seconds + max(0.0, share) * (found.cpu_seconds - before.cpu_seconds)
            before_at, before = at, found
        return before.cpu_seconds
