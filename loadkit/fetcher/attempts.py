"""Attempts at the tasks of a fetch: the request, the body that takes the reply, and what follows from it."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from loadkit.drive.failures import unexpected
from loadkit.fetcher.body import Body, BodySettings
from loadkit.fetcher.folder import NameTaken
from loadkit.fetcher.hosts import GIVEN_UP
from loadkit.fetcher.retry import SAVED, Disposition, RetryPolicy, is_throttled, is_transient, retry_after
from loadkit.fetcher.task import encode_request, header_lines
from loadkit.wire.base import BrokenExchange, Failure, Note

if TYPE_CHECKING:
    from loadkit.clock import SystemClock
    from loadkit.fetcher.connections import Connections, Network
    from loadkit.fetcher.counters import WorkerRecorder
    from loadkit.fetcher.folder import OutputFolder
    from loadkit.fetcher.manifest import ManifestLine
    from loadkit.fetcher.options import FetchOptions
    from loadkit.fetcher.schedule import Schedule
    from loadkit.fetcher.store import Store
    from loadkit.fetcher.task import Task
    from loadkit.measure.recording import Batch
    from loadkit.wire.base import Exchange

GOOD: Final = frozenset(range(200, 300))
_OF_ONE_NAME: Final = frozenset(
    {errno.ENAMETOOLONG, errno.EEXIST, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EILSEQ}
)
"""Errors of the disk that are the fault of one name."""


@dataclass(slots=True, kw_only=True)
class FetchContext:
    """What the threads of a fetch share. Each of these may be used by all of them."""

    options: FetchOptions
    clock: SystemClock
    schedule: Schedule
    network: Network
    store: Store
    hand_over: Callable[[Batch], None]
    on_line: Callable[[ManifestLine], Any] | None
    """Called after the line of each URL is written."""
    began: int = 0
    """When the fetch began, nanoseconds of the clock."""
    was_stopped: bool = False
    """True if somebody asked the fetch to stop."""
    is_cutting: bool = False
    """True while exchanges in progress are being ended."""
    crash: BaseException | None = None
    """What ended the fetch: a fault of ours, or what a source or a callback raised."""
    disk_error: OSError | None = None
    """Why nothing more can be written."""

    def fail(self, error: BaseException) -> None:
        """End the fetch for an error that is raised again where it was asked for."""
        self.crash = self.crash or error
        self.schedule.stop()

    def fail_disk(self, error: OSError) -> None:
        """End the fetch, for nothing more can be written."""
        self.disk_error = self.disk_error or error
        self.schedule.stop()


class Attempts:
    """Makes the attempts of one worker, and does what each led to."""

    def __init__(
        self, context: FetchContext, output: OutputFolder, connections: Connections, recorder: WorkerRecorder
    ) -> None:
        options = context.options
        self._context = context
        self._now = context.clock.now
        self._schedule = context.schedule
        self._connections = connections
        self._recorder = recorder
        self._policy = RetryPolicy(options)
        self._store = context.store
        self._headers = options.common_headers()
        self._header_lines = header_lines(self._headers)
        self._settings = BodySettings(
            output=output,
            has_template=options.name is not None,
            clock=context.clock,
            largest=options.max_size,
            raw=options.raw,
            timeout=context.network.timeout,
            decide=self._policy.decide,
            is_cutting=lambda: context.is_cutting,
        )

    def make(self, task: Task, due: int) -> None:
        """Make one attempt."""
        begun = self.begin(task, due)
        if begun is None:
            return
        body, payload = begun
        try:
            exchange = self._connections.to(task.url).send(task.method, payload, body)
        except BrokenExchange as broken:  # the name does not resolve
            now = self._now()
            exchange = 0, 0, now, now, 0, Note(broken.failure)
        self.finish(task, body, exchange)

    def begin(self, task: Task, due: int) -> tuple[Body, bytes] | None:
        """Begin an attempt, or go on with it after a redirect: the body that takes the reply, and the bytes to be sent.

        None if the host has been given up, and then the task has failed.
        """
        given_up = self._schedule.host_failure(task)
        if given_up:
            task.due = task.due or due
            self._schedule.release(task.url.site)
            self._fail(task, Failure(given_up.kind, f"not tried: {given_up.message}"), self._now())
            return None
        if not task.redirects:
            task.due = due
            task.attempts += 1
            task.started = task.started or time.time()
        payload = encode_request(task, self._headers, self._header_lines)
        self._recorder.request_size = len(payload)
        return Body(task, self._settings), payload

    def finish(self, task: Task, body: Body, exchange: Exchange) -> None:
        """Do what the exchange led to, and tell the schedule."""
        _, sent, arrived, taken, size, note = exchange
        task.sent = task.sent or sent
        task.disk_time += body.disk_time
        if note and note.connects:
            self._recorder.count_connections(task, note, taken)
        if body.disk_error:
            body.discard()
            self._schedule.release(task.url.site)
            self._end_for_disk(task, body.disk_error, self._now())
        elif note and note.failure and not body.is_abandoned:
            self._after_failure(task, body, note.failure, taken, size, sent=bool(sent))
        elif body.decision.disposition in SAVED:
            self._save(task, body, arrived, taken, size)
        elif body.decision.disposition is Disposition.FOLLOW:
            self._follow(task, body, size)
        elif body.decision.disposition is Disposition.RETRY:
            self._retry_status(task, body, size)
        else:
            self._fail_status(task, body, taken, size)

    # -- a good reply

    def _save(self, task: Task, body: Body, arrived: int, taken: int, size: int) -> None:
        """Save the body, enter it in the manifest, count it; in this order."""
        began = self._now()
        try:
            line = self._store.save(task, body, arrived)
        except (BrokenExchange, OSError) as error:
            body.discard()
            self._schedule.succeeded(task.url.site)
            self._not_saved(task, error, taken, size)
            return
        disk_time = task.disk_time + self._now() - began
        self._recorder.count_good(
            task, arrived, taken, size, disk_time=disk_time, disk_meanwhile=body.disk_time, saved=line.bytes or 0
        )
        if self._context.on_line:
            self._context.on_line(line)
        self._schedule.succeeded(task.url.site, is_done=True)

    def _not_saved(self, task: Task, error: BrokenExchange | OSError, now: int, size: int) -> None:
        if isinstance(error, BrokenExchange):
            self._retry_or_fail(task, error.failure, now, size)
        elif error.errno in _OF_ONE_NAME or isinstance(error, NameTaken):
            self._fail(task, Failure("check", f"cannot save it: {error.strerror or error}"), now, size=size)
        else:
            self._end_for_disk(task, error, now)

    # -- another attempt

    def _after_failure(self, task: Task, body: Body, failure: Failure, now: int, size: int, *, sent: bool) -> None:
        body.discard()
        site = task.url.site
        if self._context.is_cutting:
            self._schedule.release(site)
            self._recorder.count_cut(task, now)
            return
        if body.headers is None and failure.kind in ("dns", "connect", "tls", "timeout"):
            self._connections.forget(task.url)
            if is_transient(failure):
                self._schedule.failed(site, failure)
            else:
                self._schedule.give_up(site, failure, GIVEN_UP)
        else:
            self._schedule.succeeded(site)
        self._retry_or_fail(task, failure, now, size, sent=sent)

    def _retry_or_fail(self, task: Task, failure: Failure, now: int, size: int, *, sent: bool = True) -> None:
        if self._policy.may_retry_failure(task, failure, sent=sent):
            self._retry(task, failure.kind, now + self._policy.delay(task), size)
        else:
            self._fail(task, failure, now, size=size)

    def _follow(self, task: Task, body: Body, size: int) -> None:
        assert body.decision.redirect is not None
        self._schedule.succeeded(task.url.site)
        self._recorder.count_redirect(task, self._now(), size)
        task.follow(body.decision.redirect, task.status)
        self._schedule.requeue(task)

    def _retry_status(self, task: Task, body: Body, size: int) -> None:
        """Send the request again later, and leave the host alone for as long as it asks."""
        headers, site = body.headers or {}, task.url.site
        wait = retry_after(headers)
        if is_throttled(task.status, headers):
            task.throttled += 1
            when = self._schedule.throttled(site, wait)
        else:
            self._schedule.succeeded(site)
            when = self._now() + max(wait or 0, self._policy.delay(task))
        self._retry(task, str(task.status), when, size)

    def _retry(self, task: Task, reason: str, when: int, size: int) -> None:
        self._recorder.count_retry(task, reason, self._now(), size)
        task.restart()
        self._schedule.retry_at(task, when)

    # -- a failure for good

    def _fail_status(self, task: Task, body: Body, taken: int, size: int) -> None:
        failure, site = unexpected(task.status, GOOD), task.url.site
        if too_long := self._policy.too_long_a_wait(task.status, body.headers or {}):
            wait, failure = too_long
            self._schedule.give_up(site, failure, wait)
        else:
            self._schedule.succeeded(site)
        began = self._now()
        sha256 = self._keep_failed(body)
        task.disk_time += self._now() - began
        self._fail(task, failure, taken, size=size, body=body, sha256=sha256)

    def _keep_failed(self, body: Body) -> str:
        """Save the body of a failed status; its SHA-256, empty if it is not kept."""
        try:
            if body.decision.path is not None and not body.is_abandoned:
                return self._store.keep_failed(body)
        except BrokenExchange:
            pass  # a body that does not decode is no loss beside its status
        except OSError as error:
            if error.errno not in _OF_ONE_NAME:
                self._context.fail_disk(error)
        body.discard()
        return ""

    def _fail(
        self, task: Task, failure: Failure, now: int, *, size: int = 0, body: Body | None = None, sha256: str = ""
    ) -> None:
        """Enter the failure in the manifest, and count it."""
        try:
            line = self._store.enter_failure(task, failure, now, body, sha256=sha256)
        except OSError as error:
            self._end_for_disk(task, error, now)
            return
        self._recorder.count_failed(task, failure, now, size)
        if self._context.on_line:
            self._context.on_line(line)
        self._schedule.task_done()

    def _end_for_disk(self, task: Task, error: OSError, now: int) -> None:
        """End the fetch; what is not in the manifest is fetched by the next run."""
        self._context.fail_disk(error)
        self._recorder.count_cut(task, now)
