"""The progress of a fetch on stderr: a bar that is redrawn on a terminal, or a line in a log now and then."""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TextIO, TypeAlias

from loadkit.plan.units import MILLISECOND, SECOND, show_rate, show_seconds, show_size, show_span
from loadkit.report.escape import visible
from loadkit.report.layout import Layout, Style
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


_ROOM = len("not URLs")
MAX_REASONS = 10


def summary_text(layout: Layout, summary: FetchSummary, retry: list[str]) -> str:
    """The text; `retry` is the command that fetches the rest."""
    lines: list[str] = []
    for label, text, style in _lines(summary):
        wrapped = layout.wrap(layout.escape(text), first=f"  {label:{_ROOM}}  ", margin=" " * (_ROOM + 4))
        lines += [layout.style(line, style) for line in wrapped]
    lines += _bad_lines(layout, summary)
    lines += _failures(layout, summary)
    if summary.failed > summary.input.refused or summary.left > 0:
        lines += ["", f"  the rest:  {layout.escape(shlex.join(retry))}"]
    return "\n".join([layout.style(_headline(summary), "bold"), *lines])


def _headline(summary: FetchSummary) -> str:
    counters, stats = summary.counters, summary.input
    if stats.complete and not stats.given and not summary.failed:
        return f"nothing to do: all {_count(stats.complete, 'URL')} fetched already"
    parts = [f"{_count(counters.files, 'URL')} fetched, {show_size(counters.bytes)}"]
    if summary.failed:
        parts.append(f"{summary.failed:,} failed")
    if summary.left > 0:
        parts.append(f"{summary.left:,} not settled")
    return ", ".join(parts)


def _lines(summary: FetchSummary) -> Iterator[tuple[str, str, Style]]:
    counters, stats, plan = summary.counters, summary.input, summary.options
    yield "into", f"{plan.append or plan.into} (every URL is accounted for in {summary.manifest})", ""
    if stats.complete:
        yield "before", f"{_count(stats.complete, 'URL')} fetched by an earlier run, and not again", ""
    if stats.duplicates:
        yield (
            "twice",
            f"{_count(stats.duplicates, 'duplicate')} in the list, fetched once (--duplicates: each time)",
            "",
        )
    if stats.refused:
        yield "not URLs", f"{_count(stats.refused, 'line')} of the list", "yellow"
    if counters.retries:
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in sorted(counters.retries.items()))
        yield "retries", f"{sum(counters.retries.values()):,} ({reasons})", ""
    if counters.redirects:
        yield "redirects", f"{counters.redirects:,} followed", ""
    if summary.circuits:
        yield "circuits", f"a host that did not answer was left alone {_count(summary.circuits, 'time')}", "yellow"
    if counters.network_time or counters.disk_time:
        yield (
            "time",
            (
                f"{show_seconds(counters.network_time / SECOND)} of the threads' time on the network, "
                f"{show_seconds(counters.disk_time / SECOND)} on the disk"
            ),
            "",
        )
    if summary.tuning:
        yield "threads", summary.tuning, ""


def _bad_lines(layout: Layout, summary: FetchSummary) -> list[str]:
    stats = summary.input
    if not stats.bad_lines:
        return []
    lines = ["", layout.style("lines that are no URLs", "bold")]
    for refusal in stats.bad_lines:
        lines += layout.wrap(layout.escape(refusal), first="  ", margin="    ")
    more = stats.refused - len(stats.bad_lines)
    return [*lines, f"  {more:,} more in the manifest"] if more else lines


def _failures(layout: Layout, summary: FetchSummary) -> list[str]:
    if not summary.counters.examples:
        return []
    lines = ["", layout.style("what failed, for example", "bold")]
    shown = list(summary.counters.examples.items())[:MAX_REASONS]
    for failure, urls in shown:
        lines += layout.wrap(layout.escape(f"{failure.kind}: {failure.message}"), first="  ", margin="    ")
        for url in urls:
            lines.append(f"      {layout.ellipsize(layout.escape(url), layout.width - 8)}")
    more = len(summary.counters.examples) - len(shown)
    return [*lines, f"  {more:,} more reasons in the manifest"] if more else lines


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
