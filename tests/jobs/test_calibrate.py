"""What a calibration keeps, and what later comparisons make of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from loadkit.jobs.calibrate import calibrate, kept_calibration
from loadkit.jobs.compare import compare
from loadkit.jobs.tolerances import visible_tolerances
from loadkit.judge.comparison.blocks import Metric
from loadkit.judge.comparison.calibration import CalibratedFigure, Calibration
from loadkit.judge.environment import this_machine
from loadkit.judge.fingerprint import fingerprint
from loadkit.judge.identity import Identity
from loadkit.plan.endpoint import Endpoint
from loadkit.plan.scenario import Scenario
from loadkit.server.demo import Demo
from tests.conftest import Call

P50, P99, THROUGHPUT, ERRORS = Metric("p50"), Metric("p99"), Metric("throughput"), Metric("error_rate")
HOME, HOME_P99 = Metric("p50", "GET /"), Metric("p99", "GET /")
DEFAULTS = {P50: 0.05, ERRORS: 0.001}


def calibration(spreads: dict[Metric, float]) -> Calibration:
    """Of 100 blocks in 200 s."""
    return Calibration(
        identity=Identity(name="shop", plan="0123456789abcdef"),
        fingerprint=fingerprint(this_machine()),
        made_at="2026-01-01T00:00:00+00:00",
        seconds=200,
        blocks=100,
        figures=[
            CalibratedFigure(metric=one.name, label=one.label, spread=spread, blocks=100)
            for one, spread in spreads.items()
        ],
    )


KNOWN = [
    ("quiet: the default", {P50: 0.01, ERRORS: 0.0}, {}, DEFAULTS),
    ("not quiet: what can be seen", {P50: 0.2, ERRORS: 0.0}, {}, {P50: 0.11, ERRORS: 0.001}),
    ("so loud that nothing can be told", {P50: 2.0, ERRORS: 0.1}, {}, {P50: 0.25, ERRORS: 0.005}),
    ("what is named is taken", {P50: 0.2}, {P50: 0.02, P99: 0.5}, {P50: 0.02, ERRORS: 0.001, P99: 0.5}),
    ("the p99, where it can be seen", {P50: 0.01, P99: 0.15}, {}, {**DEFAULTS, P99: 0.082}),
    ("and not where it cannot", {P50: 0.01, P99: 0.3}, {}, DEFAULTS),
    ("endpoints", {HOME: 0.01, HOME_P99: 0.3}, {}, {**DEFAULTS, HOME: 0.05}),
    ("no other figures", {Metric("mean"): 0.01, Metric("throughput", "GET /"): 0.01}, {}, DEFAULTS),
]


@pytest.mark.parametrize(("spreads", "named", "expected"), [row[1:] for row in KNOWN], ids=[row[0] for row in KNOWN])
def test_what_is_tolerated_follows_from_what_can_be_seen(
    spreads: dict[Metric, float], named: dict[Metric, float], expected: dict[Metric, float]
):
    found = visible_tolerances(calibration(spreads), DEFAULTS, named, 200)
    assert found == {one: pytest.approx(tolerance, abs=0.002) for one, tolerance in expected.items()}


def test_a_longer_budget_sees_more_and_many_figures_see_less_each():
    one, many = calibration({P99: 0.145}), calibration({Metric("p99", f"GET /{k}"): 0.145 for k in range(20)})
    assert P99 in visible_tolerances(one, DEFAULTS, {}, 100)
    assert visible_tolerances(many, DEFAULTS, {}, 100) == DEFAULTS
    assert len(visible_tolerances(many, DEFAULTS, {}, 200)) == 22


def test_a_budget_without_room_for_8_blocks_changes_nothing():
    assert visible_tolerances(calibration({P50: 0.2, P99: 0.01}), DEFAULTS, {}, 12) == DEFAULTS


@pytest.fixture
def browse(demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scenario:
    """A scenario at rest, in a project of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").touch()
    endpoints = [Endpoint("GET", "/delay/0.004"), Endpoint("GET", "/delay/0.002")]
    return Scenario(base_url=demo.url, endpoints=endpoints, threads=2, name="browse")


def test_few_blocks_are_not_kept_and_a_comparison_says_that_it_was_never_calibrated(
    browse: Scenario, demo: Demo, call: Call
):
    Path("shop.py").write_text(
        "from loadkit import Endpoint, Scenario\n"
        f"browse = Scenario(base_url='{demo.url}', endpoints=[Endpoint('GET', '/delay/0.002')], threads=2)\n"
    )
    done = call("compare", "shop.py", "--calibrate", "--budget", "3s", "--output", "found.json")

    assert done.returncode == 6
    assert "NOT CALIBRATED: there were 1 of the 8 blocks that it takes; give it more time" in done.stdout
    assert json.loads(Path("found.json").read_text())["fault"].startswith("there were 1 of the 8 blocks")
    assert not Path(".loadkit").exists()
    said = "never calibrated here, so it is not known how small a change can be seen: loadkit.calibrate"
    assert any(note.startswith(said) for note in compare(browse, against=browse, budget=1).notes)


def test_a_service_that_fails_cannot_be_calibrated(browse: Scenario):
    found = calibrate(browse.replace(endpoints=[Endpoint("GET", "/status/500")]))

    assert re.fullmatch(r"all requests failed: GET http://.*/status/500: status 500, expected .*", found.fault)
    assert found.exit_code == 6


@pytest.mark.slow
def test_what_is_found_is_kept_for_this_scenario_and_machine_and_used(browse: Scenario):
    made = calibrate(browse, budget=40)

    assert made.fault == ""
    assert {one.metric: one for one in made.figures}["p50"].spread > 0
    assert kept_calibration(browse) == made
    assert kept_calibration(browse.replace(threads=3)) is None
    assert Path(".loadkit/.gitignore").read_text() == "*\n"
    assert [one.name.endswith(f"{made.fingerprint.key}.json") for one in Path(".loadkit/calibration").iterdir()] == [
        True
    ]
    assert compare(browse, against=browse, budget=2).notes[-1].startswith(f"calibrated here on {made.made_at[:10]}")


def test_a_file_that_cannot_be_read_is_as_none(browse: Scenario):
    folder = Path(".loadkit/calibration")
    folder.mkdir(parents=True)
    assert kept_calibration(browse) is None
