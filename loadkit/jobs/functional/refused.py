"""What cannot be run by threads, said by name before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from loadkit.jobs.functional.cases import TestFunction
from loadkit.jobs.functional.plan import FixturePlan
from loadkit.plan.errors import UsageError

REFUSED: Final = {
    "capsys": "it captures the output of the whole process",
    "capsysbinary": "it captures the output of the whole process",
    "capfd": "it captures the output of the whole process",
    "capfdbinary": "it captures the output of the whole process",
    "capteesys": "it captures the output of the whole process",
    "caplog": "it collects the log of the whole process",
    "recwarn": "it collects the warnings of the whole process",
    "monkeypatch": "it changes objects that all threads see; patch once, in a fixture of the session's scope",
    "pytester": "it runs another pytest in the folder of this process",
    "testdir": "it runs another pytest in the folder of this process",
    "load": "it is a load test already",
}
"""Fixtures of pytest, and why; those of others are named by the setting `load_not_on_threads`."""


def check_tests(tests: Sequence[TestFunction], more: Sequence[str] = ()) -> None:
    """Raise `UsageError` for the first fixture that threads cannot use."""
    for reason in _reasons(tests, more):
        raise UsageError(f"{reason}; leave it out with -k or --deselect, or write it without")


def _reasons(tests: Sequence[TestFunction], more: Sequence[str]) -> Iterator[str]:
    refused = REFUSED | dict.fromkeys(more, "load_not_on_threads names it")
    for test in tests:
        for case in test.cases:
            yield from _of_plan(case.plan, refused)


def _of_plan(plan: FixturePlan, refused: dict[str, str]) -> Iterator[str]:
    for step in plan.steps:
        if step.name in refused and not step.is_shared:
            yield f"{plan.item.nodeid} cannot be run by threads: {step.name}: {refused[step.name]}"
        elif step.is_shared and step.is_async:
            yield (
                f"{plan.item.nodeid} cannot be run by threads: {step.name} is an async fixture of the scope "
                f"{step.scope}, and each thread has an event loop of its own"
            )
