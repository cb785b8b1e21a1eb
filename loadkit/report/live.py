"""How a run is coming along, on stderr: one line redrawn on a terminal, now and then a line in a log."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO, cast

from loadkit.drive.progress import Snapshot, Watcher
from loadkit.plan.units import show_rate, show_seconds, show_span
from loadkit.report.escape import visible
from loadkit.report.paper import Paper, cells
from loadkit.report.stream import Unbreakable

if TYPE_CHECKING:
    from rich.table import Table

LOG_EVERY = 5.0
_GAP = "  "
_NARROWEST_BAR, _WIDEST_BAR = 8, 40


@contextmanager
def watcher(stream: TextIO | None, *, quiet: bool = False) -> Iterator[Watcher]:
    """Who shows the snapshots of a run, on this stream.

    On a terminal that can move its cursor one line is redrawn and cleaned away at the end; elsewhere a line is
    written every 5 s and at the end of each stage. Nothing that happens to the stream fails the run.
    """
    if quiet or stream is None:
        yield _nothing
        return
    safe = Unbreakable(stream)
    shown = _Screen(safe) if safe.isatty() and os.environ.get("TERM") not in ("dumb", "unknown") else _Log(safe)
    try:
        yield shown.show
    finally:
        shown.close()


def _nothing(_: Snapshot) -> None:
    pass


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
    """One line, redrawn by whoever brings a snapshot: no thread of ours runs beside the load."""

    def __init__(self, stream: Unbreakable) -> None:
        from rich.console import Console
        from rich.live import Live

        self._stream = stream
        self._console = Console(
            file=cast(TextIO, stream), force_terminal=True, force_interactive=True, highlight=False, markup=False
        )
        self._live = Live(
            console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._live.start()

    def show(self, snapshot: Snapshot) -> None:
        # a full last column would make some terminals wrap
        width = max(1, self._stream.columns() - 1)
        self._console.width = width
        self._live.update(_drawn(snapshot, width), refresh=True)

    def close(self) -> None:
        """Wipe the line and show the cursor again."""
        self._live.stop()


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
        rate.append(f"{snapshot.asked_threads:.0f} threads")
    return rate


def screen_parts(snapshot: Snapshot, width: int) -> tuple[str, list[str], int]:
    """The name, the figures that fit beside it, and the room that is left for a bar (0: none)."""
    name = Paper(width=width).cut(visible(snapshot.name), max(8, width // 4))
    stage = [] if snapshot.stage == "running" else [visible(snapshot.stage)]
    of_all = f"/{show_span(snapshot.planned)}" if snapshot.planned is not None else ""
    parts = [*stage, f"{show_span(int(snapshot.elapsed))}{of_all}", *_figures(snapshot)]
    while parts and _taken(name, *parts) > width:
        parts.pop()
    room = min(_WIDEST_BAR, width - _taken(name, *parts) - len(_GAP))
    return name, parts, room if room >= _NARROWEST_BAR and snapshot.planned else 0


def _taken(*parts: str) -> int:
    return cells(_GAP.join(parts))


def _drawn(snapshot: Snapshot, width: int) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    name, parts, room = screen_parts(snapshot, width)
    figures = [Text(part, style="red" if snapshot.failures and part.endswith(" failed") else "") for part in parts]
    bar = (
        [ProgressBar(snapshot.planned, snapshot.elapsed, width=room, complete_style="cyan", finished_style="cyan")]
        if room
        else []
    )
    grid = Table.grid(padding=(0, len(_GAP), 0, 0), pad_edge=False)
    for _ in (name, *bar, *parts):
        grid.add_column(no_wrap=True)
    grid.add_row(Text(name, style="bold"), *bar, *figures)
    return grid
