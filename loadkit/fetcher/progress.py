"""What a fetch shows on a terminal: how far it has come and, at its end, what is there and what is missing."""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TextIO, TypeAlias

from loadkit.plan.units import SECOND, show_count, show_rate, show_seconds, show_size, show_span
from loadkit.report.escape import visible
from loadkit.report.layout import Layout, Style
from loadkit.report.progress import STOPPING, Status, show_progress

if TYPE_CHECKING:
    from loadkit.fetcher.figures import FetchSummary

RECENT: Final = 5.0
"""Seconds that the rate shown is taken over."""


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
    is_tuning: bool
    """True while the number of threads is searched."""
    p99: float | None
    is_stopping: bool = False


Watch: TypeAlias = Callable[[Progress], None]


def progress_of(summary: FetchSummary, elapsed: int, p99: int | None) -> Progress:
    """How far a fetch has come after `elapsed` nanoseconds; `p99` is in nanoseconds, too."""
    return Progress(
        name=summary.name,
        elapsed=elapsed / SECOND,
        done=summary.counters.files,
        failed=summary.failed,
        skipped=summary.input.complete + summary.input.duplicates,
        bytes=summary.counters.bytes,
        of=summary.wanted,
        threads=summary.threads,
        is_tuning=summary.is_tuning,
        p99=None if p99 is None else p99 / SECOND,
        is_stopping=summary.was_stopped or summary.disk_error is not None,
    )


def watcher(stream: TextIO | None, *, quiet: bool = False) -> AbstractContextManager[Callable[[Progress], None]]:
    """Open a display of progress on this stream; no error of the stream fails the fetch."""
    seen: deque[Progress] = deque()
    return show_progress(stream, lambda progress: _status(progress, seen), quiet=quiet)


def _status(progress: Progress, seen: deque[Progress]) -> Status:
    """The progress of a fetch as a line or a bar shows it; `seen` has that of the last seconds."""
    stopping = ", stopping" if progress.is_stopping else ""
    return Status(
        name=progress.name,
        elapsed=progress.elapsed,
        heading=f"[{progress.elapsed:.1f} s] fetch {visible(progress.name)}{stopping}",
        lead=[STOPPING] if progress.is_stopping else [],
        figures=_figures(progress, seen),
        done=progress.done + progress.failed,
        of=progress.of,
        has_failures=progress.failed > 0,
    )


def _figures(progress: Progress, seen: deque[Progress]) -> list[str]:
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
        f"{'trying ' * progress.is_tuning}{progress.threads} threads",
        *([f"{progress.skipped:,} skipped"] if progress.skipped else []),
    ]


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
        return f"nothing to do: all {show_count(stats.complete, 'URL')} fetched already"
    parts = [f"{show_count(counters.files, 'URL')} fetched, {show_size(counters.bytes)}"]
    if summary.failed:
        parts.append(f"{summary.failed:,} failed")
    if summary.left > 0:
        parts.append(f"{summary.left:,} not settled")
    return ", ".join(parts)


def _lines(summary: FetchSummary) -> Iterator[tuple[str, str, Style]]:
    counters, stats, plan = summary.counters, summary.input, summary.options
    yield "into", f"{plan.append or plan.into} (every URL is accounted for in {summary.manifest})", ""
    if stats.complete:
        yield "before", f"{show_count(stats.complete, 'URL')} fetched by an earlier run, and not again", ""
    if stats.duplicates:
        yield (
            "twice",
            f"{show_count(stats.duplicates, 'duplicate')} in the list, fetched once (--duplicates: each time)",
            "",
        )
    if stats.refused:
        yield "not URLs", f"{show_count(stats.refused, 'line')} of the list", "yellow"
    if counters.retries:
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in sorted(counters.retries.items()))
        yield "retries", f"{sum(counters.retries.values()):,} ({reasons})", ""
    if counters.redirects:
        yield "redirects", f"{counters.redirects:,} followed", ""
    if summary.circuits:
        yield "circuits", f"a host that did not answer was left alone {show_count(summary.circuits, 'time')}", "yellow"
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
    if summary.limit and summary.limit.closed:
        levels = [f"{one.level:g}: {show_rate(one.throughput)}" for one in summary.limit.closed]
        yield "tried", f"threads {', '.join(levels)}", ""


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
