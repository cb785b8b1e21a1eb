"""Options of functional tests under load: phases, rows of fixtures, what is stored and told of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from loadkit.server.demo import Demo
from tests.conftest import Call

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


@pytest.mark.parametrize("word", ["", "async "])
def test_what_a_fixture_times_is_in_no_figure(project: pytest.Pytester, word: str):
    project.makepyfile(
        test_it=f"""
        import pytest
        from loadkit import timer

        @pytest.fixture
        {word}def order():
            with timer("before"): pass
            yield 1
            with timer("after"): pass

        {word}def test_it(order):
            with timer("within"): pass
        """
    )

    run(project, "--load-threads", "1", "--load-iterations", "20", "--load-json", "out").assert_outcomes(passed=1)

    assert {one["name"] for one in stored(project)["timings"]} == {"test_it", "within"}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--load-duration=1s", "--load-duration is for load tests, and these are tests under load; say how long with"),
        ("--load-against=main", "--load-against compares short rounds; leave --load-iterations out"),
        ("--no-load", "--no-load is for load tests, and these are tests under load; leave it away"),
        ("--load-only", "--load-only is for load tests, and these are tests under load; leave it away"),
    ],
)
def test_what_tests_under_load_do_not_follow_is_refused(project: pytest.Pytester, option: str, message: str):
    project.makepyfile(test_it="def test_it(): pass")

    found = run(project, "--load-threads", "1", "--load-iterations", "2", option)

    assert found.ret == 4
    assert f"ERROR: {message}" in found.stderr.str()


def test_the_figures_of_each_test_are_properties_in_the_xml(project: pytest.Pytester):
    project.makepyfile(test_it="def test_one(): pass\ndef test_two(): pass\n")

    run(project, "--load-threads", "2", "--load-iterations", "60", "--junitxml", "out.xml")

    cases = list(ET.parse(project.path / "out.xml").iter("testcase"))
    assert [case.get("name") for case in cases] == ["test_one", "test_two"]
    for case in cases:
        found = {one.attrib["name"]: float(one.attrib["value"]) for one in case.iter("property")}
        assert found["load.count"] == 30
        assert 0 < found["load.p50"] <= found["load.p99"] <= found["load.max"]


def test_runs_are_saved_compared_and_reported_again(project: pytest.Pytester, demo: Demo, call: Call):
    project.makepyfile(
        test_it=f"""
        import requests

        def test_it(): assert requests.get("{demo.url}/items/3").status_code == 200
        """
    )
    load = ["--load-threads", "2", "--load-iterations", "40"]

    run(project, *load, "--load-save", "main", "--load-json", "before").assert_outcomes(passed=1)
    found = run(project, *load, "--load-compare", "main", "--load-json", "after")

    found.assert_outcomes(passed=1)
    found.stdout.fnmatch_lines(["beside the baseline main:", "*test_it: p50 *"])
    files = [str(*Path(project.path, folder).glob("*.json")) for folder in ("before", "after")]
    assert re.search("test_it +40", call("report", files[0]).stdout)
    assert re.search("error rate +0 % +0 %", call("compare", *files).stdout)


def test_a_run_in_which_a_test_failed_is_in_no_baseline(project: pytest.Pytester):
    project.makepyfile(test_it="def test_it(): pass\ndef test_fails(): assert False")

    found = run(project, "--load-threads", "1", "--load-iterations", "20", "--load-save", "main")

    found.assert_outcomes(passed=1, failed=1)
    found.stdout.fnmatch_lines(["*not saved in the baseline main: tests under load (failed)*"])
    assert not Path(project.path, ".loadkit", "baselines", "main.json").exists()


SCENARIOS = """
[tool.pytest]
load_scenarios = [
    "checkout: tests/test_shop.py -k 'buy or pay' --load-threads 2 --load-iterations 40",
    "browse: tests --load-rate 50/s --load-for 200ms",
    "plain: tests/test_shop.py",
]
"""


@pytest.fixture
def scenarios(project: pytest.Pytester) -> pytest.Pytester:
    """A project whose settings name tests as scenarios."""
    project.makepyprojecttoml(SCENARIOS)
    project.mkdir("tests")
    code = "def test_buy(): pass\ndef test_pay(): pass\ndef test_search(): pass\n"
    (project.path / "tests" / "test_shop.py").write_text(code, encoding="utf-8")
    return project


@pytest.mark.parametrize(
    ("arguments", "counts", "why"),
    [
        (["--load-scenario", "checkout"], {"test_buy": 20, "test_pay": 20}, "it is run as the settings say"),
        (["--load-scenario=checkout", "--load-iterations", "10"], {"test_buy": 5, "test_pay": 5}, "an option wins"),
        (["--load-scenario", "checkout", "-k", "search"], {"test_search": 40}, "and so does a choice"),
    ],
)
def test_settings_name_tests_as_a_scenario(
    scenarios: pytest.Pytester, arguments: list[str], counts: dict[str, int], why: str
):
    run(scenarios, *arguments, "--load-json", "out").assert_outcomes(passed=len(counts))

    result = stored(scenarios)
    assert result["identity"]["name"] == "checkout"
    assert {one["name"]: one["count"] for one in result["timings"]} == counts, why


def test_files_of_the_settings_are_found_from_another_folder(
    scenarios: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(scenarios.mkdir("docs"))

    run(scenarios, "--load-scenario", "checkout").assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("settings", "name", "message"),
    [
        (SCENARIOS, "chekout", "there is no scenario 'chekout' in load_scenarios; there are checkout, browse, plain"),
        (SCENARIOS, "plain", "the scenario plain says no load; add --load-threads 20 to it in load_scenarios"),
        ("", "buy", "there is no scenario 'buy' in load_scenarios; write it like 'checkout: tests/test_shop.py"),
        ("[tool.pytest]\nload_scenarios = ['buy']", "buy", "cannot read 'buy' in load_scenarios; write it like 'check"),
        ("[tool.pytest]\nload_scenarios = ['a: \"']", "a", "cannot read 'a: \"' in load_scenarios; write it like"),
    ],
)
def test_a_scenario_that_cannot_be_run_is_said_in_a_line(
    scenarios: pytest.Pytester, settings: str, name: str, message: str
):
    scenarios.makepyprojecttoml(settings)

    found = run(scenarios, "--load-scenario", name)

    assert found.ret == 4
    assert f"ERROR: {message}" in found.stderr.str()
