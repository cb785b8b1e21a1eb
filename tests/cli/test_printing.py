"""stdout carries the report or the list, and nothing else: what the user's code prints goes to stderr."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from loadkit.server.demo import Demo

FILE = """
import logging
import os
import subprocess
import sys
from loadkit import Endpoint, Scenario

log = logging.getLogger("shop")
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


def said(words: list[str]) -> tuple[str, str]:
    """What the command writes to stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "loadkit", *words], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout, done.stderr


@pytest.fixture
def file(tmp_path: Path, demo: Demo) -> str:
    """A scenario file whose code says something wherever it runs."""
    path = tmp_path / "shop.py"
    path.write_text(FILE.format(url=demo.url))
    return str(path)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_what_scenarios_print_is_not_in_the_report(file: str, processes: str) -> None:
    stdout, stderr = said(["run", file, "--processes", processes])

    assert stdout.startswith("━━ ")
    assert not [way for way in WAYS if f"{way} in" in stdout]
    for place, many in {"a check": 2, "a journey": 2, "a set-up": 1}.items():
        assert {way: stderr.count(f"{way} in {place}") for way in WAYS} == dict.fromkeys(WAYS, many)
    assert "printed in the file" in stderr


def test_what_a_file_prints_is_not_in_the_list(file: str) -> None:
    stdout, stderr = said(["list", file])

    assert [line.strip() for line in stdout.splitlines()[1:]] == ["GET /items", "buy (journey)"]
    assert {way: stderr.count(f"{way} in the file") for way in WAYS} == dict.fromkeys(WAYS, 1)
