"""Several results as one: exactly what a single run of all of it would have found."""

from __future__ import annotations

import itertools
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadkit.judge.bottleneck import NOTHING, Bottleneck
from loadkit.judge.environment import Server
from loadkit.judge.merge import merge
from loadkit.judge.result import Result, Stored
from loadkit.judge.rows import Interval, Phase
from loadkit.judge.validity import Caveat
from loadkit.measure.reasons import MAX_REASONS
from loadkit.plan.errors import UsageError
from loadkit.report.json import dump
from loadkit.wire.base import Failure
from tests.results import ENVIRONMENT, REFUSED, Sample, measured, replace

sample = st.builds(
    Sample,
    second=st.integers(0, 4),
    label=st.sampled_from(["a", "b"]),
    span=st.integers(1000, 10**10),
    failure=st.none() | st.sampled_from([REFUSED, Failure("timeout", "no whole reply within 1 s")]),
    status=st.sampled_from([200, 201, 404]),
)
samples = st.lists(sample, max_size=25)
LIMITS = ("p99 < 1s", "a: error_rate < 5%", "throughput > 1/s")


def split(whole: list[Sample], parts: int, chance: random.Random) -> list[list[Sample]]:
    """Each request to one of the parts, which are in no order."""
    pieces: list[list[Sample]] = [[] for _ in range(parts)]
    for sample in whole:
        chance.choice(pieces).append(sample)
    return pieces


@settings(max_examples=30)
@given(samples, st.integers(2, 4), st.randoms(use_true_random=False))
def test_parts_side_by_side_are_the_whole_in_any_order(whole: list[Sample], parts: int, chance: random.Random) -> None:
    each: dict[str, Any] = {"scenario": {"threads": 1}, "environment": replace(ENVIRONMENT, cpu_seconds=0.25)}
    pieces = [measured(piece, thresholds=LIMITS, **each) for piece in split(whole, parts, chance)]
    expected = measured(whole, thresholds=LIMITS)
    merged = merge(pieces)
    assert (merged.total, merged.endpoints) == (expected.total, expected.endpoints), "byte for byte, hdr texts included"
    assert [unordered(one) for one in merged.intervals] == [unordered(one) for one in expected.intervals]
    assert merged.duration == expected.duration
    assert merged.caveats == expected.caveats
    assert limits(merged) >= limits(expected)
    assert msgspec.json.encode(merge(pieces[::-1])) == msgspec.json.encode(merged)


def unordered(interval: Any) -> tuple[Any, ...]:
    """An interval whose rows are in the order they came."""
    rows = {row.name: row for row in interval.endpoints}
    return interval.start, interval.length, interval.total, rows


def limits(of: Result) -> set[tuple[str, bool]]:
    return {(one.threshold, one.passed) for one in of.thresholds}


CAVEATS = [
    Caveat(code="same-host", message="20% busy", level="note"),
    Caveat(code="same-host", message="30% busy", level="note"),
    Caveat(code="generator-busy", message="85%"),
    Caveat(code="asked-rate", message="asked 5/s", level="grave"),
]
WORKLOADS = ({"threads": 2}, {"threads": 2, "rate": 33.3, "max_threads": 7, "arrivals": "constant"})


