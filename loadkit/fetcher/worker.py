"""One thread of a fetch: it takes a task, sends its request, has the outcome applied, and goes on with the next."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple

from loadkit.fetcher.body import Body, BodySettings
from loadkit.fetcher.connections import Connections, FetchConnection, missing_of
from loadkit.fetcher.figures import WorkerRecorder
from loadkit.fetcher.folder import OutputFolder
from loadkit.fetcher.multiplexer import Multiplexer, Reason, Step
from loadkit.fetcher.outcomes import Outcomes
from loadkit.fetcher.store import Store, tag_of
from loadkit.fetcher.task import Task, encode_request, header_lines
from loadkit.plan.units import nanoseconds
from loadkit.wire.base import BrokenExchange, Note, Request

if TYPE_CHECKING:
    from loadkit.fetcher.connections import Connections
    from loadkit.fetcher.figures import WorkerRecorder
    from loadkit.fetcher.outcomes import FetchContext, Outcomes
    from loadkit.fetcher.schedule import Schedule
    from loadkit.fetcher.store import Store
    from loadkit.fetcher.url import Url
    from loadkit.wire.base import Exchange

MAX_TEMPLATES: Final = 64


class Attempts:
    """Makes the attempts of one worker, each with its outcome."""

    def __init__(
        self,
        context: FetchContext,
        connections: Connections,
        store: Store,
        recorder: WorkerRecorder,
        outcomes: Outcomes,
    ) -> None:
        options = context.options
        self.timeout = nanoseconds(options.timeout)
        self._clock = context.clock
        self._schedule = context.schedule
        self._policy = context.policy
        self._connections = connections
        self._has_template = options.name is not None
        self._recorder = recorder
        self._outcomes = outcomes
        self._headers = options.common_headers()
        self._header_lines = header_lines(self._headers)
        self._settings = BodySettings(
            store.output, context.clock, options.max_size, options.raw, self.timeout, context.is_cutting
        )
        self._templates: dict[tuple[str, str], Request] = {}

    def make(self, task: Task, due: int) -> None:
        """Make one attempt."""
        body = self.begin(task, due)
        if body is not None:
            self._outcomes.apply(task, body, self._send(task, body))

    def begin(self, task: Task, due: int) -> Body | None:
        """Begin an attempt, or go on with it after a redirect; the body takes the reply.

        None if its host has been given up, and then the task has failed.
        """
        failure = self._schedule.host_failure(task)
        if failure:
            task.due = task.due or due
            self._outcomes.refuse(task, failure)
            return None
        if not task.redirects:
            task.due = due
            task.attempts += 1
            task.started = task.started or time.time()
        tag = tag_of(task) if self._has_template else ""
        return Body(partial(self._policy.decide, task), self._settings, tag)

    def payload(self, task: Task) -> bytes:
        """The bytes to be sent."""
        payload = encode_request(task, self._headers, self._header_lines)
        self._recorder.request_size = len(payload)
        return payload

    def template(self, task: Task) -> Request:
        """A request like the task's but for its bytes; making one takes 1.5 us."""
        url, method = task.url, "GET" if task.became_get else task.request.method
        known = self._templates.get((url.site, method))
        if known is None:
            if len(self._templates) >= MAX_TEMPLATES:
                self._templates.clear()
            known = self._templates[url.site, method] = Request(
                origin=url.origin,
                method=method,
                url=url.site,
                payload=b"",
                timeout=self.timeout,
                keep=None,
            )
        return known

    def _send(self, task: Task, body: Body) -> Exchange:
        try:
            return self._connections.to(task.url).send(self.template(task), self.payload(task), body)
        except BrokenExchange as broken:  # the name does not resolve
            now = self._clock.now()
            return 0, 0, now, now, 0, Note(broken.failure)


BYPASSED: Final = 16
"""After a reply that the multiplexer could not process, the thread fetches this many URLs by itself."""
LARGEST_REST: Final = 256 * 1024
"""Bytes of a reply that may be missing for the multiplexer to wait for them."""


