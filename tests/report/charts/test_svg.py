"""Scales end at round numbers, and outlines are where the values are."""

from __future__ import annotations

import pytest

from loadkit.report.charts.svg import Scale, Tick, dots, even, filled, line, logarithmic, near, spans, spared, steps


@pytest.mark.parametrize(
    ("top", "marks"),
    [
        (7250, [0, 2000, 4000, 6000, 8000]),
        (1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.00213, [0, 0.0005, 0.001, 0.0015, 0.002, 0.0025]),
        (5, [0, 1, 2, 3, 4, 5]),
        # nothing was measured: an axis all the same
        (0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (5e-324, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (float("inf"), [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
    ],
)
def test_an_even_scale_starts_at_nothing_and_ends_at_a_round_number(top: float, marks: list[float]):
    scale, found = even(top)

    assert found == pytest.approx(marks)
    assert (scale.low, scale.high) == (0, pytest.approx(marks[-1]))


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [
        (0.0100, 0.0112, [0.0095, 0.0100, 0.0105, 0.0110, 0.0115]),
        (1_500, 1_900, [1_400, 1_500, 1_600, 1_700, 1_800, 1_900, 2_000]),
        # all alike: some room all the same
        (10, 10, [9.8, 9.9, 10, 10.1, 10.2]),
    ],
)
def test_a_scale_around_values_ends_at_round_numbers(low: float, high: float, marks: list[float]):
    scale, found = near(low, high)

    assert found == pytest.approx(marks)
    assert (scale.low, scale.high) == (pytest.approx(marks[0]), pytest.approx(marks[-1]))


def test_dots_are_points_without_length():
    assert dots([(0, 0), (50, 25)]) == "M0 1000h0M500 750h0"


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [
        (0.0003, 0.004, [2e-4, 5e-4, 1e-3, 2e-3, 5e-3]),
        (0.001, 0.001, [1e-3, 2e-3]),
        # of many decades only the powers of ten
        (0.0002, 9.0, [1e-3, 1e-2, 1e-1, 1.0, 10.0]),
        (0.0005, 0.5, [1e-3, 1e-2, 1e-1]),
    ],
)
def test_a_logarithmic_scale_holds_what_it_shows(low: float, high: float, marks: list[float]):
    scale, found = logarithmic(low, high)

    assert found == pytest.approx(marks)
    assert scale.low <= low * (1 + 1e-9)
    assert scale.high >= high * (1 - 1e-9)
    assert 0 <= scale.place(low) <= scale.place(high) <= 100
    assert scale.place((scale.low * scale.high) ** 0.5) == pytest.approx(50)


@pytest.mark.parametrize(
    ("length", "marks"),
    [
        (10, [0, 2, 4, 6, 8, 10]),
        (18, [0, 5, 10, 15]),
        (2400, [0, 600, 1200, 1800, 2400]),
        (0.35, [0, 0.1, 0.2, 0.3]),
        (86_400 * 30, [86_400 * 5 * k for k in range(7)]),
    ],
)
def test_times_since_the_start_are_round(length: float, marks: list[float]):
    assert spans(length) == pytest.approx(marks)


def test_what_lies_beyond_a_scale_is_put_at_its_end():
    assert Scale(0, 10).place(12) == 100
    assert Scale(1, 10, is_log=True).place(0) == 0


def test_steps_are_level_and_broken_where_nothing_is_known():
    pieces = [(0.0, 25.0, 10.0), (25.0, 50.0, 20.0), (50.0, 75.0, None), (75.0, 100.0, 100.0)]

    assert steps(pieces) == "M0 900V900H250V800H500M750 0V0H1000"
    assert filled(pieces) == "M0 1000V900H250V800H500V1000ZM750 1000V0H1000V1000Z"
    assert steps([(0.0, 50.0, None)]) == ""


def test_a_line_of_one_point_is_a_dot():
    assert line([(50.0, 50.0)]) == "M500 500h0"
    assert line([(0.0, 0.0), (100.0, 100.0)]) == "M0 1000L1000 0h0"
    assert line([]) == ""


@pytest.mark.parametrize(
    ("labels", "spare"),
    [
        ({0: "0", 20: "2,000", 40: "4,000", 60: "6,000", 80: "8,000", 100: "10,000"}, ["8,000"]),
        ({0: "0", 20: "200", 40: "400", 60: "600", 80: "800", 100: "1,000"}, []),
        ({0: "1", 33: "10", 67: "100", 100: "1,000"}, []),
        ({0: "100,000", 13: "200,000", 30: "500,000", 43: "1,000,000"}, ["100,000", "500,000"]),
        ({}, []),
    ],
)
def test_labels_that_would_touch_one_to_their_right_are_spare(labels: dict[float, str], spare: list[str]):
    found = spared([Tick(place, label) for place, label in labels.items()])

    assert [one.label for one in found] == list(labels.values())
    assert [one.label for one in found if one.is_spare] == spare
