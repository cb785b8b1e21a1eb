"""The body of a reply, pulled piece by piece: what it costs in memory is one piece."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from loadkit.wire.attempt import Attempt
from loadkit.wire.base import BrokenExchange, Exchange, Failure, Note, Request
from loadkit.wire.connection import NO_GIL, HttpConnection
from loadkit.wire.failed_reply import KEPT
from loadkit.wire.http1 import PulledReader

if TYPE_CHECKING:
    from loadkit.wire.channel import Channel


def begin(
    connection: HttpConnection, request: Request, pieces: Iterable[bytes] | None = None
) -> Flow | Exchange | None:
    """Send the request, and `pieces` behind its payload; the reply up to its head, or how that failed.

    The body is pulled from the `Flow`, which has the channel for itself until then: another request on this
    connection opens a new one. None if the connection is in use.
    """
    if connection.in_use or (NO_GIL and not connection.lock.acquire(blocking=False)):
        return None
    connection.in_use = True
    try:
        attempt = Attempt(connection, request, 0, pieces, halts=True)
        reader = attempt.run(0, None, None)
        channel = connection.lend()
    except BrokenExchange as broken:
        return attempt.failed(broken.failure)
    except BaseException:
        # a signal, or what the pieces raised: half a request was sent
        connection.close()
        raise
    finally:
        connection.in_use = False
        if NO_GIL:
            connection.lock.release()
    return Flow(connection, channel, attempt, cast(PulledReader, reader))


class Flow:
    """A reply whose head has come. It has its channel for itself until the body is whole, fails or is given up."""

    def __init__(self, connection: HttpConnection, channel: Channel, attempt: Attempt, reader: PulledReader) -> None:
        self._connection = connection
        self._attempt = attempt
        self.channel = channel
        self.reader = reader
        self.beginning = b""
        """Of the body, as it came."""
        self.exchange: Exchange | None = None
        """What it was, as soon as it is over."""
        if reader.complete:
            self._finish()

    @property
    def deadline(self) -> int:
        """When it has to be over."""
        return self._attempt.deadline

    def more(self) -> bytes:
        """The next bytes of the body, empty at its end; raises `BrokenExchange`, and is over then."""
        reader = self.reader
        try:
            while not reader.kept and not reader.complete:
                self._pull()
        except BrokenExchange as broken:
            self._end(broken.failure)
            raise
        except BaseException:
            # what was received and not read is lost, so what follows would not be the rest
            self.close()
            raise
        data = reader.take()
        if len(self.beginning) < KEPT:
            self.beginning += data[:KEPT]
        if reader.complete:
            self._finish()
        return data

    def close(self) -> None:
        """Give up what is left of the body, and the connection with it."""
        self._end(None)

    def _pull(self) -> None:
        reader, channel = self.reader, self.channel
        if self.exchange:
            raise BrokenExchange(Failure("disconnect", "the reply was closed before its end", headed=True))
        try:
            data = channel.receive(self._attempt.deadline)
            if not data:
                reader.end(without_close_notify=channel.without_close_notify)
            elif reader.feed(data):
                self._attempt.see_the_end(reader, channel)
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError):
            raise self._attempt.timed_out(reader.size) from None
        except OSError as error:
            raise BrokenExchange(self._attempt.lost(error, reader.size)) from None

    def _finish(self) -> None:
        if self.exchange:
            return
        reader, channel = self.reader, self.channel
        arrived = self._connection.nearest_arrival(channel.stamp, self._attempt.sent, channel.taken)
        note = self._attempt.note(None, self._attempt.first_byte(channel))
        self._over(reader.status, arrived, channel.taken, note)
        if reader.keep_alive:
            self._connection.take_back(channel)
        else:
            self._connection.drop(channel)

    def _end(self, failure: Failure | None) -> None:
        """Over before the end: failed, or given up after a part that was good as far as it came."""
        if self.exchange:
            return
        taken = self._attempt.now() if failure else self.channel.taken
        note = self._attempt.note(failure, 0)
        self._over(0 if failure else self.reader.status, taken, taken, note)
        self._connection.drop(self.channel)

    def _over(self, status: int, arrived: int, taken: int, note: Note | None) -> None:
        self.exchange = status, self._attempt.sent, arrived, taken, self.reader.size, note
