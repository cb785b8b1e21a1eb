"""What a result from a file must add up to."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from loadkit.judge.laws import broken
from loadkit.judge.result import Result
from tests.judge.made import REFUSED, Shot, result

replace = msgspec.structs.replace
SOUND = result([Shot(), Shot(label="b"), Shot(failure=REFUSED)])


def test_what_loadkit_wrote_adds_up() -> None:
    assert list(broken(SOUND)) == []
    assert list(broken(result([]))) == []


def total(**changes: Any) -> Result:
    """The sound result with another total."""
    return replace(SOUND, total=replace(SOUND.total, **changes))


@pytest.mark.parametrize(
    ("doctored", "sentences"),
    [
        (replace(SOUND, started_at="yesterday"), ["started_at 'yesterday' is no time"]),
        (replace(SOUND, verdict="invalid"), ["its figures are invalid, and yet it failed"]),
        (replace(SOUND, endpoints=[]), ["the total has 3 requests and its endpoints have 0"]),
        (
            total(requests=9),
            [
                "'total' has 9 requests, but 2 statuses and 1 failures",
                "the total has 9 requests and its endpoints have 3",
            ],
        ),
        (
            total(statuses={200: 1}, requests=2),
            ["the response_time of 'total' counts 2 and not 1", "the total has 2 requests and its endpoints have 3"],
        ),
        (
            total(failures={}, requests=2),
            ["the failure_time of 'total' counts 1 and not 0", "the total has 2 requests and its endpoints have 3"],
        ),
        (
            total(pickup=replace(SOUND.total.pickup, hdr="x")),
            ["in 'total' a stored histogram cannot be read: not an encoded histogram: 'x'"],
        ),
        (
            total(lateness=replace(SOUND.total.lateness, count=7)),
            ["in 'total' a stored histogram holds 2 values, and 7 is said of it"],
        ),
    ],
    ids=["time", "invalid", "endpoints", "requests", "statuses", "failures", "hdr", "count"],
)
def test_what_does_not_add_up_is_said(doctored: Result, sentences: list[str]) -> None:
    assert list(broken(doctored)) == sentences
