"""The server under test in pytest: what it is started with, who is aimed at it, and what it has printed."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from loadkit.server.demo import Demo
from tests.plugin.conftest import Run

pytest_plugins = "pytester"

APP = """
import os

def app(environ, start_response):
    path = environ["PATH_INFO"]
    print("asked for", path, flush=True)
    known = {"/env": os.environ.get("SHOP"), "/cwd": os.path.basename(os.getcwd())}
    content = (known.get(path) or "ok").encode()
    start_response("404 Not Found" if path == "/lost" else "200 OK", [("Content-Length", str(len(content)))])
    return [content]
"""

SETTINGS = """
[tool.{table}]
load_server = ["shop:app"]
load_server_ready = "/up"
load_server_within = "25s"
load_server_cwd = "within"
load_server_env = ["SHOP=tea = 1"]
pythonpath = ["."]
"""


@pytest.fixture
def shop(project: pytest.Pytester) -> Path:
    """The folder of the project, whose load_server is an application that prints what it was asked for."""
    project.makepyprojecttoml(SETTINGS.format(table="pytest"))
    project.makepyfile(shop=APP)
    project.mkdir("within")
    return project.path


@pytest.mark.parametrize("table", ["pytest", "pytest.ini_options"])
def test_settings_say_where_it_runs_and_with_which_environment(
    run: Run, shop: Path, project: pytest.Pytester, table: str
):
    project.makepyprojecttoml(SETTINGS.format(table=table))

    done = run("""
        import requests

        def test(load_server):
            assert requests.get(load_server + "/env", timeout=10).text == "tea = 1"
            assert requests.get(load_server + "/cwd", timeout=10).text == "within"
    """)

    done.assert_outcomes(passed=1)


def test_what_it_printed_during_a_test_stands_below_that_if_it_fails(run: Run, shop: Path):
    done = run("""
        def test_fine(load, load_server):
            load("/fine", threads=1, iterations=2)

        def test_lost(load, load_server):
            load("/lost", threads=1, iterations=3)
    """)

    done.assert_outcomes(passed=1, failed=1)
    done.stdout.re_match_lines([r"-+ Captured server output call -+", r"asked for /lost"])
    assert len([line for line in done.outlines if line == "asked for /lost"]) == 3
    assert "asked for /fine" not in done.stdout.str()


def test_what_the_server_of_a_scenario_printed_stands_below_a_test_that_fails(run: Run, project: pytest.Pytester):
    project.makepyfile(app=APP)
    done = run("""
        own = shop.replace(base_url=None, server="app:app", endpoints=[Endpoint("GET", "/up")], iterations=3)

        def test_fine(load):
            load(own, endpoints=[Endpoint("GET", "/fine")])

        def test_slow(load):
            assert load(own).p99 < 1e-7
    """)

    done.assert_outcomes(passed=1, failed=1)
    done.stdout.re_match_lines([r"-+ Captured server output call -+", r"asked for /up"])
    assert "asked for /fine" not in done.stdout.str()


def test_a_test_that_takes_it_loads_it(run: Run, shop: Path, demo: Demo):
    done = run("""
        from urllib.parse import urlsplit

        def place(result):
            return result.scenario.base_url.rstrip("/")

        def test(load, load_server):
            other = load_server.replace("127.0.0.1", "localhost")
            below = shop.replace(base_url="http://127.0.0.1:1/v1", iterations=4)
            assert place(load("/up", iterations=2)) == load_server
            assert place(load([Endpoint("GET", "/up"), Endpoint("GET", "/env")], iterations=2)) == load_server
            assert place(load(below)) == load_server + "/v1", "before what the scenario says, below the same path"
            assert place(load(below, base_url=other)) == other, "an argument says more"
            with pytest.raises(loadkit.UsageError, match="cannot start the server 'no-such-program"):
                load("/up", server=["no-such-program", "{port}"])
            assert place(load(URL, iterations=2)) == URL, "and a URL is where it is"

        def test_that_does_not(load):
            assert place(load(shop)) == URL
    """)

    done.assert_outcomes(passed=2)


SCENARIOS = """
from loadkit import Endpoint, Scenario

