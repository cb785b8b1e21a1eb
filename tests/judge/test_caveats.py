"""All reasons to doubt together: their order, and what they come to."""

from __future__ import annotations

from typing import Any

import pytest

from loadkit.drive.rows.feed import RowUse
from loadkit.judge.caveats import caveats
from loadkit.judge.evidence import Evidence
from loadkit.judge.validity import Caveat, Level, Validity, ranked, validity_of
from loadkit.plan.labels import OTHER
from loadkit.plan.threshold import threshold
from tests.evidence import asked, closed, opened, total, using
from tests.results import replace

pytestmark = pytest.mark.usefixtures("unwatched")


def doubts(load: Evidence) -> list[tuple[str, str, str]]:
    return [(caveat.code, caveat.message, caveat.level) for caveat in caveats(load)]


def test_a_sound_run_gives_no_reason_to_doubt() -> None:
    assert doubts(closed()) == []


@pytest.mark.parametrize(
    ("changes", "code", "message", "level"),
    [
        pytest.param(
            {"stuck": ["shop.py:7 in buy"]},
            "stuck",
            "a thread did not end within 2 s of being cut off, and was left behind at shop.py:7 in buy",
            "doubt",
        ),
        pytest.param(
            {"unreachable": True},
            "unreachable",
            "stopped early, for no thread ever got a connection; --keep-going goes on trying",
            "doubt",
        ),
        pytest.param(
            {"is_dry": True, "rows": (RowUse(name="users.csv", used=3, rows=3, is_spent=True),)},
            "halted",
            "the run ended before its time: users.csv has 3 rows and each was used once",
            "note",
        ),
        pytest.param({"fault": "TypeError: no"}, "halted", "the run ended before its time: TypeError: no", "grave"),
        pytest.param(
            {"endpoints": [replace(total(5), name=OTHER)]},
            "labels-folded",
            "there were more than 200 different endpoints; the rest is counted as (other): give those that belong "
            "together the same name",
            "note",
        ),
        pytest.param(
            {"scenario": asked(verify=False)}, "insecure", "certificates were not verified (verify=False)", "note"
        ),
    ],
)
def test_what_happened_is_told(changes: dict[str, Any], code: str, message: str, level: Level) -> None:
    assert doubts(closed(**changes)) == [(code, message, level)]


@pytest.mark.parametrize(("throughput", "said"), [(51.0, True), (50.0, False)])
def test_a_target_of_other_people_is_named_when_it_is_loaded(throughput: float, said: bool) -> None:
    load = closed(total=total(20_000, throughput=throughput), public_hosts=["shop.example"])
    message = "shop.example is on the public internet: load it only if its owner has agreed"
    assert doubts(load) == ([("public-target", message, "note")] if said else [])


def test_the_gravest_come_first_and_each_once() -> None:
    limits = [threshold(text) for text in ("p99 < 1s", "p99 < 2s")]
    stuck = ("a.py:1 in b", "a.py:1 in b")
    use = using(0.9, stolen=0.5)
    load = opened(500, unsent=500, use=use, in_flight=None, is_same_host=True, limits=limits, stuck=stuck)
    found = doubts(load)
    assert [(code, level) for code, _, level in found] == [
        ("asked-rate", "grave"),
        ("generator-busy", "doubt"),
        ("stuck", "doubt"),
        ("steal", "doubt"),
        ("few-samples", "doubt"),
        ("same-host", "note"),
    ]


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([], "clean"),
        (["note", "note"], "clean"),
        (["note", "doubt"], "doubtful"),
        (["doubt", "grave", "note"], "invalid"),
    ],
)
def test_figures_are_as_sound_as_the_gravest_caveat_lets_them_be(levels: list[Level], expected: Validity) -> None:
    found = [Caveat(code=f"{k}", message="", level=level) for k, level in enumerate(levels)]
    assert validity_of(found) == validity_of(ranked(found)) == expected
