"""What is stored of each machine that had a part of a load, as far as its worker has told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from loadkit.drive.machines import Machine
from loadkit.plan.units import SECOND

if TYPE_CHECKING:
    from loadkit.drive.processes.worker_state import WorkerState
    from loadkit.drive.stats import RunStats
    from loadkit.wire.base import Clock


def machine_records(workers: Sequence[WorkerState], clock: Clock, measured: RunStats) -> Iterator[Machine]:
    """A record of each worker that is not on this machine; those that have not ended are taken to measure as long."""
    for worker in workers:
        if (host := worker.channel.host) is None:
            continue
        stats = worker.done.stats if worker.done else None
        lateness, counts = worker.counts.lateness, worker.counts
        duration = stats.duration if stats else measured.duration
        yield Machine(
            host=host.name,
            part=worker.part.process + 1,
            parts=worker.part.processes,
            started_at=_iso(measured.measured_from + clock.wall_offset),
            duration=duration,
            processes=1,
            threads=stats.threads if stats else worker.latest.threads if worker.latest else 0,
            requests=counts.requests,
            throughput=counts.good / duration if duration else 0.0,
            failures=counts.failed,
            cpu_seconds=worker.cpu_seconds,
            cpu_capacity=stats.use.capacity if stats else 1.0,
            lateness_p99=(lateness.percentile(99) or 0) / SECOND if lateness.count else None,
            lateness_max=(lateness.percentile(100) or 0) / SECOND if lateness.count else None,
            clock_offset=(worker.channel.wall_offset(clock) - clock.wall_offset) / SECOND,
            clock_error=host.clock_error / SECOND,
            addresses=worker.addresses,
            ended=worker.lost,
        )


def _iso(wall: int) -> str:
    return datetime.fromtimestamp(wall / SECOND, UTC).isoformat(timespec="milliseconds")
