"""What the head of an HTTP/1.1 reply says, and where its body ends (RFC 9112).

httptools parses heads and chunks. Where a message ends is decided here, because the parser cannot be told that
the request was a HEAD, has no end-of-file call, and runs on into the next message. What is contradictory fails:
a length is never guessed.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

import httptools

from loadkit.wire.base import REDIRECTS, BrokenExchange, Failure

MAX_HEAD: Final = 64 * 1024
MAX_HEADERS: Final = 500
MAX_OVERHEAD: Final = 64 * 1024
"""Bytes of chunk sizes, extensions and trailers between two pieces of a body."""

_FRAMING: Final = frozenset((b"connection", b"content-length", b"transfer-encoding"))
_LENGTH: Final = re.compile(rb"\d{1,18}").fullmatch


class ReplyHead(NamedTuple):
    """What the head of a reply says; shared by all replies with the same head, so not to be changed."""

    raw: bytes
    status: int
    headers: list[tuple[bytes, bytes]]
    """Names in lower case."""
    framing_headers: dict[bytes, list[bytes]]
    """The values of those that say where the reply ends, and what becomes of the connection."""

    @property
    def keeps_alive(self) -> bool:
        """True if the connection goes on behind the reply."""
        tokens = _tokens(self.framing_headers.get(b"connection"))
        return b"close" not in tokens and (not self._is_http_1_0 or b"keep-alive" in tokens)

    @property
    def redirects(self) -> bool:
        """True if it names another URL to request."""
        return self.status in REDIRECTS and any(value for name, value in self.headers if name == b"location")

    def framing(self, method: str, marks: list[int] | None = None) -> Framing:
        """How the body ends; raises `BrokenExchange` for a head that contradicts itself.

        `marks` is where to put the places in the body at which chunks end.
        """
        lengths = self.framing_headers.get(b"content-length")
        codings = _tokens(self.framing_headers.get(b"transfer-encoding"))
        if lengths and codings:
            raise protocol_failure("Content-Length beside Transfer-Encoding")
        if codings and self._is_http_1_0:
            raise protocol_failure("Transfer-Encoding in HTTP/1.0")
        if b"chunked" in codings[:-1]:
            raise protocol_failure(f"Transfer-Encoding {b', '.join(codings)[:40]!r}")
        if method == "HEAD" or self.status in (204, 304):
            return ContentLength(0)
        if codings:
            if codings[-1] != b"chunked":
                return UntilClose()
            return Chunked() if marks is None else MarkedChunks(marks)
        return ContentLength(_one_length(lengths)) if lengths else UntilClose()

    @property
    def _is_http_1_0(self) -> bool:
        return self.raw.startswith(b"HTTP/1.0")


@lru_cache(maxsize=32)
def parse_head(raw: bytes) -> ReplyHead:
    """Read a head, with the empty line that ends it; raises `BrokenExchange`.

    Servers repeat themselves: the same head again is not parsed again.
    """
    check_beginning(raw)
    if raw.count(b"\n") != raw.count(b"\r\n"):
        raise protocol_failure("a line of the head ends in a bare line feed")
    headers = _Headers()
    parser = httptools.HttpResponseParser(headers)
    _parse(parser, raw, "not HTTP")
    status = parser.get_status_code()
    if status < 100:
        raise protocol_failure(f"status {status:03}")
    if status == 101:
        raise protocol_failure("101 Switching Protocols, which nobody asked for")
    if len(headers) > MAX_HEADERS:
        raise protocol_failure(f"more than {MAX_HEADERS} headers")
    framing: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if name in _FRAMING:
            framing.setdefault(name, []).append(value)
    return ReplyHead(raw, status, headers, framing)


class ContentLength:
    """A body of so many bytes."""

    __slots__ = ("_left", "length", "surplus")

    keeps_alive: Final = True

    def __init__(self, length: int) -> None:
        self.length = self._left = length
        self.surplus = ""
        """What is wrong with bytes behind the end, if there are any."""

    @property
    def is_complete(self) -> bool:
        """True if all of the body has come."""
        return not self._left

    def feed(self, data: bytes) -> bytes:
        """What came of the body."""
        body = data[: self._left]
        if len(body) < len(data):
            self.surplus = f"{len(data) - len(body):,} bytes more than the reply announced"
        self._left -= len(body)
        return body

    def how_far(self, _size: int) -> str:
        """How much has come of a reply of so many bytes until now."""
        return f"after {self.length - self._left:,} of {self.length:,} bytes of the body"


class UntilClose:
    """A body that ends with the connection."""

    __slots__ = ()

    keeps_alive: Final = False
    is_complete: Final = False
    surplus: Final = ""

    def feed(self, data: bytes) -> bytes:
        """What came of the body."""
        return data

    def how_far(self, size: int) -> str:
        """How much has come of a reply of so many bytes until now."""
        return f"after {size:,} bytes without the end of TLS, so the reply may be cut"


class Chunked:
    """A body in chunks."""

    __slots__ = ("_overhead", "_parser", "_pieces", "_tail", "is_complete", "surplus")

    def __init__(self) -> None:
        self.is_complete = False
        self.surplus = ""
        self._overhead = 0
        self._pieces: list[bytes] = []
        self._tail = b""
        self._parser = httptools.HttpResponseParser(self)
        _parse(self._parser, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "")

    @property
    def keeps_alive(self) -> bool:
        """True if nothing comes behind the end: empty lines there are nothing to the parser."""
        return self._tail.endswith(b"\r\n\r\n") and self._tail[-5:-4] not in b"\r\n"

    def feed(self, data: bytes) -> bytes:
        """What came of the body; raises `BrokenExchange`."""
        self._pieces = []
        self._tail = (self._tail + data[-6:])[-6:]
        try:
            _parse(self._parser, data, "chunked body")
        except BrokenExchange:
            if not self.is_complete:
                raise
            self.surplus = "bytes after the last chunk"
        if self.is_complete:
            # the two refer to each other: for the garbage collector that is 1 us
            del self._parser
        self._overhead = 0 if self._pieces else self._overhead + len(data)
        if self._overhead > MAX_OVERHEAD + len(data):
            raise protocol_failure(f"more than {MAX_OVERHEAD:,} bytes of chunk headers or trailers")
        return b"".join(self._pieces)

    def how_far(self, size: int) -> str:
        """How much has come of a reply of so many bytes until now."""
        return f"after {size:,} bytes, before the last chunk"

    # what httptools calls

    def on_body(self, data: bytes) -> None:
        """A piece of a chunk."""
        if not self.surplus:
            self._pieces.append(data)

    def on_message_begin(self) -> None:
        """The first byte of a message; of a second one, if the first is complete."""
        if self.is_complete:
            self.surplus = "bytes after the last chunk"

    def on_message_complete(self) -> None:
        """The end of the trailers."""
        self.is_complete = True


class MarkedChunks(Chunked):
    """One that says where its chunks end, which is a call more for each."""

    __slots__ = ("_marks", "_size")

    def __init__(self, marks: list[int]) -> None:
        super().__init__()
        self._marks = marks
        self._size = 0

    def on_body(self, data: bytes) -> None:
        """A piece of a chunk."""
        super().on_body(data)
        self._size += len(data)

    def on_chunk_complete(self) -> None:
        """The end of a chunk, the last and empty one too."""
        self._marks.append(self._size)


Framing: TypeAlias = ContentLength | Chunked | UntilClose
"""How the end of a body is found (RFC 9112, 6.3)."""


class _Headers(list[tuple[bytes, bytes]]):
    def on_header(self, name: bytes, value: bytes) -> None:
        self.append((name.lower(), value))


def _parse(parser: httptools.HttpResponseParser, data: bytes, what: str) -> None:
    """Have httptools read on; raises `BrokenExchange`, or what was raised within a callback, by a signal say."""
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        # a status of 101, which is looked at behind it
        return
    except httptools.HttpParserCallbackError as error:
        raise error.__context__ or error from None
    except httptools.HttpParserError as error:
        raise protocol_failure(f"{what}: {error}") from None


def check_beginning(buffer: bytes) -> None:
    """Raise `BrokenExchange` if these are not the first bytes of a head that may be read."""
    # llhttp skips empty lines before a reply and speaks HTTP/0.9 and HTTP/2.0; we do not
    if not buffer.startswith(b"HTTP/1."[: len(buffer)]):
        raise protocol_failure(f"not HTTP: the reply begins {buffer[:20]!r}")
    if len(buffer) > MAX_HEAD:
        raise protocol_failure(f"head of more than {MAX_HEAD:,} bytes")
    if b"\n\n" in buffer:
        raise protocol_failure("a line of the head ends in a bare line feed")


def _one_length(lengths: list[bytes]) -> int:
    if len(lengths) > 1 or not _LENGTH(lengths[0].strip()):
        raise protocol_failure(f"Content-Length {b', '.join(lengths)[:40]!r}")
    return int(lengths[0])


def _tokens(values: list[bytes] | None) -> list[bytes]:
    return [token for one in b",".join(values).lower().split(b",") if (token := one.strip())] if values else []


def protocol_failure(message: str) -> BrokenExchange:
    """The failure of a reply that is against the protocol."""
    return BrokenExchange(Failure("protocol", message))
