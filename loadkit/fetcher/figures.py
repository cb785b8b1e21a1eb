"""What came of a fetch: its counts and exit code, and its figures as a result like that of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadkit.drive.stats import Driven
from loadkit.fetcher.task import label_of
from loadkit.fetcher.url import printable
from loadkit.judge.caveats import caveats
from loadkit.judge.description import ScenarioInfo
from loadkit.judge.environment import environment
from loadkit.judge.evidence import Evidence, RunContext
from loadkit.judge.identity import Identity, digest, plain
from loadkit.judge.result import Result, RunSpan
from loadkit.judge.summary import intervals, rows
from loadkit.judge.threshold_results import Outcome, threshold_results
from loadkit.judge.validity import validity_of
from loadkit.measure.recording import Batch, RowRecorder, second_of
from loadkit.plan.errors import LoadkitError, NothingToRun, OutputError
from loadkit.plan.units import SECOND

if TYPE_CHECKING:
    from loadkit.fetcher.options import FetchOptions
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
    examples: dict[Failure, list[str]] = field(default_factory=dict)
    """A few URLs of each failure, secrets masked."""

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
        for failure, urls in dict(other.examples).items():
            for url in list(urls):
                self.add_example(failure, url)

    def add_example(self, failure: Failure, url: str) -> None:
        """Keep the URL of a failure if there are not enough."""
        if failure in self.examples or len(self.examples) < MAX_REASONS:
            urls = self.examples.setdefault(failure, [])
            if len(urls) < MAX_EXAMPLES:
                urls.append(url)


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


OF_A_LOAD: Final = frozenset({"nothing-sent", "pickup", "mixed-clock"})
"""Caveats about how well a load was applied; a fetch applies none."""
COMPARABLE: Final = (
    *("threads", "method", "user_agent", "timeout", "retries", "max_wait", "rate", "per_host"),
    *("max_size", "redirects", "raw", "insecure"),
)
"""Options by which the figures of two fetches are comparable; where the files go is not one of them."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchSummary:
    """What came of a fetch, or has until now."""

    name: str
    """Of the list."""
    options: FetchOptions
    manifest: Path
    threads: int
    counters: Counters
    input: InputStats
    expected: int | None
    """Entries that the list seems to have."""
    circuits: int
    """How often a host was left alone because it did not answer."""
    tuning: str | None
    """What `threads="auto"` found."""
    was_stopped: bool
    crash: BaseException | None
    """What ended the fetch, if it was neither its end nor the disk."""
    disk_error: OSError | None
    """Why nothing more could be written."""

    @property
    def failed(self) -> int:
        """URLs that failed for good, and lines without one."""
        return self.counters.failed + self.input.refused

    @property
    def left(self) -> int:
        """URLs that were read and are not done."""
        return self.input.given - self.counters.files - self.counters.failed

    @property
    def wanted(self) -> int | None:
        """URLs that are to be fetched, as far as that is known."""
        read = self.input
        if read.is_done or self.expected is None:
            return read.given if read.is_done else None
        return max(0, self.expected - read.complete - read.duplicates - read.refused)

    @property
    def is_interrupted(self) -> bool:
        """True if it was stopped before its end."""
        return self.was_stopped and (self.left > 0 or not self.input.is_done)

    @property
    def exit_code(self) -> int:
        """See `FetchResult.exit_code`."""
        if self.disk_error or self.crash:
            return OutputError.exit_code
        if self.is_interrupted:
            return 2
        if not self.input.read:
            return NothingToRun.exit_code
        return 1 if self.failed else 0

    @property
    def outcome(self) -> Outcome:
        """The outcome of its result."""
        if self.is_interrupted or self.disk_error:
            return "interrupted"
        return "failed" if self.failed else "passed"

    def raise_error(self) -> None:
        """Raise what ended the fetch before its end, if something did."""
        if isinstance(self.crash, LoadkitError):
            raise self.crash
        if self.crash:
            raise LoadkitError(f"the fetch was ended by {self.crash!r}") from self.crash
        if self.disk_error:
            reason = (self.disk_error.strerror or str(self.disk_error)).lower()
            raise OutputError(
                f"cannot write into {self.options.into}: {reason}; what is done is kept, --resume does the rest"
            )
        if not self.input.read and not self.was_stopped:
            raise NothingToRun(f"there is no URL in {self.name}")


def result_of(summary: FetchSummary, driven: Driven, context: RunContext, *, clock_source: str) -> Result:
    """The figures of a fetch that has ended."""
    recording, stats = driven.recording, driven.stats
    if summary.left > 0 and recording.labels:
        next(iter(recording.labels.values())).unsent = max(0, summary.left - recording.total().cut)
    total, endpoints = rows(recording, duration=stats.duration, started=stats.measured_from)
    scenario = _scenario_info(summary, [row.name for row in endpoints])
    machine = environment(driven, clock_source=clock_source)
    evidence = Evidence(
        scenario=scenario,
        environment=machine,
        context=context,
        stats=stats,
        duration=stats.duration,
        total=total,
        endpoints=endpoints,
    )
    doubts = [caveat for caveat in caveats(evidence) if caveat.code not in OF_A_LOAD]
    plan = digest([plain(getattr(summary.options, name)) for name in COMPARABLE])
    return Result(
        identity=Identity(name=scenario.name, plan=plan),
        scenario=scenario,
        environment=machine,
        started_at=context.started_at,
        spans=[RunSpan(start=context.started_at, length=stats.duration)],
        duration=stats.duration,
        outcome=summary.outcome,
        total=total,
        endpoints=endpoints,
        thresholds=threshold_results([], total, endpoints) if total.requests else [],
        caveats=doubts,
        intervals=intervals(recording.series, duration=stats.duration),
        validity=validity_of(doubts),
    )


def _scenario_info(summary: FetchSummary, labels: list[str]) -> ScenarioInfo:
    options, counters, read = summary.options, summary.counters, summary.input
    return ScenarioInfo(
        name=f"fetch {summary.name}",
        description="",
        base_url="",
        threads=summary.threads,
        duration=None,
        iterations=read.given or None,
        rate=None,
        warmup=0.0,
        think_time="",
        timeout=options.timeout,
        transport="sockets",
        verify=not options.insecure,
        endpoints=labels,
        options={
            "files": counters.files,
            "bytes": counters.bytes,
            "complete": read.complete,
            "duplicates": read.duplicates,
            "refused": read.refused,
            "retries": dict(sorted(counters.retries.items())),
            "redirects": counters.redirects,
            "network_seconds": counters.network_time / SECOND,
            "disk_seconds": counters.disk_time / SECOND,
            "rate_limit": options.rate,
            "per_host": options.per_host,
            "auto": summary.tuning,
        },
    )
