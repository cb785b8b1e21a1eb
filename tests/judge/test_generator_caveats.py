"""The generator examines itself: each doubt appears with its figure, and not just below its limit."""

from __future__ import annotations

import dataclasses
import importlib.machinery
import sys
import types
from typing import Any

import pytest

from loadkit import Endpoint, Scenario
from loadkit.judge.caveats.generator import of_generator, of_surroundings, tracing
from loadkit.judge.evidence import Evidence
from loadkit.judge.rows import Phase
from tests.evidence import closed, opened, total, using
from tests.machines import machine
from tests.results import replace, spans

AT_ITS_LIMIT: dict[str, Any] = {
    "unsent": 1_620_000,
    "use": using(0.98),
    "in_flight": 300.0,
    "threads": 300,
    "was_short": True,
}
"""Asked for more than an interpreter can send."""


def doubts(load: Evidence) -> dict[str, str]:
    found = list(of_generator(load))
    assert len({caveat.code for caveat in found}) == len(found)
    return {caveat.code: caveat.message for caveat in found}


def test_a_good_run_gives_no_reason_to_doubt() -> None:
    assert doubts(closed()) == {}
    assert doubts(opened()) == {}
    load = opened(unsent=20_000)
    assert (load.sent_rate, load.asked_rate, load.at_server) == (2000.0, 4000.0, 2.0), "these are what they say"


@pytest.mark.parametrize(
    ("load", "code", "message"),
    [
        pytest.param(
            closed(use=using(0.85, user=0.6), pickup=0.2),
            "generator-busy",
            "loadkit itself used 85 % of what one interpreter can use (51 % of a CPU in Python, 34 % in the kernel): "
            "the server may be able to do more. Replies waited 200 us in the median to be picked up, which is not in "
            "the service time; use --processes, or ask for less",
        ),
        pytest.param(
            closed(use=using(1.7, user=0.6, capacity=2.0), pickup=0.2, engines={"exchange loop in C": 2}),
            "generator-busy",
            "loadkit itself used 85 % of what its exchange loops can use (102 % of a CPU in its own code, 68 % in the "
            "kernel): the server may be able to do more. Replies waited 200 us in the median to be picked up, which is "
            "not in the service time; use --processes, or ask for less",
        ),
        pytest.param(
            opened(380_000, **AT_ITS_LIMIT),
            "asked-rate",
            "asked 200,000/s, sent 38,000/s at 98 % of an interpreter: about 38,000/s is what one process can send "
            "here on 300 threads; use --processes, or ask for less",
        ),
        pytest.param(
            opened(380_000, **AT_ITS_LIMIT, processes=2),
            "asked-rate",
            "asked 200,000/s, sent 38,000/s at 98 % of an interpreter: about 38,000/s is what 2 processes can send "
            "here on 300 threads; use more --processes, or ask for less",
        ),
        pytest.param(
            opened(380_000, **AT_ITS_LIMIT, machines=(machine(1), machine(2))),
            "asked-rate",
            "asked 200,000/s, sent 38,000/s at 98 % of an interpreter: about 38,000/s is what 2 machines can send "
            "here on 300 threads; use more workers, or ask for less",
        ),
        pytest.param(
            opened(
                380_000,
                **AT_ITS_LIMIT,
                companions=[Scenario(endpoints=[Endpoint("GET", "http://127.0.0.1/")])],
            ),
            "asked-rate",
            "asked 200,000/s, sent 38,000/s at 98 % of an interpreter: about 38,000/s is what one process beside the "
            "other scenarios can send here on 300 threads; use a loadkit of its own for each scenario, or ask for less",
        ),
        pytest.param(
            # 40 requests were at the server and 100 threads had one in hand: the others waited for a CPU
            opened(
                20_000, unsent=20_000, service=20.0, use=using(0.5, cpus_busy=0.99), in_flight=100.0, was_short=True
            ),
            "asked-rate",
            "asked 4,000/s, sent 2,000/s at 50 % of an interpreter (the machine's CPUs were 99 % busy): about 2,000/s "
            "is what one process can send here on 10 threads; use --processes, or ask for less",
        ),
        pytest.param(
            opened(20_000, unsent=20_000, service=20.0, use=using(0.9), in_flight=41.0),
            "asked-rate",
            "asked 4,000/s, sent 2,000/s at 90 % of an interpreter: about 2,000/s is what one process can send here on "
            "10 threads; use --processes, a smaller max_threads (most of them waited for the server), or ask for less",
        ),
        pytest.param(
            opened(20_000, unsent=20_000, service=50.0, in_flight=100.0, was_short=True),
            "asked-rate",
            "asked 4,000/s, sent 2,000/s: all 100 threads waited for replies; raise max_threads, or ask for less",
        ),
        pytest.param(
            opened(20_000, unsent=20_000, service=50.0, in_flight=100.0, was_short=True),
            "max-threads",
            "all 100 threads were busy when requests were due, so some were sent late (p99 10 us) and 20,000 not at "
            "all; the response time has that wait in it. Raise max_threads if the clients that you mean would not have "
            "waited for each other",
        ),
        pytest.param(
            opened(20_000, unsent=20_000),
            "asked-rate",
            "asked 4,000/s, sent 2,000/s, 50 % of what was due: the figures are of another load than was asked for",
        ),
        pytest.param(
            opened(1000, lateness=spans((0.01, 980), (3.2, 20))),
            "late",
            "requests were sent up to 3.2 ms (p99) after they were due; the service time is 1 ms in the median. The "
            "response time has that wait in it, which is loadkit's own: compare the service time (p99 1 ms), use a "
            "quieter machine, or --processes",
        ),
        pytest.param(
            closed(pickup=0.75, in_flight=None),
            "pickup",
            "replies waited 750 us in the median until loadkit read them, 75 % of the service time: it is not in the "
            "service time, but its threads sent less for it. Use fewer threads, a quieter machine, or --processes",
        ),
        pytest.param(
            closed(160_000, threads=64, late=0.5, pickup=0.5, in_flight=64.0),
            "little",
            "throughput x mean time is 32 requests under way, and 64 were seen (Little's law): threads were held by "
            "something that is in no figure, such as checks",
        ),
        pytest.param(
            closed(160_000, threads=64, late=0.5, pickup=0.5, in_flight=8.0),
            "little",
            "throughput x mean time is 32 requests under way, and 8 were seen (Little's law): times or counts are "
            "wrong; please report it",
        ),
    ],
)
def test_a_doubt_is_told_with_its_figures(load: Evidence, code: str, message: str) -> None:
    assert doubts(load)[code] == message


