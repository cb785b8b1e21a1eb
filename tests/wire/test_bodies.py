"""Bodies: large ones that cost no memory, encoded ones, and those that lie."""

from __future__ import annotations

import gzip
import socket
import time
import tracemalloc
import zlib

import pytest

from tests.bombs import MB, zeros
from tests.wire.conftest import Call, Serve
from tests.wire.peer import OK, Line, chunked, replies, reply

BODY = b"tea, " * 5000

RAW = zlib.compressobj(9, zlib.DEFLATED, -15)
RAW_DEFLATE = RAW.compress(BODY) + RAW.flush()


def coded(body: bytes, coding: str) -> bytes:
    return reply(body, f"Content-Encoding: {coding}")


DECODED = [
    pytest.param(coded(gzip.compress(BODY), "gzip"), id="gzip"),
    pytest.param(coded(gzip.compress(BODY), "X-GZip"), id="x-gzip"),
    pytest.param(coded(zlib.compress(BODY), "deflate"), id="deflate"),
    pytest.param(coded(RAW_DEFLATE, "deflate"), id="raw deflate"),
    pytest.param(coded(BODY, "identity"), id="identity"),
    pytest.param(coded(gzip.compress(BODY[:7777]) + gzip.compress(BODY[7777:]), "gzip"), id="two members"),
    pytest.param(coded(gzip.compress(b"") + gzip.compress(BODY) + gzip.compress(b""), "gzip"), id="empty members"),
    pytest.param(coded(gzip.compress(BODY) + bytes(100), "gzip"), id="zeros behind"),
    pytest.param(coded(gzip.compress(zlib.compress(BODY)), "deflate, gzip"), id="a chain"),
    pytest.param(
        reply(gzip.compress(zlib.compress(BODY)), "Content-Encoding: deflate", "Content-Encoding: gzip"),
        id="a chain in two headers",
    ),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunked(gzip.compress(BODY)[:9], gzip.compress(BODY)[9:]),
        id="gzip in chunks",
    ),
]


@pytest.mark.parametrize("message", DECODED)
def test_an_encoded_body_is_read_as_it_was(serve_as: Serve, call: Call, message: bytes):
    caller = call(serve_as(replies(message)), check=bool)

    assert [caller.read() == BODY for _ in range(5)] == [True] * 5


UNREADABLE = [
    pytest.param(coded(gzip.compress(BODY)[:-1], "gzip"), "the gzip body is cut short", id="a byte missing"),
    pytest.param(coded(gzip.compress(BODY)[:-8], "gzip"), "the gzip body is cut short", id="no checksum"),
    pytest.param(coded(gzip.compress(BODY)[:5], "gzip"), "the gzip body is cut short", id="within its head"),
    pytest.param(coded(zlib.compress(BODY)[:-1], "deflate"), "the deflate body is cut short", id="deflate cut"),
    pytest.param(coded(b"\x78", "deflate"), "the deflate body is cut short", id="a byte of deflate"),
    pytest.param(coded(RAW_DEFLATE[:-1], "deflate"), "the deflate body is cut short", id="raw deflate cut"),
    pytest.param(coded(gzip.compress(BODY) + b"\x1f", "gzip"), "the gzip body is cut short", id="a member cut at once"),
    pytest.param(
        coded(gzip.compress(BODY) + gzip.compress(BODY)[:-9], "gzip"), "the gzip body is cut short", id="a member cut"
    ),
    pytest.param(coded(gzip.compress(BODY) + b"more", "gzip"), "the gzip body does not decode", id="garbage behind"),
    pytest.param(coded(zlib.compress(BODY) + b"more", "deflate"), "the deflate body goes on", id="deflate goes on"),
    pytest.param(coded(b"never zipped", "gzip"), "the gzip body does not decode", id="not gzip"),
    pytest.param(coded(gzip.compress(BODY)[:-8] + bytes(8), "gzip"), "does not decode", id="a wrong checksum"),
    pytest.param(coded(BODY, "br"), "the content coding 'br' was not asked for", id="a coding nobody asked for"),
    pytest.param(coded(BODY, "gzip;q=1"), "the content coding 'gzip;q=1' was not asked for", id="a parameter"),
    pytest.param(coded(BODY, ", ".join(["gzip"] * 3)), "3 content codings on one body", id="a chain of 3"),
    pytest.param(coded(BODY, ", ".join(["gzip"] * 50)), "50 content codings", id="a chain of 50"),
]


@pytest.mark.parametrize(("message", "complaint"), UNREADABLE)
def test_an_encoded_body_that_is_not_whole_fails_when_it_is_read(
    serve_as: Serve, call: Call, message: bytes, complaint: str
):
    caller = call(serve_as(replies(message)), check=bool)

    assert caller.send().kind == ""
    with pytest.raises(AssertionError, match=complaint):
        _ = caller.connection.reply().content


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        pytest.param(zeros(64) + gzip.compress(b"\0"), "gzip", id="one byte too much"),
        pytest.param(gzip.compress(zeros(70)), "gzip, gzip", id="70 MB zipped twice"),
    ],
)
def test_a_decompression_bomb_goes_off_within_bounds(serve_as: Serve, call: Call, body: bytes, coding: str):
    caller = call(serve_as(replies(coded(body, coding))), check=bool)
    caller.send()

    with pytest.raises(AssertionError, match=r"became more than 6\d(\.\d)? MB decoded, which looks like a bomb"):
        _ = caller.connection.reply().content


