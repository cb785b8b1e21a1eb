"""Replies as servers send them, on the first exchange of a connection and on those that go the fast way."""

from __future__ import annotations

import pytest

from tests.wire.conftest import Call, Serve
from tests.wire.peer import OK, Line, chunked, replies, reply, then_close

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

WHOLE = [
    pytest.param("GET", OK, 200, b"ok", id="a length"),
    pytest.param("GET", reply(), 200, b"", id="a length of nothing"),
    pytest.param("GET", CHUNKED + chunked(b"some", b"thing"), 200, b"something", id="chunks"),
    pytest.param("GET", CHUNKED + chunked(), 200, b"", id="no chunk but the last"),
    pytest.param("GET", CHUNKED + chunked(b"a" * 20, extension=b';name="va;lue"'), 200, b"a" * 20, id="extensions"),
    pytest.param("GET", CHUNKED + chunked(b"tea", trailers=b"Sum: 1\r\nX: 2\r\n"), 200, b"tea", id="trailers"),
    pytest.param("HEAD", OK[:-2], 200, b"", id="HEAD with a length"),
    pytest.param("HEAD", CHUNKED, 200, b"", id="HEAD that would be chunked"),
    pytest.param("HEAD", b"HTTP/1.1 200 OK\r\n\r\n", 200, b"", id="HEAD without a length"),
    pytest.param("GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", id="204"),
    pytest.param("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", 304, b"", id="304 with a length"),
    pytest.param("GET", b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"ok", id="1xx before"),
    pytest.param("GET", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3 + OK, 200, b"ok", id="three 1xx before"),
    pytest.param("GET", b"HTTP/1.1 404\r\nContent-Length: 1\r\n\r\nx", 404, b"x", id="no reason phrase"),
    pytest.param("GET", reply(b"x", "X: \xe9\xff"), 200, b"x", id="headers outside ASCII"),
    pytest.param(
        "GET", reply(b"x", "Connection: Upgrade", "Upgrade: h2c"), 200, b"x", id="an upgrade offered, as Apache does"
    ),
    pytest.param(
        "GET", reply(b"x", "Connection: keep-alive", version="HTTP/1.0"), 200, b"x", id="HTTP/1.0 with keep-alive"
    ),
]


@pytest.mark.parametrize(("method", "message", "status", "body"), WHOLE)
def test_a_reply_is_read_to_its_end_and_the_connection_is_kept(
    serve: Serve, call: Call, method: str, message: bytes, status: int, body: bytes
):
    peer = serve(replies(message))
    caller = call(peer, method, check=bool)

    for turn in range(6):
        outcome = caller.send()

        assert (outcome.status, outcome.message) == (status, "")
        assert outcome.connects == (0 if turn else 1, 0)
        assert outcome.size == len(message[message.rindex(b"HTTP/1.") :])
        assert caller.connection.reply().content == body
    assert peer.connections == 1


CLOSING = [
    pytest.param(b"HTTP/1.1 200 OK\r\n\r\nall of it", b"all of it", id="read until close"),
    pytest.param(b"HTTP/1.0 200 OK\r\n\r\nall of it", b"all of it", id="HTTP/1.0 until close"),
    pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", b"", id="nothing until close"),
    pytest.param(reply(b"tea", "Connection: close"), b"tea", id="Connection: close"),
    pytest.param(reply(b"tea", "Connection: Keep-Alive, CLOSE"), b"tea", id="close among others"),
    pytest.param(reply(b"tea", version="HTTP/1.0"), b"tea", id="HTTP/1.0 with a length"),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + chunked(b"tea"),
        b"tea",
        id="chunks and Connection: close",
    ),
]


@pytest.mark.parametrize(("message", "body"), CLOSING)
def test_a_reply_that_ends_the_connection_is_whole_and_the_next_gets_a_new_one(
    serve: Serve, call: Call, message: bytes, body: bytes
):
    peer = serve(replies(then_close(message)))
    caller = call(peer, check=bool)

    for _ in range(3):
        outcome = caller.send()

        assert (outcome.status, outcome.message, outcome.connects) == (200, "", (1, 0))
        assert outcome.size == len(message)
        assert caller.connection.reply().content == body
    assert peer.connections == 3


def test_a_tls_record_may_be_split_anywhere(serve_as: Serve, call: Call, tls):
    # within its head of 5 bytes, behind it, within what is sealed, and within the tag of 16 bytes at its end
    places = (1, 4, 5, 6, 30, -16, -1)

    def script(line: Line) -> None:
        for place in places:
            line.request()
            sealed = line.sealed(reply(b"tea"))
            line.send_raw(sealed[:place], sealed[place:])

    caller = call(serve_as(script, context=tls), check=bool)

    assert [caller.read() for _ in places] == [b"tea"] * len(places)


@pytest.mark.parametrize("size", [15_900, 16_384, 17_000, 40_000, 300_000])
@pytest.mark.parametrize("in_chunks", [False, True])
def test_a_reply_of_more_than_one_receive_is_whole(serve: Serve, call: Call, size: int, in_chunks: bool):
    body = bytes(range(256)) * (size // 256)
    message = CHUNKED + chunked(body[:1000], body[1000:]) if in_chunks else reply(body)
    caller = call(serve(replies(message)), check=bool)

    assert [caller.read() == body for _ in range(3)] == [True, True, True]
    assert caller.send().size == len(message)


def test_the_same_head_with_another_body_is_another_reply(serve: Serve, call: Call):
    caller = call(serve(replies(*[reply(b"one")] * 5, reply(b"two"), reply(b"six"), reply(b"four"))), check=bool)

    assert [caller.read() for _ in range(9)] == [*[b"one"] * 5, b"two", b"six", b"four", b"four"]


def test_two_requests_on_one_connection_do_not_take_each_others_memory(serve: Serve, call: Call):
    def script(line: Line) -> None:
        while True:
            line.send(OK[:-2] if line.request().startswith(b"HEAD") else OK)

    caller = call(serve(script))
    head = call(caller.request.url, "HEAD").request
    send_head = caller.connection.sender(head)

    statuses = [(caller.send().size, send_head(head)[4]) for _ in range(6)]

    assert statuses == [(len(OK), len(OK) - 2)] * 6


def test_other_statuses_come_through_as_they_change(serve: Serve, call: Call):
    answers = [reply(b"ab", status=f"{code} Such") for code in (200, 200, 404, 404, 503, 200, 999)]
    caller = call(serve(replies(*answers)))

    assert [caller.send().status for _ in answers] == [200, 200, 404, 404, 503, 200, 999]
