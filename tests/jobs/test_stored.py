"""Stored rounds of two versions whose truth is known: what is said of them, and when nothing is decided."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from loadkit.jobs.stored import compare_stored
from loadkit.judge.environment import Server
from loadkit.judge.identity import Identity
from loadkit.judge.result import Result
from loadkit.judge.validity import Caveat
from loadkit.plan.errors import UsageError
from tests.jobs.rounds import failed, measured, unsound
from tests.machines import machine
from tests.results import replace


def elsewhere(**changes: object) -> dict[str, Any]:
    return {"environment": changes}


DECIDED = [
    (1.0, {}, "no worse", 0),
    (1.3, {}, "worse", 1),
    (0.7, {}, "better", 0),
    (1.05, {"noise": 0.05}, "cannot tell", 6),  # about as much as is tolerated
    (1.3, {"rounds": 20}, "worse", 1),
]


@pytest.mark.parametrize(("slowness", "how", "verdict", "code"), DECIDED)
def test_rounds_of_a_version_are_judged_by_those_of_the_other(slowness: float, how, verdict: str, code: int):
    found = compare_stored(measured(), measured(slowness, **how))

    assert (found.verdict, found.exit_code, found.reason) == (verdict, code, "")
    assert found.p50.ratio == pytest.approx(slowness, rel=0.1)
    assert found.p50.low <= found.p50.ratio <= found.p50.high
    assert not found.in_turns
    assert found.caveats == []
    assert [one.decides for one in found.changes if one.metric in ("p50", "throughput", "error_rate")] == [True] * 3


def test_each_round_is_there_and_when_they_were_measured_is_said():
    before, after = measured(rounds=5), measured(rounds=6)
    found = compare_stored(before, after, old="before.json", new="after.json")

    assert [one.version for one in found.rounds] == ["old"] * 5 + ["new"] * 6
    assert [one.block for one in found.rounds] == list(range(11))
    assert found.p50.blocks == 5
    began = [min(one.started_at for one in rounds)[:16].replace("T", " ") for rounds in (before, after)]
    assert found.notes == [
        (
            f"the rounds were not measured in turns, but those of before.json from {began[0]} and those of after.json "
            f"from {began[1]} (UTC): what else changed between is in the change, too"
        )
    ]


def test_a_figure_decides_when_it_is_named_and_an_endpoint_too():
    def both(slowness: float) -> list[Result]:
        home, search = measured(), measured(slowness, endpoints=("GET /search",))
        return [
            replace(one, endpoints=[*one.endpoints, *other.endpoints]) for one, other in zip(home, search, strict=True)
        ]

    before, after = both(1.0), both(2.0)

    assert compare_stored(before, after).verdict == "no worse"
    found = compare_stored(before, after, tolerances={"GET /search: p99": 0.1})
    assert found.worse
    assert found["GET /search"].p99.ratio == pytest.approx(2, rel=0.1)
    assert found["GET /search"].p99.tolerance == pytest.approx(0.1)
    with pytest.raises(UsageError, match="names no endpoint of the scenario; there are 'GET /', 'GET /search'"):
        compare_stored(before, after, tolerances={"GET /s: p99": 0.1})


def test_the_server_s_cpu_decides_where_it_is_known_of_both():
    def serving(seconds: float) -> list[Result]:
        return [replace(one, server=Server(cpu_seconds=seconds, peak_memory=1)) for one in measured()]

    assert compare_stored(serving(1.0), serving(1.2)).worse
    assert compare_stored(serving(1.0), measured()).verdict == "no worse"


NEVER_RED = [
    (
        lambda: (measured(), measured(1.5, **elsewhere(processor="Xeon", python="CPython 3.14.0"))),
        "other-machine",
        (
            "new was measured on another machine or with other programs than old: "
            "processor Xeon, was not known; python CPython 3.14.0, was 3.12.3"
        ),
        "nothing is decided, for the machines or programs differ; by the rounds alone it would be worse",
    ),
    (
        lambda: (measured(), measured(**elsewhere(loadkit="0.2.0"))),
        "other-machine",
        "new was measured on another machine or with other programs than old: loadkit 0.2.0, was 0.1.0",
        "nothing is decided, for the machines or programs differ; by the rounds alone it would be no worse",
    ),
    (
        lambda: (measured(), measured(1.5, machines=[machine(1), machine(2)])),
        "other-machine",
        "new was measured on another machine or with other programs than old: machines 2, was 1",
        "nothing is decided, for the machines or programs differ; by the rounds alone it would be worse",
    ),
    (
        lambda: (measured(), measured(1.5, identity=Identity(name="browse", plan="f" * 16), scenario={"threads": 32})),
        "other-load",
        "new was measured with another load than old: threads 16 -> 32",
        "nothing is decided, for the loads differ; by the rounds alone it would be worse",
    ),
    (
        lambda: (measured(rounds=1), measured(1.5)),
        "one-round",
        "old is one round alone: how much rounds differ is not known; run --repeat 5 stores several",
        "nothing is decided, for one round alone does not show how much rounds differ",
    ),
    (
        lambda: (measured(), measured(1.5, rounds=1)),
        "one-round",
        "new is one round alone: how much rounds differ is not known; run --repeat 5 stores several",
        "nothing is decided, for one round alone does not show how much rounds differ",
    ),
    (
        lambda: (measured(rounds=3), measured(1.5, rounds=3)),
        "few-rounds",
        "3 rounds of old and 3 of new are too few to tell; run --repeat 5 stores 5",
        "nothing is decided, for the rounds are too few",
    ),
    (
        lambda: (measured(), [failed(one) for one in measured(**elsewhere(processor="Xeon"))]),
        "other-machine",
        "new was measured on another machine or with other programs than old: processor Xeon, was not known",
        (
            "nothing is decided, for the machines or programs differ; by the rounds alone it would be worse "
            "(the new version failed all requests)"
        ),
    ),
]


@pytest.mark.parametrize(("rounds", "code", "message", "reason"), NEVER_RED, ids=[row[2] for row in NEVER_RED])
def test_what_may_not_be_compared_is_said_first_and_never_worse(
    rounds: Callable[[], tuple[list[Result], list[Result]]], code: str, message: str, reason: str
):
    before, after = rounds()
    found = compare_stored(before, after, old="old", new="new")

    assert found.caveats == [Caveat(code, message, "grave")]
    assert (found.verdict, found.reason, found.exit_code) == ("cannot tell", reason, 0)
    assert compare_stored(before, after, strict_machine=True).exit_code == 6


def test_rounds_of_several_machines_are_on_none_that_may_be_compared():
    mixed = [*measured(rounds=3), *measured(rounds=3, **elsewhere(processor="Xeon"))]

    assert compare_stored(mixed, measured()).caveats[0].code == "other-machine"


OBVIOUS = [
    (measured, lambda: [failed(one) for one in measured()], "worse", "the new version failed all requests", 1),
    (lambda: [failed(one) for one in measured()], measured, "cannot tell", "the old version failed all requests", 6),
    (
        lambda: measured(rounds=1),
        lambda: [failed(one) for one in measured(rounds=1)],
        "worse",
        "the new version failed all requests",
        1,
    ),
]


@pytest.mark.parametrize(("before", "after", "verdict", "reason", "code"), OBVIOUS, ids=["new", "old", "of one round"])
def test_a_version_that_fails_altogether_needs_no_statistics(before, after, verdict: str, reason: str, code: int):
    found = compare_stored(before(), after())

    assert (found.verdict, found.reason, found.exit_code) == (verdict, reason, code)


LEFT_OUT = [
    (unsound, "the load was not that of its plan"),
    (lambda one: replace(one, outcome="interrupted"), "it was broken off"),
    (lambda one: replace(one, caveats=[Caveat("partial", "written after 3 s", "note")]), "it was broken off"),
]


@pytest.mark.parametrize(("spoil", "why"), LEFT_OUT, ids=["unsound", "interrupted", "partial"])
def test_rounds_that_are_not_sound_are_left_out_and_counted(spoil: Callable[[Result], Result], why: str):
    after = measured(rounds=6)
    found = compare_stored(measured(), [*after, spoil(measured(9.0, rounds=1)[0])], new="after.json")

    assert found.verdict == "no worse"
    assert found.notes[1] == f"1 of 7 rounds of after.json are left out: {why}"
    assert found.rounds[-1].unsound == why


def test_with_too_few_sound_rounds_it_cannot_be_told():
    found = compare_stored(measured(), [unsound(one) for one in measured(1.5)])

    assert (found.verdict, found.exit_code) == ("cannot tell", 6)
    assert found.reason == "5 of 10 rounds were not sound: the load was not that of its plan"


def test_the_same_rounds_say_nothing_of_each_other():
    rounds = measured()

    with pytest.raises(UsageError, match="a and b have the same rounds, which say nothing of a change; measure again"):
        compare_stored(rounds, [*measured(), rounds[2]], old="a", new="b")
    with pytest.raises(UsageError, match="there is no round of after to compare"):
        compare_stored(rounds, [])
