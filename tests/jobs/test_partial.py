"""How often what a run has counted so far is written: as often as it may, for its share of the time."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from loadkit.jobs.partial import Partial
from loadkit.measure.recording import Recording
from loadkit.report.json import load
from tests.results import Sample, measured
from tests.waiting import wait_for

RESULT = measured([Sample()])


def use_cpu(milliseconds: float) -> None:
    end = time.thread_time() + milliseconds / 1000
    while time.thread_time() < end:
        pass


@pytest.mark.parametrize(
    ("of_the_run", "of_its_own", "seconds"),
    [
        pytest.param(0, 0, 1, id="one that costs little waits for a second"),
        pytest.param(30, 0, 3, id="what the run itself does for it counts"),
        pytest.param(0, 30, 3, id="and what its own thread does"),
    ],
)
def test_the_next_one_waits_until_the_last_one_has_taken_a_hundredth_of_the_time(
    tmp_path: Path, of_the_run: float, of_its_own: float, seconds: float
) -> None:
    instant = 0.0

    def so_far() -> Any:
        use_cpu(of_the_run)
        return SimpleNamespace(recording=Recording())

    def make(*_: Any) -> Any:
        use_cpu(of_its_own)
        return RESULT

    partial = Partial(tmp_path / "out.json", now=lambda: int(instant * 1e9))
    with partial.during(make):
        assert not partial.is_due
        instant = 1
        assert partial.is_due
        partial.take(so_far)
        assert not partial.is_due
        instant = 1000
        wait_for(lambda: partial.is_due)
        instant = 1 + seconds * 0.99
        assert not partial.is_due
        # a little CPU is taken by what is around
        instant = 1 + seconds + 3
        assert partial.is_due

    assert load(partial.path)[0].requests == 1
