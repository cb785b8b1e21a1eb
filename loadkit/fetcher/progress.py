"""How a fetch is coming along, on stderr: a bar that is redrawn on a terminal, now and then a line in a log."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, TextIO

from loadkit.plan.units import show_rate, show_seconds, show_span
from loadkit.report.escape import visible
from loadkit.report.progress import STOPPING, Status, show_progress

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
    """Give what shows the progress of a fetch, on this stream. Nothing that happens to the stream fails the fetch."""
    pace = Pace()
    return show_progress(stream, lambda progress: status(progress, pace), quiet=quiet)


def status(progress: Progress, pace: Pace) -> Status:
    """The progress of a fetch as it is shown."""
    stopping = ", stopping" if progress.is_stopping else ""
    return Status(
        name=progress.name,
        elapsed=progress.elapsed,
        heading=f"[{progress.elapsed:.1f} s] fetch {visible(progress.name)}{stopping}",
        lead=[STOPPING] if progress.is_stopping else [],
        figures=pace.figures(progress),
        done=progress.done + progress.failed,
        of=progress.of,
        has_failures=progress.failed > 0,
    )
