"""Bodies that are made to cost: refused by checks and sessions in little time, and within the deadline."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from requests import exceptions

from loadkit.clock import ManualClock
from loadkit.plan.units import MILLISECOND
from loadkit.wire.fake import FakeReply
from tests.bombs import EMPTY, MB, empties, zeros
from tests.wire.conftest import MemoryServer
from tests.wire.peer import reply
from tests.wire.test_checked import checked

BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty members": (lambda: EMPTY * 200_000, "gzip"),
    "empty members, zipped": (lambda: empties(60), "gzip, gzip"),
    "zeros behind a member": (lambda: zeros(100, gzip.compress(b"x")), "gzip, gzip"),
    "empty members, zipped twice": (lambda: gzip.compress(empties(60)), "gzip, gzip, gzip"),
    "a chain of 60": (lambda: EMPTY, ", ".join(["gzip"] * 60)),
}
"""Nothing or one byte comes out of each; with a coding more a reply of 573 bytes took 6 to 9 s."""


def by_check(body: bytes, coding: str) -> bytes:
    return checked(FakeReply(body=body, headers={"Content-Encoding": coding})).content


def by_session(body: bytes, coding: str, *, stream: bool = False) -> bytes:
    return MemoryServer(reply(body, f"Content-Encoding: {coding}")).session().get("/", stream=stream).content


@pytest.mark.parametrize(
    ("bomb", "read"),
    [
        *((bomb, by_session) for bomb in BOMBS),
        *((bomb, by_check) for bomb in ("empty members", "a chain of 60")),
        *((bomb, partial(by_session, stream=True)) for bomb in ("empty members", "empty members, zipped")),
    ],
)
def test_a_bomb_is_refused_at_little_cost(bomb: str, read: Any):
    make, coding = BOMBS[bomb]
    body = make()
    began = time.thread_time()
    with pytest.raises((AssertionError, exceptions.ContentDecodingError), match=r"looks like a bomb|content codings"):
        read(body, coding)
    assert time.thread_time() - began < 2


def test_much_may_come_out_for_whoever_takes_it_piece_by_piece():
    http = MemoryServer(reply(zeros(100), "Content-Encoding: gzip")).session()
    assert sum(map(len, http.get("/", stream=True).iter_content(MB))) == 100 * MB


class TickingClock(ManualClock):
    """A clock that goes on by a millisecond each time it is asked."""

    def now(self) -> int:
        self.advance(MILLISECOND)
        return super().now()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_the_deadline_covers_decoding(stream: bool):
    # 8 GB in 8 MB, which are decoded in more than 30,000 pieces
    server = MemoryServer(reply(gzip.compress(bytes(MB)) * 8000, "Content-Encoding: gzip"), clock=TickingClock())
    http = server.session()
    for _ in range(2):
        with pytest.raises(exceptions.ReadTimeout, match="before the deadline"):
            for _ in http.get("/", stream=stream, deadline=0.1).iter_content(MB):
                pass


@pytest.mark.parametrize(
    "body", [b"[" * 200_000, b'{"a":' * 200_000, b"9" * 5000, b"[1e400, " + b"9" * 5000 + b"]", b"\xff" * 9]
)
@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "text/plain"])
def test_json_that_no_parser_takes_is_an_exception_of_requests(body: bytes, kind: str):
    http = MemoryServer(reply(body, f"Content-Type: {kind}")).session()
    for options in ({}, {}, {"stream": True}):
        response = http.get("/", **options)
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
def test_a_charset_that_is_none_counts_as_utf_8(charset: str):
    body = "naïve café +AGE- \\u0041 - tea".encode()
    kind = f"text/plain; charset={charset}"
    http = MemoryServer(reply(body, f"Content-Type: {kind}")).session()
    assert checked(FakeReply(body=body, headers={"Content-Type": kind})).text == body.decode()
    for options in ({}, {}, {"stream": True}):
        response = http.get("/", **options)
        assert response.encoding == charset
        assert response.text == body.decode()
        assert "".join(response.iter_content(5, decode_unicode=True)) == body.decode()
        assert list(response.iter_lines(decode_unicode=True)) == [body.decode()]
    assert "".join(http.get("/", stream=True).iter_content(3, decode_unicode=True)) == body.decode()


def test_no_charset_makes_text_costly():
    # 320 kB took 3.2 s, four times as long for twice as much
    body, kind = b"-" + b"a9" * 500_000, "text/plain; charset=punycode"
    response = MemoryServer(reply(body, f"Content-Type: {kind}")).session().get("/")
    of_check = checked(FakeReply(body=body, headers={"Content-Type": kind}))
    began = time.thread_time()
    assert len(of_check.text) == len(response.text) == 1_000_001
    assert time.thread_time() - began < 2
