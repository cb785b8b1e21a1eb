"""Results in Prometheus' text format, for a textfile collector or a push gateway: each a summary of a run that is over.

The names of metrics have their units, and say what they are of: `loadkit_` of a run, `loadkit_endpoint_` of one of its
endpoints, `loadkit_hop_` of what its redirects led to, `loadkit_timing_` of a journey, step or timer. So no sum over a
metric counts anything twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, count
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from loadkit.judge.rows import Row, Timing
from loadkit.judge.times import PERCENTILES, Times
from loadkit.plan.labels import is_hop
from loadkit.plan.units import SECOND
from loadkit.report.escape import visible
from loadkit.report.figures import measured_from

if TYPE_CHECKING:
    from loadkit.judge.result import Result

Labels: TypeAlias = dict[str, str]

# what is visible has no end of a line
_ESCAPED: Final = str.maketrans({"\\": r"\\", '"': r"\""})


class Metric(NamedTuple):
    """A value under its name and labels; `suffix` is that of a part of a summary."""

    name: str
    help: str
    kind: Literal["gauge", "counter", "summary"]
    labels: Labels
    value: float
    suffix: str = ""

    def line(self) -> str:
        """As it is written."""
        labels = ",".join(f'{name}="{text.translate(_ESCAPED)}"' for name, text in self.labels.items())
        return f"{self.name}{self.suffix}{{{labels}}} {self.value!r}"


def prometheus(results: Sequence[Result]) -> str:
    """A document of all results."""
    names = distinct([one.title for one in results])
    found: dict[str, list[Metric]] = {}
    for one, name in zip(results, names, strict=True):
        for metric in _metrics(one, name):
            # those of one name stand together
            found.setdefault(metric.name, []).append(metric)
    lines = (
        line
        for name, (first, *more) in found.items()
        for line in (
            f"# HELP {name} {first.help}",
            f"# TYPE {name} {first.kind}",
            *(one.line() for one in (first, *more)),
        )
    )
    return "\n".join(lines) + "\n"


def distinct(names: Sequence[str]) -> list[str]:
    """Names made visible, the second of one name as `browse #2`: two series of one name make a document unreadable."""
    found: dict[str, None] = {}
    for name in map(visible, names):
        numbered = (f"{name} #{number}" for number in count(2))
        found[next(one for one in chain([name], numbered) if one not in found)] = None
    return list(found)


def _metrics(result: Result, scenario: str) -> Iterator[Metric]:
    labels = {"scenario": scenario}
    about = {"outcome": result.outcome, "validity": result.validity, "version": visible(result.environment.loadkit)}
    yield Metric("loadkit_run_info", "What the run came to.", "gauge", labels | about, 1)
    yield Metric("loadkit_passed", "1 if the run passed.", "gauge", labels, int(result.passed))
    started = measured_from(result) / SECOND
    yield Metric("loadkit_started_timestamp_seconds", "When measuring began.", "gauge", labels, started)
    yield Metric("loadkit_duration_seconds", "How long was measured.", "gauge", labels, result.duration)
    limits = distinct([one.threshold for one in result.thresholds])
    for one, threshold in zip(result.thresholds, limits, strict=True):
        about = labels | {"threshold": threshold}
        yield Metric("loadkit_threshold_passed", "1 if the threshold is met.", "gauge", about, int(one.passed))
    yield from _row("loadkit", labels, result.total)
    for row, name in zip(result.endpoints, distinct([one.name for one in result.endpoints]), strict=True):
        head = "loadkit_hop" if is_hop(row.name) else "loadkit_endpoint"
        yield from _row(head, labels | {"endpoint": name}, row)
    for timing, name in zip(result.timings, distinct([one.name for one in result.timings]), strict=True):
        yield from _row("loadkit_timing", labels | {"kind": timing.kind, "name": name}, timing)


def _row(head: str, labels: Labels, row: Row | Timing) -> Iterator[Metric]:
    yield Metric(f"{head}_requests_total", "What ended, well or not.", "counter", labels, row.requests)
    if isinstance(row, Row):
        for status, replies in row.statuses.items():
            about = labels | {"status": str(status)}
            yield Metric(f"{head}_replies_total", "Good replies by status.", "counter", about, replies)
        yield Metric(f"{head}_sent_bytes_total", "Bytes sent.", "counter", labels, row.bytes_sent)
        yield Metric(f"{head}_received_bytes_total", "Bytes received.", "counter", labels, row.bytes_received)
    for kind, failures in zip(distinct(list(row.failures)), row.failures.values(), strict=True):
        yield Metric(f"{head}_failures_total", "Failures by kind.", "counter", labels | {"kind": kind}, failures)
    yield Metric(f"{head}_unsent_total", "What was due and never sent or begun.", "counter", labels, row.unsent)
    yield Metric(f"{head}_cut_total", "What was under way at the end.", "counter", labels, row.cut)
    yield Metric(f"{head}_throughput_per_second", "What came through, a second.", "gauge", labels, row.throughput)
    yield Metric(f"{head}_error_ratio", "The share that failed, of 1.", "gauge", labels, row.error_rate)
    yield from _times(f"{head}_response_time_seconds", "From due to the last byte.", labels, row.response_time)
    yield from _times(f"{head}_service_time_seconds", "From sending to the last byte.", labels, row.service_time)


def _times(name: str, text: str, labels: Labels, times: Times) -> Iterator[Metric]:
    """A summary; its quantiles 0 and 1 are minimum and maximum."""
    quantiles = {"0": times.min, **{f"{one.percent / 100:.15g}": one.of(times) for one in PERCENTILES}, "1": times.max}
    for quantile, value in quantiles.items():
        if value is not None:
            yield Metric(name, text, "summary", labels | {"quantile": quantile}, value)
    yield Metric(name, text, "summary", labels, times.sum_ns / SECOND, "_sum")
    yield Metric(name, text, "summary", labels, times.count, "_count")
