"""Thresholds that hold over any so many seconds of a run, judged while it goes on, second by second.

A window is missed when its figure misses by more than chance explains: of a share of the requests (a percentile, the
error rate) when so many are beyond the limit as would be in one of 100,000 windows if the true share were the one that
is allowed (binomial), of a mean and of a throughput by as many standard errors. Windows overlap, and a long run has
thousands of them; a figure that lies at its limit is not to be missed in one of them by chance. The maximum, and
counts, are what they are. A window without a reply decides nothing, but for its throughput.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import TYPE_CHECKING, Final, cast

from loadkit.judge.confidence import order_ranks
from loadkit.judge.threshold_results import ThresholdResult
from loadkit.measure.histogram import Histogram
from loadkit.measure.recording import REQUEST, Key, Recording
from loadkit.plan.labels import is_hop
from loadkit.plan.units import SECOND, nanoseconds

if TYPE_CHECKING:
    from loadkit.drive.outstanding import Outstanding
    from loadkit.measure.counts import Counts
    from loadkit.plan.scenario import Scenario
    from loadkit.plan.threshold import Threshold

CHANCE: Final = 1e-5
"""How likely a window may be missed of a server whose figure is the limit itself."""
DEVIATIONS: Final = NormalDist().inv_cdf(1 - CHANCE)
"""The same in standard errors."""
MOST_LOOKS: Final = 60
"""Of a window of more seconds no more than this many are judged in its length, for each takes time."""


@dataclass(slots=True)
class Tally:
    """What was counted in a second, or in a window of them."""

    requests: int = 0
    failed: int = 0
    times: Histogram = field(default_factory=Histogram)
    """Of good replies, and of what waits for one longer than the limit already."""
    waiting: int = 0

    @property
    def good(self) -> int:
        """Good replies."""
        return self.requests - self.failed

    def add(self, other: Tally) -> None:
        """Add another one to this."""
        self.requests += other.requests
        self.failed += other.failed
        self.times.add(other.times)


class WindowMonitor:
    """The thresholds of a run that hold over a time; see `drive.outstanding.Monitor`."""

    def __init__(self, scenario: Scenario) -> None:
        limits = [limit for limit in scenario.limits if limit.over is not None]
        self._own = [_Watched(limit, scenario) for limit in limits]
        self._everything = [one for one in self._own if one.limit.limits_errors and one.limit.label is None]
        # a limit on the errors of everything counts requests, and holds for each journey, too
        self._of_journeys = [
            _Watched(one.limit.named(journey.label), scenario)
            for one in self._everything
            for journey in scenario.journeys
        ]
        self._watched = [*self._own, *self._of_journeys]
        self._judged = 0

    @property
    def is_missed(self) -> bool:
        """True if one is missed for which the run is to end."""
        return any(one.is_missed and one.limit.abort for one in self._watched)

    @property
    def results(self) -> list[ThresholdResult]:
        """What they come to so far."""
        # where nothing was requested, only journeys have errors
        alone = bool(self._of_journeys) and not self._everything[0].is_known
        own = [one for one in self._own if not (alone and one in self._everything)]
        return [one.result for one in (*own, *(one for one in self._of_journeys if alone or one.is_missed))]

    def look(self, recording: Recording, before: int, start: int, outstanding: Sequence[Outstanding]) -> None:
        """Judge the windows that end before a second; those of a run that is to end are judged no more."""
        for second in range(recording.complete, before):
            rows = recording.open_rows(second)
            for one in self._watched:
                one.read(second, rows)
        # the last one once more, for a thread hands over what a second held with its first reply after it
        for end in range(max(1, self._judged), before + 1):
            for one in self._watched:
                if not self.is_missed:
                    one.judge(end, start, outstanding if end >= before - 1 else ())
        self._judged = max(self._judged, before)


class _Watched:
    """One threshold, the seconds that its next windows are of, and the worst window so far."""

    def __init__(self, limit: Threshold, scenario: Scenario) -> None:
        self.limit = limit
        self.is_missed = False
        self._length = int(cast(float, limit.over))
        self._label, self._phase = limit.label, None
        self._first, self._last = 0, math.inf
        segments = {one.name: (number, one) for number, one in enumerate(scenario.segments)}
        name, _, label = (limit.label or "").partition(": ")
        if name in segments and limit.label not in scenario.labels:
            self._phase, segment = segments[name]
            self._label = label or None
            self._first, self._last = -(-segment.start // SECOND), segment.end // SECOND
        self.is_known = self._phase is not None or self._label in (
            *scenario.labels,
            *(one.label for one in scenario.journeys),
        )
        """Something has the name that it gives, or was requested where it gives none."""
        self._seconds: dict[int, Tally] = {}
        self._value: float | None = None
        self._at: int | None = None
        self._was_whole = False

    def read(self, second: int, rows: Mapping[Key, Counts]) -> None:
        """Take what a second holds; of one that is open yet, it is taken again."""
        made = self._seconds[second] = Tally()
        for key, counts in rows.items():
            if self._is_of(key):
                self.is_known = True
                times = getattr(counts, self.limit.time)
                made.add(Tally(counts.requests, counts.failed, times))

    def _is_of(self, key: Key) -> bool:
        kind, phase, label = key
        if self._label is None:
            return kind == REQUEST and self._phase in (None, phase) and not is_hop(label)
        return label == self._label and (self._phase is None or (kind == REQUEST and phase == self._phase))

    def judge(self, end: int, start: int, outstanding: Sequence[Outstanding]) -> None:
        """Judge the window that ends with the second before `end`."""
        begin = end - self._length
        self._seconds.pop(begin - 2, None)
        step = -(-self._length // MOST_LOOKS)
        if begin < self._first or end > self._last or (begin - self._first) % step:
            return
        self._was_whole = True
        window = Tally()
        for second in range(begin, end):
            if found := self._seconds.get(second):
                window.add(found)
        for one in outstanding:
            self._add_outstanding(window, one, begin, end, start)
        self._note(self._figure(window), end, window)

    def _add_outstanding(self, window: Tally, outstanding: Outstanding, begin: int, end: int, start: int) -> None:
        """What was under way at the end of a window is beyond a limit of time already where that has passed.

        Replies that were not handed over yet count as good and fast ones, until more is known.
        """
        if self._phase is not None or (not self.limit.is_upper and self.limit.metric != "throughput"):
            return
        for kind, label, second, count in outstanding.pending:
            if begin <= second < end and self._is_of((kind, 0, label)):
                window.requests += count
                window.times.record([0] * count)
        at = min(start + end * SECOND, outstanding.at)
        for kind, label, since in outstanding.waiting:
            is_long = self.limit.is_time and since >= start and at - since > nanoseconds(self.limit.limit)
            if is_long and self._is_of((kind, 0, label)):
                window.waiting += 1
                window.times.record([at - since])

    def _figure(self, window: Tally) -> float | None:
        limit, times = self.limit, window.times
        match limit.metric:
            case "throughput":
                return window.good / self._length
            case "requests":
                return float(window.requests)
            case "failures":
                return float(window.failed)
            case "error_rate":
                return window.failed / window.requests if window.requests else None
            case "mean":
                value = times.mean
            case "min" | "max" as name:
                value = getattr(times, name) if times.count else None
            case _:
                value = times.percentile(cast(float, limit.percentile))
        return None if value is None else value / SECOND

    def _note(self, value: float | None, end: int, window: Tally) -> None:
        """Keep the worst window: one that is missed, and of those the one whose value is."""
        if value is None:
            return
        is_missed = not self.limit.passes(value) and self._is_sure(value, window)
        rank = value if self.limit.is_upper else -value
        known = -math.inf if self._value is None else self._value if self.limit.is_upper else -self._value
        if (is_missed, rank) > (self.is_missed, known):
            self.is_missed, self._value, self._at = is_missed, value, end

    def _is_sure(self, value: float, window: Tally) -> bool:
        """True if chance does not explain that a value misses the limit."""
        limit, times = self.limit, window.times
        if limit.metric == "throughput":
            expected = limit.limit * self._length
            return abs(window.good - expected) > DEVIATIONS * math.sqrt(expected)
        if limit.metric == "mean":
            return abs(value - limit.limit) * math.sqrt(times.count) > DEVIATIONS * _deviation(times) / SECOND
        if limit.metric == "error_rate":
            return _is_beyond(window.requests, window.failed, 100 * (1 - limit.limit))
        if limit.percentile is not None and self.limit.is_upper:
            bound = nanoseconds(limit.limit) + (limit.comparison == "<=")
            return _is_beyond(times.count, times.count - times.below(bound), limit.percentile)
        return True

    @property
    def result(self) -> ThresholdResult:
        """What it comes to so far."""
        limit = self.limit
        if self._value is None or self._at is None:
            shown = "nothing measured" if self._was_whole else f"nothing was measured for {self._length} s"
            shown = shown if self.is_known or limit.label is None else "nothing has that name"
            return ThresholdResult(threshold=limit.text, passed=False, value=None, shown=shown)
        chance = "" if self.is_missed or limit.passes(self._value) else ", within chance"
        return ThresholdResult(
            threshold=limit.text,
            passed=not self.is_missed,
            value=self._value,
            shown=f"{limit.show(self._value)} from {self._at - self._length} to {self._at} s{chance}",
            at=float(self._at),
            aborted=self.is_missed and limit.abort,
        )


def _is_beyond(count: int, beyond: int, percent: float) -> bool:
    """True if more are beyond a limit than chance explains where `percent` of all should not be."""
    if percent <= 0:
        return True
    low, _ = order_ranks(count, percent, 1 - 2 * CHANCE)
    return low is not None and count - beyond < low


def _deviation(times: Histogram) -> float:
    """The standard deviation, nanoseconds."""
    mean = times.mean or 0.0
    return math.sqrt(sum(count * ((low + high) / 2 - mean) ** 2 for low, high, count in times.buckets()) / times.count)
