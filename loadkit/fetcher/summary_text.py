"""What a fetch says at its end, above the tables of a load run: what is there, what is not, and what to do about it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from loadkit.plan.units import SECOND, show_seconds, show_size
from loadkit.report.layout import Layout, Style

if TYPE_CHECKING:
    from loadkit.fetcher.job import FetchJob

_ROOM = len("not URLs")
MAX_REASONS = 10


def summary(layout: Layout, fetching: FetchJob, retry: list[str]) -> str:
    """The lines; `retry` is the command that does the rest."""
    lines: list[str] = []
    for label, text, style in _lines(fetching):
        wrapped = layout.wrap(layout.escape(text), first=f"  {label:{_ROOM}}  ", margin=" " * (_ROOM + 4))
        lines += [layout.style(line, style) for line in wrapped]
    lines += _refusals(layout, fetching)
    lines += _failures(layout, fetching)
    if fetching.failed > fetching.stats.refused or fetching.left > 0:
        lines += ["", f"  the rest:  {layout.escape(shlex.join(retry))}"]
    return "\n".join([layout.style(_headline(fetching), "bold"), *lines])


def _headline(fetching: FetchJob) -> str:
    counters, stats = fetching.counters, fetching.stats
    if stats.complete and not stats.given and not fetching.failed:
        return f"nothing to do: all {_count(stats.complete, 'URL')} fetched already"
    parts = [f"{_count(counters.files, 'URL')} fetched, {show_size(counters.bytes)}"]
    if fetching.failed:
        parts.append(f"{fetching.failed:,} failed")
    if fetching.left > 0:
        parts.append(f"{fetching.left:,} not settled")
    return ", ".join(parts)


def _lines(fetching: FetchJob) -> Iterator[tuple[str, str, Style]]:
    counters, stats, plan = fetching.counters, fetching.stats, fetching.plan
    yield "into", f"{plan.append or plan.into} (every URL is accounted for in {fetching.manifest_path})", ""
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
    if fetching.circuits:
        yield "circuits", f"a host that did not answer was left alone {_count(fetching.circuits, 'time')}", "yellow"
    if counters.network or counters.disk:
        yield (
            "time",
            (
                f"{show_seconds(counters.network / SECOND)} of the threads' time on the network, "
                f"{show_seconds(counters.disk / SECOND)} on the disk"
            ),
            "",
        )
    if fetching.auto:
        yield "threads", fetching.auto.said, ""


def _refusals(layout: Layout, fetching: FetchJob) -> list[str]:
    stats = fetching.stats
    if not stats.refusals:
        return []
    lines = ["", layout.style("lines that are no URLs", "bold")]
    for refusal in stats.refusals:
        lines += layout.wrap(layout.escape(refusal), first="  ", margin="    ")
    more = stats.refused - len(stats.refusals)
    return [*lines, f"  {more:,} more in the manifest"] if more else lines


def _failures(layout: Layout, fetching: FetchJob) -> list[str]:
    if not fetching.reasons:
        return []
    lines = ["", layout.style("what failed, for example", "bold")]
    shown = list(fetching.reasons.items())[:MAX_REASONS]
    for failure, urls in shown:
        lines += layout.wrap(layout.escape(f"{failure.kind}: {failure.message}"), first="  ", margin="    ")
        for url in urls:
            lines.append(f"      {layout.ellipsize(layout.escape(url), layout.width - 8)}")
    more = len(fetching.reasons) - len(shown)
    return [*lines, f"  {more:,} more reasons in the manifest"] if more else lines


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
