"""A comparison as the servers see it: which version is loaded when, and whose replies are slow."""

from __future__ import annotations

from itertools import groupby, pairwise

from loadkit.jobs.compare import compare
from loadkit.plan.endpoint import Endpoint
from loadkit.plan.scenario import Scenario
from tests.witness.witness import Witness, watching


def aimed(witness: Witness, version: str, milliseconds: int) -> Scenario:
    endpoint = Endpoint("GET", f"/{version}?ms={milliseconds}")
    return Scenario(base_url=witness.url, endpoints=[endpoint], threads=4, name=version)


def test_versions_have_their_turns_in_balanced_order_and_one_at_a_time():
    with watching() as witness:
        found = compare(aimed(witness, "new", 80), against=aimed(witness, "old", 8))
        seen = sorted(witness.log().requests, key=lambda one: one.received)

    turns = [list(turn) for _, turn in groupby(seen, key=lambda one: one.path)]
    assert all(max(one.replied for one in turn) <= following[0].received for turn, following in pairwise(turns))
    # after both were warmed up, the rounds as they are reported; two of one version in a row look like one
    reported = [f"/{one.version}" for one in found.rounds]
    assert len(reported) == 8
    assert reported[:4] in (["/old", "/new", "/new", "/old"], ["/new", "/old", "/old", "/new"])
    assert [turn[0].path for turn in turns] == [path for path, _ in groupby(["/old", "/new", *reported])]
    assert 0.008 <= found.p50.before < 0.08 <= found.p50.after
    assert (found.worse, found.reason) == (True, "three times slower or more in 2 blocks")
    assert found.p50.ratio > 3
    assert found.throughput.ratio < 1 / 3
    assert found.response_time["new"].min > 0.08 > found.response_time["old"].p50
    assert (found.new, found.old) == ("new", "old")


def test_simultaneous_versions_are_loaded_at_once():
    with watching() as witness:
        found = compare(aimed(witness, "new", 80), against=aimed(witness, "old", 8), simultaneous=True)
        seen = witness.log().requests

    old, new = ([one for one in seen if one.path == path] for path in ("/old", "/new"))
    # while a slow request of the new version is under way the old one answers several
    within = [sum(slow.received < one.received < slow.replied for one in old) for slow in new]
    assert max(within) >= 3
    assert 0.008 <= found.p50.before < 0.08 <= found.p50.after
    assert found.worse
