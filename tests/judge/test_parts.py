"""Parts of a load, each run by a machine of its own: merged exactly, or said why not, and what is not all there."""

from __future__ import annotations

import random
from itertools import permutations
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadkit.judge.instants import later
from loadkit.judge.merge import merge
from loadkit.judge.other_load import other_load
from loadkit.judge.result import Result
from loadkit.judge.validate import violations
from loadkit.judge.validity import Caveat
from loadkit.plan.errors import UsageError
from tests.machines import START, machine
from tests.results import REFUSED, Sample, interval, measured, replace, times

LIMITS = ["p99 < 1s", "throughput > 1/s"]

sample = st.builds(
    Sample,
    second=st.integers(0, 1),
    label=st.sampled_from(["a", "b"]),
    span=st.integers(1000, 10**9),
    failure=st.none() | st.just(REFUSED),
    status=st.sampled_from([200, 201]),
)
samples = st.lists(sample, min_size=1, max_size=25)


def part(own: list[Sample], number: int = 1, parts: int = 2, *, after: float = 0.0, **changes: Any) -> Result:
    """What a machine stores of its part, which has judged no threshold."""
    of_whole = {"threads": 2 * parts, "rate": 100.0, "max_threads": 7, "iterations": 50, "thresholds": LIMITS}
    return measured(
        own,
        started_at=later(START, after),
        scenario=of_whole | changes.pop("scenario", {}),
        machines=[machine(number, parts, after=after, threads=2, **changes.pop("machine", {}))],
        **changes,
    )


def parts_of(whole: list[Sample], parts: int, chance: random.Random) -> list[Result]:
    """Each request with one of the parts."""
    pieces: list[list[Sample]] = [[] for _ in range(parts)]
    for sample in whole:
        chance.choice(pieces).append(sample)
    return [part(piece, number, parts) for number, piece in enumerate(pieces, 1)]


@settings(max_examples=30)
@given(samples, st.integers(2, 5), st.randoms(use_true_random=False))
def test_parts_are_the_whole_in_any_order_byte_for_byte(whole: list[Sample], parts: int, chance: random.Random) -> None:
    found = parts_of(whole, parts, chance)
    expected = measured(whole, thresholds=tuple(LIMITS))
    merged = merge(found)
    shuffled = chance.sample(found, len(found))

    assert (merged.total, merged.endpoints) == (expected.total, expected.endpoints), "hdr texts included"
    assert [(one.threshold, one.passed) for one in merged.thresholds] == [
        (one.threshold, one.passed) for one in expected.thresholds
    ]
    assert msgspec.json.encode(merge(shuffled)) == msgspec.json.encode(merged)
    assert msgspec.json.encode(merge([merge(shuffled[:-1]), shuffled[-1]])) == msgspec.json.encode(merged)
    assert [one.part for one in merged.machines] == list(range(1, parts + 1))
    assert not list(violations(merged))


def test_what_was_asked_is_that_of_the_whole_and_not_added_up() -> None:
    merged = merge([part([Sample()], number, 3) for number in (1, 2, 3)])

    asked = merged.scenario
    assert (asked.threads, asked.rate, asked.max_threads, asked.iterations) == (6, 100.0, 7, 50)
    assert asked.processes == 1, "three machines with one each are not three processes"
    assert merged.outcome == "passed"


def test_processes_of_machines_add_up() -> None:
    merged = merge([part([Sample()], number, 2, machine={"processes": number}) for number in (1, 2)])

    assert merged.scenario.processes == 3


def test_thresholds_are_judged_on_all_parts_together() -> None:
    fast, slow = [Sample(span=1_000_000)] * 300, [Sample(span=2_000_000_000)] * 2

    assert merge([part(fast, 1), part(fast, 2)]).outcome == "passed"
    assert merge([part(fast, 1), part(slow, 2)]).outcome == "passed", "2 of 302 are not the p99"
    assert merge([part(fast[:30], 1), part(slow, 2)]).outcome == "failed"


@pytest.mark.parametrize(
    ("there", "sentence"),
    [
        ([1, 2, 4, 5], "part 3 is missing: these figures are of 4 of 5 parts of the load"),
        ([2], "parts 1, 3, 4, 5 are missing: these figures are of 1 of 5 parts of the load"),
    ],
)
def test_a_missing_part_is_named_and_the_load_was_not_applied(there: list[int], sentence: str) -> None:
    merged = merge([part([Sample()], number, 5) for number in there])

    assert Caveat("parts-missing", sentence, "grave") in merged.caveats
    assert (merged.outcome, merged.validity) == ("not-applied", "invalid")
    assert not list(violations(merged))


