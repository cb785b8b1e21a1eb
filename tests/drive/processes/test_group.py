"""Workers as those who read what they write: a channel that a test writes to is no worse than any other."""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec
import pytest

from loadkit.clock import SystemClock
from loadkit.drive.processes.group import WorkerGroup
from loadkit.drive.processes.protocol import Assignment, Heartbeat, Ready, frame
from loadkit.measure.counts import Counts
from loadkit.measure.packed import Parcel, packed
from loadkit.measure.recording import Batch
from loadkit.plan.part import Part
from loadkit.wire.base import Clock

PARCEL = packed(Batch(1, 0, "GET /", [], 0, Counts(cut=3)), start=0)


class Written:
    """A channel on which a test writes what a worker would."""

    kind = "machine"
    host = None
    name = "machine 1 of 1 (web-1)"
    lead = 0

    def __init__(self) -> None:
        (self._messages, self._own), (self._printed, self._other) = os.pipe(), os.pipe()

    @property
    def pipes(self) -> tuple[int, int]:
        return self._messages, self._printed

    def tell(self, *parcels: Parcel) -> None:
        beat = Heartbeat(parcels=list(parcels), threads=1, in_flight=0, cpu_seconds=0.0)
        os.write(self._own, frame(Ready()) + frame(beat))

    def write(self, data: bytes) -> None:
        pass

    def wall_offset(self, clock: Clock) -> int:
        return clock.wall_offset

    def wait(self, seconds: float) -> int | None:
        return None

    def kill(self) -> str:
        return "given up"

    def close(self) -> None:
        for pipe in (self._messages, self._own, self._printed, self._other):
            os.close(pipe)


@pytest.fixture
def channel() -> Written:
    return Written()


@pytest.fixture
def group(channel: Written) -> Iterator[WorkerGroup]:
    """One worker, which has been given something to do."""
    found = WorkerGroup(SystemClock(), open_channel=lambda _: channel)
    found.start(Assignment(source="shop.py::browse", changes={}, requests=[], part=Part(), path=[]))
    yield found
    found.close()


def test_what_was_counted_is_merged(group: WorkerGroup, channel: Written):
    channel.tell(PARCEL)
    group.read(1)

    assert [batch.counts.cut for batch in group.batches(0) if batch.counts] == [3]


def test_a_worker_whose_counts_cannot_be_read_is_lost_and_what_it_told_before_stays(
    group: WorkerGroup, channel: Written
):
    channel.tell(PARCEL, msgspec.structs.replace(PARCEL, times=[b"no histogram", *PARCEL.times[1:]]))
    group.read(1)

    assert len(list(group.batches(0))) == 1
    (worker,) = group.workers
    assert worker.lost.startswith("was given up: what it counted cannot be read: ")
    assert group.running == []
