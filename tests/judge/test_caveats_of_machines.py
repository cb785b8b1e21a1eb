"""What one of several machines did to the figures is said of that machine."""

from __future__ import annotations

from typing import Any

import pytest

from loadkit.drive.machines import Machine
from loadkit.judge.caveats import caveats
from loadkit.judge.caveats.machines import of_each_machine
from tests.evidence import asked, known, total
from tests.machines import machine


def said(*machines: Machine, **changes: Any) -> list[tuple[str, str]]:
    values: dict[str, Any] = {"total": total(2000, service=2.0), "scenario": asked(rate=200.0)}
    run = known(machines=machines, **(values | changes))
    return [(one.code, one.message.partition(":")[0]) for one in of_each_machine(run)]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"cpu_seconds": 9.0}, ["generator-busy"]),
        ({"cpu_seconds": 9.0, "processes": 2}, []),
        # a container may have half a CPU
        ({"cpu_capacity": 0.5}, ["generator-busy"]),
        ({"cpu_seconds": 0.9, "duration": 0.5}, []),
        ({"lateness_p99": 0.003}, ["late"]),
        ({"lateness_p99": None}, []),
        ({"cpu_seconds": 9.0, "lateness_p99": 0.003}, ["generator-busy", "late"]),
    ],
)
def test_a_machine_that_is_slow_where_the_others_are_not_is_named(changes: dict[str, Any], found: list[str]):
    assert said(machine(1), machine(2, **changes)) == [(code, "part 2/2 (web-2)") for code in found]


def test_one_machine_alone_is_all_of_the_load_and_has_the_caveats_of_any_run():
    assert said(machine(1, parts=1, cpu_seconds=9.0)) == []


def test_a_machine_of_which_nothing_was_heard_may_have_been_cut_off_and_have_sent_all():
    run = known(machines=(machine(1), machine(2)), silent=("machine 2 of 2 (web-2) was silent for 5.0 s",))

    (message,) = [one.message for one in caveats(run) if one.code == "worker-silent"]
    assert message == (
        "machine 2 of 2 (web-2) was silent for 5.0 s, stopped, starved of CPU or cut off; what it sent may have been "
        "late or missing then"
    )


def test_a_target_in_the_process_that_directs_machines_shares_its_interpreter_with_none_that_sends():
    run = known(machines=(machine(1, 1),), is_in_process=True)

    (message,) = [one.message for one in caveats(run) if one.code == "same-process"]
    assert message.startswith("the target is served by the process that directs the workers")


def test_what_is_so_on_all_machines_is_said_of_the_run_alone():
    slow: dict[str, Any] = {"cpu_seconds": 9.0, "lateness_p99": 0.003}

    assert said(machine(1, **slow), machine(2, **slow)) == []
    assert said(machine(1, **slow), machine(2, lateness_p99=0.003)) == [("generator-busy", "part 1/2 (web-1)")]


def test_threads_that_wait_for_their_replies_are_never_late():
    assert said(machine(1), machine(2, lateness_p99=0.003), scenario=asked(rate=None)) == []
