"""One run of a load test, or one comparison: which test it belongs to, and what was found."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec
import pytest

from loadkit.judge.comparison.comparison import Comparison
from loadkit.judge.result import Result
from loadkit.judge.rows import Row, Timing
from loadkit.judge.times import SHOWN
from loadkit.report.escape import visible

_LONGEST: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A result and where it comes from: the test's node id, and which of its runs, from 1."""

    test: str
    number: int
    result: Result
    more: tuple[Result, ...] = ()
    """The same again, where a load is run several times to be compared."""

    @property
    def title(self) -> str:
        """How tables call it: the test, and the number of the run where it is not the first."""
        return self.test if self.number == 1 else f"{self.test} #{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A comparison and where it comes from, as of a run."""

    test: str
    number: int
    comparison: Comparison

    @property
    def title(self) -> str:
        """How tables call it: the test, and the number of the comparison where it is not the first."""
        return self.test if self.number == 1 else f"{self.test} #{self.number}"


Owner: TypeAlias = pytest.Item | pytest.Module
"""Whose a run is: a test's, or that of a module whose tests share it."""

FOUND = pytest.StashKey[list[Run | Compared]]()
"""Of a test: its runs and comparisons so far."""


def test_of(title: str) -> str:
    """The test that a title is of."""
    return re.sub(r" #[0-9]+$", "", title)


def properties(run: Run | Compared) -> Iterator[tuple[str, str | int | float]]:
    """What `record_property` and JUnit XML get, in seconds.

    Names are like `load.p99`, of a journey like `load.journey.buy.p99`, of the second run like `load.2.p99`, and of a
    comparison like `load.compare.p99.ratio`.
    """
    if isinstance(run, Compared):
        yield from _compared_properties(run)
        return
    result = run.result
    head = "load" if run.number == 1 else f"load.{run.number}"
    yield f"{head}.scenario", visible(result.scenario.name)
    yield f"{head}.outcome", result.outcome
    yield f"{head}.validity", result.validity
    yield from figures(head, result.total)
    for one in result.timings:
        yield from figures(f"{head}.{one.kind}.{visible(one.name)}", one)


def _compared_properties(compared: Compared) -> Iterator[tuple[str, str | float]]:
    found = compared.comparison
    head = "load.compare" if compared.number == 1 else f"load.compare.{compared.number}"
    yield f"{head}.against", visible(found.old)
    yield f"{head}.verdict", found.verdict
    for one in [*found.changes, *(one for row in found.endpoints.values() for one in row.changes)]:
        name = f"{head}.{f'{visible(one.label)}.' if one.label else ''}{one.metric}"
        figures = {"ratio": one.ratio, "difference": one.difference, "low": one.low, "high": one.high}
        yield from ((f"{name}.{what}", value) for what, value in figures.items() if value is not None)


def figures(head: str, row: Row | Timing) -> Iterator[tuple[str, int | float]]:
    """Those of one row, each under its name."""
    times = row.response_time
    found: dict[str, int | float | None] = {
        "requests" if isinstance(row, Row) else "count": row.requests,
        "throughput": row.throughput,
        "error_rate": row.error_rate,
        "mean": times.mean,
        **{one.field: one.of(times) for one in SHOWN},
        "max": times.max,
    }
    yield from ((f"{head}.{name}", value) for name, value in found.items() if value is not None)


def as_markdown(runs: Sequence[Run], comparisons: Sequence[Compared]) -> str:
    """Comparisons and runs as for a comment on a pull request."""
    from loadkit.report.markdown import markdown

    found: list[Result | Comparison] = [*(one.comparison for one in comparisons), *(one.result for one in runs)]
    return markdown(found, [*(one.title for one in comparisons), *(one.title for one in runs)])


def file_name(run: Run) -> str:
    """A file name for a run, the same each time: `test_shop.py-test_search.json`.

    Where the node id has characters that a file name should not have, a few letters of its hash tell it from others.
    """
    plain = re.sub(r"[^\w.-]+", "-", run.test.replace("/", "."), flags=re.ASCII).strip("-.")
    if plain.replace("-", "") != run.test.replace("/", "").replace("::", "").replace("-", "") or len(plain) > _LONGEST:
        plain = f"{plain[:_LONGEST]}-{hashlib.sha256(run.test.encode()).hexdigest()[:8]}"
    return f"{plain}.json" if run.number == 1 else f"{plain}-{run.number}.json"


def packed(found: Iterable[Run | Compared]) -> list[list[str | int]]:
    """Runs and comparisons as plain values that a report can carry from one process to another."""
    return [[type(one).__name__, one.test, one.number, msgspec.json.encode(_content(one)).decode()] for one in found]


def _content(one: Run | Compared) -> list[Result] | Comparison:
    return [one.result, *one.more] if isinstance(one, Run) else one.comparison


def unpacked(values: Iterable[list[str | int]]) -> list[Run | Compared]:
    """The runs and comparisons that were packed."""
    return [_unpacked(str(kind), str(test), int(number), str(text)) for kind, test, number, text in values]


def _unpacked(kind: str, test: str, number: int, text: str) -> Run | Compared:
    if kind == Run.__name__:
        first, *more = msgspec.json.decode(text, type=list[Result])
        return Run(test=test, number=number, result=first, more=tuple(more))
    return Compared(test=test, number=number, comparison=msgspec.json.decode(text, type=Comparison))
