"""Functional tests under load with two versions of the server that they send to, in turns."""

from __future__ import annotations

import subprocess

import pytest

from loadkit.judge.comparison.comparison import Comparison
from loadkit.report.json import load_stored
from loadkit.server.demo import Demo
from tests.app import app
from tests.conftest import Call

pytest_plugins = "pytester"

SUITE = """
import pytest, requests
made = {"once": 0, "tokens": 0, "returned": 0}

@pytest.fixture(scope="session")
def once():
    made["once"] += 1

@pytest.fixture(scope="session")
def token(load_server, once):
    made["tokens"] += 1
    yield load_server
    assert requests.get(load_server).status_code == 200
    made["returned"] += 1

@pytest.fixture
def client(token, load_server):
    assert token == load_server
    with requests.Session() as session: yield session

def test_get(client, token):
    assert client.get(token).status_code == 200

def test_http(http):
    assert http.get("").status_code == 200

def test_pure(): pass
"""

COUNTED = """
def pytest_sessionfinish():
    import test_it
    with open("made.txt", "w") as file: print(*test_it.made.values(), file=file)
"""


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run its tests within this process."""
    return project.runpytest_inprocess("-p", "no:cacheprovider", *arguments)


def made(project: pytest.Pytester) -> list[int]:
    """How many fixtures of the suite were made, and torn down."""
    return [int(word) for word in (project.path / "made.txt").read_text().split()]


@pytest.mark.slow
def test_tests_are_run_at_both_urls_with_fixtures_of_each(project: pytest.Pytester, demo: Demo, call: Call):
    project.makeconftest(COUNTED)
    file = project.makepyfile(test_it=SUITE)
    urls = [f"{demo.url}/delay/0.04", f"{demo.url}/delay/0.005"]

    found = call("compare", str(file), "--base-url", urls[0], "--against", urls[1], "-o", "found.json")

    assert found.returncode == 1, found
    assert f"worse than {urls[1]}: " in found.stdout
    comparison = load_stored(project.path / "found.json")
    assert isinstance(comparison, Comparison)
    assert (comparison.old, comparison.new, comparison.verdict) == (urls[1], urls[0], "worse")
    assert comparison.p50.ratio > 3
    assert {"test_get", "test_http", "test_pure"} <= comparison.endpoints.keys()
    assert "without load_server, and the same for both versions: test_pure" in comparison.notes
    once, tokens, returned = made(project)
    assert once == 1
    assert tokens == returned
    # two in each block, of which two are enough and another confirms
    assert tokens in (4, 6, 8)


OWN = """
import pytest, loadkit

@pytest.fixture(scope="session")
def load_server():
    with loadkit.serving(["python", "app.py", "{port}"]) as url: yield url
"""


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize("conftest", ["", OWN], ids=["of the settings", "of a fixture"])
def test_the_server_is_started_from_both_trees(project: pytest.Pytester, conftest: str):
    project.makepyprojecttoml('[tool.pytest]\nload_server = ["python", "app.py", "{port}"]')
    project.makeconftest(conftest)
    project.makepyfile(test_it=SUITE)
    file = project.path / "app.py"
    file.write_text(app(delay=0.002, status=200))
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-b", "main"], ["add", "app.py"], ["commit", "-m", "old"]):
        subprocess.run([*git, *words], cwd=project.path, check=True, capture_output=True)
    file.write_text(app(delay=0.05, status=200))

    found = run(project, "--load-threads", "4", "--load-against", "main", "--load-budget", "60s")

    found.assert_outcomes(failed=3)
    found.stdout.re_match_lines(
        [
            r"worse than main \(\w{7}\): three times slower or more in 2 blocks",
            r"  tests under load .* against main \(\w{7}\) +worse",
        ]
    )


def test_rounds_that_are_stored_are_compared_with_rounds_now(project: pytest.Pytester, call: Call):
    file = project.makepyfile(test_it="import time\ndef test_it(): time.sleep(0.004)\n")
    stored = ["-c", "1", "-n", "30", "--repeat", "4", "-o", "before.json", "-q"]
    assert call("run", str(file), *stored).returncode == 0
    # this process knows the other one already
    changed = project.makepyfile(test_changed="import time\ndef test_it(): time.sleep(0.02)\n")

    found = call("compare", str(changed), "--against", "before.json")

    assert found.returncode == 1, found
    assert "worse than before.json: " in found.stdout


@pytest.mark.parametrize(
    ("against", "options", "message"),
    [
        ("http://127.0.0.1:1", ["--load-for", "5s"], "--load-against compares short rounds; leave --load-for out"),
        ("http://127.0.0.1:1", ["--load-limit", "rate"], "--load-limit tries loads of its own; leave --load-threads"),
        (
            "http://127.0.0.1:1",
            ["-k", "pure"],
            "--load-against http://127.0.0.1:1 is about the server of load_server, and no test asks for that fixture",
        ),
        ("test_it.py", [], "tests are compared with a revision, a URL, or rounds like before.json, not test_it.py"),
        (
            "main",
            ["--load-base-url", "http://127.0.0.1:1"],
            "main is a revision, and loadkit did not start the server at http://127.0.0.1:1; name its command",
        ),
    ],
)
def test_what_has_no_two_servers_is_refused(project: pytest.Pytester, against: str, options: list[str], message: str):
    project.makepyfile(test_it=SUITE)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-b", "main"], ["commit", "--allow-empty", "-m", "old"]):
        subprocess.run([*git, *words], cwd=project.path, check=True, capture_output=True)

    found = run(
        project, "--load-threads", "2", "--load-against", against, "--load-base-url", "http://127.0.0.1:1", *options
    )

    assert found.ret == 4
    assert f"ERROR: {message}" in found.stderr.str()


def test_a_fixture_of_one_version_that_fails_is_named_with_the_version(project: pytest.Pytester, demo: Demo):
    project.makepyfile(
        test_it=SUITE.replace("    yield load_server", "    yield requests.get(load_server).json()['id']")
    )

    urls = ["--load-base-url", f"{demo.url}/items/3", "--load-against", f"{demo.url}/missing"]
    found = run(project, "--load-threads", "2", *urls, "-k", "get")

    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(["*not compared: the old version, *Error*, in the fixture token*"])


def test_a_fixture_that_asks_for_the_server_while_it_is_made_says_what_to_do(project: pytest.Pytester, demo: Demo):
    code = SUITE.replace(
        "def token(load_server, once):", "def token(request):\n    load_server = request.getfixturevalue('load_server')"
    )
    project.makepyfile(test_it=code)

    urls = ["--load-base-url", demo.url, "--load-against", f"{demo.url}/items"]
    found = run(project, "--load-threads", "2", *urls, "-k", "get")

    found.assert_outcomes(errors=1)
    found.stdout.fnmatch_lines(["*load_server is another one for each version; take it as an argument of token*"])
