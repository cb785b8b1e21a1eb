"""A comparison as it is stored."""

from __future__ import annotations

import msgspec
import pytest

from loadkit.judge.comparison.blocks import Block, Metric, Round, Version
from loadkit.judge.comparison.changes import Change
from loadkit.judge.comparison.comparison import Comparison, comparison
from loadkit.judge.comparison.procedure import Conclusion
from tests.results import skewed, times


def block(old: float, new: float, unsound: str | None = None) -> Block:
    medians: tuple[tuple[Version, float], ...] = (("old", old), ("new", new), ("new", new), ("old", old))
    return Block(
        tuple(
            Round(version=version, figures={}, unsound=unsound, response_time=skewed(median, 400))
            for version, median in medians
        )
    )


def found(*blocks: Block) -> Comparison:
    return comparison(
        Conclusion(verdict="no worse", changes=(), blocks=blocks),
        [],
        new="new",
        old="old",
        seconds=4.0,
        notes=[],
        environment=None,
    )


def test_the_response_times_of_each_version_are_those_of_its_sound_rounds_together():
    kept = found(block(900, 1100), block(9000, 9000, unsound="the machine was busy"), block(1000, 1200))

    assert {version: one.count for version, one in kept.response_time.items()} == {"old": 1604, "new": 1604}
    assert kept.response_time["old"].p50 < kept.response_time["new"].p50 < 0.002


def test_a_version_without_a_good_reply_has_no_response_times():
    silent = Block(tuple(Round(version=version, figures={}, response_time=times()) for version in ("old", "new")))

    assert found(silent).response_time == {}


def test_what_is_kept_of_the_distributions_does_not_grow_with_the_rounds():
    one, many = (len(msgspec.json.encode(found(*[block(900, 1100)] * count).response_time)) for count in (1, 60))

    assert many < one + 500 < 8_000


@pytest.mark.parametrize(("after", "is_said"), [(0.0103, True), (0.01005, False), (0.0096, False)])
def test_where_before_and_after_point_the_other_way_it_is_said_what_to_believe(after: float, is_said: bool):
    change = Change(
        metric=Metric("p50"),
        before=0.010,
        after=after,
        change=-0.008,
        low=-0.02,
        high=0.01,
        tolerance=0.05,
        verdict="no worse",
        blocks=8,
        decides=True,
        order_effect=0.0,
    )
    conclusion = Conclusion(verdict="no worse", changes=(change,), blocks=())
    notes = comparison(conclusion, [], new="a", old="b", seconds=1.0, notes=[], environment=None).notes

    assert ["believe the change" in one for one in notes] == [True] * is_said
