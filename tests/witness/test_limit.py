"""A search for the limit as the server sees it: the rate of a level is the one at which requests came."""

from __future__ import annotations

from itertools import pairwise

import pytest

from loadkit.jobs.limit import limit
from loadkit.judge.limit.search import SearchMoment
from loadkit.plan.endpoint import Endpoint
from loadkit.plan.scenario import Scenario
from tests.witness.witness import watching

RATE = 80


@pytest.mark.slow
def test_two_trials_of_a_level_have_other_arrivals():
    gaps: list[list[float]] = []
    with watching() as witness:

        def watch(moment: SearchMoment) -> None:
            if moment.trial and not moment.next_trial.is_closed:
                due = [request.received for request in witness.log().requests][:40]
                gaps.append([later - before for before, later in pairwise(due)])
            if moment.trial:
                witness.clear()

        endpoints = [Endpoint("GET", "/?ms=50")]
        scenario = Scenario(base_url=witness.url, endpoints=endpoints, rate=f"{RATE}/s", arrivals="poisson")
        asked = {"budget": "60s", "at_least": RATE, "interrupts": lambda: int(len(gaps) > 1)}
        found = limit(scenario, "p50 < 150ms", watch=watch, **asked)  # type: ignore[arg-type]
    assert len(found.levels[0].trials) == len(gaps) == 2
    # of the same arrivals they would be so but for what a machine is late
    near = [abs(one - other) < 0.003 for one, other in zip(*gaps, strict=True)]
    assert sum(near) < 0.6 * len(near)


@pytest.mark.slow
def test_the_rate_of_a_level_is_what_the_server_counted():
    counted: list[int] = []
    opened: list[SearchMoment] = []
    with watching() as witness:

        def watch(moment: SearchMoment) -> None:
            if moment.trial and not moment.next_trial.is_closed:
                counted.append(len(witness.log()))
                opened.append(moment)
            if moment.trial:
                witness.clear()

        # a reply takes long enough for few threads to be tried before
        scenario = Scenario(base_url=witness.url, endpoints=[Endpoint("GET", "/?ms=100")], threads=50, duration="1m")
        found = limit(
            scenario,
            "p50 < 150ms",
            budget="60s",
            at_least=RATE,
            watch=watch,
            interrupts=lambda: int(len(opened) > 0),
        )
    trial = found.levels[0].trials[0]
    assert (opened[0].next_trial.level, found.levels[0].level) == (RATE, RATE)
    assert counted[0] == pytest.approx(RATE * opened[0].next_trial.seconds, abs=1)
    assert trial.seconds == pytest.approx(opened[0].next_trial.seconds, rel=0.01)