@st.composite
def runs(draw: st.DrawFn, workload: dict[str, Any]) -> Result:
    """A run of some load: when and for how long it ran, what it sent, and what was doubted, are its own."""
    start, length = draw(st.integers(0, 9_000_000)), draw(st.integers(0, 6_000_000_000))
    part = measured(
        draw(st.lists(sample, max_size=4)),
        later=start / 1_000_000,
        duration=length / 1_000_000_000,
        thresholds=LIMITS,
        scenario=workload | {"endpoints": draw(st.permutations(["a", "b"])), "iterations": draw(st.integers(1, 9))},
        environment=replace(
            ENVIRONMENT,
            clock=draw(st.sampled_from(["kernel", "own"])),
            host=draw(st.sampled_from(["h1", "h2"])),
            cpu_seconds=draw(st.integers(0, 10**9)) / 1e9,
            cpu_by_process=draw(st.lists(st.integers(0, 3).map(float), max_size=2)),
            peak_memory=draw(st.integers(0, 99)),
        ),
        caveats=draw(st.lists(st.sampled_from(CAVEATS), unique=True)),
        server=draw(st.none() | st.just(Server(cpu_seconds=0.125, peak_memory=7))),
        bottleneck=Bottleneck(
            draw(st.sampled_from([None, "rate", "server"])),
            draw(st.sampled_from(["Bound by something.", "Bound by another thing."])),
        ),
    )
    coarse = draw(st.sampled_from([1, 1, 2, 4]))
    phases = [Phase(name="hold", start=0.25, length=part.duration / 2, total=part.total, endpoints=part.endpoints)]
    # one that sent nothing did not pass, nor fail by a threshold
    outcomes = ["passed", "failed"] * bool(part.requests) + ["interrupted", "not-applied", "server-lost"]
    return replace(
        part,
        intervals=folded(part, coarse),
        phases=phases if draw(st.booleans()) else [],
        outcome=draw(st.sampled_from(outcomes)),
    )


def folded(part: Result, length: int) -> list[Interval]:
    """The series of a run that was so long that its intervals are."""
    found: dict[float, list[Interval]] = {}
    for one in part.intervals:
        found.setdefault(one.start - one.start % length, []).append(one)
    return [
        replace(pieces[0], start=start, length=float(length), measured=min(length, max(0.0, part.duration - start)))
        for start, pieces in found.items()
    ]


def grouped(parts: list[Result], chance: random.Random) -> Result:
    """Merged some first, until there is one."""
    parts = list(parts)
    while len(parts) > 1:
        chance.shuffle(parts)
        count = chance.randint(2, len(parts))
        parts = [merge(parts[:count]), *parts[count:]]
    return parts[0]


@settings(max_examples=15)
@given(st.data(), st.randoms(use_true_random=False))
def test_merging_in_steps_in_any_order_is_merging_at_once(data: st.DataObject, chance: random.Random) -> None:
    workload: dict[str, Any] = data.draw(st.sampled_from(WORKLOADS))
    parts = data.draw(st.lists(runs(workload), min_size=3, max_size=4))
    at_once, in_steps = merge(parts), grouped(parts, chance)
    for field in Result.__struct_fields__:
        assert getattr(in_steps, field) == getattr(at_once, field), field
    stored = dump([in_steps])
    assert msgspec.json.decode(stored, type=Stored).results == [at_once]


@pytest.mark.parametrize(
    ("spans", "duration"),
    [
        ([(0, 2), (0, 2)], 2),  # side by side, on two machines
        ([(0, 2), (2, 2)], 4),  # one after the other
        ([(0, 2), (60, 2)], 4),  # with a pause between, in which nothing was measured
        ([(0, 2), (1, 2)], 3),  # in part
        ([(0, 10), (2, 1)], 10),  # one within the other
        ([(0, 10), (2, 1), (9, 3)], 12),
    ],
)
def test_throughput_is_over_the_time_in_which_any_was_measured(
    spans: list[tuple[float, float]], duration: float
) -> None:
    parts = [measured([Sample()] * 30, later=start, duration=length) for start, length in spans]
    for order in itertools.permutations(parts):
        merged = merge(order)
        assert (merged.duration, merged.throughput) == (duration, 30 * len(spans) / duration)


@pytest.mark.parametrize(
    ("spans", "threads"),
    [
        ([(0, 2), (0, 2)], 4),
        ([(0, 2), (2, 2)], 2),  # the same threads again
        ([(0, 4), (1, 1), (3, 2)], 4),
        ([(0, 0), (0, 0)], 4),
    ],
)
def test_threads_are_as_many_as_there_were_at_once(spans: list[tuple[float, float]], threads: int) -> None:
    parts = [measured([Sample()], later=start, duration=length) for start, length in spans]
    assert merge(parts).scenario.threads == threads


