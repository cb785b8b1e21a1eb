"""The rule for when the next request is due, and who sends it.

Closed: a thread's next request is due when it has the last reply, plus think time. The threads look at
nothing else, so the load falls when the server slows down.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from loadkit.plan.endpoint import Endpoint
from loadkit.plan.scenario import DEFAULT_DURATION, Scenario
from loadkit.plan.units import nanoseconds

MAX_TURNS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A closed workload in nanoseconds; `duration` is None when only `iterations` end it."""

    duration: int | None
    iterations: int | None
    warmup: int
    think_time: int
    graceful_stop: int


@dataclass(frozen=True, slots=True)
class Seat:
    """What one thread sends: endpoints (by position in the scenario) in turn, and how many requests at most."""

    turns: tuple[int, ...]
    iterations: int | None


def closed(scenario: Scenario) -> Closed:
    """The workload of a scenario."""
    duration = scenario.duration
    if duration is None and scenario.iterations is None:
        duration = DEFAULT_DURATION
    return Closed(
        duration=None if duration is None else _ns(duration),
        iterations=scenario.iterations,
        warmup=_ns(scenario.warmup),
        think_time=_ns(scenario.think_time),
        graceful_stop=_ns(scenario.graceful_stop),
    )


def seats(scenario: Scenario) -> list[Seat]:
    """A seat for each thread: first those that share, then those that an endpoint has of its own.

    Threads that share go through the same turns, each from another place, so that at any instant the mix on
    the wire is near the weights.
    """
    shared = [k for k, endpoint in enumerate(scenario.endpoints) if endpoint.threads is None]
    order = _turns([scenario.endpoints[k] for k in shared])
    rows: list[tuple[int, ...]] = []
    for thread in range(scenario.threads if shared else 0):
        start = thread % len(order)
        rows.append(tuple(shared[k] for k in order[start:] + order[:start]))
    for k, endpoint in enumerate(scenario.endpoints):
        rows.extend([(k,)] * (endpoint.threads or 0))
    quotas = _quotas(scenario.iterations, len(rows))
    return [Seat(turns, quota) for turns, quota in zip(rows, quotas, strict=True)]


def _turns(endpoints: list[Endpoint]) -> list[int]:
    """Smooth weighted round-robin: each endpoint as often as its weight says, as evenly spread as can be.

    Each step everyone gains its weight and the richest pays for all (the scheme nginx balances with).
    """
    weights = _whole_weights([endpoint.weight for endpoint in endpoints])
    if len(set(weights)) <= 1:
        return list(range(len(weights)))
    credit = [0] * len(weights)
    order = []
    for _ in range(sum(weights)):
        credit = [have + gain for have, gain in zip(credit, weights, strict=True)]
        richest = max(range(len(weights)), key=credit.__getitem__)
        credit[richest] -= sum(weights)
        order.append(richest)
    return order


def _whole_weights(weights: list[float]) -> list[int]:
    """Weights as small whole numbers in the same proportion; to 1 in `MAX_TURNS` where there are none exactly."""
    if not weights:
        return []
    # as they were written: 0.1 is a tenth, and not the nearest binary float
    written = [Fraction(str(weight)) for weight in weights]
    total = sum(written)
    shares = [weight / total for weight in written]
    simple = [share.limit_denominator(MAX_TURNS) for share in shares]
    common = lcm(*(share.denominator for share in simple))
    if all(simple) and sum(simple) == 1 and common <= MAX_TURNS:
        return [int(share * common) for share in simple]
    return _apportioned(shares)


def _apportioned(shares: list[Fraction]) -> list[int]:
    """`MAX_TURNS` turns given out by largest remainder (Hamilton's method); everyone has one at least."""
    turns = [int(share * MAX_TURNS) for share in shares]
    by_rest = sorted(range(len(shares)), key=lambda k: turns[k] - shares[k] * MAX_TURNS)
    for k in by_rest[: MAX_TURNS - sum(turns)]:
        turns[k] += 1
    return [max(1, many) for many in turns]


def _quotas(iterations: int | None, threads: int) -> list[int | None]:
    if iterations is None:
        return [None] * threads
    each, left = divmod(iterations, threads)
    return [each + (thread < left) for thread in range(threads)]


def _ns(span: object) -> int:
    assert isinstance(span, float), "a scenario keeps its durations as seconds"
    return nanoseconds(span)
