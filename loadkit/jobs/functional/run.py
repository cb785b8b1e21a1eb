"""Run the tests of a pytest session under load, and tell pytest of each what came of it."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import pytest
from _pytest.config import apply_warning_filters

from loadkit.jobs.functional.cases import TestFunction, reason_to_skip, test_functions
from loadkit.jobs.functional.clients import counted_clients
from loadkit.jobs.functional.databases import closed_connections
from loadkit.jobs.functional.options import fields_of, is_part
from loadkit.jobs.functional.outcomes import Case, SetUps
from loadkit.jobs.functional.parts import PART, Reported, advice_to_part, count_reported, reported, with_parts
from loadkit.jobs.functional.plan import PLUGIN, Step
from loadkit.jobs.functional.refused import check_tests
from loadkit.jobs.functional.scale import advice_to_share
from loadkit.jobs.functional.unraised import raise_the_rest, warned_of_unraised
from loadkit.jobs.functional.values import SharedValues
from loadkit.jobs.functional.verdicts import (
    in_words_of_tests,
    tell,
    tell_limit,
    tell_teardown,
    tell_test,
    why_worse,
    write_doubts,
    write_scale,
)
from loadkit.jobs.run import run
from loadkit.jobs.testing.interruptible import run_interruptible
from loadkit.jobs.testing.runs import Found, Run
from loadkit.plan.errors import UsageError
from loadkit.plan.remote import with_fields
from loadkit.plan.scenario import Scenario
from loadkit.report.escape import visible_text
from loadkit.report.progress import watcher

if TYPE_CHECKING:
    from loadkit.drive.progress import Watcher
    from loadkit.jobs.otlp import OtlpTarget
    from loadkit.jobs.testing.session import LoadSession
    from loadkit.judge.limit.limit import Limit
    from loadkit.judge.result import Result

NAME: Final = "tests under load"


def run_session(session: pytest.Session, load_session: LoadSession) -> None:
    """Run all tests of a session under load, together; raises `pytest.UsageError` for what cannot be run so."""
    if is_part(session.config):
        _run_part(session)
        return
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
    shared.add_teardown(raise_the_rest)
    thrown: BaseException | None = None
    reports: list[Reported] = []
    many = fields_of(config).get("processes", 1) > 1
    try:
        # of several processes each makes its own, but for the server
        errors = _set_up(tests, shared, is_wanted=_is_server if many else lambda _: True)
        ready = [test.without(errors) for test in tests]
        ready = [test for test in ready if test.cases]
        if ready:
            scenario = _scenario(config, ready, shared)
            cases = [case for test in ready for case in test.cases]
            if config.getoption("load_limit"):
                thrown = _find_limit(config, load_session, scenario, cases)
            else:
                write_scale(config, scenario, len(cases))
                results, thrown = _run_rounds(config, load_session, scenario, cases, reports)
                one = Run(test=_name(config), number=1, result=results[0], more=tuple(results[1:]), of_tests=True)
                load_session.keep(one)
                write_doubts(config, results[0])
                advice = advice_to_part if many else partial(advice_to_share, shared, scenario)
                worse = why_worse(load_session, one)
                for test in ready:
                    tell_test(test, ready, results, worse=worse, advice=advice)
            thrown = thrown or next((case.exit for case in cases if case.exit is not None), None)
        for case, error in errors.items():
            tell(case.item, "setup", partial(_raise, error))
    finally:
        if tests:
            tell_teardown(tests[-1].cases[-1].item, shared, reports)
    if thrown is not None:
        raise thrown


def _run_rounds(
    config: pytest.Config,
    load_session: LoadSession,
    scenario: Scenario,
    cases: Sequence[Case],
    reports: list[Reported],
) -> tuple[list[Result], BaseException | None]:
    """Run them so often, until interrupted; the results, and what is to be raised once they are kept."""
    results: list[Result] = []
    thrown: BaseException | None = None
    while len(results) < load_session.options.rounds and thrown is None:
        asked, folder = scenario, None
        if cast(int, scenario.processes) > 1:
            asked, folder = with_parts(scenario, config, [case.item.nodeid for case in cases])
        with watcher(sys.stderr, quiet=config.get_verbosity() < 0) as watch, _captured_output(config):
            result, thrown = run_interruptible(partial(_run, asked, watch, load_session.options.otlp))
        if folder:
            told = reported(folder)
            count_reported(cases, told)
            reports += told.values()
        results.append(in_words_of_tests(result))
    return results, thrown


def _run(scenario: Scenario, watch: Watcher, otlp: OtlpTarget | None, interrupts: Callable[[], int]) -> Result:
    return run(scenario, watch=watch, interrupts=interrupts, otlp=otlp)


def _find_limit(
    config: pytest.Config, load_session: LoadSession, scenario: Scenario, cases: Sequence[Case]
) -> BaseException | None:
    """Search for what is held, and tell it of each test; what is to be raised afterwards."""
    from loadkit.jobs.limit import limit
    from loadkit.report.limit import limit_progress
    from loadkit.report.progress import show_progress

    def search(interrupts: Callable[[], int]) -> Limit:
        by, budget = config.getoption("load_limit"), load_session.comparing.budget
        return limit(scenario, by=by, budget=budget, watch=watch, interrupts=interrupts)

    with show_progress(sys.stderr, limit_progress, quiet=config.get_verbosity() < 0) as watch, _captured_output(config):
        found, thrown = run_interruptible(search)
    load_session.keep(Found(test=_name(config), number=1, finding=found))
    for case in cases:
        tell_limit(case, found)
    return thrown


def _run_part(session: pytest.Session) -> None:
    """Run the part of the load that this process has."""
    part, shared = session.config.stash[PART], SharedValues()
    shared.add_teardown(raise_the_rest)
    if part.fault:
        return
    with _warnings(session.config), counted_clients():
        tests = test_functions(session.items)
        cases = [case for test in tests for case in test.cases]
        try:
            errors = _set_up(tests, shared)
            if len(errors) == len(cases):
                part.fail_set_up(errors[cases[0]])
                return
            scenario = with_fields(_scenario(session.config, tests, shared), part.changes)
            with _captured_output(session.config):
                part.driven = part.run(scenario)
        finally:
            part.report(cases, shared)


def _set_up(
    tests: Sequence[TestFunction], shared: SharedValues, *, is_wanted: Callable[[Step], bool] = lambda _: True
) -> dict[Case, BaseException]:
    """Make what threads share, in this thread, before the load; what failed, of each case."""
    errors: dict[Case, BaseException] = {}
    for case in (case for test in tests for case in test.cases):
        try:
            for index in case.plan.in_order:
                step = case.plan.steps[index]
                if step.is_shared and is_wanted(step):
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
        if label is None or label in names:
            continue
        in_classes = [name for name in names if name.endswith(f"::{label}")]
        if close := in_classes or get_close_matches(label, names, 1, cutoff=0.75):
            raise UsageError(f"--load-threshold {limit.text!r}: there is no test {label}; did you mean {close[0]}?")


def _is_server(step: Step) -> bool:
    """True for loadkit's fixture `load_server`."""
    return step.name == "load_server" and step.make.__module__ == PLUGIN


def _name(config: pytest.Config) -> str:
    return str(config.getoption("load_scenario") or NAME)


def _server(case: Case, shared: SharedValues) -> str | None:
    """The server of the fixture `load_server`; None for a test that does not ask for it."""
    index = next((k for k, one in enumerate(case.plan.steps) if _is_server(one)), None)
    return None if index is None else shared.value(case.plan, index)


def _raise(error: BaseException) -> None:
    raise error


@contextmanager
def _captured_output(config: pytest.Config) -> Iterator[None]:
    """What tests print is not shown, as of tests that pass, unless pytest captures nothing (`-s`)."""
    if config.getoption("capture") == "no":
        yield
        return
    with Path(os.devnull).open("w", encoding="utf-8") as nothing, redirect_stdout(nothing):
        yield


@contextmanager
def _warnings(config: pytest.Config) -> Iterator[None]:
    """As the settings filter them, for all threads; none is kept, for there may be millions."""
    with warnings.catch_warnings():
        apply_warning_filters(config.getini("filterwarnings"), config.known_args_namespace.pythonwarnings or [])
        with warned_of_unraised():
            yield
