"""Whether a run's threads were those of its plan: what contradicts it, and what only looks so."""

from __future__ import annotations

import math
from dataclasses import replace as changed
from typing import Any

import pytest

from loadkit.judge.activity import Activity, Plan, with_threads
from loadkit.judge.caveats import caveats
from loadkit.judge.caveats.load import differs
from loadkit.judge.description import PhasePlan, ScenarioInfo
from loadkit.judge.rows import Phase, Row
from loadkit.judge.summary import intervals
from loadkit.judge.validity import validity_of
from tests.evidence import asked, closed, known, total
from tests.results import Sample, recorded, replace, times, timing

RAMP = [PhasePlan(name="ramp", duration=10.0, start=0, end=5)]
STEPS = [
    PhasePlan(name="hold 1", duration=4.0, start=2, end=2),
    PhasePlan(name="hold 2", duration=6.0, start=4, end=4),
]
AWAY = [
    PhasePlan(name="hold 1", duration=4.0, start=3, end=3),
    PhasePlan(name="hold 2", duration=2.0, start=0, end=0),
    PhasePlan(name="hold 3", duration=4.0, start=3, end=3),
]


def at(*starts: float, until: float = 10.0, late: float = 0.001) -> list[tuple[float, float, float]]:
    """Threads that were active from these instants on."""
    return [(start, start + late, until) for start in starts]


def plan(phases: list[PhasePlan] | None = None, **changes: Any) -> ScenarioInfo:
    """Of 10 s: these phases, or five threads."""
    return asked(threads=5, phases=phases or [], **changes)


def seen(**figures: Any) -> Row:
    """What was counted: five threads had a request of 10 ms at any instant, unless said otherwise."""
    return total(figures.pop("good", 5000), service=figures.pop("service", 10.0), **figures)


def said(scenario: ScenarioInfo, activity: Activity, row: Row | None = None, **more: Any) -> str:
    """The sentence, if there is one, of a run in which loadkit had some code between requests."""
    return differs(
        known(scenario=scenario, activity=changed(activity, is_bare=False), total=row or seen(good=10), **more)
    )


@pytest.mark.parametrize(
    ("phases", "start", "end", "mean"),
    [
        ([], 0, 10, 5),
        (RAMP, 0, 10, 3),
        (RAMP, 0, 2, 1),
        (RAMP, 1, 3, 1.5),
        (STEPS, 3, 5, 3),
        (AWAY, 0, 10, 2.4),
        (AWAY, 4.5, 5.5, 0),
        ([PhasePlan(name="down", duration=10.0, start=5, end=0)], 0, 10, 3),
    ],
)
def test_the_plan_has_whole_threads(phases: list[PhasePlan], start: float, end: float, mean: float) -> None:
    assert Plan(plan(phases), 10).mean(start, end) == pytest.approx(mean)


def test_the_plan_of_an_open_workload_has_arrivals() -> None:
    rising = [PhasePlan(name="ramp", duration=10.0, start=0, end=50)]

    assert Plan(asked(rate=25.0, phases=rising), 10).mean(0, 2) == pytest.approx(5)


@pytest.mark.parametrize(
    ("phases", "active"),
    [
        pytest.param(RAMP, at(0, 0, 0, 0, 0), id="a ramp whose threads all begin at once"),
        pytest.param(RAMP, at(0, 2, 4), id="two of a ramp never begin"),
        pytest.param(RAMP, at(0), id="only the first of a ramp begins"),
        pytest.param(STEPS, at(0, 0, 0, 0), id="those of the second phase begin with the first"),
        pytest.param(STEPS, at(0, 0), id="those of the second phase never begin"),
        pytest.param(STEPS, at(0, 0, 4, 4, 4), id="one too many in the second phase"),
        pytest.param(AWAY, at(0, 0, 0), id="they go on where nobody is wanted"),
        pytest.param([], at(0, 0, 0, 0), id="one never begins"),
        pytest.param([], at(0, 0, 0, 0, 0, 0), id="one too many"),
        pytest.param([], [*at(0, 0, 0, 0), (0, 0.001, 5)], id="one ends in the middle"),
        pytest.param([], at(0, 0, 0, 0, 3), id="one begins in the middle"),
        pytest.param([], [*at(0, 0, 0, 0), (0, 0.001, 6), (7.2, 7.2, 10)], id="one is away for a while"),
    ],
)
def test_threads_that_contradict_the_plan_are_told(phases: list[PhasePlan], active: Any) -> None:
    assert "was to have" in said(plan(phases), Activity(active=active))


