"""What a type checker says of calls that users write: a misspelt keyword, or a wrong value, is an error there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from loadkit import Endpoint, Journey, Scenario
from loadkit.plan.keywords import EndpointFields, JourneyFields
from loadkit.plan.scenario import ScenarioFields

ROOT = Path(__file__).parents[2]

CALLS = """
from loadkit import Endpoint, LoadFixture, Scenario, run

home = Endpoint("GET", "/").replace(weight=2, expect="2xx", timeout="5s")
browse = Scenario(endpoints=[home], base_url="http://127.0.0.1:8000", duration="5s")
rush = browse.replace(rate="200/s", think_time=("1s", "3s"), processes="auto")
p99: float = run(rush).p99

def test_home(load: LoadFixture) -> None:
    assert load(home, base_url="http://127.0.0.1:8000", threads=4, judge=False).passed

home.replace(wieght=2)  # wrong
home.replace(weight="2")  # wrong
browse.replace(thread=2)  # wrong
browse.replace(phases="30s")  # wrong
run(browse, thread=2)  # wrong
Scenario(endpoints=[home], thread=2)  # wrong

def test_wrong(load: LoadFixture) -> None:
    load(home, thread=2)  # wrong
    load(home, judge="no")  # wrong
    load(2)  # wrong
"""


@pytest.mark.slow
def test_a_type_checker_refuses_misspelt_keywords_and_wrong_values_and_nothing_else(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "calls.py").write_text(CALLS)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-error-summary",
        "--no-pretty",
        str(tmp_path / "calls.py"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    found = {int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error: " in line}
    assert found == {at for at, line in enumerate(CALLS.splitlines(), 1) if line.endswith("# wrong")}, done.stdout


@pytest.mark.parametrize(
    ("plan", "taken"),
    [
        (Scenario, ScenarioFields),
        (Endpoint, EndpointFields),
        (Journey, JourneyFields),
    ],
)
def test_replace_takes_each_field_as_it_is_declared(plan: type, taken: type) -> None:
    declared = {name: said for name, said in plan.__annotations__.items() if said != "dataclasses.KW_ONLY"}
    assert {name: said.__forward_arg__ for name, said in taken.__annotations__.items()} == declared
