"""How long something took, over many requests, as it is stored; and the percentiles that are."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from loadkit.judge.confidence import CONFIDENCE, percentile_interval
from loadkit.measure.histogram import Histogram
from loadkit.plan.errors import UsageError
from loadkit.plan.units import SECOND, nanoseconds, show_seconds


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """How long something took, over many requests; seconds, `None` where nothing was measured.

    Percentiles are the smallest value of which at least that share of the requests was not above
    (rank rounded up), from the histogram, with its three digits; `min`, `mean` and `max` are exact.
    `hdr` is the standard compressed HdrHistogram text, in nanoseconds; `sum_ns` keeps merging exact.
    """

    count: int
    sum_ns: int
    min: float | None
    mean: float | None
    p50: float | None
    p75: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    p99_9: float | None
    max: float | None
    hdr: str

    def __repr__(self) -> str:
        return f"<Times of {self.count:,}: p50 {show_seconds(self.p50)}, p99 {show_seconds(self.p99)}>"

    @property
    def histogram(self) -> Histogram:
        """The histogram behind the figures; `UsageError` when a file they come from holds another or none."""
        try:
            made = Histogram.decode(self.hdr)
        except ValueError as error:
            raise UsageError(f"a stored histogram cannot be read: {error}") from None
        if made.count != self.count:
            raise UsageError(f"a stored histogram holds {made.count:,} values, and {self.count:,} is said of it")
        made.restore(nanoseconds(self.min or 0.0), nanoseconds(self.max or 0.0), self.sum_ns)
        return made

    def percentile(self, percent: float) -> float | None:
        """Any percentile in seconds, None where nothing was measured; `UsageError` outside of (0, 100]."""
        __tracebackhide__ = True
        try:
            return seconds(self.histogram.percentile(percent))
        except (ValueError, TypeError):
            raise UsageError(f"a percentile is above 0 and at most 100, like 99.9, not {percent!r}") from None

    def interval(self, percent: float, confidence: float = CONFIDENCE) -> tuple[float | None, float | None]:
        """Between which times, in seconds, a percentile truly is, as surely as `confidence`; see `judge.confidence`.

        None on the side where there are too few replies to say. Raises `UsageError` for a percentile outside of
        (0, 100] and for a confidence outside of (0, 1).
        """
        __tracebackhide__ = True
        try:
            low, high = percentile_interval(self.histogram, percent, confidence)
        except (ValueError, TypeError) as error:
            raise UsageError(str(error)) from None
        return seconds(low), seconds(high)


class Percentile(NamedTuple):
    """A percentile, its name in reports (`p99.9`), and the field of `Times` that holds it (`p99_9`)."""

    name: str
    percent: float
    field: str

    def of(self, times: Times) -> float | None:
        """Its value in seconds; None where nothing was measured."""
        value: float | None = getattr(times, self.field)
        return value


PERCENTILES: Final = (
    Percentile("p50", 50.0, "p50"),
    Percentile("p75", 75.0, "p75"),
    Percentile("p90", 90.0, "p90"),
    Percentile("p95", 95.0, "p95"),
    Percentile("p99", 99.0, "p99"),
    Percentile("p99.9", 99.9, "p99_9"),
)

SHOWN: Final = tuple(one for one in PERCENTILES if one.name != "p75")
"""Those in the tables of pytest, in its comparisons with a baseline and in JUnit XML."""


def seconds(span: int | None) -> float | None:
    """Nanoseconds as seconds; None stays None."""
    return None if span is None else span / SECOND
