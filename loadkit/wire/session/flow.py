"""The body of a reply, pulled piece by piece: what it costs in memory is one piece."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Protocol

from loadkit.wire.base import BrokenExchange, Exchange, Failure, Note

if TYPE_CHECKING:
    from weakref import WeakValueDictionary

    from loadkit.wire.channel import Channel
    from loadkit.wire.http1 import PulledReader


class _Attempt(Protocol):
    sent: int
    deadline: int

    def now(self) -> int: ...
    def note(self, failure: Failure | None) -> Note | None: ...
    def timed_out(self, size: int) -> BrokenExchange: ...
    def see_the_end(self, reader: PulledReader, channel: Channel) -> None: ...
    def lost(self, error: OSError, size: int) -> Failure: ...


class _Connection(Protocol):
    flows: WeakValueDictionary[int, Flow]

    def take_back(self, channel: Channel) -> None: ...
    def believed(self, stamp: int, sent: int, taken: int) -> int: ...


class Flow:
    """A reply whose head has come. It has its channel for itself until the body is whole, fails or is given up."""

    def __init__(self, connection: _Connection, channel: Channel, attempt: _Attempt, reader: PulledReader) -> None:
        self._connection = connection
        self._attempt = attempt
        self.channel = channel
        self.reader = reader
        self.exchange: Exchange | None = None
        """What it was, as soon as it is over."""
        connection.flows[id(self)] = self
        if reader.complete:
            self._settle()

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
        if reader.complete:
            self._settle()
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
                reader.end(ragged=channel.ragged)
            elif reader.feed(data):
                self._attempt.see_the_end(reader, channel)
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError):
            raise self._attempt.timed_out(reader.size) from None
        except OSError as error:
            raise BrokenExchange(self._attempt.lost(error, reader.size)) from None

    def _settle(self) -> None:
        if self.exchange:
            return
        reader, channel = self.reader, self.channel
        arrived = self._connection.believed(channel.stamp, self._attempt.sent, channel.taken)
        self._over(reader.status, arrived, channel.taken, None)
        if reader.keep_alive:
            self._connection.take_back(channel)
        else:
            channel.close()

    def _end(self, failure: Failure | None) -> None:
        """Over before the end: failed, or given up after a part that was good as far as it came."""
        if self.exchange:
            return
        taken = self._attempt.now() if failure else self.channel.taken
        self._over(0 if failure else self.reader.status, taken, taken, failure)
        self.channel.close()

    def _over(self, status: int, arrived: int, taken: int, failure: Failure | None) -> None:
        self._connection.flows.pop(id(self), None)
        self.exchange = status, self._attempt.sent, arrived, taken, self.reader.size, self._attempt.note(failure)
