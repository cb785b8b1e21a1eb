"""What a reply is, and its bytes on the wire."""

from __future__ import annotations

import functools
import http
import json
from collections.abc import Iterator
from typing import NamedTuple

JSON = b"application/json"
BINARY = b"application/octet-stream"

STAY_BY_DEFAULT = b""
STAY_AS_ASKED = b"Connection: keep-alive\r\n"  # HTTP/1.0 clients such as ab wait for this line
LEAVE = b"Connection: close\r\n"

_BODILESS = {204, 304}  # RFC 9110, 6.4.1; 1xx are not final and never sent as such
_REASONS = {status.value: status.phrase for status in http.HTTPStatus}
_PIECES_AT_LEAST = 4
_PIECE_AT_MOST = 16_384
_SLICE = 262_144


class Reply(NamedTuple):
    """A status, a body, and how long to wait before sending them."""

    status: int
    body: bytes | memoryview = b""
    media: bytes = JSON
    delay: float = 0.0
    chunked: bool = False
    allow: bytes = b""


def in_json(value: object, status: int = 200, delay: float = 0.0) -> Reply:
    return Reply(status, json.dumps(value).encode() + b"\n", delay=delay)


def refusal(status: int, message: str, allow: bytes = b"") -> Reply:
    return in_json({"error": message}, status)._replace(allow=allow)


def parts(reply: Reply, connection: bytes, *, bodiless: bool, old: bool) -> Iterator[bytes | memoryview]:
    """The pieces to write for `reply`; `bodiless` answers a HEAD, `old` an HTTP/1.0 client."""
    chunked = reply.chunked and not old
    framing = _framing(reply, chunked)
    head = _head(reply.status, reply.media, framing, reply.allow, connection)
    if bodiless or reply.status in _BODILESS:
        yield head
    elif chunked:
        yield head
        yield from _chunks(memoryview(reply.body))
    else:
        yield from _whole(head, reply.body)


def _framing(reply: Reply, chunked: bool) -> bytes:
    if chunked:
        return b"Transfer-Encoding: chunked\r\n"
    if reply.status in _BODILESS:
        return b""
    return b"Content-Length: %d\r\n" % len(reply.body)


@functools.lru_cache(maxsize=4096)
def _head(status: int, media: bytes, framing: bytes, allow: bytes, connection: bytes) -> bytes:
    """The head of a reply: numbers and our own constants only, so no CR or LF of a client's can get in."""
    lines = [b"HTTP/1.1 %d %b\r\nServer: loadkit-demo\r\n" % (status, _REASONS.get(status, "").encode())]
    if status not in _BODILESS:
        lines.append(b"Content-Type: %b\r\n" % media)
    if allow:
        lines.append(b"Allow: %b\r\n" % allow)
    return b"".join([*lines, framing, connection, b"\r\n"])


def _whole(head: bytes, body: bytes | memoryview) -> Iterator[bytes | memoryview]:
    """Small bodies leave in one segment with the head; large ones are not copied, and go out in slices."""
    if len(body) <= _PIECE_AT_MOST:
        yield head + body
        return
    yield head
    if len(body) <= _SLICE:
        yield body
        return
    view = memoryview(body)
    for start in range(0, len(view), _SLICE):
        yield view[start : start + _SLICE]


def _chunks(body: memoryview) -> Iterator[bytes]:
    size = max(1, min(_PIECE_AT_MOST, len(body) // _PIECES_AT_LEAST))
    for start in range(0, len(body), size):
        piece = body[start : start + size]
        yield b"%x\r\n%b\r\n" % (len(piece), bytes(piece))
    yield b"0\r\n\r\n"
