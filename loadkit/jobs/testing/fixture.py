"""The `load` fixture: runs what a test asks for, keeps what was found, and fails where that can be no result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Unpack

import pytest
from _pytest.outcomes import Failed

from loadkit.jobs.limit import BUDGET, limit
from loadkit.jobs.loop import check_loop, running_loop
from loadkit.jobs.rounds import NotMeasurable
from loadkit.jobs.testing.comparing import (
    Tolerance,
    compare_for,
    resolve_against,
    server_of,
    why_failed,
    worse_than_saved,
)
from loadkit.jobs.testing.interruptible import run_interruptible, run_rounds, with_duration
from loadkit.jobs.testing.runs import Owner
from loadkit.jobs.testing.target import Target, resolve_target
from loadkit.judge.comparison.comparison import Comparison
from loadkit.judge.limit.limit import Limit
from loadkit.judge.result import Result
from loadkit.judge.rows import Row, Timing, journeys_among
from loadkit.judge.threshold_results import Outcome
from loadkit.plan.errors import UsageError
from loadkit.plan.scenario import Scenario
from loadkit.report.escape import visible_text

if TYPE_CHECKING:
    from loadkit.jobs.testing.session import LoadSession
    from loadkit.plan.scenario import ScenarioFields
    from loadkit.plan.units import Duration, Rate

_HOW: Final[dict[Outcome, str]] = {
    "not-applied": "the load asked for was not applied",
    "interrupted": "interrupted",
    "server-lost": "the server ended",
}

_COMPARING: Final = ("against", "tolerance", "budget")
_UNREACHED = frozenset(("dns", "connect", "tls"))


if TYPE_CHECKING:

    class LoadOptions(ScenarioFields, total=False):
        """What `load` takes beside its target."""

        judge: bool
        against: Target | None
        tolerance: Tolerance
        budget: Duration


class TargetDown(Failed):
    """Nothing answered: there is no result that a test could be about, and one line says all there is to say."""

    # pytest shows the whole name before the message
    __module__ = "builtins"

    def __init__(self, message: str) -> None:
        super().__init__(message, pytrace=False)


@dataclass(frozen=True, slots=True, repr=False)
class LoadFixture:
    """Runs a target under load within a test.

    >>> result = load("scenarios/shop.py::browse", threads=20, duration="5s")
    >>> assert result.p99 < 0.25

    Args:
        test: the one that loads, or the module of those that share what was measured; a scenario without a name is
            called like it.
        session: what is asked of all load tests, and where results are kept.
        defaults: fields of the scenario that the test's marks say.
    """

    test: Owner
    session: LoadSession
    defaults: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"<load of {self.test.name}>"

    def __call__(self, target: Target, /, **changes: Unpack[LoadOptions]) -> Result:
        """Run a target and return what was found.

        Args:
            target: a `Scenario`, an `Endpoint`, a journey, a URL, or `"file.py::name"`.
            changes: fields of the scenario to replace, such as `threads=20, duration="5s"`; they win over the marks.
                `judge=False` leaves it to the test whether there was a good reply, and whether the figures are sound.
                With `against=` (see `compare`) the target is compared once it was run.

        Raises `AssertionError` when a threshold of the mark is missed (those of the scenario are in the result), when
        it is worse than what it is compared with, and unless `judge=False`: when nothing came through, when the figures
        are invalid, when a threshold ended the run, and when the server that loadkit started ended. Raises `UsageError`
        for what cannot be run, `TargetDown` when nothing answers, and `KeyboardInterrupt` after a Ctrl-C, when the
        result has been kept.
        """
        __tracebackhide__ = True
        asked = {**self.defaults, **changes}
        try:
            judge = _judge(asked.pop("judge", True))
            fields = {name: value for name, value in asked.items() if name not in _COMPARING}
            scenario = self._scenario(target, fields)
            with self.session.hold_lock():
                results, thrown = run_rounds(scenario, self.session.options.rounds, self.session.options.otlp)
        except UsageError as error:
            # from here, so that pytest shows the line of the test and not ours
            raise UsageError(visible_text(str(error))) from None
        result = self.session.found(self.test, *results)
        if thrown is not None:
            raise thrown
        if reason := unsound(result) if judge else "":
            raise AssertionError(reason)
        check_applied(result, scenario)
        if reason := nothing_good(result) if judge else "":
            raise AssertionError(f"{reason}{_hint(result)}")
        if judge and any(one.aborted for one in result.thresholds):
            raise AssertionError(missed(result))
        if "thresholds" in self.defaults and (not result.passed if judge else _misses(result)):
            raise AssertionError(missed(result))
        if reason := worse_than_saved(self.test, self.session, asked.get("tolerance")):
            raise AssertionError(f"{reason} ({result.scenario.name})")
        if asked.setdefault("against", self.session.comparing.against) is not None:
            found = self._compared(scenario, fields, asked)
            if reason := why_failed(found, self.session.comparing):
                raise AssertionError(f"{reason} ({result.scenario.name})")
        return result

    def compare(self, target: Target, /, **changes: Unpack[LoadOptions]) -> Comparison:
        """Measure a target and what was before in turns, and return what that says; the test judges it.

        >>> assert not load.compare("scenarios/shop.py::browse", base_url=load_server, against="main").worse

        Args:
            target: as of a call, the new version.
            changes: fields of the scenario to replace, as of a call, of what was before, too, if that is a scenario;
                `against`, which is a target, the URL of another server, or a revision; how much worse a figure may
                become, `tolerance="10%"` or `"p99=10%"` or `{"p99": 0.1}`; and how long it may measure, `budget="2m"`.

        Raises `UsageError` for what cannot be compared, `NotMeasurable` where a version cannot be measured, and
        `KeyboardInterrupt` after a Ctrl-C, when what was found has been kept.
        """
        __tracebackhide__ = True
        asked = {**self.defaults, **changes}
        fields = {name: value for name, value in asked.items() if name not in (*_COMPARING, "judge")}
        if asked.setdefault("against", self.session.comparing.against) is None:
            raise UsageError("nothing says what was before; write it like load.compare(target, against='main')")
        try:
            scenario = self._scenario(target, fields)
        except UsageError as error:
            raise UsageError(visible_text(str(error))) from None
        return self._compared(scenario, fields, asked)

    def limit(
        self,
        target: Target,
        /,
        *limits: str,
        by: str = "rate",
        budget: Duration = BUDGET,
        at_least: Rate | None = None,
        **changes: Unpack[ScenarioFields],
    ) -> Limit:
        """Search for the highest rate that a target holds, or for the number of threads that is enough.

        >>> found = load.limit("scenarios/shop.py::browse", "p99 < 100ms", base_url=load_server)
        >>> assert found.rate > 500

        Args:
            target: as of a call.
            limits: the thresholds that must hold; if none is given, those of the scenario, or of the mark.
            by, budget, at_least: as `loadkit.limit` takes them.
            changes: fields of the scenario to replace, as of a call.

        Its levels are shown below the test if that fails. Raises what `loadkit.limit` does, and `KeyboardInterrupt`
        after a Ctrl-C, when what was found has been kept.
        """
        __tracebackhide__ = True
        fields = {name: value for name, value in self.defaults.items() if name not in (*_COMPARING, "judge")}
        try:
            scenario = self._scenario(target, {**fields, **changes})
            with self.session.hold_lock():
                found, thrown = run_interruptible(
                    lambda interrupts: limit(
                        scenario, *limits, by=by, budget=budget, at_least=at_least, interrupts=interrupts
                    )
                )
        except UsageError as error:
            raise UsageError(visible_text(str(error))) from None
        self.session.concluded(self.test, found)
        if thrown is not None:
            raise thrown
        return found

    def _scenario(self, target: Target, fields: Mapping[str, Any]) -> Scenario:
        if self.session.options.base_url:
            fields = {**fields, "base_url": self.session.options.base_url}
        scenario = resolve_target(
            target, fields, name=self.test.name, root=self.test.config.rootpath, server=server_of(self.test)
        )
        scenario = with_duration(scenario, self.session.duration)
        check_loop(scenario, call="load")
        return scenario

    def _compared(self, scenario: Scenario, fields: Mapping[str, Any], asked: Mapping[str, Any]) -> Comparison:
        __tracebackhide__ = True
        try:
            return compare_for(
                self.test,
                self.session,
                scenario,
                resolve_against(asked["against"], fields, self.test),
                tolerance=asked.get("tolerance"),
                budget=asked.get("budget"),
            )
        except (UsageError, NotMeasurable) as error:
            kind = UsageError if isinstance(error, UsageError) else NotMeasurable
            raise kind(visible_text(str(error))) from None


def fields_of_marks(test: Owner) -> dict[str, Any]:
    """The fields of the scenario that the marks of a test say; the nearest to it wins."""
    fields: dict[str, Any] = {}
    for mark in reversed(list(test.iter_markers("load"))):
        if mark.args:
            pytest.fail(f"the mark load takes fields like load(threads=20), not {mark.args[0]!r}", pytrace=False)
        fields |= mark.kwargs
    return fields


def _judge(value: object) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"judge takes True or False, not {value!r}")
    return value


def _misses(result: Result) -> bool:
    return any(not one.passed and not one.implied for one in result.thresholds)


def unsound(result: Result) -> str:
    """Why the figures can be no result of a test; nothing where they can."""
    if result.validity != "invalid" or not (result.requests or result.timings or result.outcome == "server-lost"):
        return ""
    graves = [caveat.message for caveat in result.caveats if caveat.level == "grave"]
    reason = "; ".join(graves) or "the load asked for was not applied"
    return visible_text(f"{reason} ({result.scenario.name}; with judge=False it is the test that judges)")


def nothing_good(result: Result) -> str:
    """That no reply was good or no journey came through, and the most frequent reason; nothing where some did."""
    journeys = journeys_among(result.timings)
    rows: list[Row | Timing] = [*journeys] or [result.total]
    if any(one.response_time.count for one in rows):
        return ""
    what = "not one journey came through" if journeys else "not one good reply"
    reasons = ", ".join(_reason(row) for row in rows if row.examples)
    return visible_text(
        f"{what}{reasons and f': {reasons}'} ({result.scenario.name}; with judge=False it is the test that judges)"
    )


def _hint(result: Result) -> str:
    """That the target may have waited for the test, where the loop does not show what it serves."""
    if not running_loop() or not any(caveat.code == "same-process" for caveat in result.caveats):
        return ""
    return (
        "; load blocked the event loop of this test, and the target is in this process: "
        "write await asyncio.to_thread(load, …)"
    )


def check_applied(result: Result, scenario: Scenario) -> None:
    """Raise `TargetDown` where nothing was sent, or nothing was ever connected to, unless the scenario goes on then."""
    __tracebackhide__ = True
    total = result.total
    was_reached = total.statuses or total.failed_statuses or not _UNREACHED.issuperset(total.failures)
    if result.requests and not was_reached and not scenario.keep_going:
        raise TargetDown(visible_text(f"{_reason(result.total)}; is the server up? ({result.scenario.name})"))
    if not result.requests and not result.timings:
        raise TargetDown(
            visible_text(f"not one request ended within the run; give it more time ({result.scenario.name})")
        )


def missed(result: Result) -> str:
    """What was missed, a line each, the figure first; then how many of how many, and of what."""
    found = [one for one in result.thresholds if not one.passed]
    lines = [f"{one.threshold}: {one.shown}" for one in found]
    asked = [one for one in result.thresholds if not one.implied]
    own = sum(not one.passed for one in asked)
    aborted = "aborted" if any(one.aborted for one in found) else ""
    how = (
        _HOW.get(result.outcome)
        or aborted
        or (f"{own} of {len(asked)} thresholds missed" if own else "not all went well")
    )
    return visible_text("\n".join([*lines, f"({result.scenario.name}: {how})"]))


def _reason(row: Row | Timing) -> str:
    if not row.examples:
        return "nothing answered"
    first = max(row.examples, key=lambda example: example.count)
    what = "requests" if isinstance(row, Row) else row.name
    return f"{first.message.partition(chr(10))[0]} ({first.count:,} of {row.requests:,} {what})"
