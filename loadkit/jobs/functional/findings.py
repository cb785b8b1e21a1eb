"""What many short loads of tests find in the place of one: how much is held, or which of two versions is slower."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
import pytest

from loadkit.drive.failures import failure_of_journey
from loadkit.jobs.against_stored import are_stored, compare_with_stored
from loadkit.jobs.compare import compare_in_turns, names_scenario
from loadkit.jobs.functional.cases import TestFunction, journeys, set_up_shared
from loadkit.jobs.functional.options import load_name
from loadkit.jobs.functional.outcomes import Case
from loadkit.jobs.functional.surroundings import captured_output
from loadkit.jobs.functional.values import SharedValues
from loadkit.jobs.functional.verdicts import few_names, tell_comparison, tell_limit, tell_unmeasured, write_notes
from loadkit.jobs.limit import limit
from loadkit.jobs.rounds import NotMeasurable
from loadkit.jobs.testing.interruptible import run_interruptible
from loadkit.jobs.testing.runs import Found
from loadkit.plan.errors import UsageError
from loadkit.report.comparison import progress_of
from loadkit.report.limit import limit_progress
from loadkit.report.progress import show_progress
from loadkit.server.serving import served_at

if TYPE_CHECKING:
    from loadkit.jobs.testing.session import LoadSession
    from loadkit.judge.comparison.comparison import Comparison
    from loadkit.judge.limit.limit import Limit
    from loadkit.plan.scenario import Scenario

SAME_TESTS: Final = "the tests of the working tree were run with both versions"


def find_limit(load_session: LoadSession, scenario: Scenario, cases: Sequence[Case]) -> BaseException | None:
    """Search for what is held, and tell it of each test; what is to be raised afterwards."""
    config = load_session.config

    def search(interrupts: Callable[[], int]) -> Limit:
        by, budget = config.getoption("load_limit"), load_session.comparing.budget
        return limit(scenario, by=by, budget=budget, watch=watch, interrupts=_or_exit(interrupts, cases))

    with show_progress(sys.stderr, limit_progress, quiet=config.get_verbosity() < 0) as watch, captured_output(config):
        found, thrown = run_interruptible(search)
    load_session.keep(Found(test=load_name(config), number=1, finding=found))
    for case in cases:
        tell_limit(case, found)
    return thrown


def _or_exit(interrupts: Callable[[], int], cases: Sequence[Case]) -> Callable[[], int]:
    """How often the user asked to stop, which a test that calls `pytest.exit` does, too."""
    return lambda: max(interrupts(), any(case.exit is not None for case in cases))


def versions_have_servers(config: pytest.Config) -> bool:
    """True if tests are to be run with the servers of two versions."""
    against = config.getoption("load_against")
    return against is not None and not are_stored(against)


def compare_versions(
    load_session: LoadSession, scenario: Scenario, tests: Sequence[TestFunction], shared: SharedValues
) -> BaseException | None:
    """Run the tests with both versions in turns, and tell of each which is worse; what is to be raised afterwards."""
    config, asked = load_session.config, load_session.comparing
    cases = [case for test in tests for case in test.cases]
    against, others = str(asked.against), list[str]()
    if shared.has_servers:
        _check_against(against, scenario, tests)
        if same := [test.name for test in tests if not _needs_server(test)]:
            others = [f"without load_server, and the same for both versions: {few_names(same)}"]
            write_notes(config, [f"- {line}" for line in others])

    def find(interrupts: Callable[[], int]) -> Comparison:
        stops = _or_exit(interrupts, cases)
        if not shared.has_servers:
            return compare_with_stored(
                scenario,
                against,
                tolerances=asked.tolerances,
                strict_machine=False,
                budget=asked.budget,
                watch=watch,
                interrupts=stops,
            )
        return compare_in_turns(
            scenario.replace(prepare=asked.prepare),
            against,
            tolerances=asked.tolerances,
            budget=asked.budget,
            watch=watch,
            interrupts=stops,
            checkouts=load_session.checkouts,
            around=partial(_at_server, tests, shared),
        )

    try:
        with show_progress(sys.stderr, progress_of, quiet=config.get_verbosity() < 0) as watch, captured_output(config):
            found, thrown = run_interruptible(find)
    except NotMeasurable as error:
        for case in cases:
            tell_unmeasured(case, error)
        return None
    found = msgspec.structs.replace(found, notes=[SAME_TESTS, *others, *found.notes])
    load_session.keep(Found(test=load_name(config), number=1, finding=found))
    for case in cases:
        tell_comparison(case, found, asked)
    return thrown


def _check_against(against: str, scenario: Scenario, tests: Sequence[TestFunction]) -> None:
    """Refuse what has no two servers."""
    if names_scenario(against):
        raise UsageError(f"tests are compared with a revision, a URL, or rounds like before.json, not {against}")
    if not scenario.base_url or not any(map(_needs_server, tests)):
        raise UsageError(
            f"--load-against {against} is about the server of load_server, and no test asks for that fixture; compare "
            "rounds instead: --load-repeat 5 --load-save before, and of the new version --load-compare before"
        )
    if "://" not in against and served_at(scenario.base_url) is None:
        raise UsageError(
            f"{against} is a revision, and loadkit did not start the server at {scenario.base_url}; name its command "
            "in the setting load_server, or give the URL of a server of the old version"
        )


def _needs_server(test: TestFunction) -> bool:
    return any(step.needs_server for case in test.cases for step in case.plan.steps)


@contextmanager
def _at_server(tests: Sequence[TestFunction], shared: SharedValues, scenario: Scenario) -> Iterator[Scenario]:
    """The tests at one of the servers, with the fixtures of a wider scope that are made of its URL.

    Raises `UsageError` where one of these fails.
    """
    values = SharedValues(base=shared, server=scenario.base_url or "")
    try:
        for error in set_up_shared(tests, values).values():
            first, *lines = failure_of_journey(error).message.splitlines()
            raise UsageError(", ".join([first, *(line for line in lines if line.startswith("in "))])) from error
        yield scenario.replace(endpoints=journeys(tests, values, times_fixture=False))
    finally:
        try:
            values.close()
        except BaseException as error:  # noqa: BLE001 - it is the user's, and an error of the last test
            shared.add_teardown(partial(_raise, error))


def _raise(error: BaseException) -> None:
    raise error
