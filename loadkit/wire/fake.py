"""A network that does what a test says: no sockets, no waiting, time moved by hand."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from loadkit.plan.units import SECOND
from loadkit.wire.base import Exchange, Failure, Note, Origin, Request, Seen, Send
from loadkit.wire.failed_reply import FailedReply, failed_reply
from loadkit.wire.fake_network import FakeNetwork, Piece
from loadkit.wire.resolver import Resolver
from loadkit.wire.session.checked import checked_response
from loadkit.wire.session.response import Head, Response


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeReply:
    """What the network answers: after `after` nanoseconds, a reply or a failure."""

    status: int = 200
    after: int = 1_000_000
    picked_up_after: int = 0
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    failure: Failure | None = None


Answer: TypeAlias = Callable[[Request, int], FakeReply]
"""Given a request and how many were sent before it."""


class FakeWire:
    """A wire on a `ManualClock`: each exchange moves it by as long as the reply takes.

    With more than one thread the clock is shared, so what they do adds up one after the other.
    """

    def __init__(self, clock: Any, answer: Answer | FakeReply | None = None) -> None:
        self._clock = clock
        refused = isinstance(answer, FakeReply) and answer.failure
        self.opening = Note(refused) if refused and refused.kind in ("dns", "connect", "tls") else Note(connects=1)
        """What comes of opening a connection: where each request is refused one, that is too."""
        fixed = answer if isinstance(answer, FakeReply) else FakeReply()
        self._answer: Answer = answer if callable(answer) else lambda request, number: fixed  # noqa: ARG005
        self.resolver: Resolver = FakeNetwork(clock, self._serve)
        """Where sessions get the same answers; a failure is a connection that is reset."""
        self.resolved: list[Origin] = []
        self.sent: list[Request] = []

    def resolve(self, origin: Origin) -> None:
        """Every host is found."""
        self.resolved.append(origin)

    def connect(self, origin: Origin) -> FakeConnection:  # noqa: ARG002 - all origins are the same to it
        """A connection that is always there."""
        return FakeConnection(self)

    def exchange(self, request: Request) -> tuple[Exchange, FakeReply]:
        """One request and its answer."""
        answer = self._answer(request, len(self.sent))
        self.sent.append(request)
        sent = self._clock.now()
        self._clock.advance(answer.after)
        arrived = self._clock.now()
        self._clock.advance(answer.picked_up_after)
        taken = self._clock.now()
        if answer.failure:
            return (0, sent, taken, taken, 0, Note(answer.failure)), answer
        return (answer.status, sent, arrived, taken, len(answer.body), None), answer

    def _serve(self, payload: bytes) -> Iterator[Piece]:
        method, target, _ = payload.decode("latin-1").split(" ", 2)
        origin = Origin("http", "fake", 80)
        request = Request(
            origin=origin, method=method, url=f"http://fake{target}", payload=payload, timeout=SECOND, keep=None
        )
        (*_, note), answer = self.exchange(request)
        if note:
            yield ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        else:
            yield head_of(answer) + (b"" if method == "HEAD" else answer.body)


def head_of(reply: FakeReply) -> bytes:
    """The head of a reply as it is sent."""
    lines = [f"{name}: {value}" for name, value in reply.headers.items()]
    return "\r\n".join([f"HTTP/1.1 {reply.status:03} ", *lines, f"Content-Length: {len(reply.body)}", "", ""]).encode(
        "latin-1"
    )


class FakeConnection:
    """See `wire.protocols.Connection`."""

    def __init__(self, wire: FakeWire) -> None:
        self._wire = wire
        self._last = FakeReply()
        self._asked: Request | None = None
        self.unstamped = 0
        self.aborted = False
        self.closed = False

    def open(self) -> Note:
        """It is open, unless the wire refuses connections."""
        return self._wire.opening

    def sender(self, request: Request) -> Send:  # noqa: ARG002 - all requests are the same to it
        """A function that has the wire answer any request."""
        return self._send

    def _send(self, request: Request) -> Exchange:
        exchange, self._last = self._wire.exchange(request)
        self._asked = request
        return exchange

    def reply(self) -> Response:
        """The last answer."""
        assert self._asked, "something was sent"
        return checked_response(self._asked, Head(head_of(self._last)), self._last.body)

    def failed_reply(self) -> FailedReply | None:
        """What is shown of the last answer."""
        assert self._asked, "something was sent"
        return failed_reply(self._asked, head_of(self._last), self._last.body)

    def seen(self) -> Seen:
        """The last answer."""
        return self._asked, head_of(self._last), self._last.body, False

    def abort(self) -> None:
        """Remember that it was asked for."""
        self.aborted = True

    def close(self) -> None:
        """Remember that it was asked for."""
        self.closed = True
