"""A reply is read the same however its bytes are split: in memory, by all the splits that hypothesis thinks of."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as some

from loadkit.plan.units import SECOND
from loadkit.wire.base import BrokenExchange, Origin, Request
from loadkit.wire.http1 import PulledReader, ReplyReader
from tests.wire.peer import chunked, reply
from tests.wire.test_faults import WRONG
from tests.wire.test_replies import CLOSING, WHOLE

GOOD: list[tuple[str, bytes]] = [cast(Any, one.values)[:2] for one in WHOLE]
MESSAGES = [*GOOD, *[("GET", cast(bytes, one.values[0])) for one in (*CLOSING, *WRONG)]]


def asked(method: str = "GET", keep: int | None = 1000) -> Request:
    """A request that such a reply is to."""
    origin = Origin("http", "shop.test", 80)
    return Request(origin=origin, method=method, url="http://shop.test/", payload=b"", timeout=SECOND, keep=keep)


def read(reader: ReplyReader, pieces: list[bytes], *, ends: bool) -> dict[str, Any]:
    """What a reader finds in pieces, and the end of the connection behind them."""
    failure = None
    try:
        for piece in pieces:
            reader.feed(piece)
        if ends and not reader.complete:
            reader.end()
    except BrokenExchange as broken:
        failure = broken.failure.kind
    if failure:
        # how much was kept before it failed is nobody's business
        return {"failure": failure}
    names = ("status", "head", "complete", "keep_alive", "repeatable", "size", "kept", "truncated")
    return {name: getattr(reader, name) for name in names}


def split(message: bytes, places: list[int]) -> list[bytes]:
    """The message cut at these places."""
    cuts = [0, *sorted({place % len(message) for place in places} - {0}), len(message)]
    return [message[start:end] for start, end in pairwise(cuts)]


messages = some.sampled_from(MESSAGES)
places = some.lists(some.integers(1, 1000), max_size=8)


@pytest.mark.parametrize("message", WRONG)
def test_what_is_not_sound_is_a_protocol_failure(message: bytes):
    pieces = split(message, [*range(0, len(message), 16_000)])

    assert read(ReplyReader(asked()), pieces, ends=False) == {"failure": "protocol"}


@given(messages, places, some.booleans(), some.sampled_from([0, 1, 1000]))
def test_any_split_of_a_reply_is_read_as_the_whole(sample: tuple[str, bytes], at: list[int], ends: bool, keep: int):
    method, message = sample

    whole = read(ReplyReader(asked(method, keep)), [message], ends=ends)
    parts = read(ReplyReader(asked(method, keep)), split(message, at), ends=ends)

    assert parts == whole


@given(some.lists(some.binary(min_size=1, max_size=50), max_size=5), some.booleans(), places, some.data())
def test_what_is_pulled_from_any_split_is_the_body(chunks: list[bytes], in_chunks: bool, at: list[int], data: Any):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    message = head + chunked(*chunks) if in_chunks else reply(b"".join(chunks))
    reader = PulledReader(asked())
    pulled = b""

    for piece in split(message, at):
        reader.feed(piece)
        if data.draw(some.booleans()):
            pulled += reader.take()

    assert reader.complete
    assert pulled + reader.take() == b"".join(chunks)


@pytest.mark.parametrize(("method", "message"), GOOD)
def test_a_reply_that_is_cut_anywhere_is_never_taken_for_whole(method: str, message: bytes):
    for end in range(1, len(message)):
        assert read(ReplyReader(asked(method)), [message[:end]], ends=True) == {"failure": "disconnect"}, end
