"""A version that is measured against stored rounds: as these were, as often, and the bad days."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest

from loadkit.jobs.compare import compare
from loadkit.jobs.rounds import NotMeasurable
from loadkit.jobs.run import run
from loadkit.judge.comparison.comparison import Comparison
from loadkit.judge.comparison.procedure import Moment
from loadkit.judge.result import Result
from loadkit.plan.data import rows
from loadkit.plan.endpoint import Endpoint
from loadkit.plan.errors import UsageError
from loadkit.plan.scenario import Scenario
from loadkit.report.json import dump
from loadkit.server.demo import Demo
from tests.jobs.rounds import measured


def scenario(demo: Demo, path: str = "/", **fields: Any) -> Scenario:
    given = {"endpoints": [Endpoint("GET", path)], "threads": 2, **fields}
    return Scenario(base_url=demo.url, name="browse", **given)


def codes(found: Comparison) -> list[str]:
    return [one.code for one in found.caveats]


SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"iterations": 40}, "iterations 40, not none"),
    ({"iterations": 40, "threads": 1, "think_time": "1ms"}, ""),
    (
        {"iterations": 40, "think_time": ("1ms", "2ms"), "thresholds": ["p99 < 5s"]},
        "iterations 40, not none; think time 1ms to 2ms, not none",
    ),
    ({"rate": "100/s", "duration": 0.3}, "rate 100, not none; duration 0.3, not 10"),
    ({"iterations": 40, "seed": 3, "timeout": "3s", "warmup": "100ms"}, "warmup 0.1, not 0"),
]


@pytest.mark.parametrize(("settings", "said"), SETTINGS, ids=[str(row[0]) for row in SETTINGS])
def test_it_is_measured_as_the_stored_rounds_were(demo: Demo, settings: dict[str, Any], said: str):
    before = [run(scenario(demo, **settings)) for _ in range(2)]

    found = compare(scenario(demo), against=before)

    assert codes(found) == ["few-rounds"]
    assert [one.version for one in found.rounds] == ["old", "old", "new", "new"]
    assert said in found.notes[-1]


def test_another_load_that_cannot_be_set_is_said_first(demo: Demo):
    before = [run(scenario(demo, iterations=20))]

    found = compare(scenario(demo, "/items"), against=before)

    assert codes(found) == ["other-load", "one-round"]
    assert "endpoints [GET /] -> [GET /items]" in found.caveats[0].message


def test_it_has_as_many_rounds_as_are_stored_up_to_8_and_the_budget(demo: Demo):
    before = [run(scenario(demo, iterations=10)) for _ in range(9)]

    assert sum(one.version == "new" for one in compare(scenario(demo), against=before).rounds) == 8
    found = compare(scenario(demo), against=before, budget=0.001)
    assert sum(one.version == "new" for one in found.rounds) == 1
    assert found.notes[-1] == "the budget of 0.001 s was enough for 1 of 8 rounds"


@pytest.mark.slow
def test_a_server_that_became_slower_is_worse_and_one_that_did_not_is_not(demo: Demo):
    """By its rows alone, which are no part of what a load is known by."""

    def serving(delay: str) -> Scenario:
        endpoint = Endpoint("GET", "/delay/{delay}", feed=rows([{"delay": delay}], at_end="again"))
        return scenario(demo, endpoints=[endpoint], duration=0.5)

    before = [run(serving("0.01")) for _ in range(6)]

    assert not compare(serving("0.01"), against=before, tolerances={"p50": 0.2, "throughput": 0.2}).worse
    found = compare(serving("0.02"), against=before)
    assert (found.caveats, found.verdict) == ([], "worse")
    assert found.p50.ratio == pytest.approx(2, rel=0.2)


def test_an_interrupt_says_what_is_known(demo: Demo):
    before = [run(scenario(demo, iterations=10)) for _ in range(5)]
    seen: list[Moment] = []
    asked = count()

    found = compare(
        scenario(demo), against=before, watch=seen.append, interrupts=lambda: len(seen) >= 2 and next(asked) >= 0
    )

    assert (found.verdict, found.reason) == ("cannot tell", "interrupted")
    assert sum(one.version == "new" for one in found.rounds) == 2
    assert [one.blocks for one in seen] == [1, 2]


def test_a_server_that_does_not_start_makes_it_not_measurable(demo: Demo):
    before = [run(scenario(demo, iterations=10))]
    new = Scenario(endpoints=[Endpoint("GET", "/")], name="browse", threads=2, server=["false", "{port}"])

    with pytest.raises(NotMeasurable, match=r"the new version, browse: the server 'false \d+' ended with exit code 1"):
        compare(new, against=before)


def test_results_are_compared_with_results_and_with_files(tmp_path: Path):
    before, after, file = measured(), measured(1.3), tmp_path / "before.json"
    file.write_text(dump(before))

    assert compare(after, against=before).worse
    assert compare(after, against=file).old == str(file)
    assert compare(after, against=str(file), tolerances={"p50": 0.5, "throughput": 0.5}).verdict == "no worse"


WRONG: list[tuple[Any, Any, str]] = [
    ([], measured(), "there is no round in after to compare"),
    (measured(), [], "there is no round in before to compare"),
    (measured()[0], measured(), "compare takes a scenario, or rounds like .*, not <Result browse: passed"),
    ("shop.py", measured(), "compare takes a scenario, or rounds like .*, not 'shop.py'"),
    (measured(), "main", "rounds that are stored are compared with such, like before.json"),
    (Scenario(endpoints=[Endpoint("GET", "http://h/")]), 7, "against takes a scenario, a URL, a revision or stored"),
]


@pytest.mark.parametrize(("new", "against", "message"), WRONG, ids=[row[2] for row in WRONG])
def test_what_cannot_be_compared_is_named(new: list[Result], against: Any, message: str):
    with pytest.raises(UsageError, match=message):
        compare(new, against=against)
