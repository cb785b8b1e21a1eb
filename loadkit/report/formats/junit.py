"""Results, comparisons and limits as JUnit XML, for CI: a suite each, in which thresholds and verdicts are cases.

What is not met is a failure, and what cannot be told is skipped. Foreign text is made visible first: XML has no place
for control characters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias
from xml.etree import ElementTree as ET

from loadkit.judge.comparison.comparison import Comparison, describe_change, show_tolerance
from loadkit.judge.result import Result
from loadkit.judge.rows import Row, Timing
from loadkit.judge.times import SHOWN
from loadkit.report.comparison import TONES, all_changes, figure_name
from loadkit.report.escape import visible
from loadkit.report.table import Tone
from loadkit.report.verdicts import name_of, verdict_of

if TYPE_CHECKING:
    from loadkit.judge.limit.limit import Limit
    from loadkit.report.json import Finding


Ending: TypeAlias = Literal["passed", "failure", "skipped"]
_ENDINGS: Final[Mapping[Tone, Ending]] = {"good": "passed", "bad": "failure"}


class Case(NamedTuple):
    """A case of a suite, and how it came out."""

    name: str
    message: str
    ending: Ending


def junit(found: Sequence[Result | Finding], *, errors: Mapping[str, str] | None = None) -> str:
    """A document of all that was found; `errors` say why the rest was not run, by name."""
    suites = [
        _suite(name_of(one), list(_cases(one)), dict(properties(one)), one if isinstance(one, Result) else None)
        for one in found
    ]
    suites += [_suite(name, [Case("run", why, "failure")], {}) for name, why in (errors or {}).items()]
    counted = {name: str(sum(int(one.attrib[name]) for one in suites)) for name in ("tests", "failures", "errors")}
    root = ET.Element("testsuites", {"name": "loadkit", **counted})
    root.extend(suites)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(name: str, cases: Sequence[Case], figures: Mapping[str, object], result: Result | None = None) -> ET.Element:
    ended = [case.ending for case in cases]
    suite = ET.Element(
        "testsuite",
        {
            "name": visible(name),
            "tests": str(len(cases)),
            "failures": str(ended.count("failure")),
            "errors": "0",
            "skipped": str(ended.count("skipped")),
        },
    )
    if result:
        suite.attrib |= {"time": f"{result.duration:.3f}", "timestamp": visible(result.started_at)}
    listed = ET.SubElement(suite, "properties")
    for figure, value in figures.items():
        ET.SubElement(listed, "property", {"name": figure, "value": str(value)})
    for case in cases:
        element = ET.SubElement(suite, "testcase", {"name": visible(case.name), "classname": visible(name)})
        if case.ending != "passed":
            ET.SubElement(element, case.ending, {"message": visible(case.message)})
    return suite


def _cases(one: Result | Finding) -> Iterator[Case]:
    tone, word, why = verdict_of(one)
    message = f"{word}: {why}"
    if isinstance(one, Result):
        for limit in one.thresholds:
            yield Case(limit.threshold, f"{limit.threshold}: {limit.shown}", "passed" if limit.passed else "failure")
        # one that failed for a threshold has a case that says so
        is_told = one.outcome == "failed" and not all(limit.passed for limit in one.thresholds)
        yield Case("run", message, "passed" if one.passed or is_told else "failure")
        return
    yield Case("verdict", message, _ENDINGS.get(tone, "skipped"))
    for change in all_changes(one) if isinstance(one, Comparison) else ():
        if change.decides:
            shown = f"{describe_change(change)}, tolerance {show_tolerance(change)}"
            yield Case(figure_name(change), shown, _ENDINGS.get(TONES[change.verdict], "skipped"))


def properties(one: Result | Finding, number: int = 1) -> Iterator[tuple[str, str | int | float]]:
    """The figures of what was found, in seconds; those of the second of a test have its `number` in their names.

    Names are like `load.p99`, of a journey like `load.journey.buy.p99`, of the second run like `load.2.p99`, and of a
    comparison like `load.compare.p99.ratio`, and of a limit like `load.limit.rate`.
    """
    behind = "" if number == 1 else f".{number}"
    if isinstance(one, Comparison):
        yield from _of_comparison(f"load.compare{behind}", one)
    elif isinstance(one, Result):
        yield from _of_result(f"load{behind}", one)
    else:
        yield from _of_limit(f"load.limit{behind}", one)


def _of_result(head: str, result: Result) -> Iterator[tuple[str, str | int | float]]:
    yield f"{head}.scenario", visible(result.scenario.name)
    yield f"{head}.outcome", result.outcome
    yield f"{head}.validity", result.validity
    yield from figures(head, result.total)
    for one in result.timings:
        yield from figures(f"{head}.{one.kind}.{visible(one.name)}", one)


def _of_comparison(head: str, found: Comparison) -> Iterator[tuple[str, str | float]]:
    yield f"{head}.against", visible(found.old)
    yield f"{head}.verdict", found.verdict
    for one in all_changes(found):
        name = f"{head}.{f'{visible(one.label)}.' if one.label else ''}{one.metric}"
        values = {"ratio": one.ratio, "difference": one.difference, "low": one.low, "high": one.high}
        yield from ((f"{name}.{what}", value) for what, value in values.items() if value is not None)


def _of_limit(head: str, found: Limit) -> Iterator[tuple[str, str | float]]:
    yield f"{head}.scenario", visible(found.name)
    yield f"{head}.ending", found.ending
    shown = {"rate": found.confirmed, "failed": found.failed, "threads": found.threads, "best": found.best}
    yield from ((f"{head}.{name}", value) for name, value in shown.items() if value is not None)


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
