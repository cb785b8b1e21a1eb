"""Functional tests under load in several processes, each with an interpreter and wider fixtures of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from loadkit.server.demo import Demo

pytest_plugins = "pytester"


@pytest.fixture(autouse=True)
def _no_worker(monkeypatch: pytest.MonkeyPatch):
    """These tests may run in a worker of pytest-xdist themselves."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)


def run(project: pytest.Pytester, code: str, *arguments: str) -> pytest.RunResult:
    """Run it under load; the workers are processes of their own."""
    project.makepyfile(test_it=code)
    return project.runpytest_inprocess("-p", "no:cacheprovider", *arguments)


def stored(project: pytest.Pytester) -> dict[str, Any]:
    (file,) = Path(project.path, "out").glob("*.json")
    result: dict[str, Any]
    (result,) = json.loads(file.read_text(encoding="utf-8"))["results"]
    return result


SUITE = """
import os, pytest, requests, threading

@pytest.fixture(scope="session")
def made(tmp_path_factory):
    (tmp_path_factory.getbasetemp() / "made").mkdir()
    with open("made.txt", "a") as file: file.write("made ")
    yield os.getpid()
    with open("made.txt", "a") as file: file.write("removed ")

@pytest.fixture
def own(tmp_path, made):
    assert made == os.getpid()
    yield tmp_path

@pytest.mark.parametrize("k", range(1, 7))
def test_get(own, k, made):
    assert requests.get(f"@URL@/items/{k}").json()["id"] == k
    with open(f"seen-{made}-{k}", "a") as file: file.write("x")

def test_alone(capsys, monkeypatch, request):
    monkeypatch.setenv("TEST_ALONE", "1")
    print("hello")
    assert capsys.readouterr().out == "hello\\n"

@pytest.mark.skip(reason="later")
def test_skipped(): raise AssertionError

@pytest.mark.xfail(reason="bug 7")
def test_expected_to_fail(): assert 1 == 2

def test_fails():
    assert {"tea": 1} == {"tea": 2}
"""


def test_the_union_of_what_processes_run_is_what_was_planned_with_the_verdicts_of_pytest(
    project: pytest.Pytester, demo: Demo
):
    options = ["--load-processes", "2", "--load-iterations", "96", "--load-json", "out", "--junit-xml", "it.xml"]

    found = run(project, SUITE.replace("@URL@", demo.url), *options)

    found.assert_outcomes(passed=7, failed=1, skipped=1, xfailed=1)
    found.stdout.fnmatch_lines(
        ["9 tests on 2 threads in 2 processes, 96 runs in all", "24 of 24 runs failed", "*'tea': 1*"]
    )
    result = stored(project)
    assert {one["name"]: one["count"] for one in result["timings"]} == dict.fromkeys(
        ["test_get", "test_alone", "test_expected_to_fail", "test_fails"], 24
    )
    assert [row["requests"] for row in result["endpoints"]] == [24]
    # each process has its own fixture, and both together use each case four times
    assert sorted((project.path / "made.txt").read_text().split()) == ["made"] * 2 + ["removed"] * 2
    seen = {file.name: len(file.read_text()) for file in project.path.glob("seen-*")}
    assert len({name.split("-")[1] for name in seen}) == 2
    assert [sum(many for name, many in seen.items() if name.endswith(f"-{k}")) for k in range(1, 7)] == [4] * 6
    # written once, by the session that has the whole
    xml = ET.parse(project.path / "it.xml")
    figures = {one.get("name"): one.get("value") for one in xml.iter("property")}
    assert figures["load.count"] == "24"


@pytest.mark.slow
def test_one_server_is_started_for_all_processes(project: pytest.Pytester):
    command = '["python", "-m", "loadkit", "demo", "--port", "{port}"]'
    project.makepyprojecttoml(f"[tool.pytest]\nload_server = {command}")
    code = "def test_it(http):\n    with open('urls.txt', 'a') as file: print(http.get('/health').url, file=file)\n"

    run(project, code, "--load-processes", "2", "--load-iterations", "20").assert_outcomes(passed=1)

    urls = (project.path / "urls.txt").read_text().split()
    assert len(urls) == 20
    assert len({*urls}) == 1


@pytest.mark.slow
def test_threads_are_shared_out_to_the_processes_and_then_what_they_cannot_use_is_refused(project: pytest.Pytester):
    code = "import os, threading\ndef test_it(): assert threading.active_count() >= 2\n\ndef test_out(capsys): pass\n"
    load = ["--load-processes", "2", "--load-threads", "4", "--load-iterations", "20"]

    run(project, code, *load, "-k", "not out").assert_outcomes(passed=1)
    found = run(project, code, *load)

    assert found.ret == 4
    found.stderr.fnmatch_lines(["ERROR: test_it.py::test_out cannot be run by threads: capsys: it captures *"])


BUSY_PORT = """
import os, pytest, socket

@pytest.fixture(scope="session")
def database():
    with socket.socket() as server:
        server.bind(("127.0.0.1", @PORT@))
        server.listen()
        yield server

def test_it(database): pass
@MORE@
"""

ADVICE = "each process makes fixtures of a wider scope for itself, so that ports, files and databases of theirs need"


