"""The examples of the README and of scenarios/, run as they are against a demo server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from loadkit import run
from loadkit.plan.loader import load
from loadkit.plan.once import once
from loadkit.server.demo import Demo
from tests.conftest import Call

ROOT = Path(__file__).resolve().parents[2]


def blocks(section: str) -> dict[str, str]:
    """The Python of a section of the README, by the file name in its first line."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (found,) = re.findall(rf"^## {section}\n(.*?)^## ", text, re.DOTALL | re.MULTILINE)
    code = re.findall(r"^```python\n(# (\S+\.py)\n.*?)^```", found, re.DOTALL | re.MULTILINE)
    return {name: text for text, name in code}


def test_the_examples_of_journeys_are_found():
    assert list(blocks("Journeys")) == ["journeys.py", "more.py", "tasks.py"]


@pytest.mark.parametrize(
    ("name", "timed"),
    [
        ("journeys.py", [{"buy", "checkout"}]),
        ("more.py", [{"read", "read its own order", "warehouse", "same"}, {"browse"}]),
        ("tasks.py", [{"knock", "connect"}]),
    ],
)
def test_an_example_of_journeys_in_the_readme_does_what_it_says(
    name: str, timed: list[set[str]], demo: Demo, tmp_path: Path
):
    file = tmp_path / name
    file.write_text(blocks("Journeys")[name], encoding="utf-8")

    results = [run(one.replace(base_url=demo.url, duration=None, iterations=40)) for one in load(str(file))]

    assert [{one.name for one in result.timings} for result in results] == timed
    for result in results:
        assert result.failures == {}
        assert all(one.failures == {} and one.count for one in result.timings)


def test_the_scenarios_of_the_repository_are_sound(demo: Demo):
    scenarios = load(str(ROOT / "scenarios"))

    assert {one.name for one in scenarios} == {"browse", "shopping", "browse_items", "visit"}
    for one in scenarios:
        assert run(once(one.replace(base_url=demo.url, server=None))).outcome == "passed"


def test_the_example_of_journeys_runs_with_nothing_failed(call: Call, demo: Demo):
    done = call("run", f"{ROOT / 'scenarios' / 'journeys.py'}::shopping", "--base-url", demo.url, "-n", "80")

    missed = re.findall(r"✗ (.+?)  ", done.stdout)
    # nobody promises how fast this machine is
    assert all(re.fullmatch(r".+: p\d+ < \w+", one) for one in missed)
    assert done.returncode == (1 if missed else 0), done.stderr
    assert re.search(r"✓ error_rate < 1% +0 %", done.stdout), done.stdout
