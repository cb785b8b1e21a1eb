"""Time through its one door: the real clock, and the one moved by hand."""

from __future__ import annotations

import time

import pytest

from loadkit.clock import ManualClock, SystemClock

MILLISECOND = 1_000_000


def test_the_wall_clock_is_the_monotonic_one_and_an_offset() -> None:
    clock = SystemClock()
    before, wall, after = clock.now(), time.time_ns(), clock.now()
    assert before - MILLISECOND < wall - clock.wall_offset < after + MILLISECOND


@pytest.mark.parametrize(
    "step",
    [
        3600 * 10**9,  # summer time, wrongly done
        -5 * 10**9,
        10 * MILLISECOND,
        -10 * MILLISECOND,
    ],
)
def test_a_step_of_the_wall_clock_is_noticed_told_and_followed(step: int) -> None:
    clock = SystemClock()
    true = clock.wall_offset
    clock.wall_offset -= step  # as if the wall clock had been set by `step` since
    moved = clock.reanchor()
    assert moved == pytest.approx(step, abs=MILLISECOND)
    assert clock.steps == [moved]
    assert clock.wall_offset == pytest.approx(true, abs=MILLISECOND)


def test_a_small_difference_is_corrected_and_is_no_step() -> None:
    clock = SystemClock()
    true = clock.wall_offset
    clock.wall_offset -= 1000
    moved = clock.reanchor()
    # 0 where reading the clocks is less exact than that
    assert abs(moved) < 100_000
    assert clock.steps == []
    assert clock.wall_offset == pytest.approx(true, abs=100_000)


def never() -> bool:
    """Nobody wakes the pause."""
    return False


@pytest.mark.parametrize("span", [0, -5, 1 << 62])
def test_a_pause_that_is_not_wanted_does_not_begin(span: int) -> None:
    SystemClock().pause(span, lambda: True)


def test_a_pause_is_ended_by_whoever_wakes_it() -> None:
    asked = iter([False, True])
    clock = SystemClock()
    began = clock.now()
    clock.pause(3600 * 10**9, lambda: next(asked))
    assert clock.now() - began < 30 * 10**9


@pytest.mark.parametrize("span", [0, -5, 1, 3 * MILLISECOND])
def test_a_pause_is_as_long_as_asked(span: int) -> None:
    clock = SystemClock()
    began = clock.now()
    clock.pause(span, never)
    assert clock.now() - began >= span


def test_a_clock_moved_by_hand_stands_still_between() -> None:
    clock = ManualClock(5)
    assert (clock.now(), clock.now()) == (5, 5)
    clock.advance(7)
    assert clock.now() == 12
    with pytest.raises(AssertionError, match="time does not go back"):
        clock.advance(-1)


def test_its_pause_moves_it_unless_woken() -> None:
    clock = ManualClock(0)
    clock.pause(7, never)
    clock.pause(-7, never)
    assert clock.now() == 7
    clock.pause(7, lambda: True)
    assert clock.now() == 7
    assert clock.reanchor() == 0
