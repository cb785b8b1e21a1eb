"""Thresholds held against figures, and what a run comes to."""

from __future__ import annotations

from typing import Any

import pytest

from loadkit.judge.summary import rows
from loadkit.judge.threshold_results import EXIT_CODES, ThresholdResult, outcome, threshold_results
from loadkit.plan.threshold import threshold
from tests.results import REFUSED, Sample, measured, recorded

# a: 98 of 1 ms, one of 1 s, one refused; b: one of 3 ms; in 2 s
SAMPLES = [
    *[Sample(span=1_000_000)] * 98,
    Sample(span=1_000_000_000),
    Sample(failure=REFUSED),
    Sample(label="b", span=3_000_000),
]


def judged(*texts: str, samples: list[Sample] = SAMPLES) -> list[ThresholdResult]:
    total, endpoints = rows(recorded(samples), duration=2.0, started=0)
    return threshold_results([threshold(text) for text in texts], total, endpoints)


@pytest.mark.parametrize(
    ("text", "passed", "shown"),
    [
        ("min >= 1ms", True, "1 ms"),
        ("mean < 20ms", True, "11 ms"),
        ("max <= 1s", True, "1 s"),  # exact, and so at its limit
        ("max < 1s", False, "1 s"),
        ("p50 < 2ms", True, "1 ms"),
        ("p99 < 4ms", True, "3 ms"),  # the 99th of 100
        ("p99.9 < 4ms", False, "1 s"),  # a percentile that is in no table
        ("p(50)<2", True, "1 ms"),
        ("service_time max < 1s", True, "1 s"),  # 1 us less: sent 1 us after it was due
        ("throughput >= 50/s", True, "50/s"),
        ("throughput > 50/s", False, "50/s"),
        ("error_rate < 1%", True, "0.99 %"),
        ("error_rate < 0.9%", False, "0.99 %"),
        ("requests == 101", True, "101"),
        ("failures <= 1", True, "1"),
        ("failures < 1", False, "1"),
        ("b: max < 4ms", True, "3 ms"),
        ("b: requests == 1", True, "1"),
        ("a: error_rate <= 1%", True, "1 %"),
        ("b: failures == 0", True, "0"),
        ("nowhere: p99 < 1s", False, "nothing has that name"),
    ],
)
def test_each_metric_is_held_against_its_figure(text: str, passed: bool, shown: str) -> None:
    one = judged(text)[0]
    assert (one.threshold, one.passed, one.shown) == (text, passed, shown)


@pytest.mark.parametrize(
    ("said", "added"),
    [
        ([], ["error_rate == 0%"]),
        (["p99 < 1s", "throughput > 1/s"], ["error_rate == 0%"]),
        (["error_rate < 1%"], []),
        (["failures < 5"], []),
        # a limit on one endpoint says nothing of the others
        (["a: error_rate < 5%"], ["b: error_rate == 0%"]),
        (["a: failures < 5", "b: failures < 5"], []),
        (["a: failures < 5", "error_rate < 5%"], []),
    ],
)
def test_where_nothing_is_said_of_errors_there_may_be_none(said: list[str], added: list[str]) -> None:
    assert [one.threshold for one in judged(*said)] == said + added


def test_the_others_failures_fail_beside_one_endpoint_s_limit() -> None:
    # one never sent is not missed where nobody asked for it
    assert [one.passed for one in judged("a: error_rate < 5%", samples=[Sample(label="a")])] == [True]
    samples = [Sample(label="a"), Sample(label="b", failure=REFUSED)]
    assert [(one.threshold, one.passed) for one in judged("a: error_rate < 5%", samples=samples)] == [
        ("a: error_rate < 5%", True),
        ("b: error_rate == 0%", False),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "p99 < 1s",
        "mean < 1s",
        "max >= 0s",
        "service_time p50 < 1s",
        "throughput < 100/s",
        "throughput >= 0/s",
        "error_rate < 1%",
        "error_rate == 0%",
        "failures == 0",
        "b: p99 < 1s",
        "b: failures == 0",
    ],
)
def test_what_was_not_measured_never_passes(text: str) -> None:
    samples = [Sample(label="a")] if text.startswith("b: ") else []
    one = judged(text, samples=samples)[0]
    assert (one.passed, one.value, one.shown) == (False, None, "nothing measured")


