"""Options of functional tests under load: phases, rows of fixtures, what is stored and told of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = "pytester"

SUITE = """
import asyncio, itertools, time
import pytest

numbers = itertools.count()


@pytest.fixture
def order():
    time.sleep(0.02)
    yield 1
    time.sleep(0.01)


@pytest.fixture
def shaky():
    assert next(numbers) % 2


@pytest.fixture
async def opened():
    await asyncio.sleep(0.02)
    yield 1


def test_buy(order): pass
def test_shaky(shaky): pass
async def test_async(opened): pass
"""


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run its tests within this process."""
    return project.runpytest_inprocess("-p", "no:cacheprovider", *arguments)


def stored(project: pytest.Pytester) -> dict[str, Any]:
    (file,) = Path(project.path, "out").glob("*.json")
    result: dict[str, Any]
    (result,) = json.loads(file.read_text(encoding="utf-8"))["results"]
    return result


def test_phases_shape_the_load(project: pytest.Pytester):
    project.makepyfile(test_it="import time\ndef test_it(): time.sleep(0.001)")

    found = run(project, "--load-phase", "ramp:300ms:2", "--load-phase", "hold:300ms", "--load-json", "out")

    found.assert_outcomes(passed=1)
    found.stdout.fnmatch_lines(["1 test in phases of 600ms in all"])
    assert len(stored(project)["phases"]) == 2


def test_a_phase_that_cannot_be_read_is_said_in_a_line(project: pytest.Pytester):
    project.makepyfile(test_it="def test_it(): pass")

    found = run(project, "--load-phase", "up:30s")

    assert found.ret == 4
    found.stderr.fnmatch_lines(["ERROR: cannot read the phase 'up:30s'; write it like ramp:30s:50, *"])


def test_fixtures_have_rows_of_their_own_where_that_is_asked_for(project: pytest.Pytester):
    project.makepyfile(test_it=SUITE)

    # the threads hold: one of the rows of a test is its own, and no business of another's
    limits = ["--load-threshold", "test_buy setup: p50 < 1ms", "--load-threshold", "test_buy: error_rate < 1%"]
    found = run(
        project, "--load-threads", "1", "--load-iterations", "30", "--load-fixtures", "--load-json", "out", *limits
    )

    found.assert_outcomes(passed=1, failed=2)
    found.stdout.fnmatch_lines(["test_buy setup: p50 < 1ms: *", "5 of 10 runs failed"])
    rows = {one["name"]: one for one in stored(project)["timings"]}
    assert {name: row["count"] for name, row in rows.items()} == {
        "test_buy": 10,
        "test_buy setup": 10,
        "test_buy teardown": 10,
        "test_shaky": 10,
        "test_shaky setup": 10,
        "test_shaky teardown": 5,
        "test_async": 10,
        "test_async setup": 10,
        "test_async teardown": 10,
    }
    assert rows["test_buy"]["response_time"]["p50"] < 0.01
    assert rows["test_buy setup"]["response_time"]["min"] >= 0.02
    assert rows["test_async setup"]["response_time"]["min"] >= 0.02
    assert rows["test_buy teardown"]["response_time"]["min"] >= 0.01
    assert rows["test_shaky setup"]["failures"] == {"setup": 5}
