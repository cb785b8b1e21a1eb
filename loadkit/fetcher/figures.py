"""What came of a fetch: its counts and exit code, and its figures as a result like that of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadkit.drive.stats import Driven
from loadkit.judge.caveats import caveats
from loadkit.judge.description import ScenarioInfo
from loadkit.judge.environment import environment
from loadkit.judge.evidence import Evidence, RunContext
from loadkit.judge.identity import Identity, digest, plain
from loadkit.judge.limit.limit import Limit, describe_limit
from loadkit.judge.result import Result, RunSpan
from loadkit.judge.summary import intervals, rows
from loadkit.judge.threshold_results import Outcome, threshold_results
from loadkit.judge.validity import validity_of
from loadkit.plan.errors import LoadkitError, NothingToRun, OutputError
from loadkit.plan.units import SECOND

if TYPE_CHECKING:
    from loadkit.fetcher.counters import Counters, InputStats
    from loadkit.fetcher.options import FetchOptions

OF_A_LOAD: Final = frozenset({"nothing-sent", "pickup", "mixed-clock"})
"""Caveats about how well a load was applied; a fetch applies none."""
COMPARABLE: Final = (
    *("threads", "method", "user_agent", "timeout", "retries", "max_wait", "rate", "per_host"),
    *("max_size", "redirects", "raw", "insecure"),
)
"""Options by which the figures of two fetches are comparable; where the files go is not one of them."""


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
    is_tuning: bool
    """True while their number is searched."""
    limit: Limit | None
    """How many threads are enough, when it is over and their number was not given."""
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
    def tuning(self) -> str | None:
        """What `threads="auto"` found, or how many threads there were as it did not."""
        if self.limit is None:
            return None
        if self.limit.threads and self.limit.ending in ("found", "at least"):
            return "; ".join([describe_limit(self.limit), *filter(None, [self.limit.gave_way])])
        return f"{self.threads} in the end: {self.limit.reason}"

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


def result_of(summary: FetchSummary, driven: Driven, context: RunContext) -> Result:
    """The figures of a fetch that has ended."""
    recording, stats = driven.recording, driven.stats
    if summary.left > 0 and recording.labels:
        next(iter(recording.labels.values())).unsent = max(0, summary.left - recording.total().cut)
    total, endpoints = rows(recording, duration=stats.duration, started=stats.measured_from)
    scenario = _scenario_info(summary, [row.name for row in endpoints])
    machine = environment(driven)
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
            "auto_levels": {f"{one.level:g}": round(one.throughput, 1) for one in summary.limit.closed}
            if summary.limit
            else None,
        },
    )
