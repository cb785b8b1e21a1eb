"""Several scenarios at once: what is refused, who waits for whom, and how they end."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from loadkit import Endpoint, Scenario, UsageError, run, run_together
from loadkit.drive.progress import Snapshot
from loadkit.plan.errors import SetupError
from tests.interrupts import interrupted
from tests.witness.witness import Witness

SERVER = """
import sys
from loadkit.server.demo.serving import serve_announced
open(sys.argv[2], "a").write("started ")
serve_announced(host="127.0.0.1", port=int(sys.argv[1]))
"""


def plan(witness: Witness, name: str, **changes) -> Scenario:
    fields: dict[str, Any] = {"endpoints": [Endpoint("GET", f"/{name}")], "iterations": 10}
    return Scenario(name=name, base_url=witness.url, **(fields | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([{}], "to run together takes two scenarios at least, and there is 1"),
        ([], "to run together takes two scenarios at least, and there is none"),
        ([{}, {}], "first would be one in the report, twice of one name and plan: "),
        (
            [{}, {"name": "second", "threads": 4, "processes": 2}],
            "second has processes=2, and those that run together share one process; write processes=1",
        ),
    ],
)
def test_what_cannot_run_together_is_refused(changes: list[dict], message: str, witness: Witness):
    scenarios = [plan(witness, "first").replace(**one) for one in changes]

    with pytest.raises(UsageError, match=f"^{re.escape(message)}"):
        run_together(*scenarios)


def test_connections_are_counted_in_sum(witness: Witness):
    many = {"threads": 300_000, "iterations": 300_000}

    # each of them alone would be refused with 300,000
    with pytest.raises(UsageError, match=r"^600,000 connections "):
        run_together(plan(witness, "one", **many), plan(witness, "two", **many))


@pytest.mark.parametrize("kind", ["setup", "thread_setup"])
def test_a_set_up_that_fails_lets_none_of_them_send_and_the_others_are_torn_down(kind: str, witness: Witness):
    torn_down = []

    def fails() -> None:
        raise ValueError("no token")

    witness.clear()
    broken = plan(witness, "broken", **{kind: fails})
    sound = plan(witness, "sound-one", setup=lambda: None, teardown=lambda: torn_down.append("sound-one"))

    with pytest.raises(SetupError, match="no token"):
        run_together(sound, broken)

    assert not witness.log().requests
    assert torn_down == ["sound-one"]


def test_none_is_torn_down_before_all_have_ended(witness: Witness):
    seen = []

    def look() -> None:
        seen.append(len(witness.log().of("/longer")))

    witness.clear()
    short = plan(witness, "shorter", iterations=1, teardown=look)
    long = plan(witness, "longer", iterations=None, duration=0.8, threads=1)

    _, of_long = run_together(short, long)

    assert seen == [of_long.requests + of_long.total.cut]


def test_a_server_that_several_name_is_started_once(tmp_path: Path):
    log = tmp_path / "log"
    command = [sys.executable, "-c", SERVER, "{port}", str(log)]
    first = Scenario(name="first", endpoints=[Endpoint("GET", "/items")], iterations=5, server=command)
    second = first.replace(name="second", iterations=7)

    results = run_together(first, second)

    assert [one.requests for one in results] == [5, 7]
    assert [one.outcome for one in results] == ["passed", "passed"]
    assert all(one.server is not None for one in results)
    assert log.read_text() == "started "


def test_a_server_that_is_lost_ends_the_others_that_share_it():
    # it ends with the first POST
    code = "import http.server, os; http.server.BaseHTTPRequestHandler.do_POST = lambda _: os._exit(3); "
    code += (
        "http.server.test(http.server.SimpleHTTPRequestHandler, bind='127.0.0.1', port=int(__import__('sys').argv[1]))"
    )
    command = [sys.executable, "-c", code, "{port}"]
    fatal = Scenario(
        name="fatal", endpoints=[Endpoint("POST", "/")], iterations=1, server=command, ready="/", keep_going=True
    )
    reading = fatal.replace(
        name="reading", endpoints=[Endpoint("GET", "/")], iterations=None, duration=30, think_time=0.01
    )

    results = run_together(reading, fatal)

    assert results[0].outcome == "server-lost"
    assert results[0].duration < 20


def test_its_figures_are_not_those_of_a_run_alone(witness: Witness):
    one, other = plan(witness, "one"), plan(witness, "other")

    (alone, together, turned) = run(one), run_together(one, other)[0], run_together(other, one)[1]

    assert together.identity.name == alone.identity.name
    assert together.identity.plan != alone.identity.plan
    assert together.identity == turned.identity
    [note] = [caveat for caveat in together.caveats if caveat.code == "together"]
    assert "ran together with other in one process" in note.message


def test_a_watcher_sees_all_of_them_with_a_row_each(witness: Witness):
    shown: list[Snapshot] = []
    rows: list[list[str]] = []

    def watch(snapshot: Snapshot) -> None:
        shown.append(snapshot)
        rows.append([one.name for one in snapshot.endpoints()])

    run_together(
        plan(witness, "one", iterations=None, duration=1),
        plan(witness, "other", iterations=None, duration=1),
        watch=watch,
    )

    assert {one.name for one in shown} == {"one, other"}
    assert ["one", "other"] in rows


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGINT, signal.SIGINT]], ids=["once", "twice"])
def test_an_interrupt_stops_all_and_each_has_its_result(signals: list[signal.Signals], witness: Witness):
    quick = plan(witness, "quick", iterations=None, duration=60)
    # what is under way has 30 s to end, unless they are asked twice
    hanging = plan(
        witness,
        "hanging",
        endpoints=[Endpoint("GET", f"/hanging?ms={1000 if len(signals) == 1 else 20_000}")],
        iterations=None,
        rate="20/s",
        duration=60,
        timeout=40,
        graceful_stop=30,
    )

    witness.clear()

    with interrupted(lambda: bool(witness.log().of("/hanging").requests), *signals):
        results = run_together(quick, hanging)

    assert [one.outcome for one in results] == ["interrupted", "interrupted"]
    assert results[0].requests > 0
    assert all(one.duration < 15 for one in results)
    if len(signals) == 2:
        assert results[1].total.cut > 0
    else:
        assert results[1].total.cut == 0
