"""Journeys from the command line: run, each once, listed, merged, and what mistakes in a file print."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from loadkit import UsageError, run
from loadkit.plan import loader as scenarios
from loadkit.report.json import load
from loadkit.server.demo import Demo
from tests.conftest import Call
from tests.interrupts import interrupted

FILE = '''
"""Shoppers who buy."""
from loadkit import Endpoint, Journey, Scenario, scenario, timer


def buy(http):
    item = http.get("/search", params={{"q": "tea"}}).json()["items"][0]
    with http.step("checkout"):
        ordered = http.post("/orders", json={{"sku": item["sku"]}})
    assert ordered.status_code == 201


async def watch(http):
    with timer("nothing"):
        await http.pause("1ms")


shop = Scenario(
    base_url="{url}",
    endpoints=[Endpoint("GET", "/", weight=3), Journey(buy, threads=2), Journey(watch, threads=1, tasks_per_thread=4)],
    threads=2,
    iterations=60,
    thresholds=["buy: p99 < 5s", "checkout: error_rate < 1%", "nothing: requests > 1", "POST /orders: p99 < 5s"],
)


@scenario(base_url="{url}", threads=2, iterations=6)
def wrong(http):
    """Expects another."""
    found = http.get("/items/7").json()["id"]
    assert found == 8, "another item"


@scenario
def anywhere(http):
    http.get("/items/7")
'''


@pytest.fixture
def file(demo: Demo, tmp_path: Path) -> Path:
    """A scenario file aimed at the demo server."""
    path = tmp_path / "shop.py"
    path.write_text(FILE.format(url=demo.url))
    return path


def test_a_run_reports_journeys_steps_and_timers_and_its_parts_merge(call: Call, file: Path, tmp_path: Path):
    parts = [tmp_path / "a.json", tmp_path / "b.json"]
    for part in parts:
        done = call("run", f"{file}::shop", "-o", str(part))
        assert done.returncode == 0, done.stdout + done.stderr
        for line in ("\njourney", "\n  buy ", "\n  watch", "\nstep", "\n  checkout", "\ntimer", "\n  nothing"):
            assert line in done.stdout
    merged = call("report", *map(str, parts), "-o", str(tmp_path / "both.json"))

    assert merged.returncode == 0, merged.stdout + merged.stderr
    (first,), (second,), (both,) = (load(path) for path in (*parts, tmp_path / "both.json"))
    for name in ("buy", "watch", "checkout", "nothing"):
        assert both.timing(name).count == first.timing(name).count + second.timing(name).count > 0
    assert [one.passed for one in both.thresholds].count(True) == len(both.thresholds) > 4
    assert both.scenario.journeys == ["buy", "watch"]


def test_once_runs_each_once(call: Call, file: Path, tmp_path: Path):
    done = call("run", f"{file}::shop", "--once", "-q", "-o", str(tmp_path / "once.json"))

    assert done.returncode == 0, done.stdout + done.stderr
    (result,) = load(tmp_path / "once.json")
    assert {one.name: one.count for one in result.timings} == {"buy": 1, "watch": 1, "checkout": 1, "nothing": 1}
    assert result["GET /"].requests == 1


def test_a_failed_assertion_shows_its_values_its_place_and_fails_the_run(call: Call, file: Path):
    done = call("run", f"{file}::wrong")

    assert done.returncode == 1
    shown = " ".join(done.stdout.split())
    assert "FAILED: journeys failed" in shown
    assert "6 check another item assert 7 == 8 at shop.py:" in shown
    assert 'in wrong: assert found == 8, "another item" (wrong, first at' in shown
    assert "Expects another." in shown
    assert done.stderr == "" or "Traceback" not in done.stderr


def test_a_decorated_function_is_aimed_from_outside(call: Call, file: Path, demo: Demo):
    done = call("run", f"{file}::anywhere", "--base-url", demo.url, "-n", "5", "-c", "1")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "GET /items/{id}" in done.stdout


def test_list_names_journeys(call: Call, file: Path):
    done = call("list", str(file))

    assert done.returncode == 0
    lines = [
        line.partition("  ")[0].partition("::")[2] if line[0] != " " else line for line in done.stdout.splitlines()
    ]
    assert lines == [
        *("shop", "  GET /", "  buy (journey)", "  watch (journey)"),
        *("wrong", "  wrong (journey)", "anywhere", "  anywhere (journey)"),
    ]


def test_an_interrupt_ends_journeys_and_reports(call: Call, tmp_path: Path, demo: Demo):
    path, thinking = tmp_path / "long.py", tmp_path / "thinking"
    path.write_text(
        "from loadkit import scenario\n"
        f"@scenario(base_url='{demo.url}', threads=3, duration='1h', graceful_stop='1h')\n"
        "def think(http):\n"
        "    http.get('/')\n"
        f"    with open({str(thinking)!r}, 'a') as said:\n"
        "        said.write('.')\n"
        "    http.pause('1h')\n"
    )
    with interrupted(lambda: thinking.exists() and thinking.read_text() == "...", signal.SIGINT):
        done = call("run", str(path))

    assert done.returncode == 2, done.stderr
    assert "INTERRUPTED" in done.stdout
    assert "think: 3 cut off when the run ended" in done.stdout


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (
            "def buy(): ...\nshop = Scenario(endpoints=[buy])",
            ":3: buy does not take its session first; write it like def",
        ),
        ("shop = Scenario(endpoints=[Journey(print, thread=3)])", ":2: Journey has no 'thread'; did you mean threads?"),
        ("@scenario(thread=3)\ndef buy(http): ...", ": Scenario has no 'thread'; did you mean threads?"),
        ("@scenario(threads=0)\ndef buy(http): ...", ": threads takes a whole number of at least 1, not 0"),
        (
            "@timed\ndef pages():\n    yield",
            ": timed would only time how pages begins, for it yields; write a timer(…)",
        ),
    ],
)
def test_a_mistake_is_said_in_a_line(code: str, says: str, tmp_path: Path):
    path = tmp_path / "bad.py"
    path.write_text(f"from loadkit import Journey, Scenario, scenario, timed\n{code}\n")

    # what the command prints behind "loadkit: "
    with pytest.raises(UsageError) as caught:
        run(scenarios.load(str(path))[0])

    assert says in str(caught.value)
