"""Run the tests of a pytest session under load, and tell pytest of each what came of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, cast

import pytest

from loadkit.jobs.functional.cases import TestFunction, journeys, reason_to_skip, set_up_shared, test_functions
from loadkit.jobs.functional.clients import counted_clients
from loadkit.jobs.functional.databases import closed_connections
from loadkit.jobs.functional.findings import compare_versions, find_limit, versions_have_servers
from loadkit.jobs.functional.options import fields_of, is_part, load_name
from loadkit.jobs.functional.parts import PART, Reported, advice_to_part, count_reported, reported, with_parts
from loadkit.jobs.functional.plan import PLUGIN, SERVER, Step
from loadkit.jobs.functional.refused import check_tests
from loadkit.jobs.functional.scale import advice_to_share
from loadkit.jobs.functional.surroundings import captured_output, filtered_warnings
from loadkit.jobs.functional.unraised import raise_the_rest
from loadkit.jobs.functional.values import SharedValues
from loadkit.jobs.functional.verdicts import (
    in_words_of_tests,
    tell,
    tell_teardown,
    tell_test,
    why_worse,
    write_doubts,
    write_scale,
)
from loadkit.jobs.run import run
from loadkit.jobs.testing.interruptible import run_interruptible
from loadkit.jobs.testing.runs import Run
from loadkit.plan.errors import UsageError
from loadkit.plan.remote import with_fields
from loadkit.plan.scenario import Scenario
from loadkit.report.escape import visible_text
from loadkit.report.progress import watcher

if TYPE_CHECKING:
    from loadkit.drive.progress import Watcher
    from loadkit.jobs.otlp import OtlpTarget
    from loadkit.jobs.testing.session import LoadSession
    from loadkit.judge.result import Result


def run_session(session: pytest.Session, load_session: LoadSession) -> None:
    """Run all tests of a session under load, together; raises `pytest.UsageError` for what cannot be run so."""
    if is_part(session.config):
        _run_part(session)
        return
    skipped = {item: reason for item in session.items if (reason := reason_to_skip(item)) is not None}
    try:
        tests = test_functions([item for item in session.items if item not in skipped])
        check_tests(tests)
        with filtered_warnings(session.config), counted_clients():
            _run_tests(session.config, load_session, tests)
    except UsageError as error:
        raise pytest.UsageError(visible_text(str(error))) from None
    finally:
        for item, reason in skipped.items():
            tell(item, "setup", partial(pytest.skip, reason))
        if session.testsfailed:
            load_session.failed.add(load_name(session.config))


def _run_tests(config: pytest.Config, load_session: LoadSession, tests: Sequence[TestFunction]) -> None:
    shared = SharedValues(has_servers=versions_have_servers(config))
    shared.add_teardown(raise_the_rest)
    thrown: BaseException | None = None
    reports: list[Reported] = []
    many = fields_of(config).get("processes", 1) > 1
    try:
        # of several processes each makes its own, but for the server
        errors = set_up_shared(tests, shared, is_wanted=_is_server if many else shared.is_for_all)
        ready = [test.without(errors) for test in tests]
        ready = [test for test in ready if test.cases]
        if ready:
            scenario = _scenario(config, ready, shared, is_server=_is_server if many else _says_server)
            cases = [case for test in ready for case in test.cases]
            if config.getoption("load_limit"):
                thrown = find_limit(load_session, scenario, cases)
            elif config.getoption("load_against"):
                thrown = compare_versions(load_session, scenario, ready, shared)
            else:
                thrown = _run_load(load_session, scenario, ready, shared, reports)
            thrown = thrown or next((case.exit for case in cases if case.exit is not None), None)
        for case, error in errors.items():
            tell(case.item, "setup", partial(_raise, error))
    finally:
        if tests:
            tell_teardown(tests[-1].cases[-1].item, shared, reports)
    if thrown is not None:
        raise thrown


def _run_load(
    load_session: LoadSession,
    scenario: Scenario,
    tests: Sequence[TestFunction],
    shared: SharedValues,
    reports: list[Reported],
) -> BaseException | None:
    """Run the load that is asked for, and tell what came of each test; what is to be raised afterwards."""
    config = load_session.config
    write_scale(config, scenario, sum(len(test.cases) for test in tests))
    results, thrown = _run_rounds(load_session, scenario, tests, reports)
    one = Run(test=load_name(config), number=1, result=results[0], more=tuple(results[1:]), of_tests=True)
    load_session.keep(one)
    write_doubts(config, results[0])
    many = cast(int, scenario.processes) > 1
    advice = advice_to_part if many else partial(advice_to_share, shared, scenario)
    worse = why_worse(load_session, one)
    for test in tests:
        tell_test(test, tests, results, worse=worse, advice=advice)
    return thrown


def _run_rounds(
    load_session: LoadSession, scenario: Scenario, tests: Sequence[TestFunction], reports: list[Reported]
) -> tuple[list[Result], BaseException | None]:
    """Run them so often, until interrupted; the results, and what is to be raised once they are kept."""
    config, cases = load_session.config, [case for test in tests for case in test.cases]
    results: list[Result] = []
    thrown: BaseException | None = None
    while len(results) < load_session.options.rounds and thrown is None:
        asked, folder = scenario, None
        if cast(int, scenario.processes) > 1:
            asked, folder = with_parts(scenario, config, [case.item.nodeid for case in cases])
        with watcher(sys.stderr, quiet=config.get_verbosity() < 0) as watch, captured_output(config):
            result, thrown = run_interruptible(partial(_run, asked, watch, load_session.options.otlp))
        if folder:
            told = reported(folder)
            count_reported(cases, told)
            reports += told.values()
        results.append(in_words_of_tests(result, tests))
    return results, thrown


def _run(scenario: Scenario, watch: Watcher, otlp: OtlpTarget | None, interrupts: Callable[[], int]) -> Result:
    return run(scenario, watch=watch, interrupts=interrupts, otlp=otlp)


def _run_part(session: pytest.Session) -> None:
    """Run the part of the load that this process has."""
    part, shared = session.config.stash[PART], SharedValues()
    shared.add_teardown(raise_the_rest)
    if part.fault:
        return
    with filtered_warnings(session.config), counted_clients():
        tests = test_functions(session.items)
        cases = [case for test in tests for case in test.cases]
        try:
            errors = set_up_shared(tests, shared)
            if len(errors) == len(cases):
                part.fail_set_up(errors[cases[0]])
                return
            scenario = with_fields(_scenario(session.config, tests, shared, is_server=_says_server), part.changes)
            with captured_output(session.config):
                part.driven = part.run(scenario)
        except UsageError as error:
            part.fail_set_up(error)
        finally:
            part.report(cases, shared)


def _scenario(
    config: pytest.Config, tests: Sequence[TestFunction], shared: SharedValues, *, is_server: Callable[[Step], bool]
) -> Scenario:
    """All tests as one scenario, on the server that a fixture is, for which `is_server` is true."""
    scenario = Scenario(
        endpoints=journeys(tests, shared, times_fixture=bool(config.getoption("load_fixtures"))),
        base_url=_base_url(tests, shared, is_server),
        name=load_name(config),
        thread_setup=closed_connections if "django.db" in sys.modules else None,
        **fields_of(config),
    )
    _check_thresholds(scenario)
    return scenario


def _base_url(tests: Sequence[TestFunction], shared: SharedValues, is_server: Callable[[Step], bool]) -> str | None:
    """The URL of the server of tests that ask for one."""
    plans = [case.plan for test in tests for case in test.cases]
    found = (shared.value(plan, index) for plan in plans for index, step in enumerate(plan.steps) if is_server(step))
    return next((one for one in found if isinstance(one, str)), None)


def _check_thresholds(scenario: Scenario) -> None:
    """Refuse one that names nearly a test, which would be missed after all have run; others may name requests."""
    names = [one.label for one in scenario.journeys] + [one.name for one in scenario.segments]
    for limit in scenario.limits:
        label = limit.label
        if label is None or label in names:
            continue
        in_classes = [name for name in names if name.endswith(f"::{label}")]
        if close := in_classes or get_close_matches(label, names, 1, cutoff=0.75):
            raise UsageError(f"--load-threshold {limit.text!r}: there is no test {label}; did you mean {close[0]}?")


def _is_server(step: Step) -> bool:
    """True for loadkit's fixture `load_server`."""
    return step.name == SERVER and step.make.__module__ == PLUGIN


def _says_server(step: Step) -> bool:
    """True for a fixture `load_server` of anybody."""
    return step.name == SERVER and step.is_shared


def _raise(error: BaseException) -> None:
    raise error