class Pending(NamedTuple):
    """A request that was sent and whose reply has not arrived completely."""

    task: Task
    body: Body
    template: Request
    payload: bytes
    sent: int


class WorkerStream:
    """The tasks of one worker while the multiplexer waits for their replies; see `multiplexer.Stream`.

    The multiplexer's thread does what is ordinary. The rest is left as a function for the worker's own thread, which
    waits meanwhile; so no two threads are here at once.
    """

    def __init__(
        self, number: int, schedule: Schedule, connections: Connections, attempts: Attempts, outcomes: Outcomes
    ) -> None:
        self.deadline = 0
        self._number = number
        self._schedule = schedule
        self._connections = connections
        self._attempts = attempts
        self._outcomes = outcomes
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
        if connection and connection.channel and not url.origin.tls and self.start_next():
            self._wait(multiplexer, connection.channel.sock.fileno())
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
        connection, template = self._connection, self._attempts.template(task)
        if (
            connection is None
            or self._connections.known(task.url) is not connection
            or template.method == "HEAD"
            or not connection.is_ready(template)
        ):
            self._bypassed = BYPASSED
            return self._leave(self._attempts.make, task, due)
        body = self._attempts.begin(task, due)
        if body is None:
            return False
        payload = self._attempts.payload(task)
        sent, size, error = connection.send_nowait(payload)
        self._pending, self._received = Pending(task, body, template, payload, sent), b""
        self.deadline = sent + self._attempts.timeout
        if size != len(payload):
            # the server does not read: waiting for that would hold up all
            return self._leave(self._finish, None, error, size)
        return True

    def _receive(self, buffer: memoryview) -> Step:
        connection, pending = self._connection, self._pending
        assert connection, "a request was sent"
        assert connection.channel
        assert pending
        try:
            piece = buffer[: connection.channel.receive_into(buffer)]
        except OSError as error:
            self._leave(self._finish, self._received or None, None if self._received else error)
            return Step.DETACH
        data = self._received + piece if self._received else piece
        exchange = connection.match_known_head(pending.template, pending.body, pending.sent, data)
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
            exchange = self._complete(data)
        if exchange[5]:
            self._leave(self._outcomes.apply, pending.task, pending.body, exchange)
            return Step.DETACH
        # at once, while the reply is in the buffer
        self._outcomes.apply(pending.task, pending.body, exchange)
        return Step.NEXT

    def _finish(self, data: bytes | None, error: OSError | None = None, size: int | None = None) -> None:
        """Complete the exchange that has begun, on the worker's own thread."""
        assert self._pending
        self._outcomes.apply(self._pending.task, self._pending.body, self._complete(data, error, size))

    def _complete(self, data: bytes | None, error: OSError | None = None, size: int | None = None) -> Exchange:
        """Go on with an exchange, `size` bytes of whose request were sent (default: all) and `data` has arrived."""
        assert self._connection
        assert self._pending
        template, payload = self._pending.template, self._pending.payload
        request = replace(template, payload=payload, sink=self._pending.body)
        return self._connection.complete(
            request, self._pending.sent, len(payload) if size is None else size, data, error
        )


class Worker:
    """One thread of a fetch; `run` is what it does."""

    def __init__(self, number: int, context: FetchContext, multiplexer: Multiplexer | None) -> None:
        self.connections = Connections(context.network)
        self._number = number
        self._clock = context.clock
        self._schedule = context.schedule
        self._multiplexer = multiplexer
        self._output = OutputFolder(context.options.into)
        self._recorder = WorkerRecorder(context.hand_over, context.state.began, context.examples)
        store = Store(
            self._output,
            context.manifest,
            context.previous,
            context.jsonl,
            context.one_large_body,
            has_template=context.options.name is not None,
        )
        outcomes = Outcomes(context, store, self.connections, self._recorder)
        self._attempts = Attempts(context, self.connections, store, self._recorder, outcomes)
        self._stream = WorkerStream(number, self._schedule, self.connections, self._attempts, outcomes)
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
