"""Doubts about percentiles and throughput that rest on the figures alone."""

from __future__ import annotations

import pytest

from loadkit.judge.caveats.figures import OF_FIGURES, needed, of_figures
from loadkit.judge.rows import Phase
from loadkit.plan.threshold import threshold
from tests.evidence import total
from tests.results import replace


@pytest.mark.parametrize(
    ("good", "message"),
    [
        (1, "p99 rests on the slowest 1 of 1 reply; send at least 1,000 requests to believe it"),
        (500, "p99 rests on the slowest 5 of 500 replies; send at least 1,000 requests to believe it"),
        (999, "p99 rests on the slowest 10 of 999 replies; send at least 1,000 requests to believe it"),
        (1000, "p99.9 rests on the slowest 1 of 1,000 replies; send at least 10,000 requests to believe it"),
        (9999, "p99.9 rests on the slowest 10 of 9,999 replies; send at least 10,000 requests to believe it"),
    ],
)
def test_a_percentile_of_few_replies_is_named(good: int, message: str) -> None:
    [caveat] = of_figures(total(good))
    assert (caveat.code, caveat.message, caveat.level) == ("few-samples", message, "note")


@pytest.mark.parametrize("good", [0, 10_000])
def test_of_none_and_of_many_nothing_is_said(good: int) -> None:
    assert of_figures(total(good)) == []


@pytest.mark.parametrize(
    ("percentile", "replies"),
    [(50, 20), (90, 100), (95, 200), (99, 1000), (99.5, 2000), (99.9, 10_000), (99.99, 10**5)],
)
def test_a_percentile_needs_ten_replies_beyond_it(percentile: float, replies: int) -> None:
    assert needed(percentile) == replies


@pytest.mark.parametrize(
    ("limit", "good", "is_doubted"),
    [
        ("p99 < 1s", 999, True),
        ("p99 < 1s", 1000, False),
        ("p99.9 < 1s", 9999, True),
        ("p50 < 1s", 19, True),
        ("p50 < 1s", 20, False),
        ("p100 < 1s", 5, False),  # the maximum, and exact
        ("max < 1s", 5, False),
        ("mean < 1s", 5, False),
        ("error_rate < 1%", 5, False),
    ],
)
def test_a_percentile_that_a_threshold_limits_is_doubted(limit: str, good: int, is_doubted: bool) -> None:
    found = of_figures(total(good), limits=[threshold(limit)])
    assert [caveat.level for caveat in found] == ["doubt" if is_doubted else "note"]


def test_each_limited_percentile_is_doubted_once_with_its_own_figure() -> None:
    search, home = (replace(total(good), name=name) for good, name in ((310, "GET /search"), (5000, "GET /")))
    hold = Phase(name="hold", start=0.0, length=1.0, total=total(40), endpoints=[replace(search, requests=310)])
    limits = ["GET /search: p99 < 1s", "GET /: p99 < 1s", "hold: p90 < 1s", "GET /search: p99 < 2s", "gone: p99 < 1s"]
    found = of_figures(total(20_000), [search, home], [hold], limits=[threshold(text) for text in limits])
    assert [caveat.message for caveat in found] == [
        f"p{rank} of {name!r}, which a threshold limits, rests on {slowest} replies; "
        f"send at least {many} requests to believe it"
        for rank, name, slowest, many in (
            (99, "GET /search", "the slowest 3 of 310", "1,000"),
            (90, "hold", "the slowest 4 of 40", "100"),
        )
    ]


@pytest.mark.parametrize(
    ("drained", "codes"),
    [(0, []), (10_000, []), (10_001, ["too-short"])],  # up to half is not yet too much
)
def test_a_run_most_of_whose_replies_came_after_the_stop_was_too_short(drained: int, codes: list[str]) -> None:
    found = of_figures(total(20_000, drained=drained))
    said = f"{drained:,} of 20,000 good replies came after the stop and are not in the throughput; run longer"
    assert [(one.code, one.message, one.level) for one in found] == [(code, said, "doubt") for code in codes]


def test_those_that_rest_on_figures_alone_are_known_by_their_code() -> None:
    assert tuple(caveat.code for caveat in of_figures(total(500, drained=400))) == OF_FIGURES
