"""A reply that comes in pieces, read by one who does not wait for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadkit.wire.attempt import Attempt, with_progress
from loadkit.wire.base import BrokenExchange, Exchange, Request
from loadkit.wire.http1 import ReplyReader

if TYPE_CHECKING:
    from loadkit.wire.connection import HttpConnection


class PartialReply:
    """A reply that is read piece by piece as it comes, by one who does not wait for it.

    The whole request was sent at `sent`.
    """

    __slots__ = ("_attempt", "_connection", "_reader", "_went")

    def __init__(self, connection: HttpConnection, request: Request, sent: int) -> None:
        self._attempt = Attempt(connection, request, sent)
        self._connection = connection
        self._reader = ReplyReader(request)
        self._went = len(request.payload)
        connection.memo = None

    @property
    def deadline(self) -> int:
        """When it must be there."""
        return self._attempt.deadline

    def take(self, data: bytes) -> Exchange | None:
        """The exchange, if it has ended with these bytes, which the channel received last; None if more is to come."""
        try:
            is_whole = self._attempt.take(self._reader, data)
        except BrokenExchange as broken:
            self._attempt.size += self._reader.size
            return self._attempt.failed(with_progress(broken, self._reader).failure)
        return self._attempt.ended(self._reader) if is_whole else None

    def end(self, data: bytes | None, met: OSError | None) -> Exchange:
        """Do what is left: more bytes have come, or the end (none), or receiving `met` an error. It may wait."""
        try:
            reader = self._attempt.run(self._went, data, met, self._reader)
        except BrokenExchange as broken:
            return self._attempt.failed(broken.failure)
        return self._attempt.ended(reader)
