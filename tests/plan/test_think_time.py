"""Think times: fixed, from a range, drawn by a function; the same for the same seed."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from loadkit.plan.endpoint import Endpoint
from loadkit.plan.errors import UsageError
from loadkit.plan.scenario import Scenario
from loadkit.plan.think_time import PauseError, describe_think_time, longest_pause, parse_think_time, pauses
from loadkit.plan.units import MILLISECOND, SECOND


def patience(source: Random) -> float:
    return source.expovariate(2)


def draw(value: Any, many: int = 1000, seed: int = 0, thread: int = 0) -> list[int]:
    """Pauses of one thread, nanoseconds."""
    one = pauses(parse_think_time(value), seed, thread)
    assert one
    return [one() for _ in range(many)]


def test_a_fixed_pause_is_always_as_long() -> None:
    assert set(draw("20ms")) == {20 * MILLISECOND}


def test_a_range_is_used_from_end_to_end() -> None:
    drawn = draw(("1s", "3s"))

    assert SECOND <= min(drawn) < 1.02 * SECOND
    assert 2.98 * SECOND < max(drawn) <= 3 * SECOND


def test_a_function_draws_seconds() -> None:
    drawn = draw(patience, 4000)

    assert sum(drawn) / len(drawn) == pytest.approx(SECOND / 2, rel=0.1)


@pytest.mark.parametrize("value", [("1s", "3s"), patience], ids=["range", "function"])
def test_a_seed_is_a_run_and_each_thread_has_pauses_of_its_own(value: Any) -> None:
    assert draw(value, seed=1) == draw(value, seed=1)
    assert draw(value, seed=1) != draw(value, seed=2)
    assert draw(value, thread=1) != draw(value, thread=2)


def test_no_pause_is_none() -> None:
    assert pauses(parse_think_time(0), 0, 0) is None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (("3s", "1s"), "think_time takes a range like ('1s', '3s'), the smaller end first, not ('3s', '1s')"),
        (("1s",), "think_time takes a range like ('1s', '3s'), not ('1s',)"),
        (("1s", "soon"), "cannot read the think_time 'soon'; write it like '30s', '250ms' or '1m30s'"),
        (lambda: 1.0, "think_time: <lambda> takes a random.Random and returns seconds like 1.5: too many positional"),
        (lambda source: None, "think_time: <lambda> takes a random.Random and returns seconds like 1.5, not None"),
        (lambda source: -1, "think_time: <lambda> takes a random.Random and returns seconds like 1.5, not -1"),
        (lambda source: float("nan"), "think_time: <lambda> takes a random.Random and returns seconds like 1.5, not"),
    ],
)
def test_what_is_no_think_time_is_told_before_anything_is_sent(value: Any, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        pauses(parse_think_time(value), 0, 0)
    assert str(caught.value).startswith(said)


def test_a_function_is_not_called_when_a_value_is_made_or_changed() -> None:
    calls: list[Random] = []

    def think(source: Random) -> float:
        calls.append(source)
        return 0.0

    made = Scenario(base_url="http://h", endpoints=[Endpoint("GET", "/")], think_time=think)
    made.replace(threads=2).replace(seed=1)

    assert calls == []


def test_a_function_that_fails_later_halts_the_run_with_its_own_words() -> None:
    values = iter([1.0, "soon"])
    one = pauses(parse_think_time(lambda source: next(values)), 0, 0)
    assert one
    assert one() == SECOND
    with pytest.raises(PauseError, match=r"returns seconds like 1\.5, not 'soon'"):
        one()


def test_a_think_time_is_told_as_it_is_typed() -> None:
    assert [describe_think_time(parse_think_time(value)) for value in (0, "250ms", ("1s", "1m30s"), patience)] == [
        "",
        "250ms",
        "1s to 1m30s",
        "drawn by patience",
    ]


def test_threads_begin_spread_over_the_longest_pause() -> None:
    assert [longest_pause(parse_think_time(value)) for value in (0, "2s", ("1s", "3s"), patience)] == [
        0,
        2 * SECOND,
        3 * SECOND,
        0,
    ]
