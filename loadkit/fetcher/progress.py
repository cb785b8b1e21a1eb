"""How a fetch is coming along, on stderr: a bar that is redrawn on a terminal, now and then a line in a log."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, TextIO

from loadkit.plan.units import show_rate, show_seconds, show_span
from loadkit.report.escape import visible
from loadkit.report.screen import STOPPING, Line, watching
from loadkit.report.stream import Unbreakable

LOG_EVERY: Final = 5.0
RECENT: Final = 5.0
"""Seconds that the rate shown is of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a fetch has come; seconds and bytes."""

    name: str
    elapsed: float
    done: int
    failed: int
    skipped: int
    """There already, or twice in the list."""
    bytes: int
    of: int | None
    """URLs in all, as far as that is known."""
    threads: int
    p99: float | None
    is_stopping: bool = False


class Pace:
    """Rates of the last seconds, and from them how long the rest will take."""

    def __init__(self) -> None:
        self._seen: deque[Progress] = deque()

    def figures(self, progress: Progress) -> list[str]:
        """What there is to tell, the most important first."""
        seen = self._seen
        seen.append(progress)
        while len(seen) > 2 and progress.elapsed - seen[1].elapsed >= RECENT:
            seen.popleft()
        first = seen[0]
        span = progress.elapsed - first.elapsed
        settled, before = progress.done + progress.failed, first.done + first.failed
        rate = (settled - before) / span if span > 0 else 0.0
        flow = (progress.bytes - first.bytes) / span if span > 0 else 0.0
        of_all = f" of {progress.of:,}" if progress.of is not None else ""
        left = progress.of - settled if progress.of is not None else 0
        return [
            f"{progress.done:,}{of_all} done",
            f"{progress.failed:,} failed",
            *([f"{show_rate(rate)}", f"{flow / 1e6:.1f} MB/s"] if span > 0 else []),
            *([f"ETA {show_span(round(left / rate))}"] if rate and left > 0 else []),
            *([f"p99 {show_seconds(progress.p99)}"] if progress.p99 is not None else []),
            f"{progress.threads} threads",
            *([f"{progress.skipped:,} skipped"] if progress.skipped else []),
        ]


def watcher(stream: TextIO | None, *, quiet: bool = False) -> AbstractContextManager[Callable[[Progress], None]]:
    """Who shows the progress of a fetch, on this stream. Nothing that happens to the stream fails the fetch."""
    return watching(stream, quiet=quiet, screen=_Screen, log=_Log)


class _Log:
    """Plain lines, one every five seconds and one at the end."""

    def __init__(self, stream: Unbreakable) -> None:
        self._stream = stream
        self._pace = Pace()
        self._next = LOG_EVERY
        self._last: Progress | None = None
        self._line = ""

    def show(self, progress: Progress) -> None:
        self._last = progress
        self._line = log_line(progress, self._pace.figures(progress))
        if progress.elapsed >= self._next:
            self._next = progress.elapsed + LOG_EVERY
            self._write()

    def close(self) -> None:
        if self._line:
            self._write()

    def _write(self) -> None:
        self._stream.write(f"{self._line}\n")
        self._stream.flush()
        self._line = ""


def log_line(progress: Progress, figures: list[str]) -> str:
    """One line of a log: `[5.0 s] fetch urls.txt: 12,000 of 50,000 done, 3 failed, …`."""
    stopping = ", stopping" if progress.is_stopping else ""
    return f"[{progress.elapsed:.1f} s] fetch {visible(progress.name)}{stopping}: {', '.join(figures)}"


class _Screen:
    """One line, redrawn."""

    def __init__(self, stream: Unbreakable) -> None:
        self._pace = Pace()
        self._line = Line(stream)

    def show(self, progress: Progress) -> None:
        figures = [*([STOPPING] if progress.is_stopping else []), *self._pace.figures(progress)]
        settled = progress.done + progress.failed
        self._line.draw(progress.name, figures, done=settled, of=progress.of, failed=progress.failed > 0)

    def close(self) -> None:
        self._line.close()
