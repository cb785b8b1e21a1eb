"""The text at the end of a fetch, above its tables: what is there, what is missing, and the command for the rest."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from loadkit.plan.units import SECOND, show_seconds, show_size
from loadkit.report.layout import Layout, Style

if TYPE_CHECKING:
    from loadkit.fetcher.figures import FetchSummary

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
    if not summary.reasons:
        return []
    lines = ["", layout.style("what failed, for example", "bold")]
    shown = list(summary.reasons.items())[:MAX_REASONS]
    for failure, urls in shown:
        lines += layout.wrap(layout.escape(f"{failure.kind}: {failure.message}"), first="  ", margin="    ")
        for url in urls:
            lines.append(f"      {layout.ellipsize(layout.escape(url), layout.width - 8)}")
    more = len(summary.reasons) - len(shown)
    return [*lines, f"  {more:,} more reasons in the manifest"] if more else lines


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
