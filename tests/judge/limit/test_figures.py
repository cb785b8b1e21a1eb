"""What a run says of a level: thresholds block by block, and whether the generator was the limit."""

from __future__ import annotations

import pytest

from loadkit.judge.bottleneck import Bottleneck
from loadkit.judge.limit.figures import trial_of
from loadkit.judge.limit.trials import NextTrial, Trial
from loadkit.judge.result import Result
from loadkit.judge.validity import Caveat
from loadkit.plan.threshold import threshold
from tests.results import REFUSED, Sample, measured, replace, result, row, spans, timing

WANTED = NextTrial(level=100, seconds=2, reason="")
FAST, SLOW = 5_000_000, 500_000_000


def trial(found: Result, *limits: str, is_closed: bool = False) -> Trial:
    wanted = NextTrial(level=4, seconds=1, reason="", is_closed=True) if is_closed else WANTED
    return trial_of(found, [threshold(one) for one in limits], wanted, cost=3.0)


def test_a_percentile_is_counted_second_by_second():
    samples = (
        [Sample(second=0, span=FAST)] * 20 + [Sample(second=1, span=FAST)] * 10 + [Sample(second=1, span=SLOW)] * 5
    )
    (observed,) = trial(measured(samples), "p90 < 100ms").observed
    assert observed.counts == ((20, 0), (15, 5))
    assert observed.value == pytest.approx(0.5, rel=0.01)


def test_failures_are_counted_second_by_second():
    samples = [Sample(second=0)] * 9 + [Sample(second=0, failure=REFUSED)] + [Sample(second=1)] * 10
    found = trial(measured(samples), "error_rate < 10%")
    assert found.observed[0].counts == ((10, 1), (10, 0))
    assert found.observed[0].value == 0.05
    assert found.failures == {"connect": 1}


def test_what_was_never_answered_counts_as_late():
    found = measured([Sample(span=FAST)] * 10)
    found = replace(found, total=replace(found.total, unsent=5, cut=2))
    assert trial(found, "p50 < 100ms").observed[0].counts == ((17, 7),)


def test_a_threshold_may_name_an_endpoint_or_a_journey_or_be_on_another_figure():
    samples = [Sample(label="a", span=FAST)] * 10 + [Sample(label="b", span=SLOW)] * 10
    found = replace(measured(samples), timings=[timing(spans((20, 90), (400, 10)))])
    limits = ("b: p50 < 100ms", "buy: p95 < 100ms", "service_time p50 < 1s", "mean < 1s", "nowhere: p50 < 1s")
    observed = trial(found, *limits).observed
    assert [one.counts for one in observed] == [((10, 10),), ((100, 10),), ((20, 0),), (), ()]
    assert observed[-1].value is None


def test_journeys_that_fail_are_failures_of_the_load():
    found = result([row("a", spans((5, 100)))], timings=[timing(spans((20, 90)), spans((20, 10)))])
    found = replace(found, scenario=replace(found.scenario, endpoints=[]))
    made = trial(found, "error_rate < 1%")
    assert made.missed
    assert made.throughput == pytest.approx(3), "journeys a second, for a rate is one of journeys"


CEILING = Caveat("asked-rate", "about 900/s is what one process can send here", "grave")


@pytest.mark.parametrize(
    ("changes", "span", "is_unsound", "why"),
    [
        ({}, SLOW, False, "the server was slow"),
        ({"caveats": [CEILING]}, FAST, True, "what was asked for was not sent"),
        ({"caveats": [CEILING, Caveat("max-threads", "all were busy")]}, SLOW, False, "for they waited for replies"),
        ({"bottleneck": Bottleneck("generator", "Bound by the generator.")}, SLOW, True, "it is not the server"),
        ({"bottleneck": Bottleneck("generator", "Bound by the generator.")}, FAST, False, "it holds all the same"),
        ({"caveats": [Caveat("late", "450 ms late")], "lateness": 450}, SLOW, True, "late by half of the limit"),
        ({"caveats": [Caveat("late", "60 ms late")], "lateness": 60}, SLOW, False, "much slower than that"),
        ({"caveats": [Caveat("late", "6 ms late")], "lateness": 6}, SLOW, False, "late by little of it"),
        ({"caveats": [Caveat("load-differs", "a fault", "grave")]}, FAST, True, "it was another load"),
    ],
)
def test_a_trial_in_which_the_generator_was_the_limit_is_not_sound(changes, span, is_unsound, why):
    found = measured([Sample(span=span)] * 20)
    lateness = changes.pop("lateness", None) if "lateness" in changes else None
    if lateness:
        found = replace(found, total=replace(found.total, lateness=spans((lateness, 20))))
    made = trial(replace(found, **{"caveats": [], **changes}), "p90 < 100ms")
    assert (made.unsound is not None) is is_unsound, why


def test_closed_threads_are_never_late():
    found = replace(measured([Sample()] * 20), caveats=[CEILING])
    assert trial(found, "p90 < 100ms", is_closed=True).unsound is None


def test_a_server_that_answers_nothing_is_lost():
    assert trial(measured([Sample(failure=REFUSED)] * 20), "p90 < 100ms").is_lost
    assert not trial(measured([Sample()] * 20), "p90 < 100ms").is_lost
