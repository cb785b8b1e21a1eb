"""How a job is coming along, on stderr: one line redrawn on a terminal, now and then a line in a log."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TextIO, TypeVar, cast

from loadkit.drive.progress import Snapshot, Watcher
from loadkit.plan.units import show_rate, show_seconds, show_span
from loadkit.report.escape import visible
from loadkit.report.layout import Layout, display_width
from loadkit.report.table import Cell, Column, Table

if TYPE_CHECKING:
    from rich.table import Table as Grid

T = TypeVar("T")

LOG_EVERY: Final = 5.0
"""Seconds between the lines of a log."""

TALL: Final = 40
"""Lines of a terminal that has room for a table below the line."""

STOPPING: Final = "stopping, Ctrl-C again ends it at once"

_MOST_ENDPOINTS: Final = 20
_GAP: Final = "  "
_NARROWEST_BAR: Final = 8
_WIDEST_BAR: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What is shown of a job at one moment."""

    name: str
    stage: str = ""
    """A log has a line at the end of each."""
    elapsed: float
    """Seconds since the stage began."""
    heading: str
    """What a line of a log begins with: `[5.0 s of 30s] browse, running`."""
    lead: Sequence[str] = ()
    """What a terminal shows before the figures."""
    figures: Sequence[str]
    """The most important first: a terminal shows as many as fit."""
    trail: Sequence[str] = ()
    """What a terminal shows behind them."""
    table: Callable[[], Table | None] = lambda: None
    """What a tall terminal shows below."""
    done: float
    of: float | None
    """How much there is to do, for a bar; None where that is not known."""
    has_failures: bool


@contextmanager
def show_progress(
    stream: TextIO | None, describe: Callable[[T], Status], *, quiet: bool = False
) -> Iterator[Callable[[T], None]]:
    """Give what shows the snapshots of a job, described as a status, on this stream.

    On a terminal that can move its cursor one line is redrawn and cleaned away at the end; elsewhere a line is
    written every 5 s and at the end of each stage. Nothing that happens to the stream fails the job.
    """
    if quiet or stream is None:
        yield lambda _: None
        return
    safe = SafeStream(stream)
    can_redraw = safe.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    shown = _StatusLine(safe) if can_redraw else _Log(safe)
    try:
        yield lambda snapshot: shown.show(describe(snapshot))
    finally:
        shown.close()


class SafeStream:
    """A text file for `print` and rich that drops what a closed, full or gone stream does not take.

    rich answers a broken pipe by turning stdout into /dev/null and leaving the program, and the report with it:
    it must never see one.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_broken = False
        self.encoding = getattr(stream, "encoding", None) or "ascii"

    def write(self, text: str) -> int:
        """Write what the encoding has, the rest as escapes."""
        encoded = text.encode(self.encoding, "backslashreplace").decode(self.encoding)
        try:
            if not self._is_broken:
                self._stream.write(encoded)
        except (OSError, ValueError):
            self._is_broken = True
        return len(text)

    def flush(self) -> None:
        """Flush the stream, unless it is broken."""
        try:
            if not self._is_broken:
                self._stream.flush()
        except (OSError, ValueError):
            self._is_broken = True

    def isatty(self) -> bool:
        """True if the stream is a terminal, and open."""
        try:
            return self._stream.isatty()
        except (OSError, ValueError):
            return False

    def fileno(self) -> int:
        """The file descriptor of the stream."""
        return self._stream.fileno()

    def size(self) -> os.terminal_size:
        """How large the terminal is now: it may be resized during a run."""
        try:
            size = os.get_terminal_size(self.fileno())
        except (OSError, ValueError):
            return shutil.get_terminal_size()
        return os.terminal_size((size.columns or 80, size.lines))


class _Log:
    """Plain lines; by the job's own clock, so that a slow log shows it too."""

    def __init__(self, stream: SafeStream) -> None:
        self._stream = stream
        self._last: Status | None = None
        self._written: Status | None = None
        self._next = LOG_EVERY

    def show(self, status: Status) -> None:
        last = self._last
        if last and (last.name, last.stage) != (status.name, status.stage):
            self.close()
            self._next = status.elapsed + LOG_EVERY
        self._last = status
        if status.elapsed >= self._next:
            self._next = status.elapsed + LOG_EVERY
            self._write(status)

    def close(self) -> None:
        """End the stage: its last status is written if it was not."""
        if self._last and self._last is not self._written:
            self._write(self._last)

    def _write(self, status: Status) -> None:
        self._written = status
        # on a terminal blanks keep each figure in its place
        figures = [" ".join(text.split()) for text in status.figures if not text.isspace()]
        self._stream.write(f"{status.heading}: {', '.join(figures)}\n")
        self._stream.flush()


class _StatusLine:
    """One line, redrawn when a status is shown: no thread of ours runs beside the load to draw it."""

    def __init__(self, stream: SafeStream) -> None:
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

    def show(self, status: Status) -> None:
        from rich.console import Group
        from rich.text import Text

        from loadkit.report.text_table import text_table

        size = self._stream.size()
        # a full last column would make some terminals wrap
        width = max(1, size.columns - 1)
        self._console.width = width
        table = status.table() if size.lines >= TALL else None
        lines = text_table(Layout(width=width), table) if table else []
        below = (Text(line, no_wrap=True, overflow="crop") for line in lines)
        self._live.update(Group(_one_line(status, width), *below), refresh=True)

    def close(self) -> None:
        """Wipe the line and show the cursor again."""
        self._live.stop()


