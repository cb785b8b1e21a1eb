"""Is it me or the server: what can be told from one run, and what cannot."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from loadkit.judge.bottleneck import NOTHING, Bottleneck, Cause, bottleneck
from loadkit.judge.description import PhasePlan
from loadkit.judge.evidence import Evidence
from loadkit.judge.rows import Interval, IntervalRow
from tests.evidence import closed, opened, total, using
from tests.results import replace, spans


def intervals(*seconds: tuple[int, float]) -> list[Interval]:
    """A series of seconds: requests, and their response time in milliseconds."""
    made = []
    for start, (requests, span) in enumerate(seconds):
        row = IntervalRow(name="total", requests=requests, failures=0, response_time=spans((span, 1)))
        made.append(Interval(start=float(start), length=1.0, measured=1.0, total=row, endpoints=[]))
    return made


def of_journeys(load: Evidence, **plan: Any) -> Evidence:
    """The same with a journey in it."""
    return dataclasses.replace(load, scenario=replace(load.scenario, journeys=["buy"], **plan))


def failing() -> Evidence:
    """An open run of which some failed."""
    row = replace(opened().total, requests=20_100, failures={"check": 100}, error_rate=0.005)
    return opened(total=row, in_flight=0.4)


@pytest.mark.parametrize(
    ("load", "cause", "sentence"),
    [
        pytest.param(
            opened(),
            "rate",
            "Bound by the asked rate: the server answered all of 2,000/s with 2 of up to 100 threads busy in the mean.",
        ),
        pytest.param(
            failing(),
            "rate",
            "Bound by the asked rate: all of 2,010/s was sent with less than one of up to 100 threads busy in the "
            "mean.",
        ),
        pytest.param(
            of_journeys(opened(20_000), rate=40.0),
            "rate",
            "Bound by the asked rate: all of 40/s began with 2 of up to 100 threads busy in the mean.",
        ),
        pytest.param(
            opened(380_000, unsent=1_620_000, use=using(0.98), in_flight=300.0, was_short=True),
            "generator",
            "Bound by the generator: loadkit used 98 % of the CPU that one interpreter can use, and 87 % of its "
            "threads' time went by outside the server; it sent 38,000/s.",
        ),
        pytest.param(
            # 40 requests were at the server, and 100 threads had one in hand
            opened(20_000, unsent=20_000, service=20.0, use=using(0.5), in_flight=100.0, was_short=True),
            "generator",
            "Bound by the generator: loadkit used 50 % of the CPU that one interpreter can use, and 60 % of its "
            "threads' time went by outside the server; it sent 2,000/s.",
        ),
        pytest.param(
            opened(20_000, unsent=20_000, service=50.0, in_flight=100.0, was_short=True),
            "connections",
            "Bound by the connections: all 100 threads (max_threads) waited for replies, 50 ms in the median, and no "
            "less when few were under way; 2,000/s of the 4,000/s asked were sent. With more max_threads more would be "
            "sent.",
        ),
        pytest.param(
            opened(20_000, unsent=20_000, use=using(0.85), in_flight=2.1),
            None,
            "Bound by the generator or by the server, which one run cannot tell: loadkit used 85 % of the CPU that one "
            "interpreter can use, and not all 100 threads were in use. Run again with --processes: if more are sent, "
            "it was loadkit.",
        ),
        pytest.param(
            closed(160_000, threads=16, use=using(0.41)),
            None,
            "Bound by the server or by the connections, which one run cannot tell: 16 threads always had a request "
            "under way, and loadkit used 41 % of the CPU that one interpreter can use. Run again with 32 threads: if "
            "the throughput stays the same, it is the server.",
        ),
        pytest.param(
            closed(9_000, threads=1),
            None,
            "Bound by the server or by the connections, which one run cannot tell: 1 thread always had a request "
            "under way, and loadkit used 20 % of the CPU that one interpreter can use. Run again with 2 threads: if "
            "the throughput stays the same, it is the server.",
        ),
        pytest.param(
            closed(80_000, threads=16, in_flight=9.5, think_time="1ms"),
            None,
            "Bound by the server or by the connections, which one run cannot tell: 9.5 of 16 threads had a request "
            "under way in the mean, and loadkit used 20 % of the CPU that one interpreter can use. Run again with 32 "
            "threads: if the throughput stays the same, it is the server.",
        ),
        pytest.param(
            of_journeys(closed(20_000, threads=3)),
            None,
            "Bound by the server or by the connections, which one run cannot tell: 3 threads waited for replies 67 % "
            "of the time, and loadkit used 20 % of the CPU that one interpreter can use. Run again with 6 threads: if "
            "the throughput stays the same, it is the server.",
        ),
        pytest.param(
            of_journeys(closed(20_000, threads=16)),
            None,
            "Its threads waited for replies 12 % of the time; the rest went by in the journeys' own pauses, code and "
            "other clients, and loadkit used 20 % of the CPU that one interpreter can use.",
        ),
        pytest.param(
            closed(140_000, threads=16, use=using(0.97)),
            "generator",
            "Bound by the generator: loadkit used 97 % of the CPU that one interpreter can use (its threads waited for "
            "the server 88 % of the time, so that may be near its limit, too); it sent 14,000/s.",
        ),
        pytest.param(
            # by our own clock only the CPU tells of the generator
            closed(10_000, threads=16, clock="own", use=using(0.95)),
            "generator",
            "Bound by the generator: loadkit used 95 % of the CPU that one interpreter can use; it sent 1,000/s.",
        ),
        pytest.param(
            closed(10_000, threads=16, in_flight=1.12, think_time="1s"),
            "rate",
            "Bound by the pauses of the plan: its threads rested 93 % of the time.",
        ),
    ],
)
def test_what_bound_a_run_is_told_with_its_figures(load: Evidence, cause: Cause | None, sentence: str) -> None:
    assert bottleneck(load) == Bottleneck(cause, sentence)


# -- open


@pytest.mark.parametrize(("unsent", "by"), [(202, "rate"), (203, None)])  # 99 %
def test_a_rate_is_reached_when_99_percent_was_sent(unsent: int, by: str | None) -> None:
    assert bottleneck(opened(unsent=unsent)).cause == by


def short(*parts: tuple[float, int], asked: float = 4_000, scenario: dict[str, Any] | None = None) -> Bottleneck:
    """What is found of an open run that had all its 100 threads for 10 s, with these service times."""
    service = spans(*parts)
    row = replace(opened(service.count).total, service_time=service, unsent=round(asked * 10) - service.count)
    load = opened(total=row, in_flight=service.sum_ns / 1e10, was_short=True)
    plan = replace(load.scenario, rate=asked, **(scenario or {}))
    return bottleneck(dataclasses.replace(load, scenario=plan))


FILLING = [(4.0 * k, 1) for k in range(1, 25)]
"""Replies of a server that answers 500/s while 100 threads fill up: each came behind one more."""


@pytest.mark.parametrize(
    ("parts", "asked", "by"),
    [
        ([*FILLING, (50.0, 30), (100.0, 100), (200.0, 4_850)], 1_000, "server"),
        ([(200.0, 5_000)], 1_000, "connections"),
        ([(150.0, 2_500), (250.0, 2_500)], 1_000, "connections"),  # none took less than the median
        ([(100.0, 60), (150.0, 4_940)], 1_000, None),  # 60 workers of a server, or 60 fast replies
        ([(10.0, 30), (200.0, 4_970)], 1_000, None),  # as many fast ones, but of one kind, and at any time
        ([(float(k), 25) for k in range(1, 200)], 1_000, None),  # so many fast ones are there at any time
        ([*FILLING, (200.0, 4_976)], 1_000, "server"),
        ([*FILLING, (200.0, 200)], 30, None),  # hardly more than what came while they filled up
        ([(5.0, 2), (200.0, 4_998)], 1_000, "connections"),  # a queue of 100 would leave more
    ],
)
def test_replies_that_were_fast_when_few_were_under_way_queue_at_the_server(
    parts: list[tuple[float, int]], asked: float, by: str | None
) -> None:
    assert short(*parts, asked=asked).cause == by


def test_such_a_queue_is_told_with_both_times() -> None:
    assert short(*FILLING, (200.0, 4_976), asked=1_000).sentence == (
        "Bound by the server: all 100 threads (max_threads) waited for replies, 200 ms in the median, and 4 ms when "
        "few were under way; 500/s of the 1,000/s asked were sent, and no more are answered for more that wait: "
        "requests queue there."
    )


@pytest.mark.parametrize("plan", [{"warmup": 1.0}, {"max_threads": 1}, {"journeys": ["buy"]}])
def test_where_nobody_saw_the_threads_fill_up_one_run_does_not_tell(plan: dict[str, Any]) -> None:
    found = short((200.0, 5_000), asked=1_000, scenario=plan)
    assert found.cause is None
    assert found.sentence.endswith(
        "asked were sent. Run again with twice max_threads: if no more are answered, it is the server."
    )


GROWING = intervals((500, 100.0), (500, 600.0), (500, 1100.0))


@pytest.mark.parametrize(
    ("drained", "series", "by"),
    [
        (8_000, GROWING, "server"),
        (500, GROWING, "server"),
        (300, GROWING, "rate"),  # all but one in 66 were answered in time
        (8_000, intervals((500, 900.0), (500, 950.0), (500, 930.0)), "rate"),  # slow, and no slower for it
        (8_000, GROWING[:2], "rate"),  # too few to call it growing
    ],
)
def test_replies_that_fall_behind_and_take_ever_longer_queue_at_the_server(
    drained: int, series: list[Interval], by: str
) -> None:
    load = opened(20_000, in_flight=900.0)
    assert bottleneck(opened(total=replace(load.total, drained=drained)), series).cause == by


def test_a_queue_at_the_server_is_told_with_its_figures() -> None:
    load = opened(20_000)
    assert bottleneck(opened(total=replace(load.total, drained=8_000)), GROWING).sentence == (
        "Bound by the server: 2,000/s were sent as asked, 1,200/s were answered, and replies took longer with each "
        "second: requests queue there."
    )


# -- closed


@pytest.mark.parametrize(
    ("good", "share", "by"),
    [
        (79_000, 0.5, "generator"),  # of 16 threads' time less than half was at the server, CPU or not
        (81_000, 0.5, None),
        (140_000, 0.9, None),
        (140_000, 0.91, "generator"),
    ],
)
def test_a_generator_bounds_a_closed_run_that_it_holds_up(good: int, share: float, by: str | None) -> None:
    assert bottleneck(closed(good, threads=16, use=using(share))).cause == by
    # by our own clock only the CPU tells of it
    assert bottleneck(closed(good, threads=16, use=using(share), clock="own")).cause == (by if share > 0.5 else None)


@pytest.mark.parametrize(("in_flight", "by"), [(7.9, "rate"), (8.1, None)])
@pytest.mark.parametrize("plan", [{"think_time": "1s"}, {"pacing": 1.0}])
def test_threads_that_rest_as_they_were_told_to_bound_themselves(
    in_flight: float, by: str | None, plan: dict[str, Any]
) -> None:
    assert bottleneck(closed(80_000, threads=16, in_flight=in_flight, **plan)).cause == by


RAMP = [
    PhasePlan(name="ramp", duration=12.0, start=0.0, end=60.0),
    PhasePlan(name="hold", duration=4.0, start=60.0, end=60.0),
]


def ramped(base: float, each: float) -> Bottleneck:
    """What is found when threads get `base` requests a second and so many more each."""
    threads = [5 * second + 2.5 for second in range(12)] + [60.0] * 4
    series = intervals(*((round(base + each * many), 1.0) for many in threads))
    return bottleneck(closed(160_000, threads=60, in_flight=16.0, phases=RAMP), series)


@pytest.mark.parametrize(
    ("base", "each", "by"),
    [
        (0, 100, "connections"),
        (300, 80, "connections"),
        (1500, 0, "server"),
        (1500, -5, "server"),  # it gets slower with more
        (1500, 40, None),
    ],
)
def test_phases_tell_whether_more_threads_get_more(base: float, each: float, by: str | None) -> None:
    assert ramped(base, each).cause == by


def test_what_phases_tell_is_told_with_its_figures() -> None:
    assert ramped(0, 100).sentence == (
        "Bound by the connections: 17.5 threads got 1,750/s, 59.5 threads 5,950/s; more threads would get more."
    )
    assert ramped(1500, 0).sentence == (
        "Bound by the server: 17.5 threads got 1,500/s, 59.5 threads 1,500/s; more threads only wait longer."
    )


@pytest.mark.parametrize(("knee", "by"), [(35, "server"), (50, None), (60, "connections")])
def test_what_counts_is_whether_throughput_still_grows_where_there_are_most_threads(knee: int, by: str | None) -> None:
    """Up to the knee each thread gets 100/s; from 17.5 to 60 threads on the whole it grew in all of these."""
    threads = [5 * second + 2.5 for second in range(12)] + [60.0] * 4
    series = intervals(*((round(100 * min(many, knee)), 1.0) for many in threads))
    assert bottleneck(closed(160_000, threads=60, in_flight=16.0, phases=RAMP), series).cause == by


def test_threads_that_were_seen_count_and_not_those_of_the_plan() -> None:
    load, series = closed(160_000, threads=60, in_flight=16.0, phases=RAMP), intervals(*[(1000, 1.0)] * 16)
    assert bottleneck(load, series).cause == "server"
    assert bottleneck(load, [replace(one, threads=10.0) for one in series]).cause is None


def test_too_few_seconds_with_few_threads_tell_nothing() -> None:
    series = intervals((500, 1.0), *[(6000, 1.0)] * 9)
    short = [PhasePlan(name="step", duration=1.0, start=6.0, end=6.0), replace(RAMP[1], duration=9.0)]
    found = bottleneck(closed(160_000, threads=60, in_flight=16.0, phases=short), series)
    assert found.cause is None
    assert ": the threads of the plan, up to 60, always had a request under way, and " in found.sentence


# -- none at all


@pytest.mark.parametrize(
    "load",
    [
        closed(duration=0.9),
        closed(total=total(0)),
        closed(total=replace(total(10), error_rate=0.51)),
    ],
    ids=["too short", "no reply", "mostly failures"],
)
def test_of_hardly_any_load_nothing_is_said(load: Evidence) -> None:
    assert bottleneck(load) == NOTHING == Bottleneck(None, "")