@pytest.mark.parametrize(
    ("phases", "active", "known"),
    [
        pytest.param(RAMP, at(0, 2, 4, 6, 8), {}, id="as planned"),
        pytest.param(RAMP, at(0, 2, 4, 6, 8, late=0.4), {}, id="late by a busy machine"),
        pytest.param(RAMP, [*at(0, 2, 4), (6, 9, 10), (8, 11, 10)], {}, id="in time, and long to connect or set up"),
        pytest.param(AWAY, [*at(0, 0, 0, until=4), *at(6, 6, 6)], {}, id="away and back"),
        pytest.param(AWAY, [*at(0, 0, 0, until=5.9), *at(6, 6, 6)], {"service": 1900.0}, id="replies outlast a phase"),
        pytest.param(AWAY, at(0, 0, 0, until=12), {"cut": 3}, id="what never replied, until it was cut"),
        pytest.param([], at(0, 0, 0, 0, 0, until=8.5), {"longest_pause": 1.5}, id="they think at the end"),
        pytest.param([], [*at(0, 0, 0, 0), (1.9, 1.9, 10)], {"longest_pause": 1.5}, id="they begin spread over it"),
        pytest.param([], at(0, 0, 0, 0, 0, until=4), {"longest_pause": math.inf}, id="nobody knows how long"),
        pytest.param([], [*at(0, 0, 0, 0), (3, 3, 10)], {"connect_seconds": 3.0}, id="connections took long"),
        pytest.param([], [*at(0, 0, 0, 0), (3, 3, 10)], {"pickup": 1500.0}, id="a machine on which replies wait"),
        pytest.param([], at(0), {"is_whole": False}, id="a process was lost, a thread stuck, the rows used up"),
    ],
)
def test_what_explains_a_difference_is_none(phases: list[PhasePlan], active: Any, known: dict[str, Any]) -> None:
    of_threads = {name: value for name, value in known.items() if name in ("longest_pause", "is_whole")}
    row = seen(good=10, **{name: value for name, value in known.items() if name not in of_threads})
    assert said(plan(phases), Activity(active=active, **of_threads), row) == ""


@pytest.mark.parametrize(
    "changes", [{"iterations": 20}, {"iterations_per_thread": 4}], ids=["in all", "of each thread"]
)
def test_threads_may_end_early_by_their_iterations(changes: dict[str, Any]) -> None:
    assert said(plan(**changes), Activity(active=at(0, 0, 0, 0, 0, until=3))) == ""
    assert "was to have" in said(plan(), Activity(active=at(0, 0, 0, 0, 0, until=3)))


def test_an_interruption_ends_the_plan() -> None:
    assert said(plan(RAMP), Activity(active=at(0, 2, until=3)), duration=3.0) == ""


def test_a_long_run_is_looked_at_in_parts() -> None:
    scenario = replace(plan(), threads=200, duration=600.0)
    # two of 200 are away for 40 s: a thousandth of the whole
    active = [(0.0, 0.0, 600.0)] * 198 + [(0.0, 0.0, 300.0), (340.0, 340.0, 600.0)] * 2

    found = said(scenario, Activity(active=active), duration=600.0)

    assert "the run from 5m to 5m30s was to have 200 threads in the mean, and 198 were active" in found


# -- Little's law


def of_phase(name: str, start: float, length: float, row: Row) -> Phase:
    return Phase(name=name, start=start, length=length, total=row)


def test_more_time_at_the_server_than_the_threads_had_is_told_whatever_the_threads_say() -> None:
    active = at(0, 0, 0, 0, 0)

    assert said(plan(), Activity(active=active), seen(good=5000)) == ""
    assert "6.01 had a request" in said(plan(), Activity(active=active), seen(good=6000))


def test_and_of_each_phase() -> None:
    activity = Activity(active=[*at(0, 0), *at(4, 4)])
    halves = [of_phase("hold 1", 0, 4, seen(good=1600)), of_phase("hold 2", 4, 6, seen(good=1600))]

    found = said(plan(STEPS), activity, seen(good=3200), phases=halves)

    assert "hold 1 was to have 2 threads in the mean, and 4 had a request" in found


