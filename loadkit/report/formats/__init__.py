"""Results for other programs: what each format makes of them, and in which files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from loadkit.judge.result import Result

OF_RESULTS: Final = ("csv", "hgrm", "hlog", "prometheus")
"""Formats that have nothing to say of a comparison or a limit."""


def intervals_file(csv: Path) -> Path | None:
    """The file of the intervals beside that of the rows: `run-intervals.csv` beside `run.csv`; None beside a device."""
    if csv.name == "-" or csv.is_relative_to("/dev") or csv.is_fifo():
        return None
    return csv.with_name(f"{csv.stem}-intervals{csv.suffix or '.csv'}")


def documents(name: str, path: Path, results: Sequence[Result]) -> Iterator[tuple[Path, str]]:
    """The files of a format, the one that was named first, and what is to be in them."""
    if name == "csv":
        from loadkit.report.formats.csv import interval_lines, row_lines

        yield path, row_lines(results)
        if file := intervals_file(path):
            yield file, interval_lines(results)
    elif name == "hgrm":
        from loadkit.report.formats.hdr import percentile_distribution

        yield path, percentile_distribution(results[0])
    elif name == "hlog":
        from loadkit.report.formats.hdr import histogram_log

        yield path, histogram_log(results)
    elif name == "prometheus":
        from loadkit.report.formats.prometheus import prometheus

        yield path, prometheus(results)
