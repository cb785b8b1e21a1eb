"""`loadkit run --history` keeps a line a run, and `loadkit history` shows them."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from loadkit.server.demo import Demo
from tests.conftest import Call, served

SHOP = """
from loadkit import Endpoint, Scenario
browse = Scenario(base_url="{url}", endpoints=[Endpoint("GET", "/"), Endpoint("GET", "/items")], iterations=30)
"""


@pytest.fixture
def shop(tmp_path: Path, demo: Demo, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file with a scenario called browse, in a project in which the command runs."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "shop.py").write_text(SHOP.format(url=demo.url))
    monkeypatch.chdir(tmp_path)
    return "shop.py"


def lines(folder: str) -> list[dict]:
    """What was kept there."""
    return [json.loads(line) for file in Path(folder).glob("*.jsonl") for line in file.read_text().splitlines()]


def test_runs_that_were_kept_are_shown(call: Call, shop: str):
    for _ in range(3):
        assert call("run", shop, "-q", "--history", ".loadkit/history").returncode == 0

    done = call("history", "browse", "--last", "2", "--metric", "GET /items: p50", "--csv", "all.csv")

    assert (done.returncode, done.stderr) == (0, "")
    assert "  the last 2 of 3 runs of series " in done.stdout
    assert "GET /items: p50" in done.stdout
    assert len(Path("all.csv").read_text().splitlines()) == 4
    assert [line["total"]["requests"] for line in lines(".loadkit/history")] == [30, 30, 30]
    assert Path(".loadkit/.gitignore").read_text() == "*\n"


@pytest.mark.parametrize(("option", "first"), [("--csv", "time,"), ("--html", "<!doctype html>")])
def test_a_format_goes_to_stdout_and_the_report_to_stderr(call: Call, shop: str, option: str, first: str):
    call("run", shop, "-q", "--history", "kept")

    done = call("history", "--history", "kept", option, "-")

    assert (done.returncode, done.stdout[: len(first)].lower()) == (0, first)
    assert "  1 run of series " in done.stderr


def test_runs_of_one_branch_are_shown_alone(call: Call, shop: str, monkeypatch: pytest.MonkeyPatch):
    """As a CI has them, which checks out no branch but a commit."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"], ["checkout", "-q", "--detach"]):
        subprocess.run([*git, *words], check=True)
    for branch in ("main", "main", "feature"):
        monkeypatch.setenv("GITHUB_HEAD_REF", branch)
        call("run", shop, "-q", "--history", ".loadkit/history")

    assert "  3 runs of series " in call("history").stdout
    assert "  2 runs of series " in call("history", "--branch", "main").stdout


def test_nothing_is_kept_unless_asked_for(call: Call, shop: str, monkeypatch: pytest.MonkeyPatch):
    call("run", shop, "-q")
    assert not Path(".loadkit").exists()

    monkeypatch.setenv("LOADKIT_HISTORY", "kept")
    call("run", shop, "-q")
    assert len(lines("kept")) == 1
    assert call("history").stdout.startswith("━━ shop.py::browse ━")


def test_a_history_that_cannot_be_written_to_is_refused_before_anything_is_sent(call: Call, shop: str, demo: Demo):
    before = served(demo, "/items")
    done = call("run", shop, "--history", "shop.py/kept")
    assert (done.returncode, served(demo, "/items")) == (4, before)
    assert done.stderr == "loadkit: cannot write to the history in shop.py/kept: not a directory\n"


def test_a_line_that_cannot_be_read_is_named_and_the_others_are_shown(call: Call, shop: str):
    call("run", shop, "-q", "--history", "kept")
    [file] = Path("kept").glob("*.jsonl")
    file.write_text(f"{{broken\n{file.read_text()}")

    done = call("history", "--history", "kept")

    assert done.returncode == 0
    assert done.stderr.startswith(f"loadkit: cannot read line 1 of {file}: JSON is malformed")
    assert "  1 run of series " in done.stdout


def test_of_many_lines_that_cannot_be_read_the_first_are_named(call: Call, shop: str):
    call("run", shop, "-q", "--history", "kept")
    [file] = Path("kept").glob("*.jsonl")
    file.write_text("".join(f"<<<<<<< {k}\n" for k in range(12)) + file.read_text())

    faults = call("history", "--history", "kept").stderr.splitlines()

    assert [fault.split(" of ")[0] for fault in faults] == [
        *(f"loadkit: cannot read line {k}" for k in range(1, 6)),
        "loadkit: and 7 more lines",
    ]


def test_a_run_that_cannot_be_kept_is_reported_all_the_same(call: Call, shop: str):
    """The folder goes away while the scenario runs."""
    file = Path(shop)
    gone = "\nimport shutil\nbrowse = browse.replace(teardown=lambda shared: shutil.rmtree('kept'))\n"
    file.write_text(file.read_text() + gone)

    done = call("run", shop, "--history", "kept", "-o", "result.json")

    assert done.returncode == 3
    assert "PASSED: no request failed" in done.stdout
    assert Path("result.json").exists()
    assert re.search(
        r"^loadkit: cannot write kept/\d{4}-\d\d\.jsonl: no such file or directory$", done.stderr, re.MULTILINE
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "there is no run of 'nothing' in kept; it has shop.py::browse"),
        (["--branch", "nowhere"], "there is no run in kept that can be shown"),
        (["--last", "0"], "--last takes a number of runs like 20, not 0"),
        (["--metric", "latency"], "there is no figure 'latency'; use p99 (or any percentile)"),
        (["--csv", "-", "--html", "-"], "--csv and --html cannot share stdout; give a file to one of them"),
        (["--csv", "all.csv"], "--csv takes one series of these; name one, as in loadkit history "),
        (["--history", "none"], "cannot read the history in none: no such file or directory; keep runs with "),
    ],
    ids=["name", "branch", "last", "metric", "stdout", "several", "nowhere"],
)
def test_what_cannot_be_shown_is_one_line(call: Call, shop: str, words: list[str], message: str):
    call("run", shop, "-q", "--history", "kept")
    call("run", shop, "-q", "--history", "kept", "-c", "3")

    done = call("history", *(words if "--history" in words else [*words, "--history", "kept"]))

    assert done.returncode == 4
    assert done.stderr.startswith(f"loadkit: {message}")
    assert done.stderr.count("\n") == 1
