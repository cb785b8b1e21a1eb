"""One run of a load test, or what was concluded from many: which test it belongs to, and what was found."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec
import pytest

from loadkit.judge.comparison.comparison import Comparison
from loadkit.judge.limit.limit import Limit
from loadkit.judge.result import Result
from loadkit.measure.encoding import to_json
from loadkit.report.json import Finding

_LONGEST: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A result and where it comes from: the test's node id, and which of its runs, from 1."""

    test: str
    number: int
    result: Result
    of_tests: bool = False
    """Its journeys are tests under load."""
    more: tuple[Result, ...] = ()
    """The same again, where a load is run several times to be compared."""

    @property
    def title(self) -> str:
        """How tables call it: the test, and the number of the run where it is not the first."""
        return self.test if self.number == 1 else f"{self.test} #{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A comparison or a limit and where it comes from, as of a run."""

    test: str
    number: int
    finding: Finding

    @property
    def title(self) -> str:
        """How tables call it: the test, and the number where it is not the first."""
        return self.test if self.number == 1 else f"{self.test} #{self.number}"


Owner: TypeAlias = pytest.Item | pytest.Module
"""Whose a run is: a test's, or that of a module whose tests share it."""

FOUND = pytest.StashKey[list[Run | Found]]()
"""Of a test: its runs, comparisons and limits so far."""

_FINDINGS: Final[dict[str, type[Finding]]] = {"Comparison": Comparison, "Limit": Limit}


def kind_of(one: Run | Found) -> str:
    """Those of one kind are counted together."""
    return type(one if isinstance(one, Run) else one.finding).__name__


def test_of(title: str) -> str:
    """The test that a title is of."""
    return re.sub(r" #[0-9]+$", "", title)


def as_markdown(runs: Sequence[Run], findings: Sequence[Found]) -> str:
    """All that was found as for a comment on a pull request."""
    from loadkit.report.markdown import markdown

    return markdown(*_titled(runs, findings))


def as_page(runs: Sequence[Run], findings: Sequence[Found]) -> str:
    """The same as a page."""
    from loadkit.report.html import html_report

    return html_report(*_titled(runs, findings))


def _titled(runs: Sequence[Run], findings: Sequence[Found]) -> tuple[list[Result | Finding], list[str]]:
    found: list[Result | Finding] = [*(one.finding for one in findings), *(one.result for one in runs)]
    return found, [*(one.title for one in findings), *(one.title for one in runs)]


def file_name(one: Run | Found) -> str:
    """A file name for a run, the same each time: `test_shop.py-test_search.json`, of a limit `…-limit.json`.

    Where the node id has characters that a file name should not have, a few letters of its hash tell it from others.
    """
    plain = re.sub(r"[^\w.-]+", "-", one.test.replace("/", "."), flags=re.ASCII).strip("-.")
    # of tests under load there is one set in a session, whose name is no node id
    is_plain = plain.replace("-", "") == one.test.replace("/", "").replace("::", "").replace("-", "")
    is_set = "::" not in one.test and not one.test.endswith(".py")
    if not (is_plain or is_set) or len(plain) > _LONGEST:
        plain = f"{plain[:_LONGEST]}-{hashlib.sha256(one.test.encode()).hexdigest()[:8]}"
    kind = "" if isinstance(one, Run) else f"-{kind_of(one).lower()}"
    return f"{plain}{kind}.json" if one.number == 1 else f"{plain}{kind}-{one.number}.json"


def packed(found: Iterable[Run | Found]) -> list[list[str | int]]:
    """Runs, comparisons and limits as plain values that a report can carry from one process to another."""
    return [[kind_of(one), one.test, one.number, to_json(_content(one)).decode()] for one in found]


def _content(one: Run | Found) -> list[Result] | Finding:
    return [one.result, *one.more] if isinstance(one, Run) else one.finding


def unpacked(values: Iterable[list[str | int]]) -> list[Run | Found]:
    """What was packed."""
    return [_unpacked(str(kind), str(test), int(number), str(text)) for kind, test, number, text in values]


def _unpacked(kind: str, test: str, number: int, text: str) -> Run | Found:
    if kind == Run.__name__:
        first, *more = msgspec.json.decode(text, type=list[Result])
        return Run(test=test, number=number, result=first, more=tuple(more))
    return Found(test=test, number=number, finding=msgspec.json.decode(text, type=_FINDINGS[kind]))
