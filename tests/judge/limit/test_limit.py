"""The stored limit: its exit code, what gave way first, and the answer in a sentence."""

from __future__ import annotations

import msgspec
import pytest

from loadkit.judge.limit.levels import TriedLevel
from loadkit.judge.limit.limit import Limit, limit_of
from loadkit.judge.limit.search import Findings
from loadkit.judge.limit.trials import Observed, Trial
from loadkit.plan.threshold import threshold
from loadkit.report.limit import known_cell
from tests.judge.limit.servers import searched
from tests.judge.limit.simulated import Simulated, exponential, fixed, room


def limited(server: Simulated, *, at_least: float | None = None, **rules) -> Limit:
    return limit_of(searched(server, **rules), server.limits, at_least)


def stored(**changes) -> Limit:
    return msgspec.structs.replace(Limit(ending="found", reason="", confirmed=500.0, failed=520.0), **changes)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, 0),
        ({"at_least": 500.0}, 0),
        ({"at_least": 505.0}, 1),
        ({"at_least": 600.0}, 1),
        ({"ending": "missed", "confirmed": None}, 1),
        ({"ending": "at least", "failed": None}, 6),
        ({"ending": "at least", "failed": None, "at_least": 400.0}, 0),
        ({"ending": "at least", "failed": None, "at_least": 600.0}, 6),
        ({"ending": "cannot tell", "confirmed": None, "failed": 600.0, "at_least": 500.0}, 6),
        ({"ending": "cannot tell", "confirmed": None, "failed": 500.0, "at_least": 500.0}, 1),
        ({"ending": "interrupted"}, 2),
    ],
)
def test_the_exit_code_says_what_came_of_it(changes, code):
    assert stored(**changes).exit_code == code


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (Simulated(exponential(0.01), 4), ["p99 < 100ms ("]),
        (
            Simulated(fixed(0.01), 2, admits=room(4), limits=["error_rate < 1%"]),
            ["error_rate < 1%", "failures: ", "x 503"],
        ),
        (
            Simulated(fixed(0.01), 2, admits=room(4), limits=["error_rate < 1%"], refusal="429"),
            ["a plateau: the server limits the rate to about ", "/s, and answers 429 to what is beyond"],
        ),
    ],
)
def test_what_gave_way_first_is_named(server, words):
    found = limited(server, budget=150)
    assert [word for word in words if word not in found.gave_way] == []


def test_the_answer_is_a_sentence_and_survives_being_stored():
    found = limited(Simulated(exponential(0.004), 8, most=700), budget=150)
    assert repr(found).startswith("<Limit at least: at least 6")
    assert "/s; beyond that this machine cannot send: this machine sends no more than 700/s" in repr(found)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Limit) == found


def test_the_limit_of_a_server_that_was_never_missed_has_no_end():
    found = limited(Simulated(fixed(0.02), 16), highest=300)
    assert (found.rate, found.failed, found.exit_code) == (300, None, 6)
    assert "no higher rate than 300/s is tried" in found.reason


def trial(value: float, **fields) -> Trial:
    observed = Observed(threshold=threshold("p99 < 100ms"), value=value, counts=((5000, 500 if value > 0.1 else 0),))
    return Trial(
        level=100, seconds=4, cost=4, throughput=1000 * value, observed=(observed,), figures={"p99": value}, **fields
    )


@pytest.mark.parametrize(
    ("trials", "missed", "p99", "known"),
    [
        ([trial(0.01), trial(0.01), *[trial(0.11, is_saturated=True)] * 2], ["p99 < 100ms"], 0.11, "missed"),
        ([trial(0.3), trial(0.01, unsound="loadkit was"), trial(0.2)], ["p99 < 100ms"], 0.25, "missed"),
        ([trial(0.05, is_saturated=True)] * 2, [], 0.05, "missed (piled up)"),
        ([trial(0.05, is_lost=True)] * 2, [], 0.05, "missed (server lost)"),
        ([trial(0.05), trial(0.06)], [], 0.055, "holds"),
    ],
    ids=["half of its trials held", "one is not sound", "requests piled up", "the server was lost", "it holds"],
)
def test_a_level_that_is_missed_has_the_figures_of_the_trials_that_missed_or_says_why(trials, missed, p99, known):
    tried = TriedLevel(100, tuple(trials))
    found = limit_of(
        Findings(ending="missed", reason="", confirmed=None, failed=100, levels=(tried,), closed=(), elapsed=60),
        [threshold("p99 < 100ms")],
    )

    (level,) = found.levels
    assert (level.missed, level.values) == (missed, {"p99 < 100ms": pytest.approx(p99)})
    assert level.figures == {"p99": pytest.approx(p99)}
    assert known_cell(level, level.holding).text == known