def test_replies_after_the_stop_stay_out_of_the_throughput() -> None:
    part = measured([Sample()] * 4)
    late = replace(part, total=replace(part.total, drained=3, throughput=0.5))
    assert merge([late, late]).throughput == 1.0


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ({"name": "shop.py::buy"}, "different scenarios and cannot be one: shop.py::browse and shop.py::buy"),
        ({"plan": "fedcba9876543210"}, "different loads of shop.py::browse and cannot be one"),
    ],
)
def test_different_loads_are_not_one(others: dict[str, str], reason: str) -> None:
    mine = measured([Sample()])
    yours = replace(mine, identity=replace(mine.identity, **others))
    for order in ([mine, yours], [yours, mine]):
        with pytest.raises(UsageError) as caught:
            merge(order)
        assert str(caught.value) == f"these are results of {reason}"


def test_parts_of_one_scenario_may_differ_in_size() -> None:
    parts = [
        measured([Sample()], scenario={"threads": threads, "iterations": 5 * threads, "endpoints": endpoints})
        for threads, endpoints in ((3, ["a"]), (4, ["b", "a"]))
    ]
    asked = merge(parts).scenario
    assert (asked.threads, asked.iterations, set(asked.endpoints)) == (7, 35, {"a", "b"})


def test_one_result_is_itself() -> None:
    only = measured([Sample()])
    assert merge([only]) is only


def test_the_first_by_time_is_the_first_whatever_its_spelling() -> None:
    # as text, "10:15:03Z" comes after "10:15:03.500+00:00", and an hour east comes after both
    spelled = ["2026-05-04T11:15:02+01:00", "2026-05-04T10:15:03Z", "2026-05-04T10:15:03.500+00:00"]
    parts = [measured([Sample()], started_at=text) for text in spelled]
    for order in itertools.permutations(parts):
        assert merge(order).started_at == spelled[0]


def test_an_example_is_dated_from_the_first_start() -> None:
    early, late = (Failure("check", text) for text in ("early", "late"))
    parts = [
        measured([Sample(1, failure=early, span=1)]),
        measured([Sample(2, failure=late, span=1), Sample(3, failure=early, span=1)], later=60.0),
    ]
    found = merge(parts[::-1]).total.examples
    assert [(one.message, one.count, round(one.first_at, 6)) for one in found] == [("early", 2, 1.0), ("late", 1, 62.0)]


def test_the_reasons_of_all_parts_are_kept() -> None:
    # which of them are the most frequent is known only when all parts are there
    parts = [measured([Sample(failure=Failure("check", "abcde"[part] * k)) for k in range(1, 31)]) for part in range(5)]
    found = merge(parts).total.examples
    assert len(found) == 5 * MAX_REASONS + 1
    assert sum(one.count for one in found) == 150


@pytest.mark.parametrize(
    ("outcomes", "comes_to"),
    [
        (["passed", "passed"], "passed"),
        (["passed", "interrupted"], "interrupted"),
        (["passed", "not-applied"], "not-applied"),  # one machine of two never sent anything
        (["interrupted", "not-applied"], "interrupted"),
        (["interrupted", "server-lost", "not-applied"], "server-lost"),
    ],
)
def test_the_whole_comes_to_the_worst_of_its_parts(outcomes: list[str], comes_to: str) -> None:
    parts = [measured([Sample()], outcome=one) for one in outcomes]
    for order in (parts, parts[::-1]):
        assert merge(order).outcome == comes_to


