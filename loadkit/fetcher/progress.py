"""The progress of a fetch on stderr: a bar that is redrawn on a terminal, or a line in a log now and then."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TextIO, TypeAlias

from loadkit.plan.units import MILLISECOND, SECOND, show_rate, show_seconds, show_span
from loadkit.report.escape import visible
from loadkit.report.progress import STOPPING, Status, show_progress

if TYPE_CHECKING:
    from loadkit.fetcher.figures import FetchSummary

RECENT: Final = 5.0
"""Seconds that the rate shown is taken over."""
REPORT_EACH: Final = 250 * MILLISECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a fetch has come; seconds and bytes."""

    name: str
    elapsed: float
    done: int
    failed: int
    skipped: int
    """Complete from an earlier run, or twice in the list."""
    bytes: int
    of: int | None
    """URLs in all, as far as that is known."""
    threads: int
    p99: float | None
    is_stopping: bool = False


Watch: TypeAlias = Callable[[Progress], None]


class ProgressReporter:
    """Reports the progress of one fetch to a callback, a few times a second."""

    def __init__(self, watch: Watch | None, name: str, expected: int | None) -> None:
        self._watch = watch
        self._name = name
        self._expected = expected
        """URLs in the list, if its lines were counted."""
        self._reported = 0

    def is_due(self, now: int) -> bool:
        """True if a report is due; `now` is in nanoseconds."""
        return self._watch is not None and now - self._reported >= REPORT_EACH

    def report(self, now: int, summary: FetchSummary, elapsed: int, p99: int | None) -> None:
        """Report; `elapsed` and `p99` are in nanoseconds."""
        if not self._watch:
            return
        self._reported = now
        self._watch(
            Progress(
                name=self._name,
                elapsed=elapsed / SECOND,
                done=summary.counters.files,
                failed=summary.failed,
                skipped=summary.input.complete + summary.input.duplicates,
                bytes=summary.counters.bytes,
                of=summary.input.given if summary.input.is_done else self._estimate(summary),
                threads=summary.threads,
                p99=None if p99 is None else p99 / SECOND,
                is_stopping=summary.was_stopped or summary.disk_error is not None,
            )
        )

    def _estimate(self, summary: FetchSummary) -> int | None:
        """How many URLs there will be."""
        if self._expected is None:
            return None
        read = summary.input
        return max(0, self._expected - read.complete - read.duplicates - read.refused)


class Pace:
    """Rates of the last seconds, and from them how long the rest will take."""

    def __init__(self) -> None:
        self._seen: deque[Progress] = deque()

    def figures(self, progress: Progress) -> list[str]:
        """The figures to be shown, the most important first."""
        seen = self._seen
        seen.append(progress)
        while len(seen) > 2 and progress.elapsed - seen[1].elapsed >= RECENT:
            seen.popleft()
        first = seen[0]
        span = progress.elapsed - first.elapsed
        done, before = progress.done + progress.failed, first.done + first.failed
        rate = (done - before) / span if span > 0 else 0.0
        flow = (progress.bytes - first.bytes) / span if span > 0 else 0.0
        of_all = f" of {progress.of:,}" if progress.of is not None else ""
        left = progress.of - done if progress.of is not None else 0
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
    """Open a display of progress on this stream; no error of the stream fails the fetch."""
    pace = Pace()
    return show_progress(stream, lambda progress: status(progress, pace), quiet=quiet)


def status(progress: Progress, pace: Pace) -> Status:
    """The progress of a fetch as a line or a bar shows it."""
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
