"""stdout carries the report or the list, and nothing else: what the user's code prints goes to stderr."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadkit.server.demo import Demo
from tests.conftest import Call

FILE = """
import logging
import os
import subprocess
import sys
from loadkit import Endpoint, Scenario

log = logging.getLogger(__file__)
log.addHandler(logging.StreamHandler(sys.stdout))

def speak(where):
    print(f"printed in {{where}}")  # in one piece: two threads print at once
    os.write(1, f"written in {{where}}\\n".encode())
    log.error("logged in %s", where)
    subprocess.run(["echo", "echoed in", where])

def seen(reply):
    speak("a check")

def buy(http):
    speak("a journey")
    http.get("/items/1")

def prepare(http):
    speak("a set-up")

speak("the file")
shop = Scenario(
    base_url={url!r}, endpoints=[Endpoint("GET", "/items", check=seen), buy], threads=2, iterations=4, setup=prepare
)
"""

WAYS = ["printed", "written", "logged", "echoed"]


@pytest.fixture
def file(tmp_path: Path, demo: Demo) -> str:
    """A scenario file whose code says something wherever it runs."""
    path = tmp_path / "shop.py"
    path.write_text(FILE.format(url=demo.url))
    return str(path)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_what_scenarios_print_is_not_in_the_report(call: Call, file: str, processes: str) -> None:
    done = call("run", file, "--processes", processes)
    stdout, stderr = done.stdout, done.stderr

    assert stdout.startswith("━━ ")
    assert not [way for way in WAYS if f"{way} in" in stdout]
    for place, many in {"a check": 2, "a journey": 2, "a set-up": 1}.items():
        assert {way: stderr.count(f"{way} in {place}") for way in WAYS} == dict.fromkeys(WAYS, many)
    assert "printed in the file" in stderr


def test_what_a_file_prints_is_not_in_the_list(call: Call, file: str) -> None:
    done = call("list", file)

    assert [line.strip() for line in done.stdout.splitlines()[1:]] == ["GET /items", "buy (journey)"]
    assert {way: done.stderr.count(f"{way} in the file") for way in WAYS} == dict.fromkeys(WAYS, 1)
