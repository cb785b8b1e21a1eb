"""The result of a run as it is stored, shown and asserted on: plain data, one schema, one version."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from loadkit.drive.machines import Machine
from loadkit.judge.bottleneck import Bottleneck
from loadkit.judge.description import ScenarioInfo
from loadkit.judge.environment import Environment, Server
from loadkit.judge.identity import Identity
from loadkit.judge.instants import Span
from loadkit.judge.rows import Figures, Interval, Phase, Row, SlowRequest, Timing
from loadkit.judge.threshold_results import Outcome, ThresholdResult, by_name, expanded, held, of_journeys
from loadkit.judge.times import Times
from loadkit.judge.validity import Caveat, Validity
from loadkit.plan.errors import UsageError
from loadkit.plan.threshold import Threshold, threshold
from loadkit.plan.units import show_count, show_seconds

VERSION: Final = 2


class RunSpan(Span, frozen=True, kw_only=True):
    """When a run was measured; in a merged result also what of it adds up only with runs at the same time.

    All but the time is None in the result of one run, which says it elsewhere.
    """

    base_url: str | None = None
    processes: int | None = None
    threads: int | None = None
    max_threads: int | None = None
    rate: float | None = None
    peak_memory: int | None = None
    server_memory: int | None = None
    interval: float | None = None
    """How long the intervals of its series were."""
    bottleneck: Bottleneck | None = None


class Result(Figures, msgspec.Struct, frozen=True, kw_only=True):
    """All that a run found: what every report is made from, and what `--output` stores."""

    identity: Identity
    scenario: ScenarioInfo
    environment: Environment
    started_at: str
    """UTC, ISO 8601."""
    spans: list[RunSpan]
    """When it was measured, a span for each run that is in it."""
    duration: float
    """Seconds that were measured by at least one run: from the end of the warm-up to the stop (or the last reply)."""
    outcome: Outcome
    total: Row
    endpoints: list[Row]
    phases: list[Phase] = []
    timings: list[Timing] = []
    """Journeys, steps and timers; none of them is counted as a request."""
    thresholds: list[ThresholdResult] = []
    caveats: list[Caveat] = []
    intervals: list[Interval] = []
    slowest: list[SlowRequest] = []
    """The ten good replies that took longest, from due to the last byte."""
    validity: Validity = "clean"
    """How far to believe the figures; `invalid` is never passed."""
    bottleneck: Bottleneck = Bottleneck()
    """What kept the run from doing more."""
    server: Server | None = None
    machines: list[Machine] = []
    """Those that shared the load, in the order of their parts; none where one machine had all of it."""

    @property
    def title(self) -> str:
        """What it is of: `scenarios/shop.py::browse`, a test's id, or a URL."""
        return self.identity.name if "::" in self.identity.name else self.scenario.name

    def __repr__(self) -> str:
        p99 = show_seconds(self.total.response_time.p99)
        requests = show_count(self.requests, "request")
        return f"<Result {_printable(self.scenario.name)}: {self.outcome}, {requests}, p99 {p99}>"

    def __getitem__(self, name: str) -> Row:
        """An endpoint's row by its label; `KeyError` naming those there are."""
        __tracebackhide__ = True
        for row in self.endpoints:
            if row.name == name:
                return row
        if any(one.name == name for one in self.timings):
            raise KeyError(f"{name!r} is no endpoint but a journey, step or timer; write result.timing({name!r})")
        raise KeyError(f"{name!r} is no endpoint of this result; there are {[row.name for row in self.endpoints]}")

    def timing(self, name: str) -> Timing:
        """A journey, step or timer by its name; `KeyError` naming those there are."""
        for one in self.timings:
            if one.name == name:
                return one
        raise KeyError(f"{name!r} is no journey, step or timer; there are {[one.name for one in self.timings]}")

    @property
    def passed(self) -> bool:
        """True if the load was applied, something came through, and every threshold held."""
        return self.outcome == "passed"

    @property
    def requests(self) -> int:
        """Requests that ended, well or not."""
        return self.total.requests

    @property
    def throughput(self) -> float:
        """Good replies a second."""
        return self.total.throughput

    @property
    def error_rate(self) -> float:
        """The share of requests that failed, 0 to 1."""
        return self.total.error_rate

    @property
    def statuses(self) -> dict[int, int]:
        """How many good replies had which status."""
        return self.total.statuses

    @property
    def failures(self) -> dict[str, int]:
        """How many requests failed, by kind."""
        return self.total.failures

    @property
    def response_time(self) -> Times:
        """From due to the last byte, of good replies; seconds."""
        return self.total.response_time

    @property
    def service_time(self) -> Times:
        """From the first byte sent to the last byte, of good replies; seconds."""
        return self.total.service_time

    @property
    def lateness(self) -> Times:
        """How late the generator sent, after a request was due; seconds."""
        return self.total.lateness

    @property
    def pickup(self) -> Times:
        """How long good replies waited for the generator to read them; seconds."""
        return self.total.pickup

    def check(self, *limits: str) -> list[ThresholdResult]:
        """Hold thresholds against the result: all of them, and fail once with the result of each.

        >>> result.check("p99 < 250ms", "throughput > 500/s", "GET /search: error_rate < 1%")

        One that holds over a time is taken from the run's own thresholds.

        Returns the results. Raises `AssertionError` when one is missed, and `UsageError` for text that cannot be read
        or names nothing in the result. Only what is asked is checked: failures are, where a limit is on them, and then
        those of each journey, too.
        """
        __tracebackhide__ = True
        if not limits:
            raise UsageError("check takes limits like check('p99 < 250ms', 'throughput > 500/s')")
        try:
            read = [threshold(limit) for limit in limits]
            asked = expanded([limit for limit in read if limit.over is None], self.total, self.timings)
            found = [held(limit, self._limited(limit)) for limit in [*asked, *of_journeys(asked, self.timings)]]
            found += [self._held_over(limit) for limit in read if limit.over is not None]
        except UsageError as error:
            # from here, so that pytest shows the line of the test and not ours
            raise UsageError(str(error)) from None
        if missed := [one for one in found if not one.passed]:
            tail = f"({self.scenario.name}: {len(missed)} of {len(found)} limits missed)"
            raise AssertionError("\n".join(map(_printable, [*_listed(found), tail])))
        return found

    def _held_over(self, limit: Threshold) -> ThresholdResult:
        for one in self.thresholds:
            if one.threshold == limit.text:
                return one
        raise UsageError(f"{limit.text!r} is judged while a run goes on; give it to the thresholds of the scenario")

    def _limited(self, limit: Threshold) -> Row | Timing:
        if limit.label is None:
            return self.total
        named = by_name(self.endpoints, self.phases, self.timings)
        if limit.label not in named:
            known = ", ".join(map(repr, named)) or "none"
            raise UsageError(f"the threshold {limit.text!r} names nothing in the result; there are {known}")
        return named[limit.label]


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A file of results."""

    version: Literal[2]
    results: list[Result]


def _listed(found: list[ThresholdResult]) -> list[str]:
    """A line each; those that were missed come first, for of a long message only the first line may be shown."""
    room = max(len(one.threshold) for one in found)
    return [
        f"{'met   ' if one.passed else 'MISSED'}  {one.threshold:{room}}  {one.shown}"
        for one in sorted(found, key=lambda one: one.passed)
    ]


def _printable(line: str) -> str:
    """A name is the user's own, and an assertion puts it on a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)
