"""Follows the redirects of an endpoint: each hop is a request with a row, and the arrival is one of the endpoint's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urljoin, urlsplit

from loadkit.drive.failures import CUT, unexpected
from loadkit.measure.recording import RowRecorder
from loadkit.plan.errors import UsageError
from loadkit.plan.labels import FOLLOWED, MAX_LABELS, fold_path, other
from loadkit.plan.urls import strip_url
from loadkit.wire.base import (
    HARMLESS,
    OF_BODY,
    REDIRECTS,
    BrokenExchange,
    Exchange,
    Failure,
    Note,
    Origin,
    Request,
    Send,
    raw_url,
)
from loadkit.wire.encode import host_of, message, origin_of
from loadkit.wire.failed_reply import ERRORS, FailedReply, headers_of

if TYPE_CHECKING:
    from requests import Response

    from loadkit.drive.recorder import Recorder
    from loadkit.plan.endpoint import Endpoint
    from loadkit.wire.protocols import Connection

MAX_HOPS: Final = 30
"""As many redirects are followed as `requests` follows."""
MAX_KNOWN: Final = 64
"""Hops that each thread remembers of an endpoint, by the request and where it was sent on to."""
LONGEST_KNOWN: Final = 4096
"""Bytes of a request whose hops are remembered."""


class Hop(NamedTuple):
    """Where a redirect leads: the request, how it is sent, and where it is counted."""

    request: Request
    send: Send
    connection: Connection
    row: RowRecorder
    is_away: bool
    """It is at another host, port or scheme than the endpoint's, or comes behind one that was."""