@pytest.mark.parametrize(
    ("good", "activity", "row", "is_told"),
    [
        pytest.param(5000, {}, {}, False, id="busy"),
        pytest.param(2600, {}, {"pickup": 9.0}, False, id="replies wait"),
        pytest.param(1000, {}, {}, True, id="idle"),
        pytest.param(1000, {"is_bare": False}, {}, False, id="a check takes time"),
        pytest.param(1000, {"longest_pause": 0.1}, {}, False, id="users think"),
        pytest.param(1000, {}, {"cut": 1}, False, id="cut"),
        pytest.param(1000, {}, {"requests": 1300, "failures": {"connect": 300}}, False, id="resting after refusals"),
    ],
)
def test_threads_that_had_no_request_most_of_the_time_are_told(
    good: int, activity: dict[str, Any], row: dict[str, Any], is_told: bool
) -> None:
    threads = Activity(active=at(0, 0, 0, 0, 0), **activity)
    found = differs(known(scenario=plan(), activity=threads, total=seen(good=good, **row)))

    assert ("had a request" in found) == is_told


@pytest.mark.parametrize(("tasks", "is_told"), [(1, True), (3, False)])
def test_journeys_last_no_longer_than_their_threads_and_tasks(tasks: int, is_told: bool) -> None:
    journey = timing(times((1_000_000, 120)))
    scenario = plan(journeys=["buy"], endpoints=[])

    found = said(scenario, Activity(active=at(0, 0, 0, 0, 0), tasks=tasks), timings=[journey])

    assert bool(found) == is_told


# -- arrivals


@pytest.mark.parametrize(
    ("sent", "unsent", "spacing", "is_told"),
    [
        (250, 0, "constant", False),
        (100, 150, "constant", False),
        (230, 0, "constant", True),
        (250, 30, "constant", True),
        (230, 0, "poisson", False),
        (100, 0, "poisson", True),
    ],
)
def test_arrivals_are_as_many_as_were_planned_sent_or_unsent(
    sent: int, unsent: int, spacing: str, is_told: bool
) -> None:
    scenario = asked(rate=25.0, arrivals=spacing)

    found = said(scenario, Activity(), seen(good=sent, unsent=unsent))

    assert bool(found) == is_told


def test_arrivals_are_those_of_each_phase() -> None:
    rising = [
        PhasePlan(name="ramp", duration=4.0, start=0, end=50),
        PhasePlan(name="hold", duration=6, start=50, end=50),
    ]
    scenario = asked(rate=40.0, arrivals="constant", phases=rising)
    right = [of_phase("ramp", 0, 4, seen(good=100)), of_phase("hold", 4, 6, seen(good=300))]
    wrong = [of_phase("ramp", 0, 4, seen(good=200)), of_phase("hold", 4, 6, seen(good=200))]

    assert said(scenario, Activity(), seen(good=400), phases=right) == ""
    assert "ramp was to have 100 arrivals, and 200 came" in said(scenario, Activity(), seen(good=400), phases=wrong)


# -- where it is told


def test_each_second_has_the_threads_that_were_active_and_those_asked_for() -> None:
    series = intervals(recorded([Sample(second=0), Sample(second=1), Sample(second=2)]).series, duration=2.5)

    ramp = [of_phase("ramp", 0, 2.5, seen())]
    active = [(0, 0.25, 1.5), (0, 1, 3)]

    found, (phase,) = with_threads(series, ramp, Plan(plan(RAMP), 2.5), Activity(active=active))

    assert [(one.threads, one.asked) for one in found] == [(0.75, 1), (1.5, 1), (1, 2)]
    assert (phase.threads, phase.asked) == (1.1, 1.2)


def test_an_open_workload_has_arrivals_and_a_run_of_which_not_all_is_known_no_threads() -> None:
    series = intervals(recorded([Sample()]).series, duration=1.0)

    ((of_open,), _) = with_threads(series, [], Plan(asked(rate=25.0), 1.0), Activity())
    ((unknown,), _) = with_threads(series, [], Plan(plan(), 1.0), Activity(is_whole=False))

    assert (of_open.threads, of_open.asked) == (None, 25)
    assert (unknown.threads, unknown.asked) == (None, 5)


def test_a_run_whose_load_was_another_is_invalid() -> None:
    load = closed(50_000, 5, phases=RAMP, activity=Activity(active=at(0, 0, 0, 0, 0)))

    found = caveats(load)

    assert [caveat.level for caveat in found if caveat.code == "load-differs"] == ["grave"]
    assert validity_of(found) == "invalid"
