"""One HTTP/1.1 reply out of a stream of bytes: its head, and what is kept of its body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadkit.wire.base import BrokenExchange, Failure
from loadkit.wire.failed_reply import ERRORS, KEPT
from loadkit.wire.framing import ContentLength, UntilClose, check_beginning, parse_head, protocol_failure

if TYPE_CHECKING:
    from loadkit.wire.base import Request
    from loadkit.wire.framing import Framing, ReplyHead

MAX_INTERIM: Final = 50
MAX_REDIRECT_BODY: Final = 64 * 1024
"""Bytes of the body of a redirect that is followed. A longer one is dropped, and the connection with it."""


class ReplyReader:
    """Reads the reply to a request: `feed` it until it says that the reply is whole, or `end` it.

    Raises `BrokenExchange` of kind `protocol` or `disconnect`.
    """

    __slots__ = (
        "_buffer",
        "_framing",
        "_interim",
        "_redirect_body",
        "_request",
        "complete",
        "extension",
        "head",
        "headers",
        "keep_alive",
        "kept",
        "marks",
        "size",
        "status",
        "truncated",
    )

    def __init__(self, request: Request, marks: list[int] | None = None) -> None:
        self.marks = marks
        """Where chunks end in the body; for whoever wants to know."""
        self.size = 0
        self.head = b""
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.keep_alive = False
        self.complete = False
        self.kept = bytearray()
        self.truncated = False
        self.extension = 0
        """Nanoseconds that the sink allows the exchange beyond its deadline, for what has come so far."""
        self._request = request
        self._redirect_body: bytearray | None = None
        """The body of a redirect that is followed, until it is whole."""
        self._framing: Framing = UntilClose()
        self._buffer = b""
        """A head that is not whole yet."""
        self._interim = 0

    @property
    def begun(self) -> bool:
        """True if the server has said anything, be it an interim reply."""
        return bool(self.size or self._interim)

    @property
    def repeatable(self) -> bool:
        """The head and its length say all: the same bytes again are the same reply."""
        return self.keep_alive and type(self._framing) is ContentLength

    def feed(self, data: bytes) -> bool:
        """Take the next bytes; whether the reply is whole."""
        self.size += len(data)
        if self.head:
            self._take_body(data)
        else:
            self._take_head(self._buffer + data)
        return self.complete

    def end(self, *, without_close_notify: bool = False) -> None:
        """The peer has closed: the end of a reply without a length, the failure of any other.

        `without_close_notify`: without the alert with which TLS ends, so that anybody may have cut it (RFC 9112, 9.8).
        """
        if self.head and type(self._framing) is UntilClose and not without_close_notify:
            self._finish()
            return
        if not self.size:
            how_far = "after an interim reply" if self._interim else "before any reply"
        elif not self.head:
            how_far = f"after {self.size:,} bytes, within the head"
        else:
            how_far = self._framing.how_far(self.size)
        raise BrokenExchange(Failure("disconnect", f"connection closed {how_far}"))

    def _take_head(self, buffer: bytes) -> None:
        end = buffer.find(b"\r\n\r\n") + 4
        if end < 4:
            self._buffer = buffer
            check_beginning(buffer)
            return
        head, rest = parse_head(buffer[:end]), buffer[end:]
        self._buffer = b""
        if head.status >= 200:
            self._begin_body(head, rest)
            return
        self._interim += 1
        self.size -= end
        if self._interim > MAX_INTERIM:
            raise protocol_failure(f"more than {MAX_INTERIM} interim replies")
        if rest:
            self._take_head(rest)

    def _begin_body(self, head: ReplyHead, data: bytes) -> None:
        request = self._request
        self.head, self.status, self.headers = head.raw, head.status, head.headers
        self._framing = framing = head.framing(request.method, self.marks)
        self.keep_alive = head.keeps_alive
        if request.sink is not None:
            request.sink.begin(head.status, head.headers)
        if request.follows and head.redirects:
            self._redirect_body = bytearray()
            if type(framing) is ContentLength and framing.length > MAX_REDIRECT_BODY:
                self._skip_body()
                return
        self._take_body(data)

    def _take_body(self, data: bytes) -> None:
        framing = self._framing
        body = framing.feed(data)
        if framing.surplus and not self._request.lenient:
            raise protocol_failure(framing.surplus)
        if self._redirect_body is not None:
            self._redirect_body += body
            if len(self._redirect_body) > MAX_REDIRECT_BODY:
                self._skip_body()
                return
        elif body:
            self._keep(body)
        if framing.is_complete:
            self._finish()

    def _keep(self, data: bytes) -> None:
        sink, limit = self._request.sink, self._request.keep
        if sink is not None:
            self.extension += sink.write(data)
            return
        if limit is None:
            if self.status < ERRORS:
                return
            limit = KEPT
        room = limit - len(self.kept)
        if len(data) > room:
            if self._request.lenient:
                raise BrokenExchange(Failure("protocol", f"a body of more than {limit:,} bytes", surplus=True))
            self.truncated = True
        self.kept += data[:room]

    def _skip_body(self) -> None:
        """Read no more of the body, and have none of it."""
        self._redirect_body = None
        self.complete, self.keep_alive = True, False

    def _finish(self) -> None:
        framing = self._framing
        self.complete = True
        self.keep_alive = self.keep_alive and framing.keeps_alive and not framing.surplus
        if self._redirect_body is not None:
            self.kept += self._redirect_body
            self._redirect_body = None


class PulledReader(ReplyReader):
    """One whose body is taken out piece by piece, and that knows where the chunks end."""

    __slots__ = ()

    def __init__(self, request: Request) -> None:
        super().__init__(request, marks=[])

    def take(self) -> bytes:
        """What has come since the last time."""
        data = bytes(self.kept)
        self.kept.clear()
        return data

    def _keep(self, data: bytes) -> None:
        self.kept += data
