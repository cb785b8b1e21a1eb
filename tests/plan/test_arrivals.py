"""When requests of an open workload are due: exact, in order, and the same in parts as in one piece."""

from __future__ import annotations

from itertools import pairwise
from statistics import mean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadkit.plan.arrivals import Arrivals, Spacing
from loadkit.plan.part import Part
from loadkit.plan.phases import Phase, hold, ramp, segments_of
from loadkit.plan.units import MILLISECOND, SECOND


def arrivals(*phases: Phase, spacing: Spacing = "constant", **fields: Any) -> Arrivals:
    return Arrivals(segments=segments_of(phases, 0), spacing=spacing, **fields)


def dues(*phases: Phase, spacing: Spacing = "constant", **fields: Any) -> list[int]:
    return [due for _, due in arrivals(*phases, spacing=spacing, **fields).dues()]


def test_a_minute_of_200_a_second_is_12000() -> None:
    found = dues(hold("60s", at="200/s"))

    assert len(found) == 12_000
    assert found == [k * 5 * MILLISECOND for k in range(12_000)]


@pytest.mark.parametrize("rate", ["3/s", "7/s", "0.3/s", "1000/m", "999.9/s"])
def test_a_constant_rate_is_never_accumulated(rate: str) -> None:
    from fractions import Fraction

    from loadkit.plan.units import per_second

    found = dues(hold("10s", at=rate))
    each = SECOND / Fraction(str(per_second(rate)))
    assert all(abs(due - k * each) <= Fraction(1, 2) for k, due in enumerate(found))


@given(
    st.lists(
        st.tuples(st.floats(0, 3), st.floats(0, 300), st.booleans()).map(
            lambda drawn: (
                ramp(round(drawn[0], 3), to=round(drawn[1], 2))
                if drawn[2]
                else hold(max(round(drawn[0], 3), 0.001), at=round(drawn[1], 2))
            )
        ),
        min_size=1,
        max_size=5,
    )
)
def test_there_are_as_many_arrivals_as_the_area_under_the_rate(phases: list[Phase]) -> None:
    segments = segments_of(phases, 0)
    found = dues(*phases)

    assert len(found) == -(-sum(one.amount() for one in segments) // 1)
    assert found == sorted(found)
    assert all(0 <= due < segments[-1].end for due in found)


def test_on_a_ramp_the_gaps_shrink_as_the_rate_grows() -> None:
    found = dues(ramp("10s", to="20/s"))

    # n = t**2, so that arrival k comes after the root of k
    assert [round(due / SECOND, 6) for due in found[:5]] == [0, 1, 1.414214, 1.732051, 2]
    assert len(found) == 100


def test_what_follows_a_ramp_goes_on_where_it_ended() -> None:
    found = dues(ramp("1s", to="3/s"), hold("1s"))

    # 1.5 have come after the ramp, so that the third comes after a sixth of a second
    assert found[2] == SECOND + round(SECOND / 6)
    assert found[3] == SECOND + round(SECOND / 2)


def test_a_step_down_to_nothing_sends_nothing() -> None:
    assert dues(hold("1s", at="2/s"), ramp(0, to=0), hold("5s"), ramp(0, to="1/s"), hold("2s")) == [
        0,
        SECOND // 2,
        6 * SECOND,
        7 * SECOND,
    ]


def test_poisson_arrivals_have_exponential_gaps_of_the_asked_mean() -> None:
    found = dues(hold("1000s", at="50/s"), spacing="poisson", seed=1)

    gaps = [later - sooner for sooner, later in pairwise(found)]
    assert len(found) == pytest.approx(50_000, rel=0.02)
    assert mean(gaps) == pytest.approx(SECOND / 50, rel=0.02)
    # of exponential gaps e**-1 are longer than the mean and e**-3 than three times as much
    assert sum(gap > SECOND / 50 for gap in gaps) / len(gaps) == pytest.approx(0.3679, abs=0.01)
    assert sum(gap > 3 * SECOND / 50 for gap in gaps) / len(gaps) == pytest.approx(0.0498, abs=0.005)


def test_poisson_arrivals_follow_a_ramp() -> None:
    found = dues(ramp("100s", to="100/s"), spacing="poisson", seed=2)

    # three quarters of the area lie in the second half
    assert sum(due >= 50 * SECOND for due in found) / len(found) == pytest.approx(0.75, abs=0.02)


def test_the_seed_makes_arrivals_repeatable() -> None:
    def drawn(seed: int) -> list[int]:
        return dues(hold("10s", at="10/s"), spacing="poisson", seed=seed)

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


@pytest.mark.parametrize("spacing", ["constant", "poisson"])
@given(parts=st.integers(1, 7), rate=st.integers(1, 90))
def test_the_parts_together_are_the_whole(spacing: Spacing, parts: int, rate: int) -> None:
    phases = ramp("1s", to=f"{rate}/s"), hold("1s")
    whole = list(arrivals(*phases, spacing=spacing, seed=3).dues())
    split = [
        list(arrivals(*phases, spacing=spacing, seed=3, part=Part(number=k, count=parts)).dues()) for k in range(parts)
    ]

    assert sorted(arrival for part in split for arrival in part) == whole
    assert max(map(len, split)) - min(map(len, split)) <= 1


@pytest.mark.parametrize("spacing", ["constant", "poisson"])
def test_iterations_end_the_arrivals(spacing: Spacing) -> None:
    split = [dues(hold("1h", at="9/s"), spacing=spacing, iterations=10, part=Part(number=k, count=3)) for k in range(3)]

    assert [len(part) for part in split] == [4, 3, 3]
