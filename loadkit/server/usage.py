"""The server under test, watched while it is under load: its CPU and memory a few times a second, and its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from loadkit.host.processes import TreeUsage, tree_usage
from loadkit.judge.environment import Server
from loadkit.plan.units import SECOND, show_seconds
from loadkit.server.start import LAST_LINES

if TYPE_CHECKING:
    from loadkit.drive.progress import Snapshot, Watcher
    from loadkit.server.start import ServerProcess


class ServerUsage:
    """What servers that loadkit started used, noted with the time; a run's watcher that hands on to another one."""

    def __init__(self, servers: Sequence[ServerProcess], now: Callable[[], int], watch: Watcher | None) -> None:
        self._servers = servers
        self._now = now
        self._watch = watch
        self._noted: list[tuple[int, TreeUsage]] = []
        self._lost: tuple[ServerProcess, int] | None = None
        self._printed = [one.printed for one in servers]
        self._was_lost_before = self.is_lost()

    def is_lost(self) -> bool:
        """True once one of the servers has ended: then there is nothing left to measure."""
        if self._lost is None and (gone := next((one for one in self._servers if one.has_ended()), None)):
            self._lost = gone, self._now()
        return self._lost is not None

    def loss(self, started: int) -> str:
        """How a server ended, and when, counted from the start of what was measured; nothing while all run."""
        if self._lost is None:
            return ""
        server, at = self._lost
        if self._was_lost_before:
            return server.ending("before the run")
        return server.ending(
            f"at {show_seconds((at - started) / SECOND)}" if at > started else "before measuring began"
        )

    def output(self) -> str:
        """The last lines that the servers have printed since this began to watch them, on one line."""
        lines = [
            line
            for one, since in zip(self._servers, self._printed, strict=True)
            for line in one.last_lines(since, LAST_LINES)
        ]
        return " | ".join(lines)

    @property
    def watch(self) -> Watcher | None:
        """What a run should call: ours where there is a server of ours, else the one that was given."""
        return self._take if self._servers else self._watch

    def note(self) -> None:
        """Note what is used now."""
        if self._servers and (found := tree_usage([server.pid for server in self._servers])):
            self._noted.append((self._now(), found))

    def _take(self, snapshot: Snapshot) -> None:
        self.note()
        if self._watch:
            self._watch(snapshot)

    def between(self, start: int, end: int) -> Server | None:
        """What was used between two instants of the clock; None if nothing was noted."""
        return used_between(self._noted, start, end)


def used_between(noted: Sequence[tuple[int, TreeUsage]], start: int, end: int) -> Server | None:
    """What was used between two instants of the clock, of what was noted and when; None if nothing was.

    Between two notes CPU is taken to have been used evenly: a warm-up ends in the middle of them.
    """
    if not noted:
        return None
    return Server(
        cpu_seconds=max(0.0, _cpu_at(noted, end) - _cpu_at(noted, start)),
        peak_memory=max(found.memory for _, found in noted),
    )


def _cpu_at(noted: Sequence[tuple[int, TreeUsage]], instant: int) -> float:
    before_at, before = noted[0]
    for at, found in noted:
        if at >= instant:
            share = (instant - before_at) / (at - before_at) if at > before_at else 0.0
            return before.cpu_seconds + max(0.0, share) * (found.cpu_seconds - before.cpu_seconds)
        before_at, before = at, found
    return before.cpu_seconds
