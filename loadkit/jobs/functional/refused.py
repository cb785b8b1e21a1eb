"""What cannot be run by threads, said by name before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from loadkit.jobs.functional.cases import TestFunction
from loadkit.jobs.functional.plan import FixturePlan
from loadkit.jobs.functional.unsafe import EMPTIES_TABLES
from loadkit.plan.errors import UsageError

MOST_NAMED: Final = 5


def check_tests(tests: Sequence[TestFunction]) -> None:
    """Raise `UsageError` for tests that threads cannot run, with the reason of the first."""
    reasons = list(_reasons(tests))
    if reasons:
        others = len({reason.partition(" ")[0] for reason in reasons}) - 1
        also = f" (nor can {others} other{'s' * (others > 1)}: {_named(reasons[1:])})" if others else ""
        raise UsageError(f"{reasons[0]}{also}; leave it out with -k or --deselect, or write it without")


def _named(reasons: Sequence[str]) -> str:
    """The tests that several reasons are about, the first few by name."""
    names = list(dict.fromkeys(reason.partition(" ")[0] for reason in reasons))
    return ", ".join([*names[:MOST_NAMED], *(["…"] if len(names) > MOST_NAMED else [])])


def _reasons(tests: Sequence[TestFunction]) -> Iterator[str]:
    for case in (case for test in tests for case in test.cases):
        for reason in _of_plan(case.plan):
            yield f"{case.item.nodeid} cannot be run by threads: {reason}"


def _of_plan(plan: FixturePlan) -> Iterator[str]:
    database = plan.item.get_closest_marker("django_db")
    if database is not None and database.kwargs.get("transaction"):
        yield f"django_db(transaction=True): {EMPTIES_TABLES}"
    for step in plan.steps:
        if step.against:
            yield f"{step.name}: {step.against}"
        elif step.name == "anyio_backend" and _is_trio(step.param):
            yield "anyio_backend: it is trio, and each thread has an event loop of asyncio"


def _is_trio(backend: object) -> bool:
    return "trio" in (backend if isinstance(backend, tuple) else (backend,))
