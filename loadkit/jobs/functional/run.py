"""Run the tests of a pytest session under load, and tell pytest of each what came of it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest
from _pytest.config import apply_warning_filters

from loadkit.jobs.functional.cases import TestFunction, reason_to_skip, test_functions
from loadkit.jobs.functional.clients import counted_clients
from loadkit.jobs.functional.databases import closed_connections
from loadkit.jobs.functional.options import fields_of
from loadkit.jobs.functional.outcomes import Case, SetUps
from loadkit.jobs.functional.plan import PLUGIN
from loadkit.jobs.functional.refused import check_tests
from loadkit.jobs.functional.scale import advice_to_share
from loadkit.jobs.functional.values import SharedValues
from loadkit.jobs.functional.verdicts import tell, tell_teardown, tell_test, with_unseen, write_doubts, write_scale
from loadkit.jobs.run import run
from loadkit.jobs.testing.interruptible import run_interruptible
from loadkit.jobs.testing.runs import Run
from loadkit.plan.errors import UsageError
from loadkit.plan.scenario import Scenario
from loadkit.report.escape import visible_text
from loadkit.report.progress import watcher

if TYPE_CHECKING:
    from loadkit.drive.progress import Watcher
    from loadkit.jobs.testing.session import LoadSession
    from loadkit.judge.result import Result

NAME: Final = "tests under load"


def run_session(session: pytest.Session, load_session: LoadSession) -> None:
    """Run all tests of a session under load, together; raises `pytest.UsageError` for what cannot be run so."""
    skipped = {item: reason for item in session.items if (reason := reason_to_skip(item)) is not None}
    try:
        tests = test_functions([item for item in session.items if item not in skipped])
        check_tests(tests)
        with _warnings(session.config), counted_clients():
            _run_tests(session.config, load_session, tests)
    except UsageError as error:
        raise pytest.UsageError(visible_text(str(error))) from None
    finally:
        for item, reason in skipped.items():
            tell(item, "setup", partial(pytest.skip, reason))
        if session.testsfailed:
            load_session.failed.add(_name(session.config))


def _run_tests(config: pytest.Config, load_session: LoadSession, tests: Sequence[TestFunction]) -> None:
    shared = SharedValues()
    thrown: BaseException | None = None
    try:
        errors = _set_up(tests, shared)
        ready = [test.without(errors) for test in tests]
        ready = [test for test in ready if test.cases]
        if ready:
            scenario = _scenario(config, ready, shared)
            write_scale(config, scenario, sum(len(test.cases) for test in ready))
            with watcher(sys.stderr, quiet=config.get_verbosity() < 0) as watch:
                result, thrown = run_interruptible(partial(_run, scenario, watch))
            result = with_unseen(result)
            load_session.keep(Run(test=_name(config), number=1, result=result, of_tests=True))
            write_doubts(config, result)
            cases = [case for test in ready for case in test.cases]
            thrown = thrown or next((case.exit for case in cases if case.exit is not None), None)
            for test in ready:
                tell_test(test, ready, result, advice=partial(advice_to_share, shared, scenario))
        for case, error in errors.items():
            tell(case.item, "setup", partial(_raise, error))
    finally:
        if tests:
            tell_teardown(tests[-1].cases[-1].item, shared)
    if thrown is not None:
        raise thrown


def _run(scenario: Scenario, watch: Watcher, interrupts: Callable[[], int]) -> Result:
    return run(scenario, watch=watch, interrupts=interrupts)


def _set_up(tests: Sequence[TestFunction], shared: SharedValues) -> dict[Case, BaseException]:
    """Make what threads share, in this thread, before the load; what failed, of each case."""
    errors: dict[Case, BaseException] = {}
    for case in (case for test in tests for case in test.cases):
        try:
            for index in case.plan.in_order:
                if case.plan.steps[index].is_shared:
                    shared.value(case.plan, index)
        except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:  # noqa: BLE001 - it is the user's
            errors[case] = error
    return errors


def _scenario(config: pytest.Config, tests: Sequence[TestFunction], shared: SharedValues) -> Scenario:
    set_ups = SetUps()
    base_url = next((url for test in tests for case in test.cases if (url := _server(case, shared))), None)
    times_fixture = bool(config.getoption("load_fixtures"))
    scenario = Scenario(
        endpoints=[test.journey(shared, set_ups, times_fixture=times_fixture) for test in tests],
        base_url=base_url,
        name=_name(config),
        thread_setup=closed_connections if "django.db" in sys.modules else None,
        **fields_of(config),
    )
    _check_thresholds(scenario)
    return scenario


def _check_thresholds(scenario: Scenario) -> None:
    """Refuse one that names nearly a test, which would be missed after all have run; others may name requests."""
    names = [one.label for one in scenario.journeys] + [one.name for one in scenario.segments]
    for limit in scenario.limits:
        label = limit.label
        close = [] if label is None or label in names else get_close_matches(label, names, 1, cutoff=0.75)
        if close:
            raise UsageError(f"--load-threshold {limit.text!r}: there is no test {label}; did you mean {close[0]}?")


def _name(config: pytest.Config) -> str:
    return str(config.getoption("load_scenario") or NAME)


def _server(case: Case, shared: SharedValues) -> str | None:
    """The server of the fixture `load_server`; None for a test that does not ask for it."""
    steps = enumerate(case.plan.steps)
    index = next((k for k, one in steps if one.name == "load_server" and one.make.__module__ == PLUGIN), None)
    return None if index is None else shared.value(case.plan, index)


def _raise(error: BaseException) -> None:
    raise error


@contextmanager
def _warnings(config: pytest.Config) -> Iterator[None]:
    """As the settings filter them, for all threads; none is kept, for there may be millions."""
    with warnings.catch_warnings():
        apply_warning_filters(config.getini("filterwarnings"), config.known_args_namespace.pythonwarnings or [])
        yield