def test_a_part_that_comes_later_makes_it_whole() -> None:
    four = merge([part([Sample()], number, 5) for number in (1, 2, 4, 5)])

    whole = merge([four, part([Sample()], 3, 5)])

    assert (whole.outcome, whole.caveats) == ("passed", merge([part([Sample()], n, 5) for n in range(1, 6)]).caveats)


@pytest.mark.parametrize(
    ("results", "message"),
    [
        (
            [part([], 1), part([], 2), part([], 2, machine={"host": "db-7"})],
            "part 2/2 (db-7) and part 2/2 (web-2) are the same part, and would be counted twice",
        ),
        (
            [part([], 1, 2), part([], 2, 3)],
            "part 1/2 (web-1) and part 2/3 (web-2) are not parts of one run, for there are not as many",
        ),
        (
            [part([], 1), measured([])],
            "part 1/2 (web-1) is a part of a load, and another result is all of it; they cannot be one",
        ),
    ],
    ids=["twice", "other numbers of parts", "a whole run"],
)
def test_what_are_no_parts_of_one_run_are_refused(results: list[Result], message: str) -> None:
    for order in (results, results[::-1]):
        with pytest.raises(UsageError) as caught:
            merge(order)
        assert str(caught.value) == message


@pytest.mark.parametrize(
    ("after", "level", "outcome"),
    [
        # they begin together as far as clocks that are kept by NTP can be
        (0.02, None, "passed"),
        # 60 ms of 2 s, in which half of the load was not there
        (0.06, "doubt", "passed"),
        (0.5, "grave", "not-applied"),
        # another --at, or a clock that is wrong by ten minutes
        (600.0, "grave", "not-applied"),
    ],
)
def test_parts_that_began_apart_are_doubted_and_then_invalid(after: float, level: str | None, outcome: str) -> None:
    merged = merge([part([Sample()] * 5, 1), part([Sample()] * 5, 2, after=after)])

    apart = [one for one in merged.caveats if one.code == "parts-apart"]
    assert [one.level for one in apart] == ([level] if level else [])
    assert merged.outcome == outcome


def test_parts_that_began_apart_are_named_with_what_to_do() -> None:
    (caveat,) = [one for one in merge([part([], 1), part([], 2, after=600)]).caveats if one.code == "parts-apart"]

    assert caveat.message == (
        "part 2/2 (web-2) began 600 s after part 1/2 (web-1), so not all of the load was there all the time; give all "
        "of them the same --at, and see that their clocks are set by the same time servers"
    )


@pytest.mark.parametrize(
    ("ahead", "levels"),
    [
        # the date of a reply tells it to half a second
        ((0.2, 0.9), []),
        ((-3.0, -2.4), []),
        # a second apart at least
        ((0.0, 2.0), ["grave"]),
        # of one that is wrong by more all instants are told by the clock of the target
        ((600.0, 0.1), []),
        ((1.8, None), []),
    ],
)
def test_clocks_that_contradict_that_of_the_target_are_found(
    ahead: tuple[float, float | None], levels: list[str]
) -> None:
    found = [
        part([Sample()] * 5, number, machine={"clock_offset": offset, "clock_error": 0.5})
        for number, offset in enumerate(ahead, 1)
    ]

    caveats = [one for one in merge(found).caveats if one.code == "clocks-apart"]

    assert [one.level for one in caveats] == levels


def test_whose_clock_is_ahead_began_before_the_others() -> None:
    found = [
        part([Sample()] * 5, number, machine={"clock_offset": offset, "clock_error": 0.5})
        for number, offset in ((1, 1.8), (2, 0.0))
    ]

    (caveat,) = [one for one in merge(found).caveats if one.code == "clocks-apart"]

    assert caveat.message.startswith(
        "part 2/2 (web-2) began 800 ms after part 1/2 (web-1) at least, by the clock of the target, so "
    )
    assert merge(found).outcome == "not-applied"


