"""What the threads of a fetch share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from loadkit.fetcher.counters import FailureExamples

if TYPE_CHECKING:
    from datetime import datetime

    from loadkit.fetcher.connections import Network
    from loadkit.fetcher.manifest import Manifest, ManifestLine, PreviousRuns
    from loadkit.fetcher.options import FetchOptions
    from loadkit.fetcher.retry import RetryPolicy
    from loadkit.fetcher.schedule import Schedule
    from loadkit.fetcher.store import JsonLinesFile
    from loadkit.measure.recording import Batch
    from loadkit.wire.base import Clock


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
