"""One HTTP/1.1 reply out of a stream of bytes: where it ends (RFC 9112), and whether to believe it.

httptools parses heads and chunks. Where a message ends is decided here, because the parser cannot be told that
the request was a HEAD, has no end-of-file call, and runs on into the next message. What is contradictory fails:
a length is never guessed.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final

import httptools

from loadkit.wire.base import REDIRECTS, BrokenExchange, Failure

if TYPE_CHECKING:
    from loadkit.wire.base import Sink

MAX_HEAD: Final = 64 * 1024
MAX_HEADERS: Final = 500
MAX_INTERIM: Final = 50
MAX_OVERHEAD: Final = 64 * 1024
"""Bytes of chunk sizes, extensions and trailers between two pieces of a body."""
MAX_REDIRECT_BODY: Final = 64 * 1024
"""Bytes of the body of a redirect that is followed. A longer one is dropped, and the connection with it."""

_LENGTH, _CHUNKED, _UNTIL_CLOSE = "length", "chunked", "until close"


class ReplyReader:
    """Reads one reply: `feed` it until it says that the reply is whole, or `end` it.

    Raises `BrokenExchange` of kind `protocol` or `disconnect`.
    """

    __slots__ = (
        "_buffer",
        "_fault",
        "_follows",
        "_framing",
        "_interim",
        "_keeps",
        "_lenient",
        "_overhead",
        "_parser",
        "_redirect_body",
        "_remaining",
        "_room",
        "_sink",
        "_tail",
        "_wants_body",
        "complete",
        "extension",
        "head",
        "headers",
        "keep_alive",
        "kept",
        "repeatable",
        "size",
        "status",
        "truncated",
    )

    def __init__(
        self,
        *,
        method: str,
        keep: int | None,
        sink: Sink | None = None,
        lenient: bool = False,
        follows: bool = False,
    ) -> None:
        self.status = 0
        self.size = 0
        self.head = b""
        self.keep_alive = False
        self.complete = False
        self.repeatable = False
        """The head and its length say all: the same bytes again are the same reply."""
        self.kept = bytearray()
        self.truncated = False
        self.extension = 0
        """Nanoseconds that the sink allows the exchange beyond its deadline, for what has come so far."""
        self._sink = sink
        self._keeps = keep is not None or sink is not None
        self._room = keep or 0
        self._lenient = lenient
        self._follows = follows
        self._redirect_body: bytearray | None = None
        """The body of a redirect that is followed, until it is whole."""
        self._wants_body = method != "HEAD"
        self._buffer = b""
        self._fault: BrokenExchange | None = None
        self._framing = ""
        self._interim = 0
        self._overhead = 0
        self._remaining = 0
        self._tail = b""

    def feed(self, data: bytes) -> bool:
        """Take the next bytes; True if the reply is whole."""
        self.size += len(data)
        if self.head:
            self._take_body(data)
        else:
            self._take_head(self._buffer + data)
        if self.complete and self._redirect_body:
            self._keep_redirect_body()
        return self.complete

    @property
    def begun(self) -> bool:
        """True if the server has said anything, be it an interim reply."""
        return bool(self.size or self._interim)

    def end(self, *, without_close_notify: bool = False) -> None:
        """The peer has closed: the end of a reply without a length, the failure of any other.

        `without_close_notify`: without the alert with which TLS ends, so that anybody may have cut it (RFC 9112, 9.8).
        """
        if self.head and self._framing == _UNTIL_CLOSE and not without_close_notify:
            self.complete = True
            self._keep_redirect_body()
            return
        raise BrokenExchange(Failure("disconnect", self._how_far()))

    def _how_far(self) -> str:
        if not self.size:
            return f"connection closed {'after an interim reply' if self._interim else 'before any reply'}"
        if not self.head:
            return f"connection closed after {self.size:,} bytes, within the head"
        if self._framing == _CHUNKED:
            return f"connection closed after {self.size:,} bytes, before the last chunk"
        if self._framing == _UNTIL_CLOSE:
            return f"connection closed after {self.size:,} bytes without the end of TLS, so the reply may be cut"
        expected = self._remaining + self.size - len(self.head)
        return f"connection closed after {expected - self._remaining:,} of {expected:,} bytes of the body"

    def _take_head(self, buffer: bytes) -> None:
        end = buffer.find(b"\r\n\r\n") + 4
        if end < 4:
            self._buffer = buffer
            _check_beginning(buffer)
            return
        head, rest = buffer[:end], buffer[end:]
        self._parse(head)
        self._buffer = b""
        if self.status < 200:
            self._skip_interim(len(head))
            if rest:
                self._take_head(rest)
            return
        self.head = head
        self._decide_framing()
        if self._sink is not None:
            self._sink.begin(self.status, self.headers)
        if self._follows and self._leads_elsewhere():
            self._redirect_body = bytearray()
            if self._framing == _LENGTH and self._remaining > MAX_REDIRECT_BODY:
                self._skip_body()
                return
        self._take_body(rest)

    def _parse(self, head: bytes) -> None:
        _check_beginning(head)
        if head.count(b"\n") != head.count(b"\r\n"):
            raise _broken("a line of the head ends in a bare line feed")
        self.headers: list[tuple[bytes, bytes]] = []
        self._parser = httptools.HttpResponseParser(self)
        try:
            self._parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            raise _broken("101 Switching Protocols, which nobody asked for") from None
        except httptools.HttpParserError as error:
            raise self._cause(error, f"not HTTP: {error}") from None
        self.status = self._parser.get_status_code()
        if self.status < 100:
            raise _broken(f"status {self.status:03}")

    def _skip_interim(self, size: int) -> None:
        self._interim += 1
        self.size -= size
        if self.status == 101:
            raise _broken("101 Switching Protocols, which nobody asked for")
        if self._interim > MAX_INTERIM:
            raise _broken(f"more than {MAX_INTERIM} interim replies")

    def _decide_framing(self) -> None:
        version = self._parser.get_http_version()
        connection = _tokens(self._all(b"connection"))
        self.keep_alive = b"close" not in connection and (version >= "1.1" or b"keep-alive" in connection)
        lengths, codings = self._all(b"content-length"), _tokens(self._all(b"transfer-encoding"))
        if lengths and codings:
            raise _broken("Content-Length beside Transfer-Encoding")
        if codings and version < "1.1":
            raise _broken(f"Transfer-Encoding in HTTP/{version}")
        if b"chunked" in codings[:-1]:
            raise _broken(f"Transfer-Encoding {b', '.join(codings)[:40]!r}")
        if not self._wants_body or self.status in (204, 304):
            self._framing, self._remaining = _LENGTH, 0
        elif codings:
            self._framing = _CHUNKED if codings[-1] == b"chunked" else _UNTIL_CLOSE
        elif lengths:
            self._framing, self._remaining = _LENGTH, _one_length(lengths)
        else:
            self._framing = _UNTIL_CLOSE
        self.keep_alive = self.keep_alive and self._framing != _UNTIL_CLOSE
        self.repeatable = self.keep_alive and self._framing == _LENGTH

    def _leads_elsewhere(self) -> bool:
        return self.status in REDIRECTS and any(self._all(b"location"))

    def _skip_body(self) -> None:
        """Read no more of the body, and have none of it."""
        self._redirect_body, self._keeps = None, False
        self.complete, self.keep_alive = True, False

    def _keep_redirect_body(self) -> None:
        self.kept += self._redirect_body or b""
        self._redirect_body = None

    def _all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]

    def _take_body(self, data: bytes) -> None:
        if self._framing == _CHUNKED:
            self._take_chunks(data)
        elif self._framing == _UNTIL_CLOSE:
            self._keep(data)
        else:
            self._take_length(data)

    def _take_length(self, data: bytes) -> None:
        if len(data) > self._remaining:
            if not self._lenient:
                raise _broken(f"{len(data) - self._remaining:,} bytes more than the reply announced")
            data, self.keep_alive = data[: self._remaining], False
        self._remaining -= len(data)
        self.complete = not self._remaining
        self._keep(data)

    def _take_chunks(self, data: bytes) -> None:
        self._overhead += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if self.complete and self._lenient:
                self.keep_alive = False
                return
            message = "bytes after the last chunk" if self.complete else f"chunked body: {error}"
            raise self._cause(error, message) from None
        if self._overhead > MAX_OVERHEAD + len(data):
            raise _broken(f"more than {MAX_OVERHEAD:,} bytes of chunk headers or trailers")
        self._tail = (self._tail + data[-6:])[-6:]
        # the parser takes empty lines behind the end for nothing
        if self.complete and (not self._tail.endswith(b"\r\n\r\n") or self._tail[-5:-4] in b"\r\n"):
            self.keep_alive = False

    def _keep(self, data: bytes) -> None:
        if not self._keeps or not data:
            return
        if self._sink is not None:
            self.extension += self._sink.write(data)
            return
        if self._redirect_body is not None:
            self._redirect_body += data
            if len(self._redirect_body) > MAX_REDIRECT_BODY:
                self._skip_body()
            return
        if len(data) > self._room:
            if self._lenient:
                limit = self._room + len(self.kept)
                self._fault = BrokenExchange(Failure("protocol", f"a body of more than {limit:,} bytes", surplus=True))
                raise self._fault
            self.truncated = True
        self.kept += data[: self._room]
        self._room = max(self._room - len(data), 0)

    def _cause(self, error: httptools.HttpParserError, message: str) -> BaseException:
        """What a callback of ours raised, or a signal within it, or else a failure that says what the parser found."""
        within = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
        return self._fault or within or _broken(message)

    # what httptools calls

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header of the head, or a trailer."""
        if self.head:
            return
        self.headers.append((name.lower(), value))
        if len(self.headers) > MAX_HEADERS:
            self._fault = _broken(f"more than {MAX_HEADERS} headers")
            raise self._fault

    def on_body(self, data: bytes) -> None:
        """A piece of a chunked body."""
        self._overhead = 0
        self._keep(data)

    def on_message_begin(self) -> None:
        """The first byte of a message; of a second one, if the first is complete."""
        if self.complete:
            self._fault = _broken("bytes after the last chunk")
            raise self._fault

    def on_message_complete(self) -> None:
        """The end of the trailers of a chunked body; of other framings we know better."""
        if self._framing == _CHUNKED:
            self.complete = True


