"""The body of a redirect that is followed: read if it is short, and dropped with its connection if it is not."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from loadkit.wire.http1 import MAX_REDIRECT_BODY
from tests.wire.conftest import Make, Serve
from tests.wire.peer import Line, Script, chunked, replies, reply

MOVED = "HTTP/1.1 302 Found\r\nLocation: /there\r\n"


def endless(head: str, piece: bytes) -> Script:
    """Send a body that has no end before the client closes."""

    def answer(line: Line) -> None:
        line.send((MOVED + head + "\r\n").encode())
        while True:
            line.send(piece)

    return answer


LONG = {
    "a length": endless("Content-Length: 1000000000000\r\n", b"x" * 50_000),
    "a length, compressed": endless(
        "Content-Length: 1000000000\r\nContent-Encoding: gzip\r\n", gzip.compress(b"x" * 9)
    ),
    "chunks": endless("Transfer-Encoding: chunked\r\n", b"c350\r\n" + b"x" * 50_000 + b"\r\n"),
    "chunks, compressed": endless(
        "Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n",
        b"1d\r\n" + gzip.compress(b"x" * 99_999)[:29] + b"\r\n",
    ),
    "until the close": endless("", b"x" * 50_000),
}


def leading(way: Script | bytes) -> Script:
    """A server that redirects in this way from all targets but /there."""

    def script(line: Line) -> None:
        while True:
            if line.request().split()[1] == b"/there":
                line.send(reply(b"there"))
            elif callable(way):
                way(line)
            else:
                line.send(way)

    return script


WAYS = [{}, {"stream": True}, {"hooks": {"response": []}, "name": "moved"}]


@pytest.mark.parametrize("options", WAYS, ids=["at once", "streamed", "the long way"])
@pytest.mark.parametrize("way", LONG.values(), ids=LONG)
def test_a_long_body_of_a_redirect_is_dropped_and_the_redirect_followed(
    serve_as: Serve, session: Make, way: Script, options: dict[str, Any]
):
    peer = serve_as(leading(way))
    http = session(base_url=peer.url, deadline=20, body_limit="10MB")
    for _ in range(2):
        response = http.get("/here", **options)

        assert (response.text, response.url) == ("there", f"{peer.url}/there")
        assert [hop.status_code for hop in response.history] == [302]
        assert [hop.content for hop in response.history] == [b""]


SHORT = b"moved" * (MAX_REDIRECT_BODY // 5)


@pytest.mark.parametrize("options", WAYS, ids=["at once", "streamed", "the long way"])
@pytest.mark.parametrize(
    "whole",
    [
        reply(SHORT, "Location: /there", status="302 Found"),
        reply(gzip.compress(SHORT), "Location: /there", "Content-Encoding: gzip", status="302 Found"),
        (MOVED + "Transfer-Encoding: chunked\r\n\r\n").encode() + chunked(SHORT[:9], SHORT[9:]),
    ],
    ids=["a length", "compressed", "chunks"],
)
def test_a_short_body_of_a_redirect_is_there_and_the_connection_kept(
    serve_as: Serve, session: Make, whole: bytes, options: dict[str, Any]
):
    peer = serve_as(leading(whole))
    http = session(base_url=peer.url, deadline=20, body_limit="10MB")
    for _ in range(3):
        response = http.get("/here", **options)
        assert response.content == b"there"
        assert [hop.content for hop in response.history] == [SHORT]
    assert peer.connections == 1


@pytest.mark.parametrize("options", WAYS, ids=["at once", "streamed", "the long way"])
@pytest.mark.parametrize("location", ["/there", ""], ids=["not followed", "to nowhere"])
def test_a_long_body_of_a_redirect_that_is_the_reply_is_whole(
    serve_as: Serve, session: Make, options: dict[str, Any], location: str
):
    body = b"x" * 10 * MAX_REDIRECT_BODY
    peer = serve_as(replies(reply(body, f"Location: {location}", status="302 Found")))
    http = session(base_url=peer.url, deadline=20, body_limit="10MB")
    for _ in range(2):
        assert http.get("/", allow_redirects=not location, **options).content == body
    assert peer.connections == 1
