"""Journeys, steps and timers as figures: counted apart from requests, judged, merged, and held to their laws."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from loadkit.judge.merge import merge
from loadkit.judge.result import Result
from loadkit.judge.rows import Timing
from loadkit.judge.summary import rows, timings
from loadkit.judge.threshold_results import outcome, threshold_results
from loadkit.judge.validate import violations
from loadkit.measure.counts import Counts
from loadkit.measure.recording import Batch, Recording
from loadkit.plan.labels import MAX_LABELS, OTHER
from loadkit.plan.threshold import threshold
from loadkit.wire.base import Failure
from tests.results import Sample, measured, recorded, replace

Spans = Mapping[tuple[str, str], Sequence[int | Failure]]

MS = 1_000_000
WRONG = Failure("check", "assert 7 == 8")


def timed(spans: Spans, **counted: Any) -> Recording:
    """A recording of spans in milliseconds, or of what ended them; `counted` goes to the first."""
    recording = Recording()
    for k, ((kind, name), ends) in enumerate(spans.items()):
        counts = Counts(**counted) if k == 0 else Counts()
        samples: list[int] = []
        for end in ends:
            if isinstance(end, Failure):
                counts.fail(end, at=9 * MS, span=5 * MS, status=0, size=0)
            else:
                samples += (0, MS, end * MS, end * MS, 0, 0)
        recording.absorb(Batch(0, 0, name, samples, 0, counts, kind=kind))
    recording.finish()
    return recording


def of(recording: Recording, duration: float = 2.0) -> list[Timing]:
    return timings(recording, duration=duration, started=0)


def with_timings(found: list[Timing], samples: list[Sample] | None = None, **options: Any) -> Result:
    return replace(measured(samples if samples is not None else [Sample()], **options), timings=found)


def test_they_are_no_requests_and_have_times_of_their_own():
    recording = timed({("timer", "redis"): [2], ("journey", "buy"): [10, 30, WRONG], ("step", "pay"): [5]}, cut=2)
    recording.absorb(Batch(0, 0, "GET /", [0, 0, MS, MS, 200, 10], 40, None))
    recording.finish()

    total, _ = rows(recording, duration=2.0, started=0)
    buy, pay, redis = of(recording)

    assert total.requests == 1
    assert [(one.kind, one.name) for one in (buy, pay, redis)] == [
        ("journey", "buy"),
        ("step", "pay"),
        ("timer", "redis"),
    ]
    assert (buy.count, buy.requests, buy.failures, buy.throughput) == (3, 3, {"check": 1}, 1.0)
    assert buy.error_rate == pytest.approx(1 / 3)
    assert (buy.response_time.min, buy.response_time.max, buy.service_time.max) == (0.010, 0.030, 0.029)
    assert (buy.failure_time.count, redis.cut) == (1, 2)
    assert [(one.kind, one.message, one.count) for one in buy.examples] == [("check", "assert 7 == 8", 1)]


def test_endless_many_of_them_fold_and_none_is_lost():
    recording = timed({("timer", f"t{k}"): [1] for k in range(MAX_LABELS + 50)})

    found = of(recording)

    assert len(found) == MAX_LABELS + 1
    assert sum(one.count for one in found) == MAX_LABELS + 50
    assert found[-1].name == OTHER


# -- judged


@pytest.mark.parametrize(
    ("limit", "passes", "shown"),
    [
        ("buy: p99 < 100ms", True, "30 ms"),
        ("buy: p99 < 20ms", False, "30 ms"),
        ("buy: error_rate < 30%", False, "33.3 %"),
        ("buy: throughput > 0.5/s", True, "1/s"),
        ("buy: requests >= 3", True, "3"),
        ("buy: failures == 0", False, "1"),
        ("pay: service_time p50 < 10ms", True, "4 ms"),
        ("redis: max < 10ms", True, "2 ms"),
        ("by: p99 < 100ms", False, "nothing has that name"),
    ],
)
def test_a_threshold_may_name_a_journey_a_step_or_a_timer(limit: str, passes: bool, shown: str):
    found = of(timed({("journey", "buy"): [10, 30, WRONG], ("step", "pay"): [5], ("timer", "redis"): [2]}))
    total, endpoints = rows(recorded([Sample()]), duration=2.0, started=0)

    one = threshold_results([threshold(limit)], total, endpoints, (), found)[0]

    assert (one.passed, one.shown) == (passes, shown)
    if shown.startswith("nothing"):
        return
    checked = with_timings(found)
    if passes:
        assert checked.check(limit)[0].shown == shown
    else:
        with pytest.raises(AssertionError, match="1 of 1 limits missed"):
            checked.check(limit)


@pytest.mark.parametrize(
    ("spans", "requests", "limits", "implied"),
    [
        # nothing is said of errors: none may happen, of requests or of journeys
        ({("journey", "buy"): [1]}, 1, [], ["error_rate == 0%"]),
        ({("journey", "buy"): [WRONG]}, 1, [], ["error_rate == 0%", "buy: error_rate == 0%"]),
        # steps and timers fail with their journey
        ({("journey", "buy"): [1], ("step", "pay"): [WRONG]}, 1, [], ["error_rate == 0%"]),
        # a client of its own: there are no requests to limit
        ({("journey", "buy"): [1]}, 0, [], ["buy: error_rate == 0%"]),
        # a limit on some: the others may have none
        (
            {("journey", "buy"): [1], ("journey", "see"): [1]},
            1,
            ["buy: error_rate < 5%"],
            ["a: error_rate == 0%", "see: error_rate == 0%"],
        ),
        ({("journey", "buy"): [WRONG]}, 1, ["error_rate < 5%"], ["buy: error_rate < 5%"]),
        ({("journey", "buy"): [1]}, 1, ["error_rate < 5%"], []),
    ],
)
def test_what_is_implied_of_journeys(spans: Spans, requests: int, limits: list[str], implied: list[str]):
    total, endpoints = rows(recorded([Sample()] * requests), duration=2.0, started=0)

    found = threshold_results([threshold(text) for text in limits], total, endpoints, (), of(timed(spans)))

    assert [one.threshold for one in found if one.implied] == implied


@pytest.mark.parametrize(
    ("begun", "cut", "unsent", "requests", "comes_to"),
    [
        (95, 0, 5, 0, "passed"),
        (94, 0, 6, 0, "not-applied"),
        (90, 5, 5, 0, "passed"),
        # what they requested themselves hides nothing
        (94, 0, 6, 900, "not-applied"),
        (0, 0, 0, 0, "not-applied"),
        (0, 3, 0, 0, "failed"),
    ],
)
def test_an_open_load_of_which_too_few_journeys_began_was_not_applied(
    begun: int, cut: int, unsent: int, requests: int, comes_to: str
):
    found = of(timed({("journey", "buy"): [1] * begun, ("step", "pay"): [1] * 3 * begun}, cut=cut, unsent=unsent))
    total, _ = rows(recorded([Sample()] * requests), duration=2.0, started=0)

    assert outcome(total, [], found, interrupted=False, is_open=True) == comes_to
    assert outcome(total, [], found, interrupted=True, is_open=True) == "interrupted"
    # iterations that a closed load had no time for are no fault
    assert outcome(total, [], found, interrupted=False) == ("passed" if begun else comes_to)


# -- merged


def test_parts_in_any_order_make_what_the_whole_would_have():
    parts: list[Spans] = [
        {("journey", "buy"): [10, WRONG], ("timer", "redis"): [1]},
        {("step", "pay"): [7], ("journey", "buy"): [30]},
        {("journey", "buy"): [20, WRONG, Failure("KeyError", "'tea'")]},
    ]
    counted: list[dict[str, int]] = [{"cut": 1, "unsent": 2, "drained": 1}, {}, {}]
    recordings = [timed(part, **counts) for part, counts in zip(parts, counted, strict=True)]
    results = [with_timings(of(one), later=2.0 * k, samples=[Sample()]) for k, one in enumerate(recordings)]
    whole = Recording()
    for one in recordings:
        for key, counts in one.timings.items():
            whole.timings.setdefault(key, Counts()).add(counts)

    expected = {one.name: one for one in of(whole, duration=6.0)}
    for order in itertools.permutations(results):
        merged = merge(order)
        found = {one.name: one for one in merged.timings}
        assert [one.kind for one in merged.timings] == ["journey", "step", "timer"]
        assert {name: replace(one, examples=[]) for name, one in found.items()} == {
            name: replace(one, examples=[]) for name, one in expected.items()
        }
        assert [(one.kind, one.count) for one in found["buy"].examples] == [("check", 2), ("KeyError", 1)]
        assert not list(violations(merged))
    assert (expected["buy"].cut, expected["buy"].unsent, expected["buy"].drained) == (1, 2, 1)


# -- the laws


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"count": 5}, "journey 'buy' counts 5, but 2 that came through and 1 failures"),
        ({"failures": {"check": 3}, "count": 5}, "the failure_time of 'buy' counts 1 and not 3"),
    ],
)
def test_figures_that_do_not_add_up_are_found(changes: dict[str, Any], sentence: str):
    (buy,) = of(timed({("journey", "buy"): [10, 30, WRONG]}))

    assert list(violations(with_timings([buy]))) == []
    assert sentence in list(violations(with_timings([replace(buy, **changes)])))


def test_a_result_is_asked_for_them_by_name():
    found = with_timings(of(timed({("journey", "buy"): [10], ("step", "buy"): [5]})))

    buy = found.timing("buy")
    assert (buy.kind, buy.p50, buy.p90, buy.p95, buy.p99, buy.percentile(99.9), buy.mean) == ("journey", *[0.01] * 6)
    with pytest.raises(KeyError, match=r"'buy' is no endpoint but a journey, step or timer; write result.timing\("):
        found["buy"]
    with pytest.raises(KeyError, match=r"'by' is no journey, step or timer; there are \['buy', 'buy'\]"):
        found.timing("by")


def test_a_limit_on_the_errors_of_everything_holds_for_each_journey_that_failed():
    found = of(timed({("journey", "buy"): [1, WRONG], ("journey", "look"): [1], ("step", "pay"): [WRONG]}))
    whole = with_timings(found)
    limits = [threshold(text) for text in ("error_rate < 60%", "failures == 0", "p99 < 1h")]

    held = threshold_results(limits, whole.total, whole.endpoints, (), found)

    assert [(one.threshold, one.passed, one.implied) for one in held][3:] == [
        ("buy: error_rate < 60%", True, True),
        ("buy: failures == 0", False, True),
    ]
    with pytest.raises(AssertionError, match="MISSED  buy: error_rate < 1%  50 %"):
        whole.check("error_rate < 1%")
    assert len(whole.check("error_rate < 1%", "buy: error_rate < 60%")) == 2, "it has a limit of its own"
    assert len(whole.check("p99 < 1h")) == 1