def test_thresholds_are_held_against_the_whole_and_not_against_its_parts() -> None:
    # 1 % of 200 failed: one part missed its threshold, the whole does not
    clean, dirty = [Sample()] * 150, [Sample()] * 48 + [Sample(failure=REFUSED)] * 2
    parts = [measured(piece, thresholds=("error_rate <= 1%",)) for piece in (clean, dirty)]
    assert [part.outcome for part in parts] == ["passed", "failed"]
    merged = merge(parts)
    assert (merged.outcome, merged.thresholds[0].shown) == ("passed", "1 %")


def test_doubts_of_a_machine_stay_and_doubts_of_the_figures_are_asked_again() -> None:
    busy = Caveat(code="generator-busy", message="loadkit itself used 99% of a CPU")
    few = measured([Sample()] * 600)
    assert [caveat.code for caveat in few.caveats] == ["few-samples"]
    parts = [replace(few, caveats=[busy, *few.caveats]), few]
    assert merge(parts).caveats == [
        busy,
        Caveat(
            code="few-samples",
            message="p99.9 rests on the slowest 1 of 1,200 replies; send at least 10,000 requests to believe it",
            level="note",
        ),
    ]


def test_a_percentile_that_is_limited_is_doubted_for_the_whole_and_no_longer_for_its_parts() -> None:
    parts = [measured([Sample()] * 600, thresholds=("p99 < 1s",), validity="doubtful") for _ in range(2)]
    assert [caveat.level for part in parts for caveat in part.caveats] == ["doubt", "doubt"]
    whole = merge(parts)
    assert [caveat.level for caveat in whole.caveats] == ["note"]
    assert whole.validity == "clean"


def test_the_gravest_caveat_of_all_parts_comes_first_and_a_note_once_for_each_code() -> None:
    here = [Caveat(code="same-host", message=f"{busy}% busy", level="note") for busy in (20, 30)]
    busy = [Caveat(code="generator-busy", message=f"{share}%") for share in (85, 90)]
    missed = Caveat(code="asked-rate", message="asked 5/s", level="grave")
    parts = [
        measured([Sample()] * 2, caveats=[busy[0], here[0]]),
        measured(
            [Sample()] * 2, caveats=[missed, busy[1], here[1]], outcome="not-applied", validity="invalid", later=5.0
        ),
    ]
    for order in (parts, parts[::-1]):
        whole = merge(order)
        assert [caveat for caveat in whole.caveats if caveat.code != "few-samples"] == [missed, *busy, here[0]]
        assert (whole.validity, whole.outcome) == ("invalid", "not-applied")


RATE, GENERATOR, UNKNOWN = Bottleneck("rate", "one"), Bottleneck("generator", "x"), Bottleneck(None, "Run again.")


@pytest.mark.parametrize(
    ("found", "whole"),
    [
        ([RATE, RATE], RATE),
        ([RATE, Bottleneck("rate", "two")], Bottleneck("rate", "Of 2 runs, bound: 2 by the asked rate.")),
        (
            [UNKNOWN, Bottleneck(None, "Run with more.")],
            Bottleneck(None, "None of the 2 runs can tell by itself what bound it."),
        ),
        (
            [NOTHING, RATE, GENERATOR, RATE],
            Bottleneck(
                None, "Of 4 runs, bound: 2 by the asked rate, 1 by the generator, 1 by what one run cannot tell."
            ),
        ),
    ],
)
def test_several_runs_are_bound_by_what_bound_each(found: list[Bottleneck], whole: Bottleneck) -> None:
    parts = [measured([Sample()], later=10.0 * place, bottleneck=one) for place, one in enumerate(found)]
    assert merge(parts).bottleneck == whole


@pytest.mark.parametrize(
    ("later", "said"),
    [
        (1.0, "Of 2 runs, bound: 2 by the asked rate."),  # what each says of its 100/s is not true of 200/s
        (60.0, "the server answered all of 100/s"),
    ],
)
def test_what_a_run_says_of_its_own_rate_is_not_said_of_several_side_by_side(later: float, said: str) -> None:
    parts = [
        measured(
            [Sample()], later=start, scenario=OPEN, bottleneck=Bottleneck("rate", "the server answered all of 100/s")
        )
        for start in (0.0, later)
    ]
    assert merge(parts).bottleneck == Bottleneck("rate", said)


