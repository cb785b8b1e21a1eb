"""The machines of a load in reports: a row each, and in words which parts there are."""

from __future__ import annotations

from typing import Any

import pytest

from loadkit.drive.machines import Machine
from loadkit.judge.validity import Caveat
from loadkit.report.headline import describe_outcome
from loadkit.report.machines import describe_machines, machine_table
from loadkit.report.overview import totals
from tests.machines import machine
from tests.results import result, row, times


def of(*machines: Machine, **changes: Any):
    return result([row("GET /", times((5000, 100)))], machines=list(machines), **changes)


def test_a_row_a_machine_says_what_it_did_and_how_punctually():
    found = of(
        machine(1, 3, addresses=["10.0.0.1"]),
        machine(2, 3, after=0.0021, failures=7, clock_offset=-0.0012, clock_error=0.0004, addresses=["10.0.0.2"]),
        machine(3, 3, after=1.5, ended="interrupted", lateness_p99=None),
    )

    table = machine_table(found, 40)

    assert table is not None
    titles = ["threads", "requests", "throughput", "errors", "CPU", "begun after", "clock ahead", "sent late p99"]
    assert [column.title for column in table.columns] == [*titles, "from", "ended"]
    alike = ["8", "1,000", "100/s"]
    assert [[cell.text for cell in cells] for cells in table.rows] == [
        ["1/3 web-1", *alike, "0", "50 % of 4", "0", "-", "200 us", "10.0.0.1", ""],
        ["2/3 web-2", *alike, "7", "50 % of 4", "2.1 ms", "-1.2 ms ± 400 us", "200 us", "10.0.0.2", ""],
        ["3/3 web-3", *alike, "0", "50 % of 4", "1.5 s", "-", "-", "-", "interrupted"],
    ]


@pytest.mark.parametrize(("processes", "workers"), [(1, "2 machines"), (4, "2 processes")])
def test_machines_that_one_directs_are_no_processes_of_it(processes: int, workers: str):
    found = of(machine(1), machine(2), environment={"cpu_by_process": [3.0, 6.0]}, scenario={"processes": processes})

    assert f"; {workers}, the busiest 20 %" in totals(found).columns[0].cells[-1].text


def test_of_very_many_machines_those_that_sent_the_latest_are_shown():
    found = of(*(machine(number, 9, lateness_p99=number / 1000) for number in range(1, 10)))

    table = machine_table(found, 3)

    assert table is not None
    assert list(table.names) == ["7/9 web-7", "8/9 web-8", "9/9 web-9"]
    assert [note.text for note in table.notes] == ["these 3 sent the latest; 6 more in the JSON"]


def test_one_machine_that_has_all_of_the_load_has_no_table():
    assert machine_table(of(), 40) is None


@pytest.mark.parametrize(
    ("parts", "words"),
    [([], ""), ([2], "part 2 of 3"), ([1, 3], "2 of 3 parts on 2 machines"), ([1, 2, 3], "3 parts on 3 machines")],
)
def test_which_parts_there_are_is_said_in_words(parts: list[int], words: str):
    assert describe_machines([machine(number, 3) for number in parts]) == words


MISSING = Caveat("parts-missing", "part 3 is missing", "grave")
UNSENT = Caveat("asked-rate", "asked 40/s, sent 9/s", "grave")


@pytest.mark.parametrize(
    ("parts", "changes", "sentence"),
    [
        ([2], {}, "DONE: thresholds are judged when all parts are merged by loadkit report"),
        # of one part, that others are not there is no reason
        (
            [2],
            {"outcome": "not-applied", "caveats": [UNSENT]},
            "NOT APPLIED: the load asked for was not put on the target",
        ),
        ([1, 2], {"outcome": "not-applied", "caveats": [MISSING]}, "NOT APPLIED: part 3 of 3 is missing"),
        ([3], {"outcome": "not-applied", "caveats": [MISSING]}, "NOT APPLIED: parts 1, 2 of 3 are missing"),
        ([1, 2, 3], {}, "PASSED: no request failed"),
    ],
)
def test_the_outcome_of_parts_says_what_is_to_be_done(parts: list[int], changes: dict[str, Any], sentence: str):
    word, rest, _ = describe_outcome(of(*(machine(number, 3) for number in parts), **changes))

    assert word + rest == sentence


def test_a_part_that_never_ended_is_named_beside_one_that_is_missing():
    found = of(machine(1, 3), machine(2, 3, ended="unfinished"), outcome="not-applied", caveats=[MISSING])

    word, rest, _ = describe_outcome(found)

    assert word + rest == "NOT APPLIED: part 3 of 3 is missing and part 2 of 3 is unfinished"
