"""Bodies that are made to cost: refused by checks and sessions in little time, and within the deadline."""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Callable, Iterator
from functools import cache

import pytest
from requests import exceptions

from loadkit import Session
from tests.wire.conftest import Call, Serve
from tests.wire.peer import replies, reply

MB = 1_000_000
EMPTY = gzip.compress(b"")


def packed(block: bytes, times: int, first: bytes = b"") -> bytes:
    """Much, zipped, behind what is to come first."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(first) + b"".join(packer.compress(block) for _ in range(times)) + packer.flush()


@cache
def zeros(first: bytes = b"") -> bytes:
    """100 MB of them in 100 kB."""
    return packed(bytes(MB), 100, first)


@cache
def empties() -> bytes:
    """60 MB of empty members."""
    return packed(EMPTY * (MB // len(EMPTY)), 60)


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty members": (lambda: EMPTY * 200_000, "gzip"),
    "empty members, zipped": (empties, "gzip, gzip"),
    "zeros behind a member": (lambda: zeros(gzip.compress(b"x")), "gzip, gzip"),
    "empty members, zipped twice": (lambda: gzip.compress(empties()), "gzip, gzip, gzip"),
    "a chain of 60": (lambda: EMPTY, ", ".join(["gzip"] * 60)),
}
"""Nothing or one byte comes out of each; with a coding more a reply of 573 bytes took 6 to 9 s."""


@pytest.fixture
def http() -> Iterator[Session]:
    """A session."""
    with Session() as made:
        made.trust_env = False
        yield made


@pytest.mark.parametrize(("bomb", "coding"), BOMBS.values(), ids=BOMBS)
def test_a_check_refuses_a_bomb_at_little_cost(serve_as: Serve, call: Call, bomb: Callable[[], bytes], coding: str):
    caller = call(serve_as(replies(reply(bomb(), f"Content-Encoding: {coding}"))), check=bool)
    caller.send()
    began = time.thread_time()
    with pytest.raises(AssertionError, match=r"looks like a bomb|content codings"):
        _ = caller.connection.reply().content
    assert time.thread_time() - began < 2


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("bomb", "coding"), BOMBS.values(), ids=BOMBS)
def test_so_does_a_session(serve_as: Serve, http: Session, bomb: Callable[[], bytes], coding: str, stream: bool):
    url = serve_as(replies(reply(bomb(), f"Content-Encoding: {coding}"))).url
    began = time.thread_time()
    with pytest.raises(exceptions.ContentDecodingError, match=r"looks like a bomb|content codings"):
        http.get(url, stream=stream).content  # noqa: B018 - reads it
    assert time.thread_time() - began < 2


def test_much_may_come_out_for_whoever_takes_it_piece_by_piece(serve_as: Serve, http: Session):
    url = serve_as(replies(reply(zeros(), "Content-Encoding: gzip"))).url
    assert sum(map(len, http.get(url, stream=True).iter_content(MB))) == 100 * MB


@cache
def endless() -> bytes:
    """8 GB in 8 MB."""
    return gzip.compress(bytes(MB)) * 8000


@pytest.mark.parametrize(("stream", "deadline"), [(False, 0.1), (True, 0.5)], ids=["whole", "stream"])
def test_the_deadline_covers_decoding(serve_as: Serve, http: Session, stream: bool, deadline: float):
    url = serve_as(replies(reply(endless(), "Content-Encoding: gzip"))).url
    for _ in range(2):
        began = time.monotonic()
        with pytest.raises(exceptions.ReadTimeout, match=r"before the deadline|no whole reply within"):
            for _ in http.get(url, stream=stream, deadline=deadline).iter_content(MB):
                pass
        # 8 GB take 8 s and more
        assert time.monotonic() - began < 6


@pytest.mark.parametrize(
    "body", [b"[" * 200_000, b'{"a":' * 200_000, b"9" * 5000, b"[1e400, " + b"9" * 5000 + b"]", b"\xff" * 9]
)
@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "text/plain"])
def test_json_that_no_parser_takes_is_an_exception_of_requests(serve_as: Serve, http: Session, body: bytes, kind: str):
    url = serve_as(replies(reply(body, f"Content-Type: {kind}"))).url
    for options in ({}, {}, {"stream": True}):
        response = http.get(url, **options)
        with pytest.raises(exceptions.JSONDecodeError):
            response.json()


# -- charsets

NOT_TEXT = [
    "punycode",
    "idna",
    "undefined",
    "unicode_escape",
    "utf-7",
    "base64",
    "zlib",
    "rot13",
    "klingon",
    "x" * 5000,
]


@pytest.mark.parametrize("charset", NOT_TEXT)
def test_a_charset_that_is_none_counts_as_utf_8(serve_as: Serve, call: Call, http: Session, charset: str):
    body = "naïve café +AGE- \\u0041 - tea".encode()
    peer = serve_as(replies(reply(body, f"Content-Type: text/plain; charset={charset}")))
    caller = call(peer, check=bool)
    caller.send()
    assert caller.connection.reply().text == body.decode()
    for options in ({}, {}, {"stream": True}):
        response = http.get(peer.url, **options)
        assert response.encoding == charset
        assert response.text == body.decode()
        assert "".join(response.iter_content(5, decode_unicode=True)) == body.decode()
        assert list(response.iter_lines(decode_unicode=True)) == [body.decode()]
    assert "".join(http.get(peer.url, stream=True).iter_content(3, decode_unicode=True)) == body.decode()


def test_no_charset_makes_text_costly(serve_as: Serve, call: Call, http: Session):
    # 320 kB took 3.2 s, four times as long for twice as much
    peer = serve_as(replies(reply(b"-" + b"a9" * 500_000, "Content-Type: text/plain; charset=punycode")))
    caller = call(peer, check=bool)
    caller.send()
    response = http.get(peer.url)
    began = time.thread_time()
    assert len(caller.connection.reply().text) == len(response.text) == 1_000_001
    assert time.thread_time() - began < 2
