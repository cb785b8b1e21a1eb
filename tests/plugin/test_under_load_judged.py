"""Functional tests under load that are run in rounds, compared, and searched for the load that they hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from loadkit.judge.limit.limit import Limit
from loadkit.report.json import load_stored
from tests.conftest import Call
from tests.jobs.test_limit import queueing

pytest_plugins = "pytester"

ROUNDS = ["--load-threads", "1", "--load-iterations", "30", "--load-repeat", "4"]


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run its tests within this process."""
    return project.runpytest_inprocess("-p", "no:cacheprovider", *arguments)


def stored(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def test_rounds_are_stored_together_and_judged_by_all_of_them(project: pytest.Pytester):
    project.makepyfile(
        test_it="""
        import itertools
        numbers = itertools.count()

        def test_late(): assert next(numbers) < 100
        """
    )

    found = run(project, *ROUNDS, "--load-json", "out")

    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(["20 of 120 runs failed"])
    results = stored(project.path / "out" / "tests-under-load.json")["results"]
    assert [one["timings"][0]["count"] for one in results] == [30] * 4


@pytest.mark.parametrize(
    ("code", "options", "code_of_exit", "line"),
    [
        ("time.sleep(0.02)", [], 1, "worse than the baseline main: *p50 *"),
        ("assert time is None", [], 1, "worse than the baseline main: *"),
        (
            "time.sleep(0.004)",
            ["--load-tolerance", "400%"],
            0,
            "  tests under load *against the baseline main*no worse",
        ),
    ],
)
def test_rounds_that_are_worse_than_those_of_a_baseline_fail_all_tests(
    project: pytest.Pytester, code: str, options: list[str], code_of_exit: int, line: str
):
    project.makepyfile(test_it="import time\ndef test_it(): time.sleep(0.004)\n")
    run(project, *ROUNDS, "--load-save", "main").assert_outcomes(passed=1)
    project.makepyfile(test_it=f"import time\ndef test_it(): {code}\n")

    found = run(project, *ROUNDS, "--load-compare", "main", "--load-compare-fail", *options)

    assert found.ret == code_of_exit
    found.stdout.fnmatch_lines([line])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_tests_find_the_limit_of_a_server_whose_workers_can_do_so_much(project: pytest.Pytester, call: Call):
    file = project.makepyfile(
        test_shop="import requests\ndef test_buy(load_server): assert requests.get(load_server).text == 'ok'\n"
    )
    limit = [f"{file}::test_buy", "-t", "test_buy: p90 < 300ms", "--budget", "200s", "-o", "found.json"]

    with queueing(40, 4) as url:
        assert call("limit", *limit, "--base-url", url).returncode == 0

    found = load_stored(project.path / "found.json")
    assert isinstance(found, Limit)
    # 100/s, and a little less for what a busy machine adds
    assert 100 * 0.75 <= found.rate <= 100 * 1.05, found
    assert found.rate < found.failed, found


def test_a_limit_is_searched_among_the_rates_of_tests(project: pytest.Pytester):
    project.makepyfile(test_it="import time\ndef test_it(): time.sleep(0.002)\n")
    search = ["--load-limit", "rate", "--load-threshold", "test_it: p99 < 1s", "--load-json", "out"]

    found = run(project, *search, "--load-budget", "2s")

    # the search itself has tests of its own, and takes a minute
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(["limit of tests under load: no rate was found to hold: the budget of 2s *"])
    assert stored(project.path / "out" / "tests-under-load-limit.json")["ending"] == "cannot tell"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--load-limit", "rate", "--load-threads", "3"],
            "--load-limit tries loads of its own; leave --load-threads out",
        ),
        (
            ["--load-limit", "rate", "--load-repeat", "3"],
            "--load-limit tries loads of its own; leave --load-repeat out",
        ),
        (["--load-limit", "most"], "a limit is searched by rate or by threads, not by 'most'"),
        (["--load-limit", "rate"], "there is no threshold to search by; give one like -t 'p99 < 100ms'"),
    ],
)
def test_what_a_search_cannot_follow_is_refused(project: pytest.Pytester, arguments: list[str], message: str):
    project.makepyfile(test_it="def test_it(): pass")

    found = run(project, *arguments)

    assert found.ret == 4
    assert f"ERROR: {message}" in found.stderr.str()


# -- on the command line of loadkit


def test_loadkit_run_stores_the_result_of_tests(project: pytest.Pytester, call: Call):
    file = project.makepyfile(test_it="def test_it(): pass")
    options = ["-c", "2", "-n", "20", "--repeat", "2", "-o", "out.json", "--junit", "out.xml", "-q"]

    assert call("run", str(file), *options).returncode == 0

    assert [one["timings"][0]["count"] for one in stored(project.path / "out.json")["results"]] == [20, 20]
    assert "load.p99" in (project.path / "out.xml").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "--think-time", "1s"], "--think-time is for scenarios; tests under load take --threads, --processes,"),
        (["limit", "--at-least", "5/s"], "--at-least is for scenarios; tests under load take --by, --budget,"),
        (["compare"], "Missing option '--against': of tests a revision, the URL of another server, or before.json"),
        (["compare", "--against", "main", "--control", "demo"], "--control is for scenarios; tests under load take"),
        (
            ["run", "-n", "2", "--junit", "-"],
            "of tests --junit takes a file like report.xml, not '-': stdout is pytest's",
        ),
        (["run", "-n", "2", "-o", "-"], "--output takes the name of a file like result.json, not '-'"),
    ],
)
def test_what_tests_do_not_take_is_refused_by_name(
    project: pytest.Pytester, call: Call, words: list[str], message: str
):
    file = project.makepyfile(test_it="def test_it(): pass")

    found = call(words[0], str(file), *words[1:])

    assert found.returncode == 4
    assert message in found.stderr
