"""The percentiles that a result has: what reports show, and what limits are checked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from loadkit.judge.times import Times


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