# -- CPU


@pytest.mark.parametrize(("share", "is_busy"), [(0.8, False), (0.81, True), (1.3, True)])
@pytest.mark.parametrize("capacity", [1.0, 0.5, 4.0])
def test_a_generator_is_busy_above_80_percent_of_what_one_interpreter_can_use(
    share: float, is_busy: bool, capacity: float
) -> None:
    load = closed(use=using(share * capacity, capacity=capacity))
    assert ("generator-busy" in doubts(load)) == is_busy


def test_of_a_run_under_a_second_the_cpu_says_nothing() -> None:
    assert doubts(closed(duration=0.9, use=using(0.99, seconds=0.9), in_flight=None)) == {}


# -- the asked rate


@pytest.mark.parametrize(("unsent", "is_applied"), [(1052, True), (1053, False)])  # 95 % of 21,052.6
def test_a_rate_was_missed_below_95_percent(unsent: int, is_applied: bool) -> None:
    found = [caveat for caveat in of_generator(opened(unsent=unsent)) if caveat.code == "asked-rate"]
    assert [caveat.level for caveat in found] == ([] if is_applied else ["grave"])


@pytest.mark.parametrize(("late", "unsent", "is_told"), [(0.9, 0, False), (1.2, 0, True), (0.9, 1, True)])
def test_too_few_threads_matter_when_something_was_late_or_unsent(late: float, unsent: int, is_told: bool) -> None:
    assert ("max-threads" in doubts(opened(late=late, unsent=unsent, was_short=True))) == is_told


def test_of_a_run_that_sent_nothing_nothing_was_measured() -> None:
    found = list(of_generator(closed(total=total(0), in_flight=None)))
    assert [(caveat.code, caveat.level) for caveat in found] == [("nothing-sent", "grave")]


@pytest.mark.parametrize(("unsent", "is_told"), [(52, False), (53, True)])
def test_a_phase_that_was_not_applied_is_named_though_the_whole_was(unsent: int, is_told: bool) -> None:
    hold = Phase(name="hold", start=0.0, length=1.0, total=total(1000, unsent=unsent))
    load = dataclasses.replace(opened(unsent=unsent), phases=[hold])
    found = [caveat for caveat in of_generator(load) if caveat.code == "asked-rate"]
    expected = (
        f"in the phase 'hold' 1,000 of {1000 + unsent:,} requests that were due were sent: its figures are of another "
        "load than was asked for"
    )
    assert [(caveat.message, caveat.level) for caveat in found] == ([(expected, "doubt")] if is_told else [])


# -- lateness and pickup


@pytest.mark.parametrize(
    ("late", "service", "is_told"),
    [
        (0.99, 1.0, False),  # a millisecond is punctual, whatever the service time
        (1.01, 1.0, True),
        (1.99, 20.0, False),  # a tenth of what is measured
        (2.01, 20.0, True),
    ],
)
def test_requests_are_late_when_it_changes_what_is_measured(late: float, service: float, is_told: bool) -> None:
    # 100/s: the next one is due 10 ms later
    load = opened(1000, service=service, lateness=spans((0.01, 980), (late, 20)))
    assert ("late" in doubts(load)) == is_told


