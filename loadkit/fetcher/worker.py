"""One thread of a fetch: it takes a task, makes an attempt at it, and goes on with the next, or a multiplexer does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple

from loadkit.fetcher.attempts import Attempts
from loadkit.fetcher.connections import Connections, FetchConnection, missing_of
from loadkit.fetcher.counters import WorkerRecorder
from loadkit.fetcher.folder import OutputFolder
from loadkit.fetcher.multiplexer import Multiplexer, Reason, Step

if TYPE_CHECKING:
    from loadkit.fetcher.attempts import FetchContext
    from loadkit.fetcher.body import Body
    from loadkit.fetcher.schedule import Schedule
    from loadkit.fetcher.task import Task
    from loadkit.fetcher.url import Url
    from loadkit.wire.base import Exchange

BYPASSED: Final = 16
"""After a reply that the multiplexer could not process, the thread fetches this many URLs by itself."""
LARGEST_REST: Final = 256 * 1024
"""Bytes of a reply that may be missing for the multiplexer to wait for them."""


class Pending(NamedTuple):
    """A request that was sent and whose reply has not arrived completely."""

    connection: FetchConnection
    task: Task
    body: Body
    payload: bytes
    sent: int

    def complete(self, data: bytes | None, error: OSError | None = None, size: int | None = None) -> Exchange:
        """Go on with the exchange, `size` bytes of whose request were sent (default: all) and `data` has arrived."""
        went = len(self.payload) if size is None else size
        return self.connection.complete(self.task.method, self.payload, self.body, self.sent, went, data, error)


class WorkerStream:
    """The tasks of one worker while the multiplexer waits for their replies; see `multiplexer.Stream`.

    The multiplexer's thread does what is ordinary. The rest is left as a function for the worker's own thread, which
    waits meanwhile; so no two threads are here at once.
    """

    def __init__(self, number: int, schedule: Schedule, connections: Connections, attempts: Attempts) -> None:
        self.deadline = 0
        self._number = number
        self._schedule = schedule
        self._connections = connections
        self._attempts = attempts
        self._connection: FetchConnection | None = None
        self._pending: Pending | None = None
        self._received = b""
        """What has arrived of the reply."""
        self._rest: Callable[[], object] | None = None
        """What the worker's own thread has to do."""
        self._bypassed = 0
        """URLs that are still to be fetched without the multiplexer."""
        self._is_attached = Lock()

    def run(self, multiplexer: Multiplexer, url: Url) -> None:
        """Fetch on the connection to this URL until something is out of the ordinary, and then do that."""
        if not multiplexer.is_open:
            return
        if self._bypassed:
            self._bypassed -= 1
            return
        connection = self._connection = self._connections.known(url)
        channel = connection and connection.http.channel
        if channel and not url.origin.tls and self.start_next():
            self._wait(multiplexer, channel.sock.fileno())
        rest, self._rest = self._rest, None
        if rest:
            rest()

    def _wait(self, multiplexer: Multiplexer, handle: int) -> None:
        """Attach, and wait until the multiplexer has detached this."""
        self._is_attached.acquire()
        if multiplexer.attach(self, handle):
            self._is_attached.acquire()
            self._is_attached.release()
        else:
            self.detached(Reason.TURNED_AWAY)

    def start_next(self) -> bool:
        """Send the request of the next task."""
        try:
            return self._send_next()
        except BaseException as error:  # noqa: BLE001 - raised again by the thread whose fault it is
            return self._leave(_raise, error)

    def receive(self, buffer: memoryview) -> Step:
        """Receive the reply, or a part of it."""
        try:
            return self._receive(buffer)
        except BaseException as error:  # noqa: BLE001 - as above
            self._leave(_raise, error)
            return Step.DETACH

    def detached(self, reason: Reason) -> None:
        """Wake the worker's own thread; if a reply is missing, that thread waits for it or has it time out."""
        if reason is not Reason.WANTED:
            timed_out = reason is Reason.TIMED_OUT and not self._received
            self._leave(self._finish, self._received or None, BlockingIOError() if timed_out else None)
        self._is_attached.release()

    def _leave(self, what: Callable[..., object], *values: object) -> bool:
        """Leave this to the worker's own thread."""
        self._rest = partial(what, *values)
        return False

    def _send_next(self) -> bool:
        found = self._schedule.take_nowait(self._number)
        if found is None:
            return False
        task, due = found
        connection = self._connection
        assert connection
        is_ordinary = self._connections.known(task.url) is connection and task.method != "HEAD"
        if not is_ordinary or not connection.is_ready():
            self._bypassed = BYPASSED
            return self._leave(self._attempts.make, task, due)
        begun = self._attempts.begin(task, due)
        if begun is None:
            return False
        body, payload = begun
        sent, size, error = connection.send_nowait(payload)
        self._pending, self._received = Pending(connection, task, body, payload, sent), b""
        self.deadline = sent + connection.timeout
        if size != len(payload):
            # the server does not read: waiting for that would hold up all
            return self._leave(self._finish, None, error, size)
        return True

    def _receive(self, buffer: memoryview) -> Step:
        assert self._pending, "a request was sent"
        connection, task, body, _, sent = self._pending
        channel = connection.http.channel
        assert channel
        try:
            piece = buffer[: channel.receive_into(buffer)]
        except OSError as error:
            self._leave(self._finish, self._received or None, None if self._received else error)
            return Step.DETACH
        data = self._received + piece if self._received else piece
        exchange = connection.match_known_head(task.method, body, sent, data)
        if exchange is None:
            data = bytes(data)
            missing = missing_of(data)
            if piece and missing is not None and 0 < missing <= LARGEST_REST:
                self._received = data
                return Step.WAIT
            if missing != 0:
                self._bypassed = BYPASSED
                self._leave(self._finish, data)
                return Step.DETACH
            exchange = self._pending.complete(data)
        if exchange[5]:
            self._leave(self._attempts.finish, task, body, exchange)
            return Step.DETACH
        # at once, while the reply is in the buffer
        self._attempts.finish(task, body, exchange)
        return Step.NEXT

    def _finish(self, data: bytes | None, error: OSError | None = None, size: int | None = None) -> None:
        """Complete the exchange that has begun, on the worker's own thread."""
        assert self._pending
        self._attempts.finish(self._pending.task, self._pending.body, self._pending.complete(data, error, size))


