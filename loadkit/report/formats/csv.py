"""Results as CSV for spreadsheets and data frames: a line a row of the report, and a line an interval.

Numbers are numbers, with a point, and in the units that their columns name; what was not measured is an empty cell.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from loadkit.judge.rows import Row, Timing
from loadkit.judge.times import Times
from loadkit.report.escape import cell_text
from loadkit.report.figures import FIGURES

if TYPE_CHECKING:
    from loadkit.judge.result import Result

Value: TypeAlias = str | int | float | None


def row_lines(results: Sequence[Result]) -> str:
    """A line for the total, each endpoint, journey, step and timer of each result."""
    return _table(line for one in results for line in _rows(one))


def interval_lines(results: Sequence[Result]) -> str:
    """A line for each interval of each result, one second of it, or more of a long run."""
    return _table(line for one in results for line in _intervals(one))


def _rows(result: Result) -> Iterator[dict[str, Value]]:
    named: list[tuple[str, Row | Timing]] = [("total", result.total)]
    named += [("endpoint", row) for row in result.endpoints]
    named += [(one.kind, one) for one in result.timings]
    for kind, row in named:
        yield {
            **_about(result),
            "kind": kind,
            "name": cell_text(row.name),
            "requests": row.requests,
            "failures": sum(row.failures.values()),
            "error_rate": row.error_rate,
            "throughput_per_second": row.throughput,
            "unsent": row.unsent,
            "cut": row.cut,
            "bytes_sent": row.bytes_sent if isinstance(row, Row) else None,
            "bytes_received": row.bytes_received if isinstance(row, Row) else None,
            **_times("response_time", row.response_time),
            **_times("service_time", row.service_time),
        }


def _intervals(result: Result) -> Iterator[dict[str, Value]]:
    for one in result.intervals:
        yield {
            **_about(result),
            "start_seconds": one.start,
            "length_seconds": one.length,
            "measured_seconds": one.measured,
            "threads": one.threads,
            "asked": one.asked,
            "requests": one.total.requests,
            "failures": one.total.failures,
            **_times("response_time", one.total.response_time),
        }


def _about(result: Result) -> dict[str, Value]:
    return {"scenario": cell_text(result.title), "started_at": cell_text(result.started_at)}


def _times(name: str, times: Times) -> dict[str, Value]:
    return {f"{name}_{title.replace('.', '_')}_seconds": of(times) for title, of in FIGURES.items()}


def _table(lines: Iterable[dict[str, Value]]) -> str:
    text = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for line in lines:
        if writer is None:
            # text in quotes, whatever is in it
            writer = csv.DictWriter(text, line.keys(), quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
            writer.writeheader()
        writer.writerow(line)
    return text.getvalue()
