"""What cannot be run by threads, said by name before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from loadkit.jobs.functional.cases import TestFunction
from loadkit.jobs.functional.plan import REFUSED, FixturePlan
from loadkit.plan.errors import UsageError

MOST_NAMED: Final = 5


def check_tests(tests: Sequence[TestFunction], more: Sequence[str] = ()) -> None:
    """Raise `UsageError` for tests that threads cannot run, with the reason of the first."""
    reasons = list(_reasons(tests, more))
    if reasons:
        others = len({reason.partition(" ")[0] for reason in reasons}) - 1
        also = f" (nor can {others} other{'s' * (others > 1)}: {_named(reasons[1:])})" if others else ""
        raise UsageError(f"{reasons[0]}{also}; leave it out with -k or --deselect, or write it without")


def _named(reasons: Sequence[str]) -> str:
    """The tests that several reasons are about, the first few by name."""
    names = list(dict.fromkeys(reason.partition(" ")[0] for reason in reasons))
    return ", ".join([*names[:MOST_NAMED], *(["…"] if len(names) > MOST_NAMED else [])])


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
