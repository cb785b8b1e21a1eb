"""The examples of the README and of scenarios/, run as they are against a demo server."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from loadkit.jobs.demo import Demo
from loadkit.report.json import load

ROOT = Path(__file__).resolve().parents[2]


def blocks(section: str) -> dict[str, str]:
    """The Python of a section of the README, by the file name in its first line."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (found,) = re.findall(rf"^## {section}\n(.*?)^## ", text, re.DOTALL | re.MULTILINE)
    code = re.findall(r"^```python\n(# (\S+\.py)\n.*?)^```", found, re.DOTALL | re.MULTILINE)
    return {name: text for text, name in code}


def loadkit(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command and wait for it."""
    command = [sys.executable, "-m", "loadkit", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)


def test_the_examples_of_journeys_are_found():
    assert list(blocks("Journeys")) == ["journeys.py", "more.py", "tasks.py"]


@pytest.mark.parametrize(
    ("name", "timed"),
    [
        ("journeys.py", [{"buy", "checkout"}]),
        ("more.py", [{"read", "read its own order", "warehouse"}, {"browse"}]),
        ("tasks.py", [{"knock", "connect"}]),
    ],
)
def test_an_example_of_journeys_in_the_readme_does_what_it_says(
    name: str, timed: list[set[str]], demo: Demo, tmp_path: Path
):
    file, output = tmp_path / name, tmp_path / "out.json"
    file.write_text(blocks("Journeys")[name], encoding="utf-8")

    done = loadkit("run", str(file), "--base-url", demo.url, "--duration", "300ms", "-o", str(output))

    results = load(output)
    assert [{one.name for one in result.timings} for result in results] == timed, done.stderr
    for result in results:
        assert result.failures == {}
        assert all(one.failures == {} and one.count for one in result.timings)


def test_the_scenarios_of_the_repository_are_sound():
    done = loadkit("run", str(ROOT / "scenarios"), "--once", "--demo")

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 3
    for name in ("browse", "shopping", "browse_items"):
        assert f"━━ {name} ━" in done.stdout


def test_the_example_of_journeys_keeps_its_limits(demo: Demo):
    done = loadkit("run", str(ROOT / "scenarios" / "journeys.py"), "--base-url", demo.url, "--duration", "400ms")

    assert "buy" in done.stdout
    # nobody promises how fast this machine is
    assert done.returncode in (0, 1), done.stderr
    assert re.search(r"✓ error_rate < 1% +0 %", done.stdout), done.stdout
