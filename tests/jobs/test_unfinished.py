"""Journeys that never come to their end: such a run has shown nothing, whatever else was answered in it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loadkit import Endpoint, Journey, Scenario, run, timer
from loadkit.judge.result import Result
from loadkit.server.demo import Demo
from tests.conftest import Call

END = threading.Event()
"""Lets those end that a run leaves behind."""


@pytest.fixture(autouse=True)
def nobody_left() -> Any:
    """Those that a run left behind end with the test."""
    END.clear()
    yield
    END.set()
    for thread in threading.enumerate():
        if thread.name.startswith("loadkit-"):
            thread.join(5)


def sleeps(http: Any) -> None:
    """Sleep where nobody can wake it."""
    http.get("/items/1")
    while not END.is_set():
        time.sleep(0.02)


def spins(http: Any) -> None:
    """Count for as long as the run lasts, and never look up."""
    http.get("/items/1")
    over = time.monotonic() + 0.6
    while time.monotonic() < over:
        sum(range(1000))
    sleeps(http)


def goes_round(http: Any) -> None:
    """Never say that a visit is over."""
    while True:
        http.get("/items/1")


def thinks(http: Any) -> None:
    """Think longer than the run lasts."""
    http.get("/items/1")
    http.pause("1h")


def times(http: Any) -> None:
    """Time something, and request nothing."""
    with timer("work"):
        time.sleep(0.001)
    while not END.is_set():
        time.sleep(0.02)


async def waits(http: Any) -> None:
    """Wait on the loop of its thread, after something that was timed."""
    with timer("work"):
        await asyncio.sleep(0.001)
    await http.pause("1h")


def reads(http: Any) -> None:
    """Come to an end."""
    http.get("/items/1")


def outcome_of(demo: Demo, endpoints: Any, **fields: Any) -> Result:
    interrupts: Callable[[], int] | None = fields.pop("interrupts", None)
    pace = {} if "rate" in fields else {"think_time": "5ms"}
    ends: dict[str, Any] = {"threads": 2, "duration": "400ms", "graceful_stop": "100ms", **pace}
    return run(Scenario(base_url=demo.url, endpoints=endpoints, **ends | fields), interrupts=interrupts)


NEVER: list[Any] = [sleeps, spins, goes_round, thinks, times, waits]


def name(plan: Any) -> str:
    return getattr(plan, "__name__", None) or plan.label


@pytest.mark.parametrize("journey", NEVER, ids=name)
def test_a_run_in_which_no_journey_ever_finished_has_failed_and_says_so(demo: Demo, journey: Any) -> None:
    result = outcome_of(demo, [journey])

    assert result.outcome == "failed"
    (said,) = [caveat.message for caveat in result.caveats if caveat.code == "unfinished"]
    assert said.startswith(f"{name(journey)} never came to its end: 2 were cut when the run was over")


@pytest.mark.parametrize("journey", [sleeps, thinks, waits], ids=name)
@pytest.mark.parametrize("fields", [{}, {"rate": "20/s"}], ids=["closed", "open"])
def test_good_replies_of_an_endpoint_beside_it_make_no_difference(demo: Demo, journey: Any, fields: Any) -> None:
    result = outcome_of(demo, [Endpoint("GET", "/items/2"), journey], threads=4, **fields)

    assert result["GET /items/2"].response_time.count
    assert result.outcome == "failed"


def test_several_tasks_of_a_thread_that_never_finish_have_failed(demo: Demo) -> None:
    assert outcome_of(demo, [Journey(waits, tasks_per_thread=5)], threads=1).outcome == "failed"


def test_where_some_journey_finished_the_run_is_judged_by_its_figures(demo: Demo) -> None:
    result = outcome_of(demo, [reads, thinks], threads=4)

    assert result.outcome == "passed"
    assert "unfinished" in [caveat.code for caveat in result.caveats], "the figures do not tell of the other one"


@pytest.mark.parametrize(
    ("endpoints", "fields", "outcome"),
    [
        pytest.param([thinks], {"interrupts": 1}, "interrupted", id="interrupted early"),
        pytest.param([Endpoint("GET", "/items/2", weight=99), thinks], {"rate": "5/s"}, "passed", id="none was due"),
        pytest.param([reads], {}, "passed", id="all came to their end but the last"),
    ],
)
def test_a_run_that_owed_no_journey_has_not_failed(
    demo: Demo, endpoints: Any, fields: dict[str, Any], outcome: str
) -> None:
    if "interrupts" in fields:
        began = time.monotonic()
        fields = {"interrupts": lambda: int(time.monotonic() > began + 0.1)}

    assert outcome_of(demo, endpoints, **fields).outcome == outcome


def test_the_command_exits_with_1_and_its_first_line_says_why(call: Call, demo: Demo, tmp_path: Path) -> None:
    file, output = tmp_path / "shop.py", tmp_path / "result.json"
    file.write_text(
        "from loadkit import Scenario\n"
        "def thinks(http):\n    http.get('/items/1')\n    http.pause('1h')\n"
        f"shop = Scenario(base_url={demo.url!r}, endpoints=[thinks], threads=2, duration='400ms', graceful_stop=0.1)\n"
    )
    done = call("run", str(file), "-o", str(output))

    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAILED: no journey ever came to its end" in done.stdout
    (stored,) = json.loads(output.read_text())["results"]
    assert (stored["outcome"], stored["total"]["requests"]) == ("failed", 2)


def test_a_loop_that_is_being_ended_when_the_run_is_cut_ends_in_order(demo: Demo) -> None:
    kept, ended = [], []

    async def values() -> Any:
        try:
            yield 1
        finally:
            await asyncio.sleep(0.4)
            ended.append(True)

    async def leaves_one_open(http: Any) -> None:
        kept.append(values())
        await anext(kept[-1])

    outcome_of(demo, [leaves_one_open], duration="100ms", think_time="1s")

    assert kept
    assert ended == [True] * len(kept)
