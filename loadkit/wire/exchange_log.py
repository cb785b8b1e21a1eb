"""The first exchanges of a run, whole: what was sent and what came, as it went over the wire."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Final

import msgspec

from loadkit.plan.units import SECOND

if TYPE_CHECKING:
    from loadkit.wire.base import Exchange, Request, Seen, Send
    from loadkit.wire.protocols import Connection

BODY: Final = 4096
"""Bytes of a body that are kept."""


class LoggedExchange(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange; its bytes are as they were sent, secrets among them."""

    method: str
    url: str
    status: int
    seconds: float
    """From the sending to the last byte, or until it was given up."""
    failure: str
    request: bytes
    """Head and beginning of the body; empty where another client than ours sent it."""
    head: bytes
    body: bytes
    is_cut: bool
    """There was more of the body than is kept."""


class ExchangeLog:
    """Keeps the first `most` exchanges of all threads, in the order in which they end."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.is_open = most > 0
        self.exchanges: list[LoggedExchange] = []
        self._lock = Lock()

    def add(self, method: str, url: str, exchange: Exchange, seen: Seen) -> None:
        """Keep an exchange, if there are not enough yet."""
        status, sent, arrived, _, _, note = exchange
        request, head, body, is_cut = seen
        made = LoggedExchange(
            method=method,
            url=url,
            status=status,
            seconds=(arrived - sent) / SECOND if sent else 0.0,
            failure=note.failure.message if note and note.failure else "",
            request=_beginning(request.payload) if request else b"",
            head=head,
            body=body[:BODY],
            is_cut=is_cut or len(body) > BODY,
        )
        with self._lock:
            if self.is_open:
                self.exchanges.append(made)
                self.is_open = len(self.exchanges) < self.most

    def sender(self, connection: Connection, like: Request) -> Send:
        """The connection's sender of a request that keeps bodies; what it sends is kept here."""
        send = connection.sender(like)

        def logged_send(request: Request) -> Exchange:
            exchange = send(request)
            if self.is_open:
                note = exchange[5]
                has_reply = not (note and note.failure)
                seen = connection.seen() if has_reply else (request, b"", b"", False)
                self.add(request.method, request.url, exchange, seen)
            return exchange

        return logged_send


def _beginning(payload: bytes) -> bytes:
    return payload[: payload.find(b"\r\n\r\n") + 4 + BODY]