any = Endpoint("GET", "/", expect=(200, 404))
relative = Scenario(endpoints=[any], iterations=3)
below = Scenario(base_url="http://127.0.0.1:1/v1", endpoints=[any], iterations=3)
started = Scenario(endpoints=[any], iterations=3, server=["no-such-program", "{port}"])
"""


@pytest.mark.parametrize("given", ["setting", "fixture", "option"])
def test_scenarios_as_tests_are_aimed_at_it(shop: Path, project: pytest.Pytester, demo: Demo, given: str):
    project.makepyfile(scenario_shop=SCENARIOS)
    fixture = f"import pytest\n\n@pytest.fixture(scope='session')\ndef load_server():\n    yield {demo.url!r}\n"
    project.makeconftest(fixture if given == "fixture" else "")
    options = ["--load-base-url", demo.url] if given == "option" else []

    done = project.runpytest_inprocess("-p", "no:cacheprovider", "--load-json", "found", *options)

    done.assert_outcomes(passed=3)
    found = "".join(file.read_text() for file in (shop / "found").iterdir())
    assert (demo.url in found) == (given != "setting")


def test_without_it_they_go_where_they_say(project: pytest.Pytester, demo: Demo):
    project.makepyfile(
        scenario_shop="from loadkit import Endpoint, Scenario\n"
        "relative = Scenario(endpoints=[Endpoint('GET', '/')], iterations=3)\n"
        f"aimed = relative.replace(base_url={demo.url!r})\n"
    )

    done = project.runpytest_inprocess("-p", "no:cacheprovider")

    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(["E   GET / is relative; give relative a base_url like *"])


def test_the_environment_is_asked_last(run: Run, demo: Demo, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOADKIT_BASE_URL", demo.url)

    done = run("""
        def test(load):
            assert load("/items/3", iterations=4).statuses == {200: 4}
    """)

    done.assert_outcomes(passed=1)


def test_the_option_aims_every_load_test_and_starts_nothing(run: Run, shop: Path, demo: Demo):
    (shop / "shop.py").write_text("raise SystemExit(1)")

    done = run(
        """
        def test(load, load_server):
            assert load_server == URL
            assert load(shop.replace(base_url="http://127.0.0.1:1")).passed
            assert load("/", base_url="http://127.0.0.1:1", iterations=2).passed
        """,
        *("--load-base-url", demo.url),
    )

    done.assert_outcomes(passed=1)


# -- a module's own


MODULE = """
@pytest.fixture(scope="module")
def result(module_load):
    return module_load(shop)

def test_fast(result):
    assert result.p99 < 1e-7

def test_whole(result):
    assert result.requests == 40

def test_own(load):
    assert load(URL, iterations=4).requests == 5
"""


def test_tests_of_a_module_share_what_was_measured(run: Run, project: pytest.Pytester):
    done = run(MODULE)

    done.assert_outcomes(passed=1, failed=2)
    done.stdout.re_match_lines(
        [
            r"E         p99 of test_it.py: [\d.]+ [mu]?s .*",
            r"-+ load: test_it.py -+",
            r"-+ load: test_own -+",
            r"  test_it\.py +[\d,.]+/s",
            r"  test_it\.py::test_own +[\d,.]+/s",
        ]
    )
    assert len(re.findall(r"^-+ load: ", done.stdout.str(), re.MULTILINE)) == 2


def test_junit_xml_has_the_figures_of_a_module_for_each_test_that_looks_at_them(run: Run, project: pytest.Pytester):
    run(MODULE, "--junit-xml", "junit.xml")

    cases = {case.get("name"): case for case in ET.parse(project.path / "junit.xml").iter("testcase")}
    values = {
        name: [one.get("value") for one in case.iter("property") if one.get("name") == "load.requests"]
        for name, case in cases.items()
    }
    assert values == {"test_fast": ["40"], "test_whole": ["40"], "test_own": ["4"]}


@pytest.mark.slow
def test_workers_of_xdist_hand_it_on_once(run: Run, project: pytest.Pytester, demo: Demo):
    run(MODULE)

    done = project.runpytest_subprocess("-p", "xdist.plugin", "-n", "1", "--load-json", "found")

    done.assert_outcomes(passed=1, failed=2)
    assert len(list((project.path / "found").iterdir())) == 2
    assert len([line for line in done.outlines if re.match(r"  test_it\.py +[\d,.]+/s", line)]) == 1


def test_load_in_the_scope_of_a_module_is_skipped_and_selected_as_others(run: Run):
    run(MODULE, "--no-load").assert_outcomes(skipped=3)
    run(f"{MODULE}\ndef test_other():\n    pass\n", "--load-only").assert_outcomes(passed=1, failed=2, deselected=1)


# -- how much is shown


@pytest.mark.parametrize(
    ("words", "shown", "left_out"),
    [
        ([], "--load-report full tells more", "  at least "),
        (["--load-report", "full"], "  at least ", "tells more"),
        (["-o", "load_report=no"], "E       assert", "load: test"),
    ],
)
def test_how_much_of_a_run_is_shown_below_a_failure(run: Run, words: list[str], shown: str, left_out: str):
    done = run("def test(load):\n    assert load(shop).p99 < 1e-7", *words)

    done.assert_outcomes(failed=1)
    assert shown in done.stdout.str()
    assert left_out not in done.stdout.str()
