"""Which figure a number is: told by the object that a test read, and by its value only where that is new each time."""

from __future__ import annotations

import pytest

from loadkit.jobs.testing.runs import Run
from loadkit.jobs.testing.terminal import explain_value
from tests.results import Sample, measured

RESULT = measured([Sample(k % 2) for k in range(50)])
RUNS = [Run(test="test_it.py::test", number=1, result=RESULT)]


@pytest.mark.parametrize(
    ("value", "name"),
    [
        # every request took 5 ms, so all of these have the same value
        (RESULT.p50, "p50 of browse"),
        (RESULT.p99, "p99 of browse"),
        (RESULT["a"].p99, "p99 of a in browse"),
        (RESULT.response_time.max, "slowest of browse"),
    ],
)
def test_figures_of_the_same_value_are_told_apart(value: float, name: str):
    assert [line.partition(":")[0] for line in explain_value(value, RUNS)] == [name]


@pytest.mark.parametrize("value", [12345.678, 50, "p99", None])
def test_what_is_no_figure_is_not_explained(value: object):
    assert explain_value(value, RUNS) == []
