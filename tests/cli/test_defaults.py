"""What a project says once of all its runs, in pyproject.toml; and which of its scenarios are run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loadkit.server.demo import Demo
from tests.conftest import Call

SCENARIOS = """
from loadkit import Endpoint, Scenario

good = Scenario(endpoints=[Endpoint("GET", "/items")], threads=1, iterations=4)
bad = Scenario(endpoints=[Endpoint("GET", "/nothing")], threads=1, iterations=4)
last = Scenario(endpoints=[Endpoint("GET", "/items")], threads=1, iterations=4)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose subfolder is the working directory."""
    (tmp_path / "shop.py").write_text(SCENARIOS)
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    return tmp_path


def test_options_of_a_project_hold_where_the_command_line_says_nothing(call: Call, demo: Demo, project: Path):
    table = (
        f'threads = 2\niterations = 6\nthreshold = "p99 < 9s"\nquiet = true\nbase-url = "{demo.url}"\noutput = "a.json"'
    )
    (project / "pyproject.toml").write_text(f"[tool.loadkit]\n{table}\n")

    done = call("run", "../shop.py", "-s", "good", "-n", "8", "-t", "p99 < 8s")

    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    # relative to the project, whatever the working directory is
    (result,) = json.loads((project / "a.json").read_text())["results"]
    assert (result["scenario"]["threads"], result["total"]["requests"]) == (2, 8)
    assert [one["threshold"] for one in result["thresholds"] if not one["implied"]] == ["p99 < 8s"]


def test_options_of_a_project_do_not_keep_anybody_from_asking_for_each_once(call: Call, demo: Demo, project: Path):
    (project / "pyproject.toml").write_text('[tool.loadkit]\nthreads = 8\nrepeat = 3\nabort = "p99 < 1s over 5s"\n')

    done = call("run", "../shop.py", "-s", "good", "--base-url", demo.url, "--once")
    refused = call("run", "../shop.py", "--once", "--threads", "2")

    assert (done.returncode, done.stdout.count("GET /items")) == (0, 1), done.stdout
    assert refused.stderr.endswith("judges failures alone; leave --threads out\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[tool.loadkit]\nthreds = 3", "[tool.loadkit] has 'threds', and its keys are the options of loadkit run; did"),
        ("[tool.loadkit]\nthread = 3", "of loadkit run; did you mean 'threads'?"),
        ("[tool.loadkit]\nbase_url = 'x'", "of loadkit run; did you mean 'base-url'?"),
        ("[tool.loadkit]\nxyzzy = 1", "its keys are the options of loadkit run, like threads = 16"),
        ("[tool.loadkit]\nquiet = 1", "[tool.loadkit] quiet takes true or false, not 1"),
        ("[tool.loadkit]\nthreads = [1]", "[tool.loadkit] threads takes text or a number, not [1]"),
        ("[tool.loadkit]\nthreads = true", "[tool.loadkit] threads takes text or a number, not True"),
        ("[tool.loadkit]\nheader = [[1]]", "[tool.loadkit] header takes text or a number or a list of them, not [1]"),
        ("[tool.loadkit]\nthreads = 'many'", "--threads takes a whole number like 16, not 'many'"),
        ("[tool.loadkit]\nthreads = ", "pyproject.toml: Invalid value (at "),
        ("[tool]\nloadkit = 3", "tool.loadkit is a table, like [tool.loadkit], not 3"),
    ],
)
def test_what_cannot_be_a_default_is_one_line(call: Call, project: Path, content: str, message: str):
    (project / "pyproject.toml").write_text(content)

    done = call("run", "../shop.py")

    assert done.returncode == 4
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_project_that_says_nothing_of_loadkit_is_left_alone(call: Call, demo: Demo, project: Path):
    (project / "pyproject.toml").write_text("this is no TOML")

    assert call("run", "../shop.py", "-s", "last", "-q", "--base-url", demo.url).returncode == 0


def test_scenarios_are_chosen_by_name_and_run_in_the_order_of_the_file(call: Call, demo: Demo, project: Path):
    done = call("run", "../shop.py", "-s", "last", "-s", "good", "--base-url", demo.url, "-o", "a.json")
    unknown = call("run", "../shop.py", "-s", "gud")

    assert done.returncode == 0, done.stderr
    results = json.loads(Path("a.json").read_text())["results"]
    assert [one["scenario"]["name"] for one in results] == ["good", "last"]
    assert (unknown.returncode, unknown.stderr) == (
        4,
        "loadkit: there is no scenario 'gud'; there are 'good', 'bad', 'last'\n",
    )


def test_a_threshold_of_project_and_command_line_is_judged_once_where_the_file_has_it(
    call: Call, demo: Demo, project: Path
):
    (project / "pyproject.toml").write_text('[tool.loadkit]\nthreshold = ["p99 < 9s", "p50 < 8s"]\n')
    (project / "shop.py").write_text(
        "from loadkit import Endpoint, Scenario\n"
        "shop = Scenario(endpoints=[Endpoint('GET', '/')], iterations=3, thresholds=['p99 < 9s'])\n"
    )

    done = call("run", "../shop.py", "--base-url", demo.url, "-q", "-o", "a.json")

    assert done.returncode == 0, done.stderr
    (result,) = json.loads(Path("a.json").read_text())["results"]
    assert [one["threshold"] for one in result["thresholds"] if not one["implied"]] == ["p99 < 9s", "p50 < 8s"]


def test_with_fail_fast_no_scenario_is_run_after_one_that_did_not_pass(call: Call, demo: Demo, project: Path):
    done = call("run", "../shop.py", "--fail-fast", "--base-url", demo.url, "-o", "a.json")

    assert done.returncode == 1
    assert done.stderr.endswith("loadkit: ended by --fail-fast before last\n")
    results = json.loads(Path("a.json").read_text())["results"]
    assert [one["scenario"]["name"] for one in results] == ["good", "bad"]
