"""What a round is taken to be from the result of its run."""

from __future__ import annotations

from typing import Any

import pytest

from loadkit.judge.comparison.figures import round_of
from loadkit.judge.validity import Caveat
from tests.results import result, row, times

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
