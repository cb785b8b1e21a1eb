"""What the figures should have been, computed from the capture and the plan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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

    The requests are alike, so the n-th sent is the n-th due. When the plan began is not on the wire: it is taken to
    be the latest instant at which no request would have been sent before it was due. Each time is thereby too short
    by the smallest lateness of the run, some 10 us.
    """
    ordered = sorted(exchanges)
    start = min(exchange.sent - due(number, rate) for number, exchange in enumerate(ordered))
    return [exchange.arrived - start - due(number, rate) for number, exchange in enumerate(ordered)]
