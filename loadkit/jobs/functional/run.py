"""Run the tests of a pytest session under load, and tell pytest of each what came of it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec
import pytest
from _pytest.config import apply_warning_filters
from _pytest.runner import CallInfo

from loadkit.jobs.functional.cases import TestFunction, reason_to_skip, test_functions
from loadkit.jobs.functional.clients import counted_clients
from loadkit.jobs.functional.options import fields_of
from loadkit.jobs.functional.outcomes import Case, SetUps
from loadkit.jobs.functional.plan import PLUGIN
from loadkit.jobs.functional.refused import MOST_NAMED, check_tests
from loadkit.jobs.functional.scale import advice_to_share, scale
from loadkit.jobs.functional.values import SharedValues
from loadkit.jobs.run import run
from loadkit.jobs.testing.interruptible import run_interruptible
from loadkit.jobs.testing.runs import Run, figures
from loadkit.judge.caveats import NO_REQUESTS
from loadkit.judge.rows import journeys_among
from loadkit.judge.validity import Caveat, ranked
from loadkit.plan.errors import UsageError
from loadkit.plan.scenario import Scenario
from loadkit.plan.threshold import threshold
from loadkit.plan.units import show_seconds
from loadkit.report.escape import visible_text
from loadkit.report.progress import watcher

if TYPE_CHECKING:
    from loadkit.drive.progress import Watcher
    from loadkit.jobs.testing.session import LoadSession
    from loadkit.judge.result import Result
    from loadkit.judge.rows import Timing
    from loadkit.judge.threshold_results import ThresholdResult

NAME: Final = "tests under load"

When: TypeAlias = Literal["setup", "call", "teardown"]
_PHASES: Final[tuple[When, ...]] = ("setup", "call", "teardown")


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
            _tell(item, "setup", partial(pytest.skip, reason))
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
            _write_scale(config, scenario, sum(len(test.cases) for test in ready))
            with watcher(sys.stderr, quiet=config.get_verbosity() < 0) as watch:
                result, thrown = run_interruptible(partial(_run, scenario, watch))
            result = _with_unseen(result)
            load_session.keep(Run(test=_name(config), number=1, result=result, of_tests=True))
            _write_doubts(config, result)
            cases = [case for test in ready for case in test.cases]
            thrown = thrown or next((case.exit for case in cases if case.exit is not None), None)
            for test in ready:
                _tell_test(test, ready, result, advice=partial(advice_to_share, shared, scenario))
        for case, error in errors.items():
            _tell(case.item, "setup", partial(_raise, error))
    finally:
        if tests:
            _tell_teardown(tests[-1].cases[-1].item, shared)
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


# -- what pytest is told


def _write_scale(config: pytest.Config, scenario: Scenario, tests: int) -> None:
    """Say before the start how much is to be run: 500 tests may have been selected by mistake."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter and config.get_verbosity() >= 0:
        reporter.ensure_newline()
        reporter.write_line(scale(scenario, tests))


def _write_doubts(config: pytest.Config, result: Result) -> None:
    """Say why figures are not to be believed, for which the table at the end has one word, and what is in no row."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter and config.get_verbosity() == 0:
        for one in result.caveats:
            if one.level != "note" or one.code == NO_REQUESTS:
                reporter.ensure_newline()
                sign = "-" if one.level == "note" else "!"
                reporter.write_line(visible_text(f"{sign} {one.code}: {one.message}"))


def _with_unseen(result: Result) -> Result:
    """The same with a note on the tests within which no request was seen, in the place of that on journeys."""
    unseen = [one.name for one in journeys_among(result.timings) if one.count and not one.endpoints]
    known = [one for one in result.caveats if one.code != NO_REQUESTS]
    if unseen:
        more = f" and {len(unseen) - MOST_NAMED:,} more" if len(unseen) > MOST_NAMED else ""
        message = (
            f"no request was seen within {', '.join(unseen[:MOST_NAMED])}{more}: if they send some, by a client that "
            "loadkit does not know, these are timed with their test as a whole; a timer('search') gives them a row"
        )
        known.append(Caveat(NO_REQUESTS, message, "note"))
    return msgspec.structs.replace(result, caveats=ranked(known))


def _tell_test(
    test: TestFunction, others: Sequence[TestFunction], result: Result, *, advice: Callable[[Case], list[str]]
) -> None:
    names = {name for one in others for name in one.rows}
    own = [one for one in result.thresholds if _label(one) in test.rows or _label(one) not in names]
    missed = [f"{one.threshold}: {one.shown}" for one in own if not one.passed and not one.implied]
    is_limited = any(threshold(one.threshold).limits_errors and not one.implied for one in own)
    # of very many tests some share a row, whose figures say nothing of one of them
    timing = next((one for one in result.timings if one.name == test.name), None)
    for case in test.cases:
        if timing is not None:
            case.item.user_properties.extend(figures("load", timing))
        _tell(case.item, "call", partial(_judge, case, timing, missed, advice(case), is_limited=is_limited))


def _label(one: ThresholdResult) -> str | None:
    return threshold(one.threshold).label


def _judge(
    case: Case, timing: Timing | None, missed: Sequence[str], advice: Sequence[str], *, is_limited: bool
) -> None:
    """Raise what pytest counts a test as, unless it passed."""
    held = case.held_at()
    if missed or held or (case.failed and not is_limited):
        failed = [f"{case.failed:,} of {case.runs:,} runs failed", case.first, *advice] if case.failed else []
        never = [f"{len(held)} of {case.runs:,} runs never returned", *(f"  at {place}" for place in sorted({*held}))]
        pytest.fail("\n".join([*missed, *(never if held else []), *failed, *_times(timing)]), pytrace=False)
    if case.skipped:
        pytest.skip(case.skipped)
    if case.is_xfailed:
        pytest.xfail(case.expected_failure.reason if case.expected_failure else "")
    if not case.runs:
        pytest.fail("it was not reached; give it more time (--load-for), or select fewer tests (-k)", pytrace=False)
    if timing is not None and not timing.response_time.count:
        pytest.fail("no run of it came to its end; give it more time (--load-for)", pytrace=False)


def _times(timing: Timing | None) -> Iterator[str]:
    if timing is not None and timing.response_time.count:
        yield f"(p50 {show_seconds(timing.p50)}, p99 {show_seconds(timing.p99)})"


def _tell_teardown(item: pytest.Item, shared: SharedValues) -> None:
    """An error of a wider scope is one of the last test, as in pytest."""
    report = _report(item, "teardown", shared.close)
    if report.failed:
        item.ihook.pytest_runtest_logreport(report=report)


def _tell(item: pytest.Item, when: When, raising: Callable[[], object]) -> None:
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for phase in _PHASES:
        found = _report(item, phase, raising if phase == when else lambda: None)
        item.ihook.pytest_runtest_logreport(report=found)
        if phase == when == "setup":
            break
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def _report(item: pytest.Item, when: When, raising: Callable[[], object]) -> pytest.TestReport:
    call = CallInfo.from_call(raising, when=when)
    found: pytest.TestReport = item.ihook.pytest_runtest_makereport(item=item, call=call)
    return found


def _raise(error: BaseException) -> None:
    raise error


@contextmanager
def _warnings(config: pytest.Config) -> Iterator[None]:
    """As the settings filter them, for all threads; none is kept, for there may be millions."""
    with warnings.catch_warnings():
        apply_warning_filters(config.getini("filterwarnings"), config.known_args_namespace.pythonwarnings or [])
        yield
