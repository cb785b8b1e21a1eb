"""Bodies decoded piece by piece: everything that is sound, and not much more than was received of what is not."""

from __future__ import annotations

import gzip
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadkit.wire.decode import Decoder, TooMuch, codings_of
from tests.bombs import EMPTY, MB, empties, zeros


def decoded(data: bytes, *codings: str, size: int = 1 << 16) -> bytes:
    decoder = Decoder(list(codings))
    content = b"".join(
        piece for start in range(0, len(data), size) for piece in decoder.feed(data[start : start + size])
    )
    decoder.finish()
    return content


@given(st.binary(max_size=400), st.integers(1, 50), st.integers(0, 400))
def test_a_sound_body_is_decoded_however_it_comes(body: bytes, size: int, cut: int):
    members = gzip.compress(body[:cut], mtime=0) + gzip.compress(body[cut:], mtime=0) + b"\0\0"
    raw = zlib.compress(body, wbits=-15)
    assert decoded(members, "gzip", size=size) == body
    assert decoded(zlib.compress(body), "deflate", size=size) == body
    assert decoded(raw, "deflate", size=size) == body
    assert decoded(gzip.compress(raw, mtime=0), "deflate", "gzip", size=size) == body


@pytest.mark.parametrize(
    ("value", "codings"),
    [("gzip", ["gzip"]), (" , identity, X-GZIP", ["x-gzip"]), ("deflate,gzip", ["deflate", "gzip"]), ("", [])],
)
def test_the_codings_of_a_header(value: str, codings: list[str]):
    assert codings_of(value) == codings


@pytest.mark.parametrize(
    ("bomb", "codings"),
    [
        # what comes out is too much
        (zeros(6), ["gzip"]),
        (gzip.compress(bytes(6 * MB)), ["gzip"]),
        # one byte comes out, but the outer coding makes too much of zeros behind a member
        (zeros(6, gzip.compress(b"x", mtime=0)), ["gzip", "gzip"]),
        # it is not the size: each of the members has to be begun
        (EMPTY * 50_000, ["gzip"]),
        (empties(2), ["gzip", "gzip"]),
    ],
)
def test_a_bomb_costs_little_and_is_refused(bomb: bytes, codings: list[str]):
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    decoder = Decoder(codings, step=count, free=4 * MB)
    with pytest.raises(TooMuch, match="looks like a bomb"):
        list(decoder.feed(bomb))
    assert steps < 20_000


def test_a_member_for_each_hundred_bytes_is_not_too_much():
    member = gzip.compress(bytes(range(256)) + b"tea")
    assert len(decoded(member * 5000, "gzip")) == 259 * 5000


def test_much_may_come_out_of_much():
    body = random.Random(1).randbytes(1000) * 100
    decoder = Decoder(["gzip"], free=1000)
    assert b"".join(decoder.feed(gzip.compress(body))) == body


def test_it_asks_before_each_piece_whether_to_go_on():
    asked = 0

    def end_it() -> None:
        nonlocal asked
        asked += 1
        if asked > 20:
            raise TimeoutError

    decoder = Decoder(["gzip", "gzip"], step=end_it)
    with pytest.raises(TimeoutError):
        list(decoder.feed(zeros(60, gzip.compress(b"x", mtime=0))))
