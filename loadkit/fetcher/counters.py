"""What a fetch counts: its entries, its files and what failed, and samples for the recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from loadkit.fetcher.retry import RETRIED, is_transient
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
    refused: int = 0
    """Attempts that failed as those do of which a server has too many."""
    redirects: int = 0
    network_time: int = 0
    """Nanoseconds between sending and the last byte, less the time on the disk meanwhile."""
    disk_time: int = 0
    examples: dict[Failure, list[str]] = field(default_factory=dict)
    """A few URLs of each failure, secrets masked."""

    def add(self, other: Counters) -> None:
        """Add the counts of another worker, which may be counting."""
        self.files += other.files
        self.bytes += other.bytes
        self.failed += other.failed
        self.refused += other.refused
        self.redirects += other.redirects
        self.network_time += other.network_time
        self.disk_time += other.disk_time
        for reason, count in dict(other.retries).items():
            self.retries[reason] = self.retries.get(reason, 0) + count
        for failure, urls in dict(other.examples).items():
            for url in list(urls):
                self.add_example(failure, url)

    def add_example(self, failure: Failure, url: str) -> None:
        """Keep the URL of a failure if there are not enough."""
        if failure in self.examples or len(self.examples) < MAX_REASONS:
            urls = self.examples.setdefault(failure, [])
            if len(urls) < MAX_EXAMPLES:
                urls.append(url)


@dataclass(slots=True)
class InputStats:
    """How many entries were read, and what became of them. Only the reader changes it."""

    read: int = 0
    duplicates: int = 0
    complete: int = 0
    """Fetched by an earlier run, as the manifest says and the disk confirms."""
    refused: int = 0
    """Lines without a URL."""
    bad_lines: list[str] = field(default_factory=list)
    """Some of them, with the reason."""
    given: int = 0
    """Added to the schedule."""
    is_done: bool = False


class WorkerRecorder:
    """Counts for one worker, and hands its samples over once a second."""

    def __init__(self, hand_over: Callable[[Batch], None], began: int) -> None:
        self.counters = Counters()
        self.request_size = 0
        """Bytes of the request that was sent last."""
        self._hand_over = hand_over
        self._began = began
        self._rows: dict[str, RowRecorder] = {}
        self._second = 0

    def count_good(
        self, task: Task, arrived: int, taken: int, size: int, *, disk_time: int, disk_meanwhile: int, saved: int
    ) -> None:
        """Count a URL of which `saved` bytes were; `disk_meanwhile` is the time on the disk before its last byte."""
        row = self._row(task, taken)
        row.samples += (task.due, task.sent, arrived, taken, task.status, size)
        row.bytes_sent += self.request_size
        counters = self.counters
        counters.files += 1
        counters.bytes += saved
        counters.network_time += max(0, arrived - task.sent - disk_meanwhile)
        counters.disk_time += disk_time

    def count_failed(self, task: Task, failure: Failure, now: int, size: int) -> None:
        """Count a URL that has failed for good."""
        counts = self._row(task, now).counts
        counts.fail(failure, at=now, span=now - task.due, status=task.status, size=size)
        counters = self.counters
        counters.failed += 1
        counters.refused += task.status in RETRIED or is_transient(failure)
        if task.sent:
            counts.bytes_sent += self.request_size
            counters.network_time += max(0, now - task.sent - task.disk_time)
        counters.disk_time += task.disk_time
        if len(counters.examples.get(failure, ())) < MAX_EXAMPLES:
            counters.add_example(failure, printable(task.request.url.text))

    def count_retry(self, task: Task, reason: str, now: int, size: int) -> None:
        """Count an attempt that is followed by another."""
        retries = self.counters.retries
        retries[reason] = retries.get(reason, 0) + 1
        self.counters.refused += 1
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
