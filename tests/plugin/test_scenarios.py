"""Scenario files as tests: which are collected, how they pass and fail, and that `loadkit run` says the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from loadkit.server.demo import Demo
from tests.conftest import Call

pytest_plugins = "pytester"

FILE = '''"""Shoppers."""
from loadkit import Endpoint, Scenario

home = Scenario(base_url="{url}", endpoints=[Endpoint("GET", "/")], threads=2, iterations=20)

strict = home.replace(thresholds=["p99 < 1ns", "requests >= 20"])
'''

Make = Callable[..., Path]


@pytest.fixture
def file(project: pytest.Pytester, demo: Demo) -> Make:
    """Write a scenario file of that name; `home` passes and `strict` does not."""

    def make(name: str, text: str = FILE) -> Path:
        path = project.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.replace("{url}", demo.url))
        return path

    return make


def collected(pytester: pytest.Pytester, *arguments: str) -> list[str]:
    done = pytester.runpytest_inprocess("--collect-only", "-q", "-p", "no:cacheprovider", *arguments)
    return [line for line in done.outlines if "::" in line]


def test_files_are_collected_by_their_name_or_because_they_were_named(file: Make, pytester: pytest.Pytester):
    for name in ("scenarios/scenario_shop.py", "scenarios/shop.py", "scenarios/test_shop.py"):
        file(name)

    assert collected(pytester) == ["scenarios/scenario_shop.py::home", "scenarios/scenario_shop.py::strict"]
    assert collected(pytester, "scenarios/shop.py") == ["scenarios/shop.py::home", "scenarios/shop.py::strict"]
    assert collected(pytester, "scenarios/shop.py::strict") == ["scenarios/shop.py::strict"]
    # the scenarios of a file of tests are what its tests load
    assert collected(pytester, "scenarios/test_shop.py") == []
    # their names are a setting
    pytester.makepyprojecttoml('[tool.pytest]\nload_files = ["sh*.py"]')
    assert collected(pytester) == ["scenarios/shop.py::home", "scenarios/shop.py::strict"]


def test_a_file_that_was_named_gives_its_tests_too(file: Make, pytester: pytest.Pytester):
    text = FILE + "\n\ndef test_home(load):\n    assert load(home).requests == 20\n"
    file("shop.py", text)
    file("scenario_shop.py", text)

    assert collected(pytester, "shop.py") == ["shop.py::home", "shop.py::strict", "shop.py::test_home"]
    assert collected(pytester) == ["scenario_shop.py::home", "scenario_shop.py::strict"]
    pytester.runpytest_inprocess("shop.py", "-k", "home").assert_outcomes(passed=2, deselected=1)


def test_a_file_without_a_scenario_is_pytests_own(pytester: pytest.Pytester):
    pytester.makepyfile(plain="def test_it():\n    pass\n")

    assert collected(pytester, "plain.py") == ["plain.py::test_it"]


def test_a_missed_threshold_fails_with_its_value_its_place_and_the_report(file: Make, pytester: pytest.Pytester):
    file("scenarios/scenario_shop.py")

    done = pytester.runpytest_inprocess("--load-report", "full")

    done.assert_outcomes(passed=1, failed=1)
    done.stdout.re_match_lines(
        [
            r"_+ strict _+",
            r"E   p99 < 1ns: [\d.]+ [mu]?s",
            r"E   \(strict: 1 of 2 thresholds missed\)",
            r"scenarios/scenario_shop\.py:6: strict",
            r"-+ load: strict -+",
            r"━━ scenarios/scenario_shop\.py::strict ━+",
            r"FAILED 1 of 2 thresholds",
            r"95 % confidence .*",
            r"=+ load tests =+",
            r"test +.* figures",
            r"  scenarios/scenario_shop.py::home .* (?:clean|doubtful)",
            r"  scenarios/scenario_shop.py::strict .* (?:clean|doubtful)",
            r"FAILED scenarios/scenario_shop.py::strict - p99 < 1ns: [\d.]+ [mu]?s",
        ],
    )
    assert "Traceback" not in done.stdout.str()


def test_pytests_own_choices_work(file: Make, pytester: pytest.Pytester):
    file("scenario_shop.py", FILE.replace("strict =", "a_strict =") + "last = home.replace(threads=1)\n")

    pytester.runpytest_inprocess("-k", "home").assert_outcomes(passed=1, deselected=2)
    pytester.runpytest_inprocess("-x").assert_outcomes(passed=1, failed=1)
    pytester.runpytest_inprocess("-m", "not load").assert_outcomes(deselected=3)


def test_junit_xml_carries_the_figures(file: Make, pytester: pytest.Pytester):
    file("scenario_shop.py", FILE + "twice = home\n")

    pytester.runpytest_inprocess("--junit-xml", "junit.xml")

    cases = {case.get("name"): case for case in ET.parse(pytester.path / "junit.xml").iter("testcase")}
    values = {one.get("name"): str(one.get("value")) for one in cases["home"].iter("property")}
    assert values["load.scenario"] == "home"
    assert (values["load.requests"], values["load.outcome"], values["load.error_rate"]) == ("20", "passed", "0.0")
    assert 0 < float(values["load.p50"]) <= float(values["load.p99"]) <= float(values["load.max"])
    assert float(values["load.throughput"]) > 0
    failure = cases["strict"].find("failure")
    assert failure is not None
    assert str(failure.get("message")).startswith("p99 < 1ns: ")


@pytest.mark.parametrize(
    ("scenario", "code"),
    [
        ("home", 0),
        ("strict", 1),
        ('home.replace(base_url="http://127.0.0.1:1", duration=0.1)', 1),
    ],
)
def test_loadkit_run_and_pytest_agree(file: Make, call: Call, pytester: pytest.Pytester, scenario: str, code: int):
    path = file("scenario_it.py", f"{FILE}\nhome = {scenario}\ndel strict\n")

    by_run = call("run", str(path), "--quiet")

    assert (by_run.returncode, pytester.runpytest_inprocess().ret) == (code, code)


BROKEN = [
    (FILE.replace("threads=2", "thraeds=2"), "4: Scenario has no 'thraeds'; did you mean threads?"),
    (FILE.replace("iterations=20", "iterations=0"), "4: iterations takes a whole number of at least 1"),
    (FILE.replace("strict =", "strict = ="), "6: invalid syntax"),
    ("import loadkit\n\nimport nowhere\n", "3: ModuleNotFoundError: No module named 'nowhere'"),
]


def test_a_file_that_cannot_be_imported_is_an_error_that_points_at_the_line(file: Make, pytester: pytest.Pytester):
    for k, (text, _) in enumerate(BROKEN):
        file(f"scenario_{k}.py", text)

    done = pytester.runpytest_inprocess()

    assert done.ret == pytest.ExitCode.INTERRUPTED
    heads = [at for at, line in enumerate(done.outlines) if "ERROR collecting scenario_" in line]
    for k, (at, (_, told)) in enumerate(zip(heads, BROKEN, strict=True)):
        assert done.outlines[at + 1].startswith(f"scenario_{k}.py:{told}")
    assert "Traceback" not in done.stdout.str()


def test_what_a_scenario_cannot_do_is_one_line(file: Make, pytester: pytest.Pytester):
    file("scenario_it.py", FILE.replace("{url}", "http://no-such-host.invalid") + "del strict\n")

    done = pytester.runpytest_inprocess()

    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["____* home *____", "E   *no-such-host.invalid*", "", "scenario_it.py:4: home"])