def _check_beginning(buffer: bytes) -> None:
    # llhttp skips empty lines before a reply and speaks HTTP/0.9 and HTTP/2.0; we do not
    if not buffer.startswith(b"HTTP/1."[: len(buffer)]):
        raise _broken(f"not HTTP: the reply begins {buffer[:20]!r}")
    if len(buffer) > MAX_HEAD:
        raise _broken(f"head of more than {MAX_HEAD:,} bytes")
    if b"\n\n" in buffer:
        raise _broken("a line of the head ends in a bare line feed")


def _one_length(lengths: list[bytes]) -> int:
    if len(lengths) > 1 or not re.fullmatch(rb"\d{1,18}", lengths[0].strip()):
        raise _broken(f"Content-Length {b', '.join(lengths)[:40]!r}")
    return int(lengths[0])


def _tokens(values: list[bytes]) -> list[bytes]:
    return [token.strip().lower() for token in b",".join(values).split(b",") if token.strip()]


def _broken(message: str) -> BrokenExchange:
    return BrokenExchange(Failure("protocol", message))


class PulledReader(ReplyReader):
    """One whose body is taken out piece by piece, and that knows where the chunks end."""

    __slots__ = ("_taken", "marks")

    def __init__(self, *, method: str, lenient: bool = False, follows: bool = False) -> None:
        super().__init__(method=method, keep=sys.maxsize, lenient=lenient, follows=follows)
        self.marks: list[int] = []
        """Where chunks end in the body, those that are not over yet."""
        self._taken = 0

    def take(self) -> bytes:
        """What has come since the last time."""
        data = bytes(self.kept)
        self.kept.clear()
        self._taken += len(data)
        return data

    def on_chunk_complete(self) -> None:
        """The end of a chunk."""
        end = self._taken + len(self.kept)
        if not self.marks or end > self.marks[-1]:
            self.marks.append(end)
