"""What the figures should have been, computed from the capture and the plan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter

from benchmarks.truth.capture import Exchange

SECOND = 1_000_000_000
PERCENTS = (50, 90, 99)


def percentiles(times: Iterable[int]) -> dict[int, float]:
    """p50, p90 and p99 in seconds of times in nanoseconds: the value at the rank, rounded up."""
    ordered = sorted(times)
    return {percent: ordered[-(-len(ordered) * percent // 100) - 1] / SECOND for percent in PERCENTS}


def service_times(exchanges: Iterable[Exchange]) -> list[int]:
    return [exchange.arrived - exchange.sent for exchange in exchanges]


def due(number: int, rate: int) -> int:
    """Nanoseconds from the start of a plan to its arrival with this number, counted from 0."""
    return round(number * SECOND / rate)


def response_times(exchanges: Sequence[Exchange], rate: int) -> list[int]:
    """From the instant each request of an open plan was due to its reply, in nanoseconds.

    A request that says its number is that arrival of the plan. Others are alike, and the n-th sent is taken to be the
    n-th due; one that was sent long after its turn then makes each of those that overtook it a little too late. When
    the plan began is not on the wire: it is taken to
    be the latest instant at which no request would have been sent before it was due. Each time is thereby too short
    by the smallest lateness of the run, some 10 us.
    """
    ordered = sorted(exchanges, key=attrgetter("sent"))
    dues = [due(place if exchange.number is None else exchange.number, rate) for place, exchange in enumerate(ordered)]
    start = min(exchange.sent - at for exchange, at in zip(ordered, dues, strict=True))
    return [exchange.arrived - start - at for exchange, at in zip(ordered, dues, strict=True)]
