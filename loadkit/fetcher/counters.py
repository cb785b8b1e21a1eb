"""What the workers of a fetch count: samples for the recording, files, retries, and examples of what failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Final

from loadkit.fetcher.task import label_of
from loadkit.fetcher.url import printable
from loadkit.measure.recording import Batch, RowRecorder, second_of

if TYPE_CHECKING:
    from loadkit.fetcher.task import Task
    from loadkit.wire.base import Failure, Note

MAX_REASONS: Final = 50
MAX_EXAMPLES: Final = 3
"""URLs that are kept of each reason."""


@dataclass(slots=True)
class Counters:
    """What is counted beside the samples. Each worker has its own; they are added up."""

    files: int = 0
    bytes: int = 0
    """Of the files."""
    failed: int = 0
    """URLs that failed for good."""
    retries: dict[str, int] = field(default_factory=dict)
    """By reason."""
    redirects: int = 0
    network_time: int = 0
    """Nanoseconds between sending and the last byte, less the time on the disk meanwhile."""
    disk_time: int = 0

    def add(self, other: Counters) -> None:
        """Add the counts of another worker, which may be counting."""
        self.files += other.files
        self.bytes += other.bytes
        self.failed += other.failed
        self.redirects += other.redirects
        self.network_time += other.network_time
        self.disk_time += other.disk_time
        for reason, count in dict(other.retries).items():
            self.retries[reason] = self.retries.get(reason, 0) + count


class FailureExamples:
    """A few URLs of each reason for a failure. May be used by all threads."""

    def __init__(self) -> None:
        self.urls: dict[Failure, list[str]] = {}
        self._lock = Lock()

    def add(self, failure: Failure, url: str) -> None:
        """Keep the URL if there are not enough."""
        with self._lock:
            urls = self.urls.get(failure)
            if urls is None and len(self.urls) < MAX_REASONS:
                urls = self.urls[failure] = []
            if urls is not None and len(urls) < MAX_EXAMPLES:
                urls.append(printable(url))


class WorkerRecorder:
    """Counts for one worker, and hands its samples over once a second."""

    def __init__(self, hand_over: Callable[[Batch], None], began: int, examples: FailureExamples) -> None:
        self.counters = Counters()
        self.request_size = 0
        """Bytes of the request that was sent last."""
        self._hand_over = hand_over
        self._began = began
        self._examples = examples
        self._rows: dict[str, RowRecorder] = {}
        self._second = 0

    def count_good(
        self, task: Task, arrived: int, taken: int, size: int, *, disk_time: int, disk_meanwhile: int
    ) -> None:
        """Count a URL whose reply is saved; `disk_meanwhile` is the time on the disk before the last byte."""
        row = self._row(task, taken)
        row.samples += (task.due, task.sent, arrived, taken, task.status, size)
        row.bytes_sent += self.request_size
        counters = self.counters
        counters.files += 1
        counters.network_time += max(0, arrived - task.sent - disk_meanwhile)
        counters.disk_time += disk_time

    def count_failed(self, task: Task, failure: Failure, now: int, size: int) -> None:
        """Count a URL that has failed for good."""
        counts = self._row(task, now).counts
        counts.fail(failure, at=now, span=now - task.due, status=task.status, size=size)
        counters = self.counters
        counters.failed += 1
        if task.sent:
            counts.bytes_sent += self.request_size
            counters.network_time += max(0, now - task.sent - task.disk_time)
        counters.disk_time += task.disk_time
        self._examples.add(failure, task.request.url.text)

    def count_retry(self, task: Task, reason: str, now: int, size: int) -> None:
        """Count an attempt that is followed by another."""
        retries = self.counters.retries
        retries[reason] = retries.get(reason, 0) + 1
        self._count_bytes(task, now, size)

    def count_redirect(self, task: Task, now: int, size: int) -> None:
        """Count a reply whose redirect is followed."""
        self.counters.redirects += 1
        self._count_bytes(task, now, size)

    def count_cut(self, task: Task, now: int) -> None:
        """Count an attempt that was ended with the fetch."""
        self._row(task, now).counts.cut += 1

    def count_connections(self, task: Task, note: Note, now: int) -> None:
        """Count the connections of an exchange."""
        self._row(task, now).counts.connected(note)

    def flush(self) -> None:
        """Hand over what was counted in this second."""
        for row in self._rows.values():
            if batch := row.hand_over(self._second):
                self._hand_over(batch)
        self._rows.clear()

    def _count_bytes(self, task: Task, now: int, size: int) -> None:
        counts = self._row(task, now).counts
        counts.bytes_received += size
        counts.bytes_sent += self.request_size

    def _row(self, task: Task, instant: int) -> RowRecorder:
        second = second_of(instant, self._began)
        if second != self._second:
            self.flush()
            self._second = second
        label = task.label = task.label or label_of(task.request)
        row = self._rows.get(label)
        if row is None:
            row = self._rows[label] = RowRecorder(label, 0)
        return row
