"""The load over time: what phases may say, where each lies, and what is wrong in one line."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from loadkit.plan.errors import UsageError
from loadkit.plan.phases import Phase, hold, lasting, phase, ramp, says_rate, segments_of, threads_beside_rates
from loadkit.plan.units import SECOND


def test_each_phase_begins_where_the_one_before_it_ended() -> None:
    segments = segments_of([ramp("30s", to=50), hold("2m"), ramp("10s", to=0)], 10)

    assert [(one.name, one.start // SECOND, one.end // SECOND, one.first, one.last) for one in segments] == [
        ("ramp 1", 0, 30, 0, 50),
        ("hold", 30, 150, 50, 50),
        ("ramp 2", 150, 160, 50, 0),
    ]


def test_a_first_hold_is_at_the_level_of_the_scenario() -> None:
    first, second, third = segments_of([hold("1s"), hold("1s", at=4), ramp("1s", to=2, start=8, name="spike")], 10)

    assert (first.first, first.last) == (10, 10)
    assert (second.first, second.last) == (4, 4)
    assert (third.name, third.first, third.last) == ("spike", 8, 2)


def test_levels_and_areas_are_exact() -> None:
    up, flat = segments_of([ramp("10s", to="0.1/s"), hold("10s")], 0)

    assert up.level(5 * SECOND) == 0.05
    assert up.amount() == Fraction(1, 2)
    assert flat.amount() == 1


def test_a_step_has_no_length_and_its_last_level() -> None:
    step, after = segments_of([ramp(0, to=7), hold("1s")], 0)

    assert (step.length, step.level(0), step.amount()) == (0, 7, 0)
    assert after.first == 7


def test_phases_can_be_made_to_last_as_long_as_one_likes() -> None:
    assert [one.duration for one in lasting([ramp("30s", to=50), hold("90s")], 4)] == [1, 3]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("ramp:30s:50", ramp(30, to=50.0)),
        ("ramp:0s:200/s", ramp(0, to="200/s")),
        ("hold:1m30s", hold(90)),
        ("hold:2s:7", hold(2, at=7.0)),
    ],
)
def test_the_command_line_has_phases_as_text(text: str, read: Phase) -> None:
    assert phase(text) == read


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ramp", "cannot read the phase 'ramp'; write it like ramp:30s:50, ramp:30s:200/s, hold:2m or hold:2m:50"),
        ("climb:1s:3", "cannot read the phase 'climb:1s:3'; write it like ramp:30s:50"),
        ("ramp:1s:many", "cannot read the phase 'ramp:1s:many': level takes a number of threads like 50"),
        ("hold:0s", "cannot read the phase 'hold:0s': a hold takes a duration like '30s'"),
        ("ramp:fast:3", "cannot read the phase 'ramp:fast:3': cannot read the duration 'fast'"),
    ],
)
def test_text_that_is_no_phase_is_told_with_the_right_form(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        phase(text)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("level", [-1, "many", None, True, "5 threads", float("inf")], ids=repr)
def test_a_level_is_a_number_or_a_rate(level: Any) -> None:
    with pytest.raises(UsageError, match="to takes a number of threads like 50, or a rate like '200/s', not "):
        ramp("1s", to=level)


@pytest.mark.parametrize("name", ["", "a: b", 7], ids=repr)
def test_a_name_can_stand_in_a_threshold(name: Any) -> None:
    with pytest.raises(UsageError, match="a phase takes a name like 'peak', without a colon, not "):
        hold("1s", name=name)


def test_a_level_with_a_unit_of_time_is_a_rate() -> None:
    assert says_rate([ramp("1s", to="3/s")])
    assert not says_rate([ramp("1s", to=3), hold("1s")])


def test_a_phase_is_shown_as_it_is_written() -> None:
    assert repr(ramp("1m", to="3/s", start=1)) == "ramp(60, start=1, to='3/s')"
    assert repr(hold("1m", name="peak")) == "hold(60, name='peak')"


@pytest.mark.parametrize(
    ("phases", "found"),
    [
        ([ramp("1s", to=50), hold("1s", at="50/s")], 50),
        ([hold("1s", at="50/s"), ramp("1s", to="7")], 7),
        # nothing is as little of threads as of arrivals
        ([ramp("1s", to="50/s", start=0), ramp("1s", to=0)], None),
        ([ramp("1s", to="50/s"), hold("1s"), ramp("1s", to="90/m")], None),
        ([ramp("1s", to=50), hold("1s", at=3)], None),
    ],
)
def test_threads_beside_rates_are_found(phases: list[Phase], found: float | None) -> None:
    assert threads_beside_rates(phases) == found