@pytest.mark.parametrize(
    ("bunched", "arrivals", "is_told"), [(1000, "constant", False), (1200, "constant", True), (1200, "poisson", False)]
)
def test_arrivals_that_were_sent_in_bunches_are_not_spaced_as_asked(bunched: int, arrivals: str, is_told: bool) -> None:
    # 2,000/s, and a service time of which 6 ms are no tenth: only the spacing is wrong
    lateness = spans((0.01, 20_000 - bunched), (6.0, bunched))
    found = doubts(opened(lateness=lateness, service=100.0, arrivals=arrivals))
    assert ("late" in found) == is_told
    if is_told:
        assert (
            "after they were due, and 6 % of them after the next one was due (500 us apart as planned);"
            in found["late"]
        )


@pytest.mark.parametrize("changes", [{"was_short": True}, {"unsent": 20_000}])
def test_what_is_late_for_another_reason_is_told_there(changes: dict[str, Any]) -> None:
    found = doubts(opened(late=50.0, **changes))
    assert found
    assert "late" not in found
    assert doubts(closed(late=50.0, in_flight=None)) == {}, "and a closed run never is"


@pytest.mark.parametrize(
    ("pickup", "service", "is_told"),
    [(0.49, 1.0, False), (0.51, 1.0, True), (0.099, 0.05, False), (0.101, 0.05, True)],
)
def test_replies_that_wait_half_as_long_again_to_be_read_are_told(pickup: float, service: float, is_told: bool) -> None:
    assert ("pickup" in doubts(closed(pickup=pickup, service=service, in_flight=None))) == is_told
    assert "pickup" not in doubts(closed(pickup=pickup, service=service, use=using(0.9), in_flight=None))


# -- Little's law


@pytest.mark.parametrize(
    ("in_flight", "is_told"),
    # 20,000 replies of (1 + 0.5 + 0.5) ms in 10 s x 8 are 32 under way
    [(32.0, False), (40.0, False), (45.0, True), (25.0, False), (21.0, True), (None, False)],
)
def test_throughput_times_time_is_what_was_under_way(in_flight: float | None, is_told: bool) -> None:
    load = closed(160_000, threads=32, late=0.5, pickup=0.5, in_flight=in_flight)
    assert ("little" in doubts(load)) == is_told


def test_an_open_run_has_no_thread_for_a_request_that_is_late() -> None:
    assert "little" not in doubts(opened(160_000, late=10.0, in_flight=16.3, was_short=True))
    assert "little" in doubts(closed(160_000, late=10.0, threads=16, in_flight=16.3))


def test_littles_law_is_not_asked_of_what_is_too_short() -> None:
    # 10 s are 17 service times: those at the edges count
    assert "little" not in doubts(closed(2000, in_flight=500.0, service=600.0))
    assert "little" not in doubts(closed(2000, in_flight=500.0, duration=0.9))


def test_a_few_looks_may_be_wrong_by_chance() -> None:
    # 5 were expected, and 100 looks may see 6 and more of such a load
    assert "little" not in doubts(opened(50_000, in_flight=7.0, pickup=0.0))
    assert "little" in doubts(opened(50_000, in_flight=9.5, pickup=0.0))


@pytest.mark.parametrize("changes", [{"cut": 5}, {"error_rate": 0.02}, {"reconnects": 3}])
def test_littles_law_is_not_asked_of_what_did_not_end_well(changes: dict[str, Any]) -> None:
    load = closed(in_flight=500.0)
    assert "little" in doubts(load)
    assert "little" not in doubts(closed(in_flight=500.0, total=replace(load.total, **changes)))


# -- surroundings


def surroundings() -> list[tuple[str, str]]:
    return [(caveat.code, caveat.level) for caveat in of_surroundings()]


def watch(*_: object) -> None:
    """A tool that looks on."""


@pytest.mark.parametrize("install", [sys.settrace, sys.setprofile])
def test_what_watches_each_call_makes_everything_slower(unwatched: None, install) -> None:
    before = set(tracing())
    install(watch)
    found, named = surroundings(), tracing()
    install(None)
    assert ("traced", "doubt") in found
    assert set(named) - before == {"tests"}, "the package of the function that looks on"


@pytest.mark.skipif(not hasattr(sys, "monitoring"), reason="Python 3.12 and newer")
def test_a_tool_of_sys_monitoring_is_named(unwatched: None) -> None:
    monitoring: Any = vars(sys)["monitoring"]
    monitoring.use_tool_id(3, "stopwatch")
    named = tracing()
    monitoring.free_tool_id(3)
    assert "stopwatch" in named
    assert "stopwatch" not in tracing()


def test_niquests_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "niquests" not in dict(surroundings())
    module = types.ModuleType("niquests")
    module.__spec__ = importlib.machinery.ModuleSpec("niquests", None)
    monkeypatch.setitem(sys.modules, "niquests", module)
    assert dict(surroundings())["niquests"] == "note"
