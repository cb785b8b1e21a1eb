"""What is known of worker processes that were lost: how they ended, and what of their part was not sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from loadkit.measure.recording import JOURNEY, REQUEST, Recording
from loadkit.plan.errors import LoadkitError, UsageError
from loadkit.plan.workload import Closed, Open, workload

if TYPE_CHECKING:
    from loadkit.drive.collect import Collector
    from loadkit.drive.processes.worker_state import WorkerState
    from loadkit.plan.scenario import Scenario


def check_start(worker: WorkerState) -> None:
    """Raise what kept a worker from getting ready: `UsageError` for the user's mistake."""
    if worker.failed and worker.failed.is_usage:
        where = f"{worker} failed: " if worker.channel.host else ""
        error = UsageError(f"{where}{worker.failed.message}")
        error.exit_code = worker.failed.exit_code
        raise error
    if worker.failed or worker.lost:
        raise LoadkitError(f"{worker} {worker.lost or worker.how_it_ended()}, before it was ready")


def losses(workers: Sequence[WorkerState]) -> Iterable[str]:
    """A sentence on each worker that was lost, or never got a connection where others did."""
    all_are_unreachable = all(worker.done.stats.unreachable for worker in workers if worker.done)
    for worker in workers:
        if worker.lost:
            yield f"{worker} {worker.lost}"
        elif worker.done and worker.done.stats.unreachable and not all_are_unreachable:
            yield f"{worker} never got a connection and stopped early"


def count_lost(workers: Sequence[WorkerState], scenario: Scenario, collector: Collector, length: int) -> None:
    """What was due in the part of a lost worker within `length`, and is not known to have been sent, is unsent."""
    for worker in workers:
        load = workload(scenario, worker.part)
        if isinstance(load, Open) and worker.lost:
            due = takewhile(lambda arrival: arrival[1] < length, load.arrivals.dues())
            collector.count_unsent(scenario, load.rotation, due, worker.reported)


def count_not_begun(
    workers: Sequence[WorkerState], scenario: Scenario, load: Closed | Open, recording: Recording
) -> None:
    """Iterations of lost workers; those that a living one did not come to it has counted itself."""
    total = recording.total()
    if not isinstance(load, Closed) or load.iterations is None or not any(one.lost for one in workers):
        return
    journeys = [counts for (kind, _), counts in recording.timings.items() if kind == JOURNEY]
    counted = sum(counts.requests + counts.cut + counts.unsent for counts in (*journeys, total))
    # what journeys request cannot be told from what endpoints do, so that this may be too few
    label = next(iter(scenario.rows))
    kind = JOURNEY if label in [journey.label for journey in scenario.journeys] else REQUEST
    recording.unsent(label, 0, max(0, load.iterations - counted), kind=kind)
    recording.finish()
