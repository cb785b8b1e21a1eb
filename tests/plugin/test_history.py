"""`--load-history` keeps a line for each run of a session, for `loadkit history`."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadkit.jobs.history import read_history
from loadkit.server.demo import Demo
from tests.conftest import Call

pytest_plugins = "pytester"

TESTS = """
from loadkit import Endpoint, Scenario

shop = Scenario(base_url="{url}", endpoints=[Endpoint("GET", "/")], threads=2, iterations=20)

def test_load(load):
    load(shop)
    load(shop, iterations=7)

def test_missed(load):
    assert load(shop).throughput < 0
"""


@pytest.fixture
def project(project: pytest.Pytester, demo: Demo) -> pytest.Pytester:
    """A project with a test that passes and one that fails."""
    project.makepyfile(test_it=TESTS.replace("{url}", demo.url))
    return project


@pytest.mark.parametrize(
    ("setting", "arguments"),
    [
        pytest.param("", ["--load-history", "kept"], id="option"),
        pytest.param('load_history = "kept"', [], id="setting"),
        pytest.param("", ["--load-history", "kept", "-n", "2"], id="workers", marks=pytest.mark.slow),
    ],
)
def test_each_run_of_a_session_is_kept(
    project: pytest.Pytester, call: Call, monkeypatch: pytest.MonkeyPatch, setting: str, arguments: list[str]
):
    project.makepyprojecttoml(f"[tool.pytest]\n{setting}")
    if "-n" in arguments:
        monkeypatch.delenv("PYTEST_ADDOPTS")  # which leaves pytest-xdist out
    run = project.runpytest_subprocess if "-n" in arguments else project.runpytest_inprocess

    run("-p", "no:cacheprovider", *arguments).assert_outcomes(passed=1, failed=1)

    runs, faults = read_history(project.path / "kept")
    assert faults == []
    assert sorted((run.identity.name, run.total.requests) for run in runs) == [
        ("test_it.py::test_load", 20),
        ("test_it.py::test_load #2", 7),
        ("test_it.py::test_missed", 20),
    ]
    assert "━━ test_it.py::test_missed ━" in call("history", "test_missed", "--history", "kept").stdout


def test_a_history_that_cannot_be_written_to_is_told_before_anything_runs(project: pytest.Pytester):
    done = project.runpytest_inprocess("-p", "no:cacheprovider", "--load-history", "test_it.py/kept")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["ERROR: cannot write to the history in *test_it.py/kept: not a directory"])


def test_what_cannot_be_kept_costs_nothing_else_and_fails_the_session(project: pytest.Pytester):
    folder = project.path / "kept"
    away = f"\n    import shutil\n    shutil.rmtree({str(folder)!r})\n"
    file = Path(project.path / "test_it.py")
    file.write_text(file.read_text() + "\ndef test_last(load):\n    load(shop)" + away)

    done = project.runpytest_inprocess("-p", "no:cacheprovider", "--load-history", "kept", "-k", "load or last")

    assert done.ret == pytest.ExitCode.INTERNAL_ERROR
    done.stdout.fnmatch_lines([f"*cannot write {folder}*: no such file or directory*"])
    done.assert_outcomes(passed=2, failed=1)