class Worker:
    """One thread of a fetch; `run` is what it does."""

    def __init__(self, number: int, context: FetchContext, multiplexer: Multiplexer | None) -> None:
        self.connections = Connections(context.network)
        self._number = number
        self._clock = context.clock
        self._schedule = context.schedule
        self._multiplexer = multiplexer
        self._output = OutputFolder(context.options.into)
        self._recorder = WorkerRecorder(context.hand_over, context.began)
        self._attempts = Attempts(context, self._output, self.connections, self._recorder)
        self._stream = WorkerStream(number, self._schedule, self.connections, self._attempts)
        self.counters = self._recorder.counters

    def run(self) -> None:
        """Fetch until there is nothing more to fetch."""
        take, attempts, multiplexer = self._schedule.take, self._attempts, self._multiplexer
        try:
            while (found := take(self._number)) is not None:
                task, due = found
                if due <= self._clock.now() or self._wait_for_turn(task, due):
                    url = task.url
                    attempts.make(task, due)
                    if multiplexer:
                        self._stream.run(multiplexer, url)
        finally:
            self._recorder.flush()
            self.connections.close()
            self._output.close()

    def _wait_for_turn(self, task: Task, due: int) -> bool:
        """Wait until the rate lets the task be sent; False if its host asked for a pause meanwhile."""
        self._clock.pause(due - self._clock.now(), lambda: self._schedule.is_stopped)
        return self._schedule.reclaim(task)


def _raise(error: BaseException) -> None:
    raise error
