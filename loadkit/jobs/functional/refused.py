"""What cannot be run by threads, said by name before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from loadkit.jobs.functional.cases import TestFunction
from loadkit.jobs.functional.plan import REFUSED, FixturePlan
from loadkit.plan.errors import UsageError


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
