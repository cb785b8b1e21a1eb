"""Locust's pytest style beside: what it says of the same tests, and what a run costs of one that it can run.

It calls one fixture by hand with its user, once for each user, and the test in an endless loop, which another greenlet
can end only where the test waits for something.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from benchmarks import process
from benchmarks.process import available_cores

LOCUST: Final = Path(__file__).resolve().parent.parent / ".venv-locust" / "bin" / "locust"

SHORT, LONG = 3, 9
"""Seconds of two runs, whose difference has no start in it."""

CONFTEST: Final = """
import pytest


@pytest.fixture
def user():
    return "ann"
"""

FILE: Final = """
import atexit
import time
from pathlib import Path

import pytest

calls = 0


@pytest.fixture
def order(user):
    yield 1


def test_one(order):
    global calls
    calls += 1
    time.sleep(0)


@atexit.register
def tell():
    Path(__file__).with_name("calls").write_text(str(calls))
"""


def write_files(folder: Path) -> Path:
    """The test that both can run."""
    folder.mkdir()
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_one.py").write_text(FILE)
    return folder / "test_one.py"


def refusal(file: Path, folder: Path) -> str:
    """What Locust says of the tests of a file that it cannot run."""
    done = process.run(command(file, SHORT), core=available_cores()[1], limit=60, folder=folder, accepted=range(256))
    said = re.findall(r"^\w+(?:Error|Exception): .*", done.output, re.MULTILINE)
    return f"{said[-1] if said else 'nothing'} (exit code {done.code})"


def cost(file: Path, folder: Path) -> float:
    """Microseconds of CPU of one run of the test."""
    found = []
    for seconds in (SHORT, LONG):
        done = process.run(command(file, seconds), core=available_cores()[1], limit=60, folder=folder)
        found.append((done.cpu, int(file.with_name("calls").read_text())))
    (few_cpu, few), (many_cpu, many) = found
    return (many_cpu - few_cpu) / (many - few) * 1e6


def command(file: Path, seconds: int) -> list[str | Path]:
    """Run it as one user."""
    options = ["--headless", "--only-summary", "--users", "1", "--run-time", f"{seconds}s"]
    return [LOCUST, "-f", file, *options, "--host", "http://127.0.0.1:1"]
