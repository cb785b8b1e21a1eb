"""How a run is coming along, on stderr: one line redrawn on a terminal, now and then a line in a log."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TextIO

from loadkit.drive.progress import Snapshot, Watcher
from loadkit.plan.units import show_rate, show_seconds, show_span
from loadkit.report.escape import visible
from loadkit.report.screen import STOPPING, Line, watching
from loadkit.report.stream import Unbreakable

LOG_EVERY = 5.0


def watcher(stream: TextIO | None, *, quiet: bool = False) -> AbstractContextManager[Watcher]:
    """Who shows the snapshots of a run, on this stream.

    On a terminal that can move its cursor one line is redrawn and cleaned away at the end; elsewhere a line is
    written every 5 s and at the end of each stage. Nothing that happens to the stream fails the run.
    """
    return watching(stream, quiet=quiet, screen=_Screen, log=_Log)


class _Log:
    """Plain lines; by the run's own clock, so that a slow log shows it too."""

    def __init__(self, stream: Unbreakable) -> None:
        self._stream = stream
        self._last: Snapshot | None = None
        self._written: Snapshot | None = None
        self._next = LOG_EVERY

    def show(self, snapshot: Snapshot) -> None:
        last = self._last
        if last and (last.name, last.stage) != (snapshot.name, snapshot.stage):
            self.close()
            self._next = snapshot.elapsed + LOG_EVERY
        self._last = snapshot
        if snapshot.elapsed >= self._next:
            self._next = snapshot.elapsed + LOG_EVERY
            self._write(snapshot)

    def close(self) -> None:
        """End the stage: its last snapshot is written if it was not."""
        if self._last and self._last is not self._written:
            self._write(self._last)

    def _write(self, snapshot: Snapshot) -> None:
        self._written = snapshot
        self._stream.write(f"{log_line(snapshot)}\n")
        self._stream.flush()


class _Screen:
    """One line, redrawn."""

    def __init__(self, stream: Unbreakable) -> None:
        self._line = Line(stream)

    def show(self, snapshot: Snapshot) -> None:
        stage = [] if snapshot.stage == "running" else [visible(snapshot.stage)]
        stage = [STOPPING] if snapshot.is_interrupted else stage
        of_all = f"/{show_span(snapshot.planned)}" if snapshot.planned is not None else ""
        figures = [*stage, f"{show_span(int(snapshot.elapsed))}{of_all}", *_figures(snapshot)]
        self._line.draw(
            snapshot.name, figures, done=snapshot.elapsed, of=snapshot.planned, failed=snapshot.failures > 0
        )

    def close(self) -> None:
        self._line.close()


def log_line(snapshot: Snapshot) -> str:
    """A snapshot on a line of a log: `[5.0 s of 30s] browse, running: 1,200 requests, 240/s, …`."""
    of_all = f" of {show_span(snapshot.planned)}" if snapshot.planned is not None else ""
    head = f"[{snapshot.elapsed:.1f} s{of_all}] {visible(snapshot.name)}, {visible(snapshot.stage)}: "
    return head + ", ".join(_figures(snapshot))


def _figures(snapshot: Snapshot) -> list[str]:
    """What there is to tell, the most important first."""
    of_all = f" of {snapshot.iterations:,} iterations" if snapshot.iterations is not None else ""
    counted = (
        [f"{snapshot.requests:,} requests{of_all}"]
        if snapshot.journeys is None
        else [f"{snapshot.journeys:,} journeys{of_all}", f"{snapshot.requests:,} requests"]
    )
    return [
        *counted,
        f"{snapshot.failures:,} failed",
        *_speed(snapshot),
        *([f"p99 {show_seconds(snapshot.p99)}"] if snapshot.p99 is not None else []),
    ]


def _speed(snapshot: Snapshot) -> list[str]:
    """The rate, and what the plan asks for where it says: `198/s of 200/s`, `12 of 50 threads`."""
    rate = [] if snapshot.rate is None else [show_rate(snapshot.rate)]
    if snapshot.asked_rate is not None:
        of_asked = f"of {show_rate(snapshot.asked_rate)}"
        rate = [" ".join([*(rate or ["-"]), of_asked]), f"{snapshot.in_flight:,} under way"]
    if snapshot.asked_threads is not None:
        threads = round(snapshot.asked_threads)
        rate.append(f"{threads:,} thread{'s' * (threads != 1)}")
    return rate
