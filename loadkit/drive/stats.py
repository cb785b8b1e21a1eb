"""What a run did, beside what it counted: one record for threads, for processes, and for a run under way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, TypeAlias, TypeVar

import msgspec

from loadkit.drive.machines import Machine
from loadkit.drive.rows.feed import RowUse, describe_ends, sum_of_uses
from loadkit.host.usage import Usage, worst
from loadkit.measure.recording import Recording
from loadkit.plan.units import SECOND, show_count
from loadkit.wire.exchange_log import LoggedExchange

Item = TypeVar("Item")

Active: TypeAlias = tuple[int, int, int]
"""Instants of a thread in one of its windows: it came, sent its first request, and received its last reply."""


IN_FLIGHT_STEPS: Final = 1024

THREADS: Final = "threads"
"""The engine of users with a thread each; others are exchange loops."""


class RunStats(msgspec.Struct, frozen=True, kw_only=True):
    """How a run, or a part of it, went; parts add up by `merge`. Times are nanoseconds of the monotonic clock."""

    measured_from: int
    stopped_at: int
    interrupted: bool = False
    unreachable: bool = False
    """Stopped early, because no thread ever got a connection."""
    fault: str = ""
    """Why the plan could not go on, if something broke."""
    is_dry: bool = False
    """Rows that are used once ended before the plan did."""
    rows: tuple[RowUse, ...] = ()
    """What was used of each feed."""
    unstamped: int = 0
    """Replies whose arrival the kernel did not stamp."""
    cpu_time: int = 0
    """Of all processes of the generator, while it measured."""
    cpu_by_process: tuple[float, ...] = ()
    """CPU seconds of each worker process, where there are any; `cpu_time` has them, and that of their parent."""
    threads: int = 0
    """How many there were in the end."""
    engines: dict[str, int] = {}
    """How many exchange loops carried users, by their names, and how many users had a thread of their own."""
    was_short: bool = False
    """An open workload had all the threads it may have, and needed more."""
    in_flight: float | None = None
    """Requests under way, the mean of ten looks a second; None where there was no time for one.

    To the nearest of `IN_FLIGHT_STEPS` a request, so that sums of it are exact in any order.
    """
    stuck: tuple[str, ...] = ()
    """Where threads were that did not end: file, line and function."""
    faults: tuple[str, ...] = ()
    """Why tear-downs of journeys failed."""
    requested: tuple[tuple[str, str], ...] = ()
    """Journeys, each with the label of a request that was seen within it, sorted."""
    use: Usage = Usage()
    """What the generator used, and what its machine did, while it measured."""
    active: tuple[Active, ...] = ()
    """When each thread of a closed workload was active, for each time for which the plan wanted it; in no order."""
    lost: tuple[str, ...] = ()
    """A sentence on each worker process that did not live to the end."""
    silent: tuple[str, ...] = ()
    """A sentence on each worker process of which nothing was heard for a while."""
    exchanges: tuple[LoggedExchange, ...] = ()
    """The first ones of a worker process that was to keep some."""
    worker_memory: int = 0
    """Bytes, the largest resident sizes of the worker processes, added up."""
    machines: tuple[Machine, ...] = ()
    """Those that shared the load, where it was shared by machines."""

    @property
    def is_fault(self) -> bool:
        """True if what ended the run early was a fault, and not the end of rows."""
        return bool(self.fault)

    @property
    def halted(self) -> str:
        """Why the plan could not go on, if so: rows used up, a function that failed."""
        return self.fault or (describe_ends(self.rows) if self.is_dry else "")

    @property
    def engine(self) -> str:
        """What carried the users, as `exchange loop in C, 2 loops, and 3 threads`; empty where nobody says."""
        loops = [
            f"{name}, {show_count(count, 'loop')}" for name, count in sorted(self.engines.items()) if name != THREADS
        ]
        if loops and self.engines.get(THREADS):
            loops.append(show_count(self.engines[THREADS], "thread"))
        return ", and ".join(loops) or next(iter(self.engines), "")

    @property
    def duration(self) -> float:
        """Seconds that were measured."""
        return max(0, self.stopped_at - self.measured_from) / SECOND

    @property
    def cpu_seconds(self) -> float:
        """`cpu_time` in seconds."""
        return self.cpu_time / SECOND

    def shifted(self, by: int) -> RunStats:
        """The same by a clock that shows `by` nanoseconds more."""
        return msgspec.structs.replace(
            self,
            measured_from=self.measured_from + by,
            stopped_at=self.stopped_at + by,
            active=tuple((came + by, sent + by, taken + by) for came, sent, taken in self.active),
        )

    @staticmethod
    def merge(parts: Sequence[RunStats]) -> RunStats:
        """The run of which these are all the parts, however it was split; `ValueError` for none."""
        return RunStats(
            measured_from=min(one.measured_from for one in parts),
            stopped_at=max(one.stopped_at for one in parts),
            interrupted=any(one.interrupted for one in parts),
            unreachable=all(one.unreachable for one in parts),
            fault=min((one.fault for one in parts if one.fault), default=""),
            is_dry=any(one.is_dry for one in parts),
            rows=tuple(sum_of_uses(uses) for uses in zip(*(one.rows for one in parts), strict=True)),
            unstamped=sum(one.unstamped for one in parts),
            cpu_time=sum(one.cpu_time for one in parts),
            cpu_by_process=_joined(one.cpu_by_process for one in parts),
            threads=sum(one.threads for one in parts),
            engines=dict(sum((Counter(one.engines) for one in parts), Counter())),
            was_short=any(one.was_short for one in parts),
            in_flight=_sum([one.in_flight for one in parts]),
            stuck=tuple(dict.fromkeys(_joined(one.stuck for one in parts))),
            faults=_joined(one.faults for one in parts),
            requested=tuple(sorted({*_joined(one.requested for one in parts)})),
            use=worst([one.use for one in parts]),
            active=_joined(one.active for one in parts),
            lost=_joined(one.lost for one in parts),
            silent=_joined(one.silent for one in parts),
            exchanges=_joined(one.exchanges for one in parts),
            worker_memory=sum(one.worker_memory for one in parts),
            machines=_joined(one.machines for one in parts),
        )


def _joined(of_each: Iterable[tuple[Item, ...]]) -> tuple[Item, ...]:
    return tuple(chain.from_iterable(of_each))


def _sum(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Driven:
    """What came of a run: what was counted, and how it went."""

    recording: Recording
    stats: RunStats