@dataclass(slots=True)
class Follower:
    """What one thread does with the redirects of one endpoint."""

    endpoint: Endpoint
    base_url: str
    """Left out of labels, in lower case."""
    connect: Callable[[Origin], Connection]
    """A connection to an origin, which is made when it is first asked for; may raise `UsageError`."""
    sender: Callable[[Connection, Request], Send]
    recorder: Recorder
    is_cutting: Callable[[], bool]
    last: Connection
    """The one that the last reply came on."""
    home: Origin
    """The endpoint's own."""
    known: dict[tuple[bytes, int, str, bool], Hop] = field(default_factory=dict)
    rows: dict[str, RowRecorder] = field(default_factory=dict)

    def following(self, send: Send) -> Send:
        """The endpoint's own sender, and then what its replies lead to."""
        home = self.last

        def send_and_follow(request: Request) -> Exchange:
            exchange = send(request)
            self.last = home
            return self._follow(request, exchange) if exchange[0] in REDIRECTS else exchange

        return send_and_follow

    def reply(self) -> Response:
        """The reply at the end of the last chain, for the check."""
        return self.last.reply()

    def failed_reply(self) -> FailedReply | None:
        """What is shown of it."""
        return self.last.failed_reply()

    def _follow(self, request: Request, first: Exchange) -> Exchange:
        """The exchange of the whole chain: sent when its first request was, arrived when its last reply did."""
        exchange, is_away = first, False
        for _ in range(MAX_HOPS):
            if not (location := self._location(exchange)):
                return _chain(first, exchange)
            try:
                hop = self._hop(request, exchange[0], location, is_away=is_away)
            except BrokenExchange as broken:
                return _chain(first, exchange, broken.failure)
            if self.is_cutting():
                # what is sent now would not be ended
                return _chain(first, exchange, CUT)
            self.last = hop.connection
            exchange = hop.send(hop.request)
            request, is_away = hop.request, hop.is_away
            self._count(hop, exchange)
        is_endless = self._location(exchange)
        return _chain(first, exchange, Failure("protocol", f"more than {MAX_HOPS} redirects") if is_endless else None)

    def _location(self, exchange: Exchange) -> str:
        """Where the last reply leads to; empty for nowhere."""
        return headers_of(self.last.seen()[1]).get("location", "") if exchange[0] in REDIRECTS else ""

    def _count(self, hop: Hop, exchange: Exchange) -> None:
        status, sent, _, taken, _, note = exchange
        failure = note.failure if note else None
        good = self.endpoint.good | REDIRECTS
        if failure is None and status not in good:
            failure = unexpected(status, good)
        # what it took to connect is a part of what was waited
        due = (sent or taken) - (note.connect_time if note else 0)
        reply = hop.connection.failed_reply if status >= ERRORS else None
        # none of the slowest requests: its arrival is, which took longer
        self.recorder.count_within(hop.row, due, exchange, failure, None, reply)
        if sent:
            hop.row.bytes_sent += len(hop.request.payload)

    # -- where a redirect leads

    def _hop(self, request: Request, status: int, location: str, *, is_away: bool) -> Hop:
        """The next request of a chain; raises `BrokenExchange` for what is not followed."""
        key = request.payload, status, location, is_away
        hop = self.known.get(key)
        if hop is None:
            try:
                hop = self._made(request, status, location, is_away=is_away)
            except UsageError as error:
                raise BrokenExchange(Failure("dns", str(error))) from None
            except ValueError as error:
                # of requests, too: what is no URL, or has another scheme than http
                raise BrokenExchange(Failure("protocol", str(error))) from None
            if len(self.known) >= MAX_KNOWN:
                self.known.clear()
            if len(request.payload) <= LONGEST_KNOWN:
                self.known[key] = hop
        return hop

    def _made(self, request: Request, status: int, location: str, *, is_away: bool) -> Hop:
        from requests.utils import requote_uri

        from loadkit.wire.session.redirects import check_scheme, redirect_target

        here = raw_url(request)
        url = requote_uri(urljoin(here, redirect_target(here, location, None)))
        check_scheme(url, here, None)
        origin, address = origin_of(url)
        parts = urlsplit(address)
        is_away = is_away or origin != self.home
        method = _method(request.method, status)
        headers, content = _kept(request, has_body=method == request.method, is_away=is_away)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        made = Request(
            origin=origin,
            method=method,
            url=strip_url(url),
            payload=message(method, target, host_of(origin, parts.hostname or origin.host), headers, content),
            timeout=request.timeout,
            keep=request.keep,
            follows=True,
        )
        connection = self.connect(origin)
        return Hop(made, self.sender(connection, made), connection, self._row(made), is_away)

    def _row(self, request: Request) -> RowRecorder:
        url = request.url
        if self.base_url and url.lower().startswith(f"{self.base_url}/"):
            url = url[len(self.base_url) :]
        label = f"{request.method} {fold_path(url)}{FOLLOWED}"
        if label not in self.rows and len(self.rows) >= MAX_LABELS:
            # the recording would fold it anyway
            label = other(label)
        if label not in self.rows:
            self.rows[label] = RowRecorder(label, 0)
            self.recorder.add_row(self.rows[label])
        return self.rows[label]


def _chain(first: Exchange, last: Exchange, failure: Failure | None = None) -> Exchange:
    _, sent, _, _, size, note = first
    status, _, arrived, taken, _, last_note = last
    failure = failure or (last_note.failure if last_note else None)
    if note or failure:
        note = (note or Note())._replace(failure=failure, first_byte=0)
    return status, sent, taken if failure else arrived, taken, size, note


def _method(method: str, status: int) -> str:
    """That of the next request, as browsers have it (RFC 9110, 15.4)."""
    if method not in ("GET", "HEAD") and (status == 303 or (status in (301, 302) and method == "POST")):
        return "GET"
    return method


def _kept(request: Request, *, has_body: bool, is_away: bool) -> tuple[dict[str, str], bytes]:
    """Headers and body that go along: no credentials to another host, port or scheme, and nothing of a dropped body."""
    head, _, content = request.payload.partition(b"\r\n\r\n")
    lines = [line.partition(": ") for line in head.decode("latin-1").split("\r\n")[1:]]
    content = content if has_body else b""
    if is_away:
        along = HARMLESS | OF_BODY if content else HARMLESS
        lines = [line for line in lines if line[0].lower() in along]
    elif not content:
        lines = [line for line in lines if line[0].lower() not in OF_BODY]
    return {name: value for name, _, value in lines}, content
