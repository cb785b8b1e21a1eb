"""From the tests of a session to journeys: one for each test function, whose cases are dealt out to its calls."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pytest
from _pytest.skipping import evaluate_skip_marks, evaluate_xfail_marks

from loadkit.drive.journeys.prepared import SETUP, TEARDOWN
from loadkit.jobs.functional.fixture_loop import is_plain
from loadkit.jobs.functional.outcomes import Case, SetUps
from loadkit.jobs.functional.plan import FixturePlan, Step
from loadkit.jobs.functional.unittests import is_unittest, runs_itself, unittest_expected_failure, unittest_skip
from loadkit.jobs.functional.values import Iteration, SharedValues
from loadkit.plan.data import rows
from loadkit.plan.errors import UsageError
from loadkit.plan.fields import parse_positive_seconds
from loadkit.plan.journey import Journey

if TYPE_CHECKING:
    from loadkit.drive.journeys.session import AsyncSession, JourneySession

MARK: Final = "load_user"

ANY_STATUS: Final = frozenset(range(100, 600))

NAP: Final = 0.1
"""Seconds of a pause after which it is looked whether the run is over."""


@dataclass(frozen=True, slots=True)
class TestFunction:
    """A test function and its cases."""

    name: str
    """Its row in reports."""
    cases: Sequence[Case]

    __test__ = False

    @property
    def rows(self) -> tuple[str, ...]:
        """Its row in reports, and those of its set-up and tear-down."""
        return self.name, f"{self.name} {SETUP}", f"{self.name} {TEARDOWN}"

    def without(self, left_out: Collection[Case]) -> TestFunction:
        """The same without some of its cases."""
        return TestFunction(self.name, [case for case in self.cases if case not in left_out])

    def journey(self, shared: SharedValues, set_ups: SetUps, *, times_fixture: bool) -> Journey:
        """What a thread calls again and again; its set-up and tear-down have rows of their own if `times_fixture`."""
        weight, pause = _user_mark(self.cases[0].item)
        make = _async_journey if any(map(_is_async, self.cases)) else _plain_journey
        run, fixture = make(shared, set_ups, pause)
        feed = rows([{"case": case} for case in self.cases])
        return Journey(run, fixture=fixture, times_fixture=times_fixture, feed=feed, weight=weight, name=self.name)


def test_functions(items: Sequence[pytest.Item]) -> list[TestFunction]:
    """The tests of a session, those of one function together, in their order.

    Raises `UsageError` for what is no function.
    """
    found: dict[tuple[str, str], list[Case]] = {}
    for item in items:
        if not isinstance(item, pytest.Function) or (is_unittest(item) and runs_itself(item)):
            raise UsageError(f"{item.nodeid} is no function, or method of a plain class, that threads could run")
        names = [node.name for node in item.listchain() if isinstance(node, pytest.Class)]
        key = item.path.name, "::".join([*names, item.originalname])
        found.setdefault(key, []).append(
            Case(FixturePlan(item), expected_failure=evaluate_xfail_marks(item) or unittest_expected_failure(item))
        )
    names_alone = [name for _, name in found]
    return [
        TestFunction(name if names_alone.count(name) == 1 else f"{file}::{name}", cases)
        for (file, name), cases in found.items()
    ]


def journeys(tests: Sequence[TestFunction], shared: SharedValues, *, times_fixture: bool) -> list[Journey]:
    """What threads call of all tests; their set-ups are judged together."""
    set_ups = SetUps()
    return [test.journey(shared, set_ups, times_fixture=times_fixture) for test in tests]


def set_up_shared(
    tests: Sequence[TestFunction], shared: SharedValues, *, is_wanted: Callable[[Step], bool] = lambda _: True
) -> dict[Case, BaseException]:
    """Make what threads share, in this thread, before the load; what failed, of each case.

    Raises `UsageError` for a value that threads cannot share.
    """
    errors: dict[Case, BaseException] = {}
    for case in (case for test in tests for case in test.cases):
        made: list[int] = []
        try:
            for index in case.plan.in_order:
                step = case.plan.steps[index]
                if step.is_shared and is_wanted(step):
                    shared.value(case.plan, index)
                    made.append(index)
        except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:  # noqa: BLE001 - it is the user's
            errors[case] = error
        _check_loops(case.plan, shared, made)
    return errors


def _check_loops(plan: FixturePlan, shared: SharedValues, made: Sequence[int]) -> None:
    """Refuse what a test gets of an async fixture if it belongs to the event loop that made it."""
    for index in made:
        step = plan.steps[index]
        if step.needs_loop and index in plan.used and not is_plain(value := shared.value(plan, index)):
            raise UsageError(
                f"{plan.item.nodeid} cannot be run by threads: {step.name}, of the scope {step.scope}, is made on an "
                f"event loop and is a {type(value).__name__}, and each thread has a loop of its own; make it of "
                "function scope"
            )


def reason_to_skip(item: pytest.Item) -> str | None:
    """What a mark says; None where it is to run."""
    if (reason := unittest_skip(item)) is not None:
        return reason
    skip = evaluate_skip_marks(item)
    if skip is not None:
        return skip.reason
    expected = evaluate_xfail_marks(item)
    return f"[NOTRUN] {expected.reason}" if expected is not None and not expected.run else None


def _is_async(case: Case) -> bool:
    plan = case.plan
    return inspect.iscoroutinefunction(plan.item.function) or any(
        plan.steps[index].is_async and not plan.steps[index].is_shared for index in plan.in_order
    )


Made: TypeAlias = tuple[Case, Callable[[], Any]]
"""What the fixture of a journey yields: whose call it is, and the test with its arguments."""


def _plain_journey(
    shared: SharedValues, set_ups: SetUps, pause: float
) -> tuple[Callable[..., None], Callable[..., Iterator[Made]]]:
    def around(http: JourneySession, row: Mapping[str, Case]) -> Iterator[Made]:
        case = row["case"]
        case.begin()
        # what a status means is the test's to say
        http.good = ANY_STATUS
        iteration = Iteration(case.plan, shared, http)
        try:
            with case.setting_up(set_ups):
                iteration.set_up()
                call = partial(iteration.function, **iteration.arguments())
            yield case, call
        finally:
            with case.counting():
                iteration.tear_down()
            case.end()
            _rest(http, pause)

    def run(http: object, row: object, fixture: Made) -> None:  # noqa: ARG001 - both are in the fixture
        case, call = fixture
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - it is judged
            case.judge(error)
            return
        if case.expected_failure is not None:
            case.judge(None)

    return run, around


def _async_journey(
    shared: SharedValues, set_ups: SetUps, pause: float
) -> tuple[Callable[..., Awaitable[None]], Callable[..., AsyncIterator[Made]]]:
    async def around(http: AsyncSession, row: Mapping[str, Case]) -> AsyncIterator[Made]:
        case = row["case"]
        case.begin()
        iteration = Iteration(case.plan, shared, http)
        try:
            with case.setting_up(set_ups):
                await iteration.set_up_async()
                call = partial(iteration.function, **iteration.arguments())
            yield case, call
        finally:
            with case.counting():
                await iteration.tear_down_async()
            case.end()
            if pause:
                await http.pause(pause)

    async def run(http: object, row: object, fixture: Made) -> None:  # noqa: ARG001 - the same
        case, call = fixture
        try:
            made = call()
            if inspect.isawaitable(made):
                await made
        except BaseException as error:  # noqa: BLE001 - it is judged
            case.judge(error)
            return
        if case.expected_failure is not None:
            case.judge(None)

    return run, around


def _rest(http: JourneySession, seconds: float) -> None:
    """Think, in no figure, until the run is over."""
    while seconds > 0 and not http.halted:
        http.pause(min(seconds, NAP))
        seconds -= NAP


def _user_mark(item: pytest.Item) -> tuple[float, float]:
    """Weight and pause of the mark `load_user`."""
    mark = item.get_closest_marker(MARK)
    if mark is None:
        return 1, 0.0
    unknown = set(mark.kwargs) - {"weight", "pause"}
    if mark.args or unknown:
        wrong = repr(mark.args[0]) if mark.args else min(unknown)
        raise UsageError(f"{item.nodeid}: the mark {MARK} takes weight= and pause=, not {wrong}")
    pause = mark.kwargs.get("pause")
    return mark.kwargs.get("weight", 1), 0.0 if pause is None else parse_positive_seconds(pause, what="pause")
