"""Scenarios that run together overlap from the first second to the last, and each sends what its own plan says."""

from __future__ import annotations

import pytest

from loadkit import Endpoint, Scenario, rows, run, run_together
from tests.witness.witness import Log, Witness


def seconds_of(log: Log, start: float, end: float) -> set[int]:
    """The whole seconds from the start on in which requests were received."""
    return {int(one.received - start) for one in log.requests if one.received < end}


def test_both_loads_are_there_from_the_first_to_the_last_second(witness: Witness):
    steady = Scenario(
        name="steady", base_url=witness.url, endpoints=[Endpoint("GET", "/steady?ms=50")], threads=3, duration=3
    )
    timed = Scenario(
        name="timed", base_url=witness.url, endpoints=[Endpoint("GET", "/timed?ms=5")], rate=40, duration=3
    )
    witness.clear()

    of_steady, of_timed = run_together(steady, timed)

    log = witness.log()
    seen = {path: log.of(path) for path in ("/steady", "/timed")}
    assert len(seen["/steady"]) == of_steady.requests + of_steady.total.cut
    assert len(seen["/timed"]) == of_timed.requests + of_timed.total.cut
    # arrivals are due by the clock, whatever the other one does to the machine
    assert of_timed.requests + of_timed.total.cut + of_timed.total.unsent == 40 * 3
    firsts = [one.requests[0].received for one in seen.values()]
    assert max(firsts) - min(firsts) < 0.5
    for one in seen.values():
        assert seconds_of(one, min(firsts), min(firsts) + 2.9) == {0, 1, 2}
    assert seen["/steady"].most_under_way() == 3


def test_each_begins_when_the_set_up_of_the_slowest_has_run(witness: Witness):
    def logs_in(http) -> None:
        http.get("/login?ms=700")

    slow = Scenario(
        name="slow", base_url=witness.url, endpoints=[Endpoint("GET", "/slow")], setup=logs_in, iterations=5
    )
    quick = Scenario(name="quick", base_url=witness.url, endpoints=[Endpoint("GET", "/quick")], iterations=5)
    witness.clear()

    run_together(slow, quick)

    log = witness.log()
    ready = log.of("/login").requests[0].replied
    assert min(one.received for path in ("/slow", "/quick") for one in log.of(path).requests) >= ready


@pytest.mark.parametrize("warmup", [0, 1])
def test_each_counts_what_it_counts_alone(warmup: int, witness: Witness):
    ids = [{"id": number} for number in range(40)]
    reading = Scenario(
        name="reading",
        base_url=witness.url,
        endpoints=[Endpoint("GET", "/rows/{id}", name="row", feed=rows(ids, at_end="stop"))],
        threads=3,
        duration=30,
    )

    def visit(http) -> None:
        http.get("/first")
        http.get("/missing?status=404")

    visiting = Scenario(
        name="visiting", base_url=witness.url, endpoints=[visit], threads=2, iterations=20, warmup=warmup
    )

    def told(result) -> tuple[object, ...]:
        counts = [(one.name, one.requests, one.statuses) for one in result.endpoints]
        return counts, result.statuses, [(one.name, one.count) for one in result.timings]

    alone = [told(run(one)) for one in (reading, visiting)]
    witness.clear()
    together = run_together(reading, visiting)

    assert list(map(told, together)) == alone
    log = witness.log()
    read = sorted(int(one.path.rpartition("/")[2]) for one in log.requests if one.path.startswith("/rows/"))
    # each row once: they are the scenario's own
    assert read == list(range(40))
    if not warmup:
        assert len(log.of("/first")) == len(log.of("/missing")) == 20
