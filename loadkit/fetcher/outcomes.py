"""What is done after an exchange: the body is saved, the task is scheduled again, or it has failed for good."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from loadkit.drive.failures import unexpected
from loadkit.fetcher.figures import FailureExamples
from loadkit.fetcher.folder import NameTaken
from loadkit.fetcher.hosts import GIVEN_UP
from loadkit.fetcher.retry import BodyUse, Disposition, is_throttled, is_transient, retry_after
from loadkit.wire.base import BrokenExchange, Failure

if TYPE_CHECKING:
    from datetime import datetime

    from loadkit.fetcher.body import Body
    from loadkit.fetcher.connections import Connections, Network
    from loadkit.fetcher.figures import WorkerRecorder
    from loadkit.fetcher.manifest import Manifest, ManifestLine, PreviousRuns
    from loadkit.fetcher.options import FetchOptions
    from loadkit.fetcher.retry import RetryPolicy
    from loadkit.fetcher.schedule import Schedule
    from loadkit.fetcher.store import JsonLinesFile, Store
    from loadkit.fetcher.task import Task
    from loadkit.measure.recording import Batch
    from loadkit.wire.base import Clock, Exchange


@dataclass(slots=True)
class RunState:
    """How far a fetch has come, and what ended it."""

    started_at: datetime | None = None
    began: int = 0
    """Nanoseconds of the clock, as in `ended`."""
    ended: int = 0
    cpu_seconds: float = 0.0
    is_interrupted: bool = False
    """True if somebody asked it to stop."""
    is_cutting: bool = False
    """True while exchanges in progress are being ended."""
    crash: BaseException | None = None
    """What ended it: a fault of ours, or what a source or a callback raised."""
    disk_error: OSError | None = None
    """Why nothing more can be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchContext:
    """What the threads of a fetch share. Each of these may be used by all of them."""

    options: FetchOptions
    clock: Clock
    schedule: Schedule
    network: Network
    policy: RetryPolicy
    manifest: Manifest
    previous: PreviousRuns
    jsonl: JsonLinesFile | None
    hand_over: Callable[[Batch], None]
    on_line: Callable[[ManifestLine], Any] | None
    """Called after the line of each URL is written."""
    state: RunState = field(default_factory=RunState)
    examples: FailureExamples = field(default_factory=FailureExamples)
    one_large_body: Lock = field(default_factory=Lock)
    """Held while a body that is too large for memory is made into a line."""

    def crash(self, error: BaseException) -> None:
        """End the fetch for an error that is raised again where it was asked for."""
        self.state.crash = self.state.crash or error
        self.schedule.stop()

    def fail_disk(self, error: OSError) -> None:
        """End the fetch, for nothing more can be written."""
        self.state.disk_error = self.state.disk_error or error
        self.schedule.stop()

    def is_cutting(self) -> bool:
        """True while exchanges in progress are being ended."""
        return self.state.is_cutting


GOOD: Final = frozenset(range(200, 300))
_OF_ONE_NAME: Final = frozenset(
    {errno.ENAMETOOLONG, errno.EEXIST, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EILSEQ}
)
"""Errors of the disk that are the fault of one name."""