def test_clocks_that_were_wrong_are_named_with_whose_instants_are_told() -> None:
    found = [
        part([Sample()] * 5, number, 5, machine={"clock_offset": offset, "clock_error": 0.02})
        for number, offset in enumerate((600.0, -3.5, 0.1, 7.0, 8.0), 1)
    ]

    (caveat,) = [one for one in merge(found).caveats if one.code == "clock-wrong"]

    assert caveat == Caveat(
        "clock-wrong",
        "clocks were wrong by that of the target, by which instants are told here: part 1/5 (web-1) 600 s ahead, "
        "part 2/5 (web-2) 3.5 s behind, part 4/5 (web-4) 7 s ahead and 1 more",
        "note",
    )
    assert merge(found).outcome == "passed"


def test_a_part_that_was_interrupted_makes_the_whole_so() -> None:
    ended = {"ended": "interrupted"}
    merged = merge([part([Sample()], 1), part([Sample()], 2, outcome="interrupted", machine=ended)])

    assert merged.outcome == "interrupted"
    assert [one.ended for one in merged.machines] == ["", "interrupted"]


UNFINISHED: dict[str, Any] = {"outcome": "interrupted", "machine": {"ended": "unfinished"}}


def test_what_a_part_left_that_was_killed_counts_and_the_load_was_not_applied() -> None:
    parts = [part([Sample()] * 5, 1, 3), part([Sample()] * 2, 2, 3, **UNFINISHED), part([Sample()] * 5, 3, 3)]

    for order in permutations(parts):
        merged = merge(order)
        assert (merged.outcome, merged.requests) == ("not-applied", 12)
        assert merge([merge(order[:2]), order[2]]) == merged
        (caveat,) = [one for one in merged.caveats if one.code == "parts-unfinished"]
        assert caveat.message.startswith("part 2/3 (web-2) did not come to its end: it was killed, or still runs. ")


def test_a_part_that_was_killed_is_no_reason_to_forget_that_another_was_interrupted() -> None:
    stopped = part([Sample()], 1, outcome="interrupted", machine={"ended": "interrupted"})

    assert merge([stopped, part([Sample()], 2, **UNFINISHED)]).outcome == "interrupted"


def test_a_doubt_names_the_machine_that_it_is_of_once() -> None:
    doubt, note = Caveat("generator-busy", "loadkit used 95 %"), Caveat("same-host", "the target is here", "note")
    found = [part([Sample()], number, 3, caveats=[doubt, note] if number < 3 else [note]) for number in (1, 2, 3)]

    merged = merge([merge(found[:2]), found[2]])

    assert [one for one in merged.caveats if one.code in ("generator-busy", "same-host")] == [
        replace(doubt, message="part 1/3 (web-1): loadkit used 95 %"),
        replace(doubt, message="part 2/3 (web-2): loadkit used 95 %"),
        note,
    ]


def test_runs_of_all_machines_are_merged_as_any_others_and_judged_already() -> None:
    """As those of a cluster, or parts that were merged before."""
    first = merge([part([Sample()] * 5, number) for number in (1, 2)])
    second = merge([part([Sample()] * 5, number, after=60) for number in (1, 2)])

    both = merge([first, second])

    assert (both.outcome, both.requests, both.duration) == ("passed", 20, 4.0)
    assert [one.part for one in both.machines] == [1, 1, 2, 2]
    assert not [one for one in both.caveats if one.code == "parts-apart"]
    assert merge([both]) is both


def test_a_part_is_another_load_than_all_of_it() -> None:
    one, two = part([Sample()], 1), part([Sample()], 2)

    assert other_load(one, merge([one, two])) == "1 of 2 parts -> all parts"
    assert other_load(measured([Sample()]), merge([one, two])) == ""


@given(st.lists(st.integers(0, 50_000_000), min_size=3, max_size=5), st.floats(0.4, 1.0))
def test_means_of_threads_are_the_same_for_parts_merged_before(millionths: list[int], second: float) -> None:
    def of_machine(number: int, value: int) -> Result:
        series = [interval(0, times((5000, 1)), measured=second), interval(1, times((5000, 1)), measured=1.0)]
        known = [replace(one, threads=value / 1e6, asked=value / 2e6) for one in series]
        return part([Sample()], number, len(millionths), intervals=known)

    found = [of_machine(number, value) for number, value in enumerate(millionths, 1)]

    assert merge([merge(found[1:]), found[0]]).intervals == merge(found).intervals
