"""What the machine did to the figures: each doubt appears with its figure, and not just below its limit."""

from __future__ import annotations

from typing import Any

import pytest

from loadkit.host.usage import Usage
from loadkit.judge.caveats.machine import of_machine
from loadkit.judge.rows import Row
from loadkit.plan.units import MILLISECOND, SECOND
from loadkit.wire.base import NO_PORT, Failure
from tests.evidence import IDLE, known, total, using
from tests.results import Sample, measured

SOUND = total(20_000)
HOUR = 3600 * SECOND


def doubts(use: Usage = IDLE, of: Row = SOUND, **changes: Any) -> list[tuple[str, str, str]]:
    found = of_machine(known(total=of, use=use, **changes))
    return [(caveat.code, caveat.message, caveat.level) for caveat in found]


def test_a_quiet_machine_gives_no_reason_to_doubt() -> None:
    assert doubts() == doubts(Usage()) == []


@pytest.mark.parametrize(
    ("below", "above", "code", "message"),
    [
        pytest.param(
            {"suspended": 0.05},
            {"suspended": 12.5},
            "suspended",
            "the machine slept for 12.5 s in mid-run, which no figure counts; what was under way then may have "
            "failed or seem slow: run again",
        ),
        pytest.param(
            {"stolen": 0.05},
            {"stolen": 0.07},
            "steal",
            "the hypervisor gave 7 % of this machine's CPU time to others (steal): all times are longer for it; use "
            "a machine of its own",
        ),
        pytest.param(
            {"throttled": 0.1},
            {"throttled": 0.25},
            "throttled",
            "this container had used up its share of CPU for 250 ms of 10 s, and all its threads waited; raise its "
            "CPU limit",
        ),
        pytest.param(
            {"swapped": 1_000_000},
            {"swapped": 81_920_000},
            "swapping",
            "the machine swapped 81.9 MB of memory to its disk and back: whoever waited for that was slow; leave "
            "more memory free",
        ),
        pytest.param(
            {"descriptors": 1008, "descriptor_limit": 1024},
            {"descriptors": 1009, "descriptor_limit": 1024},
            "descriptors",
            "1,009 of 1,024 file descriptors were in use: the next connections would have failed; raise the limit "
            "(ulimit -n), or use fewer threads",
        ),
        pytest.param(
            {"ports": 22_400, "port_range": 28_000},
            {"ports": 22_401, "port_range": 28_000},
            "ports",
            "up to 22,401 of 28,000 local ports were taken, most by connections that were closed a while ago "
            "(TIME_WAIT): keep connections alive, or widen net.ipv4.ip_local_port_range",
        ),
    ],
)
def test_what_the_machine_did_is_told_above_its_limit(
    below: dict[str, Any], above: dict[str, Any], code: str, message: str
) -> None:
    assert doubts(using(0.2, **below)) == []
    # near a limit is not beyond it
    level = "note" if code in ("descriptors", "ports") else "doubt"
    assert doubts(using(0.2, **above)) == [(code, message, level)]


def test_a_limit_that_is_not_known_is_not_near() -> None:
    assert doubts(using(0.2, descriptors=10**6, ports=10**6)) == []


def test_connections_without_a_port_are_this_machines_failure() -> None:
    no_port = Failure("connect", f"cannot assign requested address h:1 ({NO_PORT}: keep connections alive, or ...)")
    refused = Failure("connect", "connection refused h:1")
    row = measured([Sample(failure=no_port)] * 3 + [Sample(failure=refused)] * 2).total
    message = (
        "3 times no local port was free for a connection: that is this machine's failure and not the server's; keep "
        "connections alive, or widen net.ipv4.ip_local_port_range"
    )
    assert doubts(of=row) == [("no-ports", message, "doubt")]
    assert doubts(of=measured([Sample(failure=refused)]).total) == []


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([-HOUR], "once, by up to 3,600 s"),
        ([5 * MILLISECOND, -2 * SECOND], "2 times, by up to 2 s"),
        ([MILLISECOND], "once, by up to 1 ms"),
        ([MILLISECOND - 1, -200_000], None),  # a clock that is corrected gently
        ([], None),
    ],
)
def test_steps_of_the_wall_clock_are_told(steps: list[int], said: str | None) -> None:
    message = f"the wall clock was set {said}; replies under way then were timed by our own clock"
    assert doubts(clock_steps=steps) == ([("clock-step", message, "doubt")] if said else [])


def test_the_step_that_a_sleeping_machine_makes_is_no_second_reason() -> None:
    asleep = using(0.2, suspended=12.5)
    assert [code for code, *_ in doubts(asleep, clock_steps=[round(12.5 * SECOND)])] == ["suspended"]
    assert [code for code, *_ in doubts(asleep, clock_steps=[round(12.5 * SECOND), -HOUR])] == [
        "suspended",
        "clock-step",
    ]


@pytest.mark.parametrize(("share", "level"), [(0.5, "note"), (0.51, "doubt")])
def test_our_own_clock_is_doubted_when_threads_wait_for_each_other(share: float, level: str) -> None:
    message = (
        "arrivals were not stamped by the kernel but read by our own clock: with many threads, service times include "
        "the wait for the interpreter"
    )
    assert doubts(using(share), clock="own") == [("own-clock", message, level)]


@pytest.mark.parametrize(("unstamped", "is_told"), [(200, False), (201, True)])
def test_replies_that_the_kernel_did_not_stamp_are_told_when_a_p99_may_be_theirs(unstamped: int, is_told: bool) -> None:
    message = (
        "the kernel did not stamp 201 of 20,000 replies, so those were timed by our own clock: with many threads, "
        "their service times include the wait for the interpreter"
    )
    expected = [("mixed-clock", message, "doubt")] if is_told else []
    assert doubts(clock="mixed", unstamped=unstamped) == expected


@pytest.mark.parametrize(
    ("busy", "said"), [(0.97, "2 CPUs (97 % busy)"), (None, "2 CPUs")], ids=["with /proc", "without it"]
)
def test_a_target_on_this_machine_is_a_note(busy: float | None, said: str) -> None:
    message = f"the target runs on this machine and shares its {said} with loadkit"
    assert doubts(using(0.2, cpus_busy=busy), is_same_host=True) == [("same-host", message, "note")]
