"""One client's connection: bytes in, requests in order, replies out."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import httptools

from loadkit.server.demo.replies import LEAVE, STAY_AS_ASKED, STAY_BY_DEFAULT, parts
from loadkit.server.demo.routes import answer, refuse
from loadkit.server.demo.state import State

LARGEST_REQUEST = 1_000_000
# asyncio reads 256 kB at a time, so the first piece of a request may be that large; beyond it a head, a chunk
# extension or a trailer, which have no natural end, may go on for so much more.
LARGEST_HEAD = 65_536
_ONE_READ = 262_144
LINGER = 1.0
_VERSIONS = ("1.1", "1.0")
_KEPT = (b"host", b"authorization")
SMALL = 65_536
Pieces = Iterable[bytes | memoryview]


class Request(NamedTuple):
    """A request as it was parsed; one with a fault (a status and its reason) is refused."""

    method: bytes
    target: bytes
    body: bytes
    connection: bytes
    old: bool
    authorization: bytes = b""
    fault: tuple[int, str] | None = None


class Connection(asyncio.Protocol):
    """Parses requests and sends their replies, one at a time and in their order."""

    __slots__ = (
        "_backlog", "_body", "_choked", "_deaf", "_is_active", "_kept", "_loop", "_parser",
        "_peers", "_rest", "_state", "_target", "_timer", "_transport", "_unfinished",
    )  # fmt: skip
    _parser: httptools.HttpRequestParser
    _transport: asyncio.Transport

    def __init__(self, state: State, peers: set[Connection], loop: asyncio.AbstractEventLoop) -> None:
        self._state = state
        self._peers = peers
        self._loop = loop
        self._target = b""
        self._body = bytearray()
        self._kept: list[tuple[bytes, bytes]] = []
        """The lines of `Host` and `Authorization` of the request that comes in."""
        self._unfinished = -_ONE_READ
        self._rest: tuple[Request, int, Iterator[bytes | memoryview]] | None = None
        self._is_active = True
        self._backlog: deque[Request] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._choked = False
        self._deaf = False

    def abort(self) -> None:
        self._transport.abort()

    def close_if_idle(self) -> None:
        """Close it if nothing came and nothing could be sent since this was last called."""
        if not self._is_active and not self._timer:
            self._transport.abort()
        self._is_active = False

    # -- asyncio calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)
        self._peers.add(self)
        self._state.counts.connections += 1
        self._state.counts.open_connections += 1

    def connection_lost(self, _error: Exception | None) -> None:
        self._peers.discard(self)
        self._state.counts.open_connections -= 1
        self._deaf = True
        self._backlog.clear()
        if self._timer:
            self._timer.cancel()
        if self._timer or self._rest:
            self._rest = None
            self._state.counts.abandoned += 1
        del self._parser  # it refers back to us: without the cycle no garbage collection is needed

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._is_active = True
        self._unfinished += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # answered in HTTP/1.1, with `Connection: close`: whatever follows is not for us
        except httptools.HttpParserCallbackError:
            raise  # our own fault: asyncio prints the traceback and closes the connection
        except httptools.HttpParserError as error:
            self._refuse(400, f"this is not HTTP/1.1: {error}")
        if self._unfinished > LARGEST_HEAD:
            self._refuse(431, f"the head of a request may have {LARGEST_HEAD} bytes")
        if self._backlog:
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        self._choked = True

    def resume_writing(self) -> None:
        self._choked = False
        self._is_active = True
        if self._rest:
            self._send(*self._rest)
        self._serve_backlog()

    # -- the parser calls these

    def on_url(self, piece: bytes) -> None:
        self._target += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in _KEPT:
            self._kept.append((name, value))
        elif name == b"content-length":
            if value.isdigit() and int(value[:20]) > LARGEST_REQUEST:  # the parser refuses what is no number
                self._refuse_body()
        elif name == b"expect" and value.lower() == b"100-continue":
            self._encourage()

    def on_body(self, piece: bytes) -> None:
        self._unfinished = -_ONE_READ
        self._body += piece
        if len(self._body) > LARGEST_REQUEST:
            self._refuse_body()

    def on_message_complete(self) -> None:
        if self._deaf:
            return
        request = self._request()
        self._deaf = request.connection is LEAVE
        self._target = b""
        if self._body:
            self._body = bytearray()
        self._kept.clear()
        self._unfinished = -_ONE_READ
        self._enter(request)

    # -- from a request to its reply

    def _request(self) -> Request:
        parser = self._parser
        version = parser.get_http_version()
        old = version == "1.0"
        stays = parser.should_keep_alive() and not parser.should_upgrade()
        connection = LEAVE if not stays else STAY_AS_ASKED if old else STAY_BY_DEFAULT
        if version not in _VERSIONS:
            return _refused(505, f"this server speaks HTTP/1.1, not {version}")
        if [name for name, _ in self._kept].count(b"host") != 1 and not old:
            return _refused(400, "an HTTP/1.1 request has one Host header")
        return Request(
            parser.get_method(),
            self._target,
            bytes(self._body),
            connection,
            old,
            dict(self._kept).get(b"authorization", b""),
        )

    def _refuse_body(self) -> None:
        self._refuse(413, f"the body of a request may have {LARGEST_REQUEST} bytes")

    def _refuse(self, status: int, reason: str) -> None:
        if not self._deaf:
            self._deaf = True
            self._enter(_refused(status, reason))

    def _encourage(self) -> None:
        """Ask for the body, unless the line would get between the replies to earlier requests."""
        if not (self._deaf or self._timer or self._backlog):
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _enter(self, request: Request) -> None:
        if self._timer or self._choked or self._backlog:
            self._backlog.append(request)
        else:
            self._serve(request)

    def _serve_backlog(self) -> None:
        while self._backlog and not (self._timer or self._choked):
            self._serve(self._backlog.popleft())
        if not self._backlog:
            self._transport.resume_reading()

    def _serve(self, request: Request) -> None:
        method, target, body, connection, old, authorization, fault = request
        reply = refuse(self._state, *fault) if fault else answer(self._state, method, target, body, authorization)
        pieces: Pieces = parts(reply, connection, bodiless=method == b"HEAD", old=old)
        if len(reply.body) <= SMALL:
            # Made before the wait: after it the caches are cold, and replies would leave 10 to 25 us later.
            pieces = tuple(pieces)
        if reply.delay:
            due = self._loop.time() + reply.delay
            self._timer = self._loop.call_at(due, self._send_late, request, reply.status, pieces)
        else:
            self._send(request, reply.status, pieces)

    def _send_late(self, request: Request, status: int, pieces: Pieces) -> None:
        self._timer = None
        self._send(request, status, pieces)
        self._serve_backlog()

    def _send(self, request: Request, status: int, pieces: Pieces) -> None:
        """Send so much of a reply as the client takes; the rest is for when it takes more."""
        self._rest = None
        if self._transport.is_closing():
            self._state.counts.abandoned += 1
            return
        left = iter(pieces)
        for piece in left:
            self._transport.write(piece)
            if self._choked:
                self._rest = request, status, left
                return
        self._state.counts.statuses[status] += 1
        if request.fault:
            self._hang_up()
        elif request.connection is LEAVE:
            self._transport.close()

    def _hang_up(self) -> None:
        """Close when the client has had time to read why: closing on unread bytes would reset the reply away."""
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._loop.call_later(LINGER, self._transport.abort)


def _refused(status: int, reason: str) -> Request:
    return Request(b"GET", b"", b"", LEAVE, False, fault=(status, reason))
