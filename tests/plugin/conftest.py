"""A project whose tests are run within this process, where each run costs a fraction of a process of its own.

Imports beforehand what a run within this process would import anew, and pytester takes out of `sys.modules` again.
Then a later test would have two of each: the package `http` keeps its `cookiejar`, so that `requests` gets the first
one and `loadkit` a new one, and neither knows the cookies of the other.
"""

from __future__ import annotations

import importlib
import textwrap
from collections.abc import Callable
from typing import TypeAlias

import pytest

from loadkit.server.demo import Demo

for name in (
    "hdrh.histogram",
    "jinja2",
    "loadkit.drive.journeys.runner",
    "loadkit.jobs.partial",
    "loadkit.jobs.printing",
    "loadkit.jobs.testing.collect",
    "loadkit.jobs.testing.reporting",
    "loadkit.jobs.testing.server",
    "loadkit.plan.loader",
    "loadkit.plan.once",
    "loadkit.report.html",
    "loadkit.report.markdown",
    "loadkit.report.progress",
    "rich.cells",
):
    importlib.import_module(name)

OTHERS = ("anyio", "hypothesispytest", "requests_mock", "time_machine", "timeout", "xdist", "xdist.looponfail")
"""Plugins whose loading takes a third of a run's time."""

HEAD = """
import pytest
import loadkit
from loadkit import Endpoint, Journey, Scenario, timer

URL = "{url}"
shop = Scenario(
    base_url=URL,
    endpoints=[Endpoint("GET", "/"), Endpoint("GET", "/items/3", name="item")],
    threads=2,
    iterations=40,
)


def browse(http):
    assert http.get("/items/3").json()["id"] == 3


def fails(http):
    assert http.get("/items/3").status_code == 201


def plain(http):
    sum(range(1000))
"""

Run: TypeAlias = Callable[..., pytest.RunResult]


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """An empty project whose pytest is strict, on a terminal of 100 columns, without the plugins of others."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.setenv("PYTEST_ADDOPTS", " ".join(f"-p no:{name}" for name in OTHERS))
    pytester.makepyprojecttoml('[tool.pytest]\nstrict = true\nfilterwarnings = ["error"]')
    return pytester


@pytest.fixture
def run(project: pytest.Pytester, demo: Demo) -> Run:
    """Run a test file, whose code follows a small scenario and journeys, and return what pytest printed."""

    def run_it(code: str, *arguments: str, **options: bool) -> pytest.RunResult:
        project.makepyfile(test_it=HEAD.format(url=demo.url) + textwrap.dedent(code))
        return project.runpytest_inprocess("-p", "no:cacheprovider", *arguments, **options)

    return run_it


def errors(result: pytest.RunResult) -> list[str]:
    """The lines that say why a test failed."""
    return [line.removeprefix("E").strip() for line in result.outlines if line.startswith("E ")]