class Outcomes:
    """Applies the outcomes of one worker's exchanges."""

    def __init__(self, context: FetchContext, store: Store, connections: Connections, recorder: WorkerRecorder) -> None:
        self._context = context
        self._schedule = context.schedule
        self._policy = context.policy
        self._store = store
        self._connections = connections
        self._recorder = recorder

    def apply(self, task: Task, body: Body, exchange: Exchange) -> None:
        """Do what the exchange led to, and tell the schedule."""
        _, sent, arrived, taken, size, note = exchange
        task.sent = task.sent or sent
        task.disk_time += body.disk_time
        if note and note.connects:
            self._recorder.count_connections(task, note, taken)
        if body.disk_error:
            body.discard()
            self._schedule.release(task.url.site)
            self._end_for_disk(task, body.disk_error, self._context.clock.now())
        elif note and note.failure and not body.is_abandoned:
            self._after_failure(task, body, note.failure, taken, size, sent=bool(sent))
        elif body.decision.disposition is Disposition.SAVE:
            self._save(task, body, arrived, taken, size)
        elif body.decision.disposition is Disposition.FOLLOW:
            self._follow(task, body, size)
        elif body.decision.disposition is Disposition.RETRY:
            self._retry_status(task, body, size)
        else:
            self._fail_status(task, body, taken, size)

    def refuse(self, task: Task, failure: Failure) -> None:
        """Fail a task without an exchange: its host has been given up."""
        self._schedule.release(task.url.site)
        self._fail(task, Failure(failure.kind, f"not tried: {failure.message}"), self._context.clock.now())

    # -- a good reply

    def _save(self, task: Task, body: Body, arrived: int, taken: int, size: int) -> None:
        """Save the body, enter it in the manifest, count it; in this order."""
        now = self._context.clock.now
        disk_meanwhile, began = body.disk_time, now()
        try:
            line = self._store.save(task, body, arrived)
        except BrokenExchange as broken:
            body.discard()
            self._schedule.succeeded(task.url.site)
            self._retry_or_fail(task, broken.failure, taken, size)
            return
        except OSError as error:
            body.discard()
            self._schedule.succeeded(task.url.site)
            self._fail_to_save(task, error, taken, size)
            return
        disk_time = task.disk_time + now() - began
        recorder = self._recorder
        recorder.count_good(task, arrived, taken, size, disk_time=disk_time, disk_meanwhile=disk_meanwhile)
        recorder.counters.bytes += line.bytes or 0
        if self._context.on_line:
            self._context.on_line(line)
        self._schedule.succeeded(task.url.site, is_done=True)

    def _fail_to_save(self, task: Task, error: OSError, now: int, size: int) -> None:
        if error.errno in _OF_ONE_NAME or isinstance(error, NameTaken):
            self._fail(task, Failure("check", f"cannot save it: {error.strerror or error}"), now, size=size)
        else:
            self._end_for_disk(task, error, now)

    # -- another attempt

    def _after_failure(self, task: Task, body: Body, failure: Failure, now: int, size: int, *, sent: bool) -> None:
        body.discard()
        if self._context.state.is_cutting:
            self._schedule.release(task.url.site)
            self._recorder.count_cut(task, now)
            return
        self._report_failure(task, failure, has_reply=body.headers is not None)
        self._retry_or_fail(task, failure, now, size, sent=sent)

    def _report_failure(self, task: Task, failure: Failure, *, has_reply: bool) -> None:
        """Tell the schedule what the failure says of the host."""
        site = task.url.site
        if failure.kind in ("dns", "tls") and not is_transient(failure):
            self._connections.forget(task.url)
            self._schedule.give_up(site, failure, GIVEN_UP)
        elif failure.kind in ("dns", "connect", "tls", "timeout") and not has_reply:
            self._connections.forget(task.url)
            self._schedule.failed(site, failure)
        else:
            self._schedule.succeeded(site)

    def _retry_or_fail(self, task: Task, failure: Failure, now: int, size: int, *, sent: bool = True) -> None:
        if self._policy.may_retry_failure(task, failure, sent=sent):
            self._retry(task, failure.kind, now + self._policy.delay(task), size)
        else:
            self._fail(task, failure, now, size=size)

    def _follow(self, task: Task, body: Body, size: int) -> None:
        assert body.decision.redirect is not None
        self._schedule.succeeded(task.url.site)
        self._recorder.count_redirect(task, self._context.clock.now(), size)
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
            now = self._context.clock.now()
            self._schedule.succeeded(site)
            when = now + max(wait or 0, self._policy.delay(task))
        self._retry(task, str(task.status), when, size)

    def _retry(self, task: Task, reason: str, when: int, size: int) -> None:
        self._recorder.count_retry(task, reason, self._context.clock.now(), size)
        task.restart()
        self._schedule.retry_at(task, when)

    # -- a failure for good

    def _fail_status(self, task: Task, body: Body, taken: int, size: int) -> None:
        site = task.url.site
        if wait := self._policy.excessive_wait(task.status, body.headers or {}):
            failure = self._policy.too_long(task.status, wait)
            self._schedule.give_up(site, failure, wait)
        else:
            failure = unexpected(task.status, GOOD)
            self._schedule.succeeded(site)
        sha256 = self._keep_failed(task, body)
        self._fail(task, failure, taken, size=size, body=body, sha256=sha256)

    def _keep_failed(self, task: Task, body: Body) -> str:
        """Save the body of a failed status; its SHA-256, empty if it is not kept."""
        if body.decision.use is not BodyUse.FILE or body.is_abandoned:
            body.discard()
            return ""
        before = body.disk_time
        try:
            return self._store.keep_failed(task, body)
        except BrokenExchange:
            body.discard()  # a body that does not decode is no loss beside its status
        except OSError as error:
            body.discard()
            if error.errno not in _OF_ONE_NAME:
                self._context.fail_disk(error)
        finally:
            task.disk_time += body.disk_time - before
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
