"""`loadkit run --repeat`: several rounds of one load in one file."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from loadkit.server.demo import Demo
from tests.conftest import Call

SHOP = """
from loadkit import Endpoint, Scenario
browse = Scenario(base_url="{url}", endpoints=[Endpoint("GET", "/")], threads=2, iterations=30)
buy = browse.replace(name="buy", duration="30s", iterations=None)
"""


@pytest.fixture
def shop(demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file with two scenarios, in the root of a project that is the current folder."""
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    Path("shop.py").write_text(SHOP.format(url=demo.url))
    return "shop.py"


def stored(file: str) -> list[dict]:
    return json.loads(Path(file).read_text())["results"]


def rounds_table(text: str) -> list[str]:
    lines = text.splitlines()
    [start] = [number for number, line in enumerate(lines) if line.startswith("rounds of shop.py::browse")]
    return [line.split()[0] for line in lines[start + 1 :] if line]


def test_each_round_is_measured_stored_and_shown_with_the_others(shop: str, call: Call):
    done = call("run", f"{shop}::browse", "--repeat", "3", "-o", "before.json")

    assert done.returncode == 0
    results = stored("before.json")
    assert [one["total"]["requests"] for one in results] == [30, 30, 30]
    assert len({one["started_at"] for one in results}) == 3
    assert len({json.dumps(one["identity"]) for one in results}) == 1
    assert rounds_table(done.stdout) == ["1", "2", "3"]
    assert rounds_table(call("report", "before.json").stdout) == ["1", "2", "3"]


def test_scenarios_have_their_rounds_in_turn(shop: str, call: Call):
    call("run", shop, "-n", "10", "--repeat", "2", "-q", "-o", "both.json")

    assert [one["scenario"]["name"] for one in stored("both.json")] == ["browse", "buy", "browse", "buy"]


def test_the_exit_code_is_that_of_the_worst_round(shop: str, call: Call):
    assert call("run", f"{shop}::browse", "--repeat", "2", "-q", "-t", "p99 < 1us").returncode == 1


def test_an_interrupt_keeps_the_rounds_so_far(shop: str):
    command = [sys.executable, "-m", "loadkit", "run", f"{shop}::browse", f"{shop}::buy"]
    options = ["--repeat", "3", "-o", "rounds.json"]
    with subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as run:
        pause = threading.Event()
        # written from the second second of the second run on
        while not Path("rounds.json.partial").exists() or len(stored("rounds.json.partial")) < 2:
            assert run.poll() is None
            pause.wait(0.02)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=60)

    assert run.returncode == 2
    assert [one["outcome"] for one in stored("rounds.json")] == ["passed", "interrupted"]
    assert "loadkit: interrupted before 2 rounds of browse, 2 rounds of buy" in said
    assert not Path("rounds.json.partial").exists()


WRONG = [
    (["--repeat", "0"], "--repeat takes a whole number of at least 1, not '0'"),
    (["--repeat", "twice"], "--repeat takes a whole number like 16, not 'twice'"),
    (["--repeat", "2", "--once"], "--once sends each endpoint once and judges failures alone; leave --repeat out"),
]


@pytest.mark.parametrize(("words", "message"), WRONG, ids=[" ".join(row[0]) for row in WRONG])
def test_a_mistake_is_named(shop: str, call: Call, words: list[str], message: str):
    done = call("run", shop, *words)

    assert (done.returncode, done.stderr) == (4, f"loadkit: {message}\n")
