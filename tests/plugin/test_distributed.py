"""Load tests under pytest-xdist: while one waits for another, no clock that times it runs."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from loadkit.server.demo import Demo

pytest_plugins = "pytester"

pytestmark = pytest.mark.slow  # each run starts two workers

CONFTEST = """
import json, os, time
import pytest

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):  # where pytest-timeout starts its clock, and stops it
    began = time.monotonic()
    yield
    if "load" in item.fixturenames:
        told = {"worker": os.environ["PYTEST_XDIST_WORKER"], "began": began, "ended": time.monotonic()}
        (item.config.rootpath / f"{item.name}.json").write_text(json.dumps(told))
"""

TESTS = """
import pytest

@pytest.mark.parametrize("number", range(4))
def test_load(load, number):
    load("{url}/", threads=1, duration="300ms")

@pytest.mark.parametrize("number", range(4))
def test_plain(number):
    pass
"""


def told(pytester: pytest.Pytester, demo: Demo, *arguments: str) -> list[dict[str, float]]:
    """What a plugin that times tests sees of those that load, as they began."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_it=TESTS.replace("{url}", demo.url))
    pytester.runpytest_subprocess("-n", "2", *arguments).assert_outcomes(passed=8)
    found = [json.loads(file.read_text()) for file in pytester.path.glob("test_load*.json")]
    return sorted(found, key=lambda one: one["began"])


def test_in_another_distribution_a_test_that_waits_for_others_has_not_begun(pytester: pytest.Pytester, demo: Demo):
    found = told(pytester, demo, "--dist", "load")

    assert len({one["worker"] for one in found}) == 2
    assert all(earlier["ended"] <= later["began"] for earlier, later in pairwise(found))
