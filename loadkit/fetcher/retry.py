"""What becomes of a reply: it is saved, followed, asked for again after a wait, or failed for good."""

from __future__ import annotations

import random
import re
import time
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from loadkit.fetcher.task import IDEMPOTENT
from loadkit.fetcher.url import InvalidUrl, Url, redirect_target
from loadkit.plan.units import SECOND, show_span
from loadkit.wire.attempt import UNASKED
from loadkit.wire.base import REDIRECTS, BrokenExchange, Failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadkit.fetcher.options import FetchOptions
    from loadkit.fetcher.task import Task

LONGEST: Final = 30 * SECOND
RETRIED: Final = frozenset({429, 502, 503, 504})
THROTTLED_FACTOR: Final = 10
"""How many more times a request is sent that a server which works only asked to wait."""
TRANSIENT: Final = frozenset({"dns", "connect", "tls", "send", "timeout", "disconnect"})


class Disposition(Enum):
    """What a reply leads to, known as soon as its head has arrived."""

    SAVE = "its body becomes a file"
    APPEND = "its body becomes a line of the file that replies are appended to"
    FOLLOW = "its redirect is followed"
    RETRY = "the request is sent again"
    FAIL = "the URL has failed"


class Decision(NamedTuple):
    """What is done with a reply."""

    disposition: Disposition
    path: str | None = None
    """Where the body goes; None if nothing is done with it."""
    redirect: Url | None = None


UNDECIDED: Final = Decision(Disposition.FAIL)
SAVED: Final = (Disposition.SAVE, Disposition.APPEND)


class RetryPolicy:
    """Decides what becomes of replies and failures. It has no state of its own."""

    def __init__(self, options: FetchOptions) -> None:
        self._longest_wait = round(options.max_wait * SECOND)
        self._filenames = options.filenames
        self._redirects = options.redirects
        self._retries = options.retries
        self._first_wait = round(options.back_off * SECOND)
        self._keeps_failed = options.keep_failed
        self._appends = options.append is not None

    def decide(self, task: Task, status: int, headers: Mapping[bytes, bytes]) -> Decision:
        """Decide on a reply by its head, and note its status.

        Raises `BrokenExchange` if its redirect or the name for its body cannot be used.
        """
        task.status = status
        if 200 <= status < 300:
            return self._save(task, headers)
        if status in REDIRECTS and b"location" in headers:
            return Decision(Disposition.FOLLOW, redirect=self._target(task, headers[b"location"]))
        if status in RETRIED and self._may_retry(task, headers):
            return Decision(Disposition.RETRY)
        if not self._keeps_failed:
            return Decision(Disposition.FAIL)
        return Decision(Disposition.FAIL, self._path(task, headers, failed=True))

    def may_retry_failure(self, task: Task, failure: Failure, *, sent: bool = True) -> bool:
        """True if the request may be sent again after an exchange that failed.

        A POST may only if nothing of it was sent.
        """
        return is_transient(failure) and (task.request.method in IDEMPOTENT or not sent) and self._has_attempts(task)

    def delay(self, task: Task) -> int:
        """Nanoseconds to wait before the next attempt."""
        return back_off(task.attempts - task.throttled - 1, self._first_wait)

    def too_long_a_wait(self, status: int, headers: Mapping[bytes, bytes]) -> tuple[int, Failure] | None:
        """Nanoseconds that a reply asks us to wait, and the failure, if that is longer than is allowed."""
        wait = retry_after(headers) or 0
        if not is_throttled(status, headers) or wait <= self._longest_wait:
            return None
        asked, limit = show_span(wait / SECOND), show_span(self._longest_wait / SECOND)
        message = f"status {status}, asked to wait {asked}, which is more than {limit} (--max-wait)"
        return wait, Failure("check", message)

    def _may_retry(self, task: Task, headers: Mapping[bytes, bytes]) -> bool:
        status = task.status
        if task.request.method not in IDEMPOTENT and status not in (429, 503):
            return False
        if is_throttled(status, headers):
            wait = retry_after(headers) or 0
            return wait <= self._longest_wait and task.throttled < self._retries * THROTTLED_FACTOR
        return self._has_attempts(task)

    def _has_attempts(self, task: Task) -> bool:
        return task.attempts - task.throttled <= self._retries

    def _save(self, task: Task, headers: Mapping[bytes, bytes]) -> Decision:
        if self._appends:
            # the path of a failed body: only a large one is on the disk for a while, without a name
            return Decision(Disposition.APPEND, self._path(task, headers, failed=True))
        try:
            return Decision(Disposition.SAVE, self._path(task, headers))
        except ValueError as error:
            raise BrokenExchange(Failure("check", f"no name for it: {error}")) from None

    def _path(self, task: Task, headers: Mapping[bytes, bytes], *, failed: bool = False) -> str:
        request = task.request
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        path_of = self._filenames.failed_path if failed else self._filenames.path
        return path_of(request.position, request.url, request.key, content_type)

    def _target(self, task: Task, location: bytes) -> Url:
        if task.redirects >= self._redirects:
            raise BrokenExchange(Failure("check", f"more than {self._redirects} redirects"))
        try:
            return redirect_target(task.url, location)
        except (InvalidUrl, ValueError) as error:
            raise BrokenExchange(Failure("check", f"status {task.status} leads nowhere: {error}")) from None


def is_throttled(status: int, headers: Mapping[bytes, bytes]) -> bool:
    """True if a server works, and asks us to wait."""
    return status == 429 or (status == 503 and b"retry-after" in headers)


def back_off(tries: int, first: int) -> int:
    """Nanoseconds to wait after so many tries, at most `first` after none: exponential with full jitter.

    That spreads those who were turned away together best (M. Brooker, AWS Architecture Blog, 2015).
    """
    return random.randint(0, min(LONGEST, first << min(max(tries, 0), 20)))


def retry_after(headers: Mapping[bytes, bytes]) -> int | None:
    """Nanoseconds that a reply asks us to wait; None if it does not, or cannot be understood."""
    value = headers.get(b"retry-after")
    if value is None:
        return None
    text = value.decode("latin-1").strip()
    if re.fullmatch(r"[0-9]{1,12}", text):
        return int(text) * SECOND
    from email.utils import parsedate_to_datetime

    try:
        return max(0, round((parsedate_to_datetime(text).timestamp() - time.time()) * SECOND))
    except (ValueError, TypeError, OverflowError):
        return None


def is_transient(failure: Failure) -> bool:
    """True if another attempt may help: not for a wrong name or certificate, or a reply that is no HTTP."""
    if failure.kind == "tls":
        return "certificate" not in failure.message
    if failure.kind == "dns":
        return "temporary" in failure.message.lower()
    # bytes that nobody asked for are the fault of one connection, and that one is closed
    return failure.kind in TRANSIENT or failure == UNASKED or "more than the reply announced" in failure.message