def test_a_body_that_just_fits_is_read(serve_as: Serve, call: Call):
    caller = call(serve_as(replies(coded(zeros(64), "gzip"))), check=bool)

    assert len(caller.read()) == 64 * MB


def test_a_body_of_very_many_members_is_read_in_time(serve_as: Serve, call: Call):
    member = gzip.compress(bytes(range(100)))
    caller = call(serve_as(replies(coded(member * 10_000, "gzip"))), check=bool)
    began = time.process_time()

    assert caller.read() == bytes(range(100)) * 10_000
    assert time.process_time() - began < 2


def test_a_large_body_that_nobody_reads_is_not_kept(serve: Serve, call: Call):
    block = bytes(50_000)
    head = reply(bytes(5 * MB))[: -5 * MB]

    def answer(line: Line) -> None:
        line.send(head)
        for _ in range(100):
            line.send(block)

    caller = call(serve(replies(answer)), timeout=20)
    caller.send()
    tracemalloc.start()
    outcome = caller.send()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (outcome.message, outcome.size) == ("", len(head) + 5 * MB)
    assert peak < 1.5 * MB


@pytest.mark.parametrize("limit", [0, 1, 99, 100, 101])
def test_no_more_of_a_body_is_kept_than_the_limit(serve: Serve, call: Call, limit: int):
    peer = serve(replies(reply(b"x" * 100)))
    caller = call(peer, check=bool, body_limit=limit)

    for _ in range(5):
        outcome = caller.send()

        kept = caller.connection.reply()
        assert (outcome.status, kept.status_code, outcome.size) == (200, 200, len(reply(b"x" * 100)))
        if limit >= 100:
            assert kept.content == b"x" * 100
        else:
            with pytest.raises(AssertionError, match=f"^the body was cut at body_limit, {limit} bytes$"):
                _ = kept.content


def test_a_large_body_is_kept_up_to_the_limit(serve: Serve, call: Call):
    caller = call(serve(replies(reply(b"x" * 3 * MB))), check=bool, body_limit="1MB")
    caller.send()

    with pytest.raises(AssertionError, match=r"^the body was cut at body_limit, 1,000,000 bytes$"):
        _ = caller.connection.reply().text


UPLOAD = bytes(range(256)) * 20_000


def test_a_large_upload_arrives_whole(serve: Serve, call: Call):
    peer = serve(replies(OK))
    caller = call(peer, "POST", data=UPLOAD, timeout=20)

    assert [outcome.status for outcome in caller.sends(3)] == [200] * 3
    assert all(heard.endswith(b"\r\n\r\n" + UPLOAD) for heard in peer.heard)
    assert peer.connections == 1


def test_an_upload_to_a_slow_reader_arrives_whole(serve: Serve, call: Call):
    def slow(line: Line) -> None:
        # full buffers on both ends, so that the request goes out in several parts
        line.pause(0.02)
        line.request()
        line.send(OK)

    peer = serve(slow)
    caller = call(peer, "POST", data=UPLOAD, timeout=20)

    assert caller.send().status == 200
    assert peer.heard[0].endswith(b"\r\n\r\n" + UPLOAD)


def refusing(line: Line, connection: str = "close") -> None:
    """Answer at the first bytes of an upload."""
    line.receive()
    line.send(reply(b"too much", f"Connection: {connection}", status="413 Too Large"))


def refusing_and_reading_on(line: Line) -> None:
    """As nginx does it: what is still under way is read and thrown away, so that no reset overtakes the reply."""
    refusing(line)
    line.sock.shutdown(socket.SHUT_WR)
    while line.sock.recv(65536):
        pass


def test_the_reply_of_a_server_that_refuses_an_upload_is_seen(serve: Serve, call: Call):
    caller = call(serve(refusing_and_reading_on), "POST", data=UPLOAD)

    for _ in range(3):
        outcome = caller.send()

        assert (outcome.status, outcome.message, outcome.connects) == (413, "", (1, 0))


@pytest.mark.parametrize("turn", [0, 4], ids=["first", "repeated"])
@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_an_upload_that_a_server_refuses_and_closes_is_over_and_the_next_request_is_not(
    serve: Serve, call: Call, turn: int, connection: str
):
    def script(line: Line) -> None:
        for _ in range(turn):
            line.request()
            line.send(OK)
        refusing(line, connection)
        line.close()

    caller = call(serve(script, replies(OK)), "POST")
    caller.sends(turn)
    # more than the buffers of both ends take, so that it is still being sent
    large = call(caller.request.url, "POST", data=UPLOAD * 4).request
    caller.use(large)

    outcome = caller.send()

    # the reset may reach us before the reply is read, and then the kernel has thrown it away
    assert (outcome.status, outcome.kind) in ((413, ""), (0, "send"), (0, "disconnect"))
    caller.use(caller.request)
    assert caller.send().status == 200


@pytest.mark.parametrize("turn", [0, 4], ids=["first", "repeated"])
def test_a_server_that_never_reads_is_a_timeout(serve: Serve, call: Call, turn: int):
    peer = serve(replies(*[OK] * turn, lambda line: line.stall()) if turn else lambda line: line.stall())
    small = call(peer, "POST", data=b"x", timeout=0.3)
    small.sends(turn)
    large = call(peer, "POST", data=UPLOAD, timeout=0.3).request
    send = small.connection.sender(large)
    began = time.monotonic()

    note = send(large)[5]

    assert note.failure.kind == "timeout"
    assert 0.25 < time.monotonic() - began < 10
