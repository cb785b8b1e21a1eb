"""What a round is taken to be from the result of its run."""

from __future__ import annotations

from typing import Any

import pytest

from loadkit.judge.comparison.figures import round_of
from loadkit.judge.validity import Caveat
from tests.results import result, row, times, timing

GOOD = times((5000, 10))

ROUNDS = [
    ("all came through", GOOD, {}, False),
    ("some failed", GOOD, {"failures": {"timeout": 5}}, False),
    ("all failed", times(), {"failures": {"connect": 5}}, True),
    # by the fault of whoever should have sent it
    ("nothing was sent", times(), {"unsent": 50}, False),
    ("all were cut off", times(), {"cut": 4}, False),
]


@pytest.mark.parametrize(
    ("response", "changes", "expected"), [one[1:] for one in ROUNDS], ids=[one[0] for one in ROUNDS]
)
def test_a_version_has_failed_where_requests_were_sent_and_none_came_through(
    response: Any, changes: dict[str, Any], expected: bool
):
    assert round_of("new", result([], row("total", response, **changes))).has_failed is expected


def test_a_grave_caveat_makes_a_round_unsound_and_a_lost_server_is_said():
    lost = Caveat("server-lost", "the server ended", "grave")
    found = round_of("new", result([], row("total", GOOD), caveats=[Caveat("steal", "doubtful"), lost]))

    assert (found.unsound, found.loss) == ("the server ended", "the server ended")
    doubted = round_of("new", result([], row("total", GOOD), caveats=[Caveat("steal", "doubtful")]))
    assert (doubted.unsound, doubted.loss) == (None, "")


def figures(total: Any, *timings: Any) -> dict[tuple[str | None, str], float]:
    found = round_of("new", result([], total, timings=[*timings])).figures
    return {(one.label, one.name): value for one, value in found.items() if one.name in ("p50", "error_rate")}


def test_a_journey_has_figures_of_its_own_beside_those_of_requests():
    slow = times((50_000, 10))

    found = figures(row("total", GOOD), timing(slow, name="buy"))

    assert (found[None, "p50"], found["buy", "p50"]) == (GOOD.p50, slow.p50)


def test_journeys_that_request_nothing_are_what_is_compared():
    nothing = row("total", times())

    found = figures(nothing, timing(GOOD, name="buy"))

    assert found == {(None, "p50"): GOOD.p50, (None, "error_rate"): 0}
    assert round_of("new", result([], nothing, timings=[timing(times(), GOOD)])).has_failed


def test_a_journey_that_fails_although_its_requests_went_well_is_an_error():
    found = figures(row("total", GOOD), timing(times((5000, 5)), times((5000, 5)), name="buy"), timing(GOOD, name="b"))

    assert (found[None, "error_rate"], found["buy", "error_rate"], found["b", "error_rate"]) == (0.5, 0.5, 0)
