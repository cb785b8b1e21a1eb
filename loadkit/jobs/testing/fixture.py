"""The `load` fixture: runs what a test asks for, keeps what was found, and fails where that can be no result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _pytest.outcomes import Failed

from loadkit.jobs.testing.lock import alone
from loadkit.jobs.testing.measure import measured, shortened
from loadkit.jobs.testing.target import Loader, Target, resolved
from loadkit.judge.result import Result, Row
from loadkit.plan.errors import UsageError
from loadkit.plan.scenario import Scenario

_UNREACHED = frozenset(("dns", "connect", "tls"))


class TargetDown(Failed):
    """Nothing answered: there is no result that a test could be about, and one line says all there is to say."""

    # pytest shows the whole name before the message
    __module__ = "builtins"

    def __init__(self, message: str) -> None:
        super().__init__(message, pytrace=False)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Load:
    """Runs a target under load within a test.

    >>> result = load("scenarios/shop.py::browse", threads=20, duration="5s")
    >>> assert result.p99 < 0.25

    Args:
        name: what a scenario without a name is called.
        defaults: fields of the scenario that the test's marks say.
        duration: seconds that every run takes, whatever test and scenario say; None leaves it to them.
        root: where relative file names begin.
        lock: held during a run.
        loader: reads the scenarios that text names.
        keep: gets each result as soon as it is there, and gives back what the test gets.
    """

    name: str
    defaults: Mapping[str, Any]
    duration: float | None
    root: Path
    lock: Path | None
    loader: Loader
    keep: Callable[[Result], Result]

    def __repr__(self) -> str:
        return f"<load of {self.name}>"

    def __call__(self, target: Target, /, **changes: Any) -> Result:
        """Run a target and return what was found.

        Args:
            target: a `Scenario`, an `Endpoint`, a journey, a URL, or `"file.py::name"`.
            changes: fields of the scenario to replace, such as `threads=20, duration="5s"`; they win over the marks.

        Raises `AssertionError` when a threshold of the mark is missed; those of the scenario are in the result.
        Raises `UsageError` for what cannot be run, `TargetDown` when nothing answers, and `KeyboardInterrupt` after a
        Ctrl-C, when the result has been kept.
        """
        __tracebackhide__ = True
        try:
            scenario = self._scenario(target, changes)
            with alone(self.lock):
                result, thrown = measured(scenario)
        except UsageError as error:
            # from here, so that pytest shows the line of the test and not ours
            raise UsageError(str(error)) from None
        result = self.keep(result)
        if thrown is not None:
            raise thrown
        check_applied(result, scenario)
        if "thresholds" in self.defaults and not result.passed:
            raise AssertionError(missed(result))
        return result

    def _scenario(self, target: Target, changes: Mapping[str, Any]) -> Scenario:
        fields = {**self.defaults, **changes}
        scenario = resolved(target, fields, name=self.name, root=self.root, loader=self.loader)
        return shortened(scenario, self.duration)


def check_applied(result: Result, scenario: Scenario) -> None:
    """Raise `TargetDown` where nothing was sent, or nothing was ever connected to, unless the scenario goes on then."""
    __tracebackhide__ = True
    total = result.total
    was_reached = total.statuses or total.failed_statuses or not _UNREACHED.issuperset(total.failures)
    if result.requests and not was_reached and not scenario.keep_going:
        raise TargetDown(f"{result.scenario.name}: {_reason(result.total)}; is the server up?")
    if not result.requests and not result.timings:
        raise TargetDown(f"{result.scenario.name}: not one request ended within the run; give it more time")


def missed(result: Result) -> str:
    """A run that did not pass, in a line, and a line for each threshold that was missed."""
    found = [verdict for verdict in result.thresholds if not verdict.passed]
    lines = [f"{verdict.threshold}: {verdict.shown}" for verdict in found]
    how = {"not-applied": "the load asked for was not applied", "interrupted": "interrupted"}
    asked = [verdict for verdict in result.thresholds if not verdict.implied]
    own = sum(not verdict.passed for verdict in asked)
    head = how.get(result.outcome) or (f"{own} of {len(asked)} thresholds missed" if own else "not all went well")
    return "\n".join([f"{result.scenario.name}: {head}", *(f"  {line}" for line in lines)])


def _reason(total: Row) -> str:
    if not total.examples:
        return "nothing answered"
    first = max(total.examples, key=lambda example: example.count)
    return f"{first.message} ({first.count:,} of {total.requests:,} requests)"
