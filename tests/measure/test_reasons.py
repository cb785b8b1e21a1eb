"""Reasons for failures: what differs in values alone is one, and what matters is kept apart."""

from __future__ import annotations

import random
import uuid

import pytest

from loadkit.measure.reasons import ALIKE, MAX_REASONS, MORE_REASONS, ROUGHLY_ALIKE, Reason, add_reason, summed
from loadkit.wire.base import Failure


def counted(messages: list[str], kind: str = "check") -> dict[str, int]:
    """How often there was each, of messages that came one after the other."""
    reasons: dict[Failure, Reason] = {}
    for instant, message in enumerate(messages):
        add_reason(reasons, Failure(kind, message), Reason(1, instant))
    return {failure.message: reason.count for failure, reason in reasons.items()}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (f"order {uuid.UUID(int=1)} is not there", f"order {uuid.UUID(int=2**100)} is not there"),
        ("order 10234 is not there", "order 9934127 is not there"),
        ("assert <Thing object at 0x7fc4bbb1f1d0>", "assert <Thing object at 0x7fc4bb0ca110>"),
        ("no event since 2026-11-28T13:38:09Z", "no event since 2026-11-28T13:38:11Z"),
        ("seen 2026-11-28 13:38:09.125+00:00", "seen 2026-11-28 13:39:10+01:00"),
        ("lost 0.674733637559937", "lost 3.2001e-05"),
        ("etag 5d41402abc4b2a76b9719d911017c592", "etag 7d793037a0760186574b0282f2f435e7"),
        (
            "order=10234\n  at test_shop.py:12 in test_it: assert order",
            "order=10235\n  at test_shop.py:12 in test_it: assert order",
        ),
    ],
)
def test_messages_that_differ_in_an_id_or_a_time_are_one_with_the_first_for_an_example(first: str, second: str):
    assert counted([first, second, second, first]) == {first + ALIKE: 4}


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ("assert 409 == 201", "assert 500 == 201", "a status"),
        ("connection refused 127.0.0.1:41233", "connection refused 127.0.0.1:41234", "a port is another server"),
        ("HTTPConnectionPool(host='db', port=41233)", "HTTPConnectionPool(host='db', port=41234)", "the same"),
        (
            "assert x\n  at a.py:10234 in f: assert x",
            "assert x\n  at a.py:10235 in f: assert x",
            "another line of the test",
        ),
        ("the tea is cold", "the tea is gone", "other words"),
        ("facade", "decade", "words that might be hexadecimal numbers"),
    ],
)
def test_what_matters_is_kept_apart(one: str, other: str, why: str):
    assert counted([one, other, one]) == {one: 2, other: 1}, why


@pytest.mark.parametrize("message", ["order {} is not there", "no such user: 'ada{}'", 'got "x{}y"'])
def test_of_very_many_messages_those_that_differ_in_numbers_or_quoted_text_are_one(message: str):
    different = [message.format(number) for number in range(500)]

    assert counted(different) == {different[0] + ROUGHLY_ALIKE: 500}


def test_other_messages_are_found_among_very_many_alike_ones():
    messages = [f"order {number} is not there" for number in range(300)]
    messages[100:100] = ["the tea is cold"] * 7

    assert counted(messages) == {messages[0] + ROUGHLY_ALIKE: 300, "the tea is cold": 7}


def test_the_example_is_the_first_of_all_in_whatever_order_parts_are_merged():
    parts = [(Failure("check", f"order {k}0000"), Reason(1, k)) for k in range(1, 60)]
    for seed in range(5):
        random.Random(seed).shuffle(parts)
        reasons: dict[Failure, Reason] = {}
        for failure, reason in parts:
            add_reason(reasons, failure, reason)
        assert reasons == {Failure("check", "order 10000" + ALIKE): Reason(59, 1)}


def test_groups_that_were_merged_stay_groups():
    reasons: dict[Failure, Reason] = {}
    for part in ("order 10000" + ALIKE, "order 20000" + ALIKE, "user 7" + ROUGHLY_ALIKE, "user 8"):
        add_reason(reasons, Failure("check", part), Reason(10, 5))

    assert reasons == {
        Failure("check", "order 10000" + ALIKE): Reason(20, 5),
        Failure("check", "user 7" + ROUGHLY_ALIKE): Reason(20, 5),
    }


def test_messages_without_likeness_are_bounded_and_all_counted():
    words = ["".join(random.Random(k).sample("ghijklmnop", k=8)) for k in range(3000)]

    found = counted(words)

    assert len(found) == MAX_REASONS + 1
    assert found[MORE_REASONS] == 3000 - MAX_REASONS


@pytest.mark.parametrize(
    ("counts", "summary"),
    [
        ({"assert 0 == 9": 1, "assert 4 == 9": 1, "assert 8 == 9": 1}, {"assert 0 == 9" + ROUGHLY_ALIKE: 3}),
        ({"assert 409 == 201": 9, "assert 500 == 201": 1, "assert 503 == 201": 1}, None),
        ({"assert 409 == 201": 1, "assert 500 == 201": 1}, None),
        ({"no tea": 1, "no cup": 1, "no saucer": 1}, None),
    ],
    ids=["each came once", "one came often", "there are but two", "they are not alike"],
)
def test_several_that_came_about_once_each_and_are_roughly_alike_are_summed(
    counts: dict[str, int], summary: dict[str, int] | None
):
    reasons = {Failure("check", message): Reason(count, at) for at, (message, count) in enumerate(counts.items())}

    found = {failure.message: reason.count for failure, reason in summed(reasons).items()}

    assert found == (summary or counts)
