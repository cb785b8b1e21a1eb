"""What a result from a file must add up to."""

from __future__ import annotations

import math
from typing import Any

import pytest

from loadkit.judge.result import Result, RunSpan
from loadkit.judge.rows import Phase, SlowRequest
from loadkit.judge.validate import violations
from tests import results
from tests.results import REFUSED, Sample, measured, replace

SOUND = measured([Sample(), Sample(label="b"), Sample(failure=REFUSED)])


def test_what_loadkit_wrote_adds_up() -> None:
    assert list(violations(SOUND)) == []
    assert list(violations(measured([]))) == []


def total(**changes: Any) -> Result:
    """The sound result with another total."""
    return replace(SOUND, total=replace(SOUND.total, **changes))


def times(**changes: Any) -> Result:
    """The same with other response times of it."""
    return total(response_time=replace(SOUND.total.response_time, **changes))


def phase(**changes: Any) -> Result:
    """The same with a phase whose total is another."""
    part = replace(SOUND.total, throughput=2.0, **changes)
    return replace(SOUND, phases=[Phase(name="hold", start=0.0, length=1.0, total=part, endpoints=[])])


def interval(**changes: Any) -> Result:
    """The same with another first interval."""
    first, *others = SOUND.intervals
    return replace(SOUND, intervals=[replace(first, **changes), *others])


def slow(*spans: float) -> Result:
    """The same with slowest requests that took so long."""
    one = SlowRequest(method="GET", url="/", status=200, at=0.0, response_time=0.0, service_time=0.0, endpoint="a")
    return replace(SOUND, slowest=[replace(one, response_time=span) for span in spans])


def timing(**changes: Any) -> Result:
    """The same with a journey."""
    of = SOUND.total
    made = results.timing(of.response_time, of.failure_time, **({"throughput": 1.0} | changes))
    return replace(SOUND, timings=[made])


PASSED = measured([Sample()], thresholds=("requests == 1",))
MISSED = replace(PASSED.thresholds[0], passed=False)


@pytest.mark.parametrize(
    "sound",
    [phase(), interval(), timing(), slow(0.005, 0.002), PASSED],
    ids=["phase", "interval", "timing", "slow", "passed"],
)
def test_these_add_up_before_they_are_doctored(sound: Result) -> None:
    assert list(violations(sound)) == []


@pytest.mark.parametrize(
    ("doctored", "sentence"),
    [
        (replace(SOUND, started_at="yesterday"), "started_at 'yesterday' is no time"),
        (replace(SOUND, spans=[RunSpan(start="0", length=2.0)]), "a span's start '0' is no time"),
        (replace(SOUND, spans=[]), "it was measured at no time"),
        (replace(SOUND, duration=3.0), "its duration is 3 s, and its spans cover 2 s"),
        (replace(SOUND, duration=1e10), "1e+10 s are longer than any run"),
        (replace(SOUND, duration=math.nan), "duration is nan"),
        (replace(SOUND, duration=-1.0), "duration is -1"),
        (total(requests=-1), "requests of 'total' is -1"),
        (total(requests=10**30), "requests of 'total' is 1000000000000000000000000000000"),
        (total(statuses={-1: 2}), "statuses of 'total' is -1"),
        (replace(SOUND, validity="invalid"), "its figures are invalid, and yet it failed"),
        (replace(SOUND, validity="doubtful"), "its figures are doubtful, and by its caveats they are clean"),
        (replace(SOUND, outcome="passed"), "it passed, and yet 'error_rate == 0%' was missed"),
        (replace(measured([]), outcome="passed", total=replace(measured([]).total, cut=1)), "nothing in it went well"),
        (replace(PASSED, thresholds=[MISSED]), "the threshold 'requests == 1' is said to be missed at 1"),
        (replace(SOUND, endpoints=[]), "the total has 3 requests and its endpoints have 0"),
        (replace(SOUND, endpoints=SOUND.endpoints[:1]), "the total has 3 requests and its endpoints have 2"),
        (total(requests=9), "'total' has 9 requests, but 2 statuses and 1 failures"),
        (total(statuses={200: 1}, requests=2), "the response_time of 'total' counts 2 and not 1"),
        (total(failures={}, requests=2), "the failure_time of 'total' counts 1 and not 0"),
        (total(statuses={500: 2}), "the total has other statuses than its endpoints"),
        (total(unsent=5), "the total has 5 unsent and its endpoints have 0"),
        (total(drained=3), "'total' has 2 good replies, and 3 of them after the stop"),
        (total(error_rate=0.0), "the error_rate of 'total' is 0, and 1 of 3 failed"),
        (total(throughput=9.0), "the throughput of 'total' is 9/s, and from what it counts follow 1/s"),
        (times(p99=0.001), "in 'total' the p99 of a time is 0.001 s, and that of its histogram 0.005 s"),
        (times(mean=0.001), "in 'total' the mean of a time is 0.001 s, and that of its histogram 0.005 s"),
        (times(max=0.001), "in 'total' the percentiles of a time do not lie between its ends, in their order"),
        (times(p50=None), "in 'total' a time counts 2, and lacks a figure"),
        (times(hdr="x"), "in 'total' a stored histogram cannot be read: not an encoded histogram: 'x'"),
        (slow(0.002, 0.005), "its slowest requests are not in their order"),
        (slow(7.0), "its slowest request took 7 s, and the longest response time is 0.005 s"),
        (total(tls_time=replace(SOUND.total.response_time, count=7)), "in 'total' a stored histogram holds 2 values"),
        (times(count=7), "in 'total' a stored histogram holds 2 values, and 7 is said of it"),
        (phase(requests=7), "in phase 'hold' 'total' has 7 requests, but 2 statuses and 1 failures"),
        (replace(phase(), phases=[*phase().phases] * 2), "the total has 3 requests and its phases have 6"),
        (interval(measured=2.0), "the interval at 0 s is 1 s long, and 2 s of it were measured"),
        (interval(length=0.0, measured=0.0), "the interval at 0 s is 0 s long, and 0 s of it were measured"),
        (interval(endpoints=[]), "the total has 3 requests and its intervals have 6"),
        (replace(SOUND, intervals=SOUND.intervals * 2), "its intervals are not one behind the other"),
        (timing(count=9), "journey 'buy' counts 9, but 2 that came through and 1 failures"),
        (timing(throughput=5.0), "the throughput of 'buy' is 5/s, and from what it counts follow 1/s"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_add_up_is_said(doctored: Result, sentence: str) -> None:
    if "intervals have 6" in sentence:
        doctored = replace(doctored, intervals=[replace(one, start=k) for k, one in enumerate(doctored.intervals * 2)])
    assert any(sentence in one for one in violations(doctored)), list(violations(doctored))