def test_the_machine_of_several_is_the_first_with_what_all_used() -> None:
    parts = [
        measured(
            [Sample()],
            environment=replace(
                ENVIRONMENT, clock=clock, cpu_seconds=sum(cpu), peak_memory=memory, cpu_by_process=list(cpu)
            ),
        )
        for clock, cpu, memory in (("kernel", (1.0, 2.0), 5), ("own", (3.0,), 9))
    ]
    found = merge(parts).environment
    assert (found.clock, found.cpu_seconds, found.peak_memory) == ("mixed", 6.0, 14)
    assert found.cpu_by_process == [3.0, 2.0, 1.0]


OPEN = {"rate": 100.0, "max_threads": 50, "arrivals": "constant", "processes": 2}


@pytest.mark.parametrize(
    ("later", "asked"),
    [
        (1.0, (200.0, 100, 4, 4)),  # side by side: both were asked for at once
        (60.0, (100.0, 50, 2, 2)),  # one after the other
    ],
)
def test_what_was_asked_of_runs_side_by_side_adds_up(later: float, asked: tuple[float, int, int, int]) -> None:
    parts = [measured([Sample()], later=start, scenario=OPEN) for start in (0.0, later)]
    found = merge(parts).scenario
    assert (found.rate, found.max_threads, found.threads, found.processes) == asked


def test_the_memory_of_runs_side_by_side_adds_up_and_that_of_others_does_not() -> None:
    server = Server(cpu_seconds=0.5, peak_memory=7)
    parts = [
        measured([Sample()], later=later, server=server, environment=replace(ENVIRONMENT, peak_memory=5))
        for later in (0.0, 1.0, 9.0)
    ]
    whole = merge(parts)
    assert (whole.environment.peak_memory, whole.server) == (10, Server(cpu_seconds=1.5, peak_memory=14))


def test_what_fetches_counted_adds_up_and_what_they_were_told_stays() -> None:
    counted = {"files": 3, "bytes": 70, "retries": {"503": 1}, "network_seconds": 0.1, "rate_limit": 5.0, "auto": None}
    others = {"files": 4, "bytes": 1, "retries": {"503": 2, "connect": 1}, "network_seconds": 0.2, "rate_limit": 5.0}
    parts = [measured([Sample()], scenario={"options": options}) for options in (counted, others | {"auto": "said"})]
    assert merge(parts).scenario.options == {
        "files": 7,
        "bytes": 71,
        "retries": {"503": 3, "connect": 1},
        "network_seconds": 0.3,
        "rate_limit": 5.0,
        "auto": None,
    }


def test_runs_against_several_servers_name_them_all() -> None:
    parts = [measured([Sample()], scenario={"base_url": url}) for url in ("http://b/", "http://a/", "http://b/")]
    assert merge(parts).scenario.base_url == "http://a/, http://b/"


def test_intervals_lie_on_one_time_line() -> None:
    parts = [measured([Sample(0), Sample(1)]), measured([Sample(0), Sample(1), Sample(1)], later=1.1)]
    assert [(one.start, one.total.requests) for one in merge(parts).intervals] == [(0.0, 1), (1.0, 2), (2.0, 2)]


def test_intervals_of_different_length_are_as_long_as_the_longest() -> None:
    # both begin on a multiple of four seconds
    fine = measured([Sample(second) for second in range(6)], later=1.0)
    coarse = measured([Sample(0), Sample(4)], later=1.0)
    coarse = replace(coarse, intervals=[replace(one, length=4.0) for one in coarse.intervals])
    found = merge([fine, coarse]).intervals
    assert [(one.start, one.length, one.total.requests) for one in found] == [(0.0, 4.0, 5), (4.0, 4.0, 3)]