@pytest.mark.parametrize(
    ("more", "code", "line"),
    [
        pytest.param(
            "",
            4,
            f"ERROR: process ? of 2: OSError: *Address already in use*in the fixture database*{ADVICE}*",
            marks=pytest.mark.slow,
        ),
        ("def test_without(): pass", 1, f"all runs in process ? of 2 failed, and none in the others: {ADVICE}*"),
    ],
)
def test_a_fixture_that_only_one_process_can_have_is_named_with_the_advice(
    project: pytest.Pytester, free_port: int, more: str, code: int, line: str
):
    text = BUSY_PORT.replace("@PORT@", str(free_port)).replace("@MORE@", more)

    found = run(project, text, "--load-processes", "2", "--load-iterations", "40")

    assert found.ret == code
    (found.stderr if code == 4 else found.stdout).fnmatch_lines([line])


def test_a_process_that_dies_fails_all_tests_with_how_it_ended(project: pytest.Pytester):
    code = """
import os, signal

def test_dies():
    if os.environ["PYTEST_XDIST_WORKER"] == "gw1":
        os.kill(os.getpid(), signal.SIGKILL)

def test_well(): pass
"""

    found = run(project, code, "--load-processes", "2", "--load-for", "1s", "--load-json", "out")

    found.assert_outcomes(failed=2)
    found.stdout.fnmatch_lines(["worker-lost: process 2 of 2 (pid *) was killed by SIGKILL; *"])
    assert stored(project)["validity"] == "invalid"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "import os, pytest\n@pytest.mark.parametrize('k', [os.getpid()])\ndef test_it(k): pass",
            "process ? of 2 collected 1 tests, and not test_it.py::test_it[[]*]: all processes have to collect*",
        ),
        pytest.param(
            "import os\nif 'PYTEST_XDIST_WORKER' in os.environ: raise RuntimeError('no worker')\ndef test_it(): pass",
            "process ? of 2: pytest ended with exit code 2 before the load",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_process_that_collects_other_tests_is_refused_before_the_load(
    project: pytest.Pytester, code: str, message: str
):
    found = run(project, code, "--load-processes", "2", "--load-for", "20s")

    assert found.ret == 4
    found.stderr.fnmatch_lines([f"ERROR: {message}*"])
    assert found.stderr.str().count("before the load") + found.stderr.str().count("collected 1") == 1, "it is said once"


@pytest.mark.slow
def test_pytest_exit_in_one_process_ends_all(project: pytest.Pytester):
    code = (
        "import os, pytest\ndef test_it():\n    os.environ['PYTEST_XDIST_WORKER'] == 'gw0' and pytest.exit('enough')\n"
    )

    found = run(project, code, "--load-processes", "2", "--load-for", "50s")

    assert found.ret == 2
    found.stdout.fnmatch_lines(["*enough*"])


@pytest.mark.slow
def test_a_test_that_never_returns_in_a_process_is_named_and_the_process_is_not_lost(project: pytest.Pytester):
    code = """
import itertools, threading
numbers = itertools.count()

def test_hangs():
    if next(numbers) == 3: threading.Event().wait()

def test_well(): pass
"""

    found = run(project, code, "--load-processes", "2", "--load-for", "500ms")

    found.assert_outcomes(passed=1, failed=1)
    found.stdout.fnmatch_lines(["2 of * runs never returned", "  at test_it.py:5 in test_hangs: *"])


@pytest.mark.slow
def test_a_failed_tear_down_is_an_error_with_its_process(project: pytest.Pytester):
    code = """
import os, pytest

@pytest.fixture(scope="session")
def database():
    yield
    if os.environ["PYTEST_XDIST_WORKER"] == "gw1": raise RuntimeError("still in use")

def test_it(database): pass
"""

    found = run(project, code, "--load-processes", "2", "--load-iterations", "10")

    found.assert_outcomes(passed=1, errors=1)
    found.stdout.fnmatch_lines(["in process 2 of 2: RuntimeError: still in use"])


@pytest.mark.slow
def test_ctrl_c_leaves_the_figures_of_all_processes_and_no_process(project: pytest.Pytester):
    project.makepyfile(test_it="import time\ndef test_it(): time.sleep(0.001)\n")
    command = [sys.executable, "-m", "pytest", "--load-processes", "2", "--load-for", "50s", "--load-json", "out"]
    with subprocess.Popen(
        command, cwd=project.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        errors: list[str] = []
        assert child.stderr
        while not (errors and re.search(r"running: [1-9]", errors[-1])):
            line = child.stderr.readline()
            assert line, errors
            errors.append(line)
        os.killpg(child.pid, signal.SIGINT)
        output, _ = child.communicate(timeout=50)

    assert child.returncode == pytest.ExitCode.INTERRUPTED, output
    result = stored(project)
    assert result["outcome"] == "interrupted"
    assert result["timings"][0]["count"] > 0
    with pytest.raises(ProcessLookupError):
        os.killpg(child.pid, 0)


@pytest.mark.slow
def test_what_tests_print_is_seen_with_s_and_else_not(project: pytest.Pytester):
    code = "def test_it(): print('printed by a test')\n"
    load = ["--load-processes", "2", "--load-iterations", "4"]

    quiet, loud = run(project, code, *load), run(project, code, *load, "-s")

    assert [one.stderr.str().count("printed by a test") for one in (quiet, loud)] == [0, 4]
    assert [one.stdout.str().count("printed by a test") for one in (quiet, loud)] == [0, 0]