def _one_line(status: Status, width: int) -> Grid:
    """The name, a bar where there is room, and the figures that fit."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table as Grid
    from rich.text import Text

    name, parts = (
        Layout(width=width).ellipsize(visible(status.name), max(8, min(width // 4, width - 69))),
        [*status.lead, *status.figures, *status.trail],
    )
    while parts and display_width(_GAP.join([name, *parts])) > width:
        parts.pop()
    room = min(_WIDEST_BAR, width - display_width(_GAP.join([name, *parts])) - len(_GAP))
    bar = (
        [ProgressBar(status.of, status.done, width=room, complete_style="cyan", finished_style="cyan")]
        if status.of and room >= _NARROWEST_BAR
        else []
    )
    texts = [Text(part, style="red" if status.has_failures and part.endswith(" failed") else "") for part in parts]
    grid = Grid.grid(padding=(0, len(_GAP), 0, 0), pad_edge=False)
    for _ in (name, *bar, *texts):
        grid.add_column(no_wrap=True)
    grid.add_row(Text(name, style="bold"), *bar, *texts)
    return grid


# -- of a run


def watcher(stream: TextIO | None, *, quiet: bool = False) -> AbstractContextManager[Watcher]:
    """Give what shows the snapshots of a run, on this stream."""
    return show_progress(stream, run_status, quiet=quiet)


def run_status(snapshot: Snapshot) -> Status:
    """A snapshot of a run as it is shown."""
    planned = "" if snapshot.planned is None else show_span(snapshot.planned)
    # with a number of requests the duration is no plan
    at_most = " at most" if snapshot.iterations is not None else ""
    since = f"{snapshot.elapsed:.1f} s{planned and f' of {planned}{at_most}'}"
    spent = show_span(int(snapshot.elapsed))
    stage = "" if snapshot.stage == "running" else visible(snapshot.stage)
    return Status(
        name=snapshot.name,
        stage=snapshot.stage,
        elapsed=snapshot.elapsed,
        heading=f"[{since}] {visible(snapshot.name)}, {visible(snapshot.stage)}",
        lead=[
            *([STOPPING] if snapshot.is_interrupted else []),
            f"{spent:>{max(3, len(planned))}}{planned and f'/{planned}'}",
        ],
        figures=_figures(snapshot),
        trail=[stage] if stage and not snapshot.is_interrupted else [],
        table=lambda: _endpoints(snapshot),
        done=snapshot.elapsed,
        of=snapshot.planned,
        has_failures=snapshot.failures > 0,
    )


def _figures(snapshot: Snapshot) -> list[str]:
    """The most important first, each as wide as ever, so that nothing jumps."""
    requests = _count(snapshot.requests, 7, "request")
    done = snapshot.requests if snapshot.journeys is None else snapshot.journeys
    if snapshot.iterations is None:
        counted = [requests] if snapshot.journeys is None else [_count(done, 6, "journey"), requests]
    else:
        of_all = _count(snapshot.iterations, 0, "iteration").rstrip()
        what = "request" if snapshot.journeys is None else "journey"
        counted = [f"{_count(done, len(f'{snapshot.iterations:,}'), what)} of {of_all}"]
        counted += [] if snapshot.journeys is None else [requests]
    return [*counted, f"{snapshot.failures:>5,} failed", *_speed(snapshot)]


def _count(count: int, room: int, what: str) -> str:
    return f"{count:>{room},} {f'{what}s' if count != 1 else what:<{len(what) + 1}}"


def _speed(snapshot: Snapshot) -> list[str]:
    """The rate and the p99 of the last seconds, and what the plan asks for where it says: `198/s of 200/s`."""
    rate = "" if snapshot.rate is None else show_rate(snapshot.rate)
    of_asked, more = "", []
    if snapshot.asked_rate is not None:
        rate, of_asked = rate or "-", f" of {show_rate(snapshot.asked_rate):>8}"
        more.append(f"{snapshot.in_flight:>4,} under way")
    if snapshot.asked_threads is not None:
        more.append(_count(round(snapshot.asked_threads), 3, "thread"))
    p99 = "" if snapshot.p99 is None else f"p99 {show_seconds(snapshot.p99):>7} in {snapshot.recent} s"
    return [f"{rate:>8}{of_asked}", f"{p99:18}", *more]


def _endpoints(snapshot: Snapshot) -> Table | None:
    """A row an endpoint, where there are several, in the order of the plan."""
    from loadkit.report.figures import count_cell, show_time

    found = snapshot.endpoints()[:_MOST_ENDPOINTS]
    if len(found) < 2:
        return None
    columns = [
        Column("requests", [_padded(f"{one.requests:,}", 9) for one in found]),
        Column("failed", [count_cell(one.failures, "bad") for one in found]),
        Column("/s", [_padded("-" if one.rate is None else f"{one.rate:,.0f}", 7) for one in found]),
        Column(f"p99 in {snapshot.recent} s", [_padded(show_time(one.p99), 8) for one in found]),
    ]
    return Table(caption="Endpoints", head="endpoint", names=[one.name for one in found], columns=columns)


def _padded(text: str, room: int) -> Cell:
    return Cell(f"{text:>{room}}")
