"""Faults of loadkit itself, and outputs that nobody reads: exit codes that a CI does not take for a slow server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from loadkit.report.json import encoded
from loadkit.server.demo import Demo
from tests.conftest import Call
from tests.results import Sample, measured

SCENARIO = """
from loadkit import Endpoint, Scenario

shop = Scenario(base_url="{url}", endpoints=[Endpoint("GET", "/")], iterations=4)
"""


@pytest.fixture
def file(demo: Demo, tmp_path: Path) -> Path:
    """A scenario file aimed at the demo server."""
    path = tmp_path / "shop.py"
    path.write_text(SCENARIO.format(url=demo.url))
    return path


BROKEN: list[tuple[Sequence[str], str]] = [
    (["run", "{file}"], "loadkit.report.text"),
    (["run", "{file}", "-q", "-o", "{output}"], "loadkit.report.json"),
    (["list", "{file}"], "loadkit.report.headline"),
    (["report", "{stored}"], "loadkit.judge.merge"),
    (["fetch", "{url}/items/1", "--into", "{into}"], "loadkit.fetcher.progress"),
    (["demo"], "loadkit.server.demo"),
]


@pytest.mark.parametrize(("arguments", "missing"), BROKEN, ids=[f"{row[0][0]} without {row[1]}" for row in BROKEN])
def test_a_fault_of_ours_is_a_traceback_and_no_missed_threshold(
    call: Call,
    demo: Demo,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: Sequence[str],
    missing: str,
):
    names = {"file": file, "url": demo.url, "output": tmp_path / "a.json", "stored": tmp_path / "b.json"}
    names["into"] = tmp_path / "bodies"
    (tmp_path / "b.json").write_bytes(encoded([measured([Sample()])]))
    monkeypatch.setitem(sys.modules, missing, None)  # an installation of which this was lost

    done = call(*(argument.format(**names) for argument in arguments))

    assert done.returncode == 3
    assert done.stderr.rstrip().rpartition("\n")[2].startswith("ModuleNotFoundError: ")


@pytest.mark.parametrize(
    ("words", "output"),
    [
        ("--help", "a pipe that nobody reads"),
        ("list {file}", "none"),
    ],
)
def test_whoever_does_not_read_the_output_sees_no_fault(file: Path, words: str, output: str):
    read, write = os.pipe()
    os.close(read)
    closing = {"preexec_fn": lambda: os.close(1)} if output == "none" else {"stdout": write}

    done = subprocess.run(
        [sys.executable, "-m", "loadkit", *words.format(file=file).split()],
        stderr=subprocess.PIPE,
        text=True,
        timeout=50,
        check=False,
        **closing,
    )
    os.close(write)

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "left", "said"),
    [
        ("fetch {url}/items/1 --into {left}", "bodies", "1 of 1 done, 0 failed"),
        ("run {url} -n 20 -o {left}", "result.json", ""),
    ],
)
def test_an_output_that_is_closed_costs_nothing_else(
    call: Call, demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, left: str, said: str
):
    monkeypatch.setattr(sys, "stdout", None)  # what Python makes of a closed one

    done = call(*command.format(url=demo.url, left=tmp_path / left).split())

    assert done.returncode == 0, done.stderr
    assert (tmp_path / left).exists()
    assert said in done.stderr
    assert "Traceback" not in done.stderr