def test_requests_that_were_not_sent_were_counted() -> None:
    assert judged("requests > 0", samples=[])[0] == ThresholdResult(
        threshold="requests > 0", passed=False, value=0, shown="0"
    )


def test_times_are_of_good_replies_only() -> None:
    assert judged("max < 1s", samples=[Sample(failure=REFUSED)])[0].shown == "nothing measured"


@pytest.mark.parametrize(
    ("samples", "thresholds", "interrupted", "comes_to"),
    [
        ([Sample()], [], False, "passed"),
        ([Sample()], ["p99 < 1s"], False, "passed"),
        ([Sample()], ["p99 < 1ms"], False, "failed"),
        ([Sample()], ["p99 < 1s", "throughput > 9/s"], False, "failed"),  # one is enough
        ([Sample(), Sample(failure=REFUSED)], [], False, "failed"),
        ([Sample(), Sample(failure=REFUSED)], ["error_rate <= 50%"], False, "passed"),
        # whatever the thresholds allow, a run in which nothing worked never passes
        ([Sample(failure=REFUSED)], ["error_rate <= 100%"], False, "failed"),
        ([], [], False, "not-applied"),
        ([], ["requests == 0"], False, "not-applied"),
        ([], [], True, "interrupted"),
        ([Sample()], [], True, "interrupted"),
        ([Sample()], ["p99 < 1ms"], True, "interrupted"),  # cut short, so it is neither met nor missed
    ],
)
def test_what_a_run_comes_to(samples: list[Sample], thresholds: list[str], interrupted: bool, comes_to: str) -> None:
    total, _ = rows(recorded(samples), duration=2.0, started=0)
    assert outcome(total, judged(*thresholds, samples=samples), interrupted=interrupted) == comes_to


def test_exit_codes_are_pytest_s_and_one_more() -> None:
    assert EXIT_CODES == {"passed": 0, "failed": 1, "interrupted": 2, "not-applied": 6, "server-lost": 1}


def test_a_result_is_asked_for_its_figures() -> None:
    found = measured([Sample(), Sample(label="b", failure=REFUSED)])
    assert (found.requests, found.throughput, found.error_rate) == (2, 0.5, 0.5)
    assert (found.statuses, found.failures, found.passed) == ({200: 1}, {"connect": 1}, False)
    assert (found.response_time, found.service_time) == (found.total.response_time, found.total.service_time)
    assert found["b"].failures == {"connect": 1}
    with pytest.raises(KeyError, match=r"'c' is no endpoint of this result; there are \['a', 'b'\]"):
        found["c"]


@pytest.mark.parametrize(
    ("good", "is_open", "comes_to"),
    [
        (949, True, "not-applied"),  # fewer than 95 of 100
        (950, True, "passed"),
        (1000, True, "passed"),
        (1, False, "passed"),  # iterations that a closed load had no time for are no fault
    ],
)
def test_an_open_load_of_which_too_little_was_sent_was_not_applied(good: int, is_open: bool, comes_to: str) -> None:
    recording = recorded([Sample(0, "GET /", 1000, None)] * good)
    recording.unsent("GET /", 0, 1000 - good)
    recording.finish()
    total, _ = rows(recording, duration=10.0, started=0)
    assert outcome(total, [], interrupted=False, is_open=is_open) == comes_to


@pytest.mark.parametrize(
    ("known", "comes_to"),
    [
        # a run whose server ended is nothing else
        ({"interrupted": True, "is_server_lost": True, "validity": "invalid"}, "server-lost"),
        ({"is_server_lost": True, "validity": "invalid"}, "server-lost"),
        ({"is_fault": True}, "not-applied"),  # its plan broke off
        ({"validity": "doubtful"}, "passed"),
        ({"validity": "invalid"}, "not-applied"),
        ({"validity": "invalid", "interrupted": True}, "interrupted"),
    ],
)
def test_what_else_is_known_of_a_run_outweighs_its_figures(known: dict[str, Any], comes_to: str) -> None:
    total = measured([Sample()]).total
    assert outcome(total, judged("p99 < 1s", samples=[Sample()]), **({"interrupted": False} | known)) == comes_to
