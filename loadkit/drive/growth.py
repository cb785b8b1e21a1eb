"""More threads for an open workload that finds all of them busy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from loadkit.host.tuning import raise_switch_interval
from loadkit.measure.recording import JOURNEY, REQUEST, Recording
from loadkit.plan.journey import Journey

if TYPE_CHECKING:
    from loadkit.drive.build import Builder
    from loadkit.drive.open import Pool
    from loadkit.drive.state import RunState
    from loadkit.drive.threads import UserThreads
    from loadkit.plan.phases import Segment
    from loadkit.plan.scenario import Scenario

SPARE_SHARE: Final = 8
"""An open workload keeps one thread in so many free, and one at least, for what is due next."""


class Growth:
    """Adds threads to those of a pool, up to `most`."""

    def __init__(self, pool: Pool, threads: UserThreads, builder: Builder, most: int) -> None:
        self.pool = pool
        self._threads = threads
        self._builder = builder
        self._most = most
        self.was_short = False
        """There were as many as there may be, and more were needed."""

    def grow(self) -> None:
        """Add threads if the next arrival may find all busy: some, so that those after it may find one free."""
        pool, threads = self.pool, self._threads
        if not pool.is_short:
            return
        pool.is_short = False
        coming = sum(not user.ready for user in threads.users[-self._most // SPARE_SHARE :])
        wanted = 1 + len(threads) // SPARE_SHARE - coming - len(pool.idle)
        for _ in range(min(wanted, self._most - len(threads))):
            if not threads.add(self._builder.open_user(pool)):
                # what there is goes on
                self._most = len(threads)
                break
        raise_switch_interval(len(threads))
        self.was_short = self.was_short or (wanted > 0 and len(threads) >= self._most)


def count_never_sent(pool: Pool, scenario: Scenario, state: RunState, recording: Recording) -> None:
    """Count arrivals that were due and that no thread sent."""
    kinds = [JOURNEY if isinstance(plan, Journey) else REQUEST for plan in scenario.plans]
    row = [(kinds[position], scenario.rows[position]) for position in pool.rotation]
    never_sent = _never_sent(pool, state.stop_at - state.measured_from)
    found = Counter((*row[number % len(row)], phase_of(due, scenario.segments)) for number, due in never_sent)
    for (kind, label, phase), count in found.items():
        recording.unsent(label, phase, count, kind=kind)


def _never_sent(pool: Pool, until: int) -> Iterator[tuple[int, int]]:
    yield from pool.unsent
    while (arrival := pool.arrivals.take()) and arrival[1] < until:
        yield arrival


def phase_of(due: int, segments: tuple[Segment, ...]) -> int:
    """The phase that an instant lies in, nanoseconds from the start of what is measured."""
    return next((k for k, one in enumerate(segments) if due < one.end), max(0, len(segments) - 1))
