"""What is counted under one label: the times of good replies, failures, connections and bytes; all of it adds up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from operator import sub
from typing import TYPE_CHECKING, Final

from loadkit.measure.histogram import Histogram
from loadkit.measure.reasons import Reason, add_reason
from loadkit.measure.slowest import SlowSample, slowest
from loadkit.wire.base import Failure, Note
from loadkit.wire.extension import EXTENSION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loadkit.wire.failed_reply import FailedReply

STRIDE: Final = 6
"""A good reply is six integers in a flat list, which costs 60 ns, where an object costs 400.

`due, sent, arrived, taken` in nanoseconds of the monotonic clock, `status`, `size` in bytes received.
"""

TIMES = ("response_time", "service_time", "lateness", "pickup", "first_byte")
SUMS = (
    "drained",
    "unsent",
    "cut",
    "bytes_sent",
    "bytes_received",
)


def bounds(samples: Sequence[int]) -> tuple[int, int, int]:
    """The first and the last due of samples, and the longest response time."""
    if EXTENSION:
        return EXTENSION.bounds(samples)
    dues = samples[::STRIDE]
    return min(dues), max(dues), max(map(sub, samples[2::STRIDE], dues))


@dataclass(slots=True)
class Failures:
    """Requests that failed: how long they took, and why."""

    time: Histogram = field(default_factory=Histogram)
    kinds: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    """Of those that had a reply all the same."""
    reasons: dict[Failure, Reason] = field(default_factory=dict)

    def add(self, other: Failures) -> None:
        """Merge others into these."""
        self.time.add(other.time)
        self.kinds.update(other.kinds)
        self.statuses.update(other.statuses)
        for failure, reason in other.reasons.items():
            add_reason(self.reasons, failure, reason)


@dataclass(slots=True)
class Connections:
    """Connections that were made, and how long that took."""

    made: int = 0
    again: int = 0
    """Of those, in the place of one that had been closed."""
    time: int = 0
    """Nanoseconds of all together."""
    connect: Histogram = field(default_factory=Histogram)
    """Of each until TCP had it, as far as the client says so."""
    tls: Histogram = field(default_factory=Histogram)
    """Of each handshake."""

    def take(self, note: Note) -> None:
        """Count what a note says of them."""
        self.made += note.connects
        self.again += note.reconnects
        self.time += note.connect_time
        for connect, tls in note.openings:
            self.connect.record((connect,))
            if tls is not None:
                self.tls.record((tls,))

    def add(self, other: Connections) -> None:
        """Merge others into these."""
        self.made += other.made
        self.again += other.again
        self.time += other.time
        self.connect.add(other.connect)
        self.tls.add(other.tls)


@dataclass(slots=True)
class Counts:
    """All that is counted under one label. Mergeable by `add`."""

    response_time: Histogram = field(default_factory=Histogram)
    service_time: Histogram = field(default_factory=Histogram)
    lateness: Histogram = field(default_factory=Histogram)
    pickup: Histogram = field(default_factory=Histogram)
    first_byte: Histogram = field(default_factory=Histogram)
    """Of replies that came in several pieces: from the sending to the first of them."""
    statuses: Counter[int] = field(default_factory=Counter)
    failures: Failures = field(default_factory=Failures)
    drained: int = 0
    unsent: int = 0
    cut: int = 0
    connections: Connections = field(default_factory=Connections)
    bytes_sent: int = 0
    bytes_received: int = 0
    slowest: list[SlowSample] = field(default_factory=list)
    """Of requests those that may be the slowest of the run."""

    @property
    def good(self) -> int:
        """Good replies."""
        return self.response_time.count

    @property
    def failed(self) -> int:
        """Failed requests."""
        return self.failures.time.count

    @property
    def requests(self) -> int:
        """Requests that ended, well or not."""
        return self.good + self.failed

    def take(self, samples: Sequence[int], request_size: int) -> None:
        """Count good replies: the four times as the laws define them, the statuses and the bytes."""
        count = len(samples) // STRIDE
        self.bytes_sent += request_size * count
        if not EXTENSION:
            self._take(samples)
            return
        spans = self.response_time, self.service_time, self.lateness, self.pickup
        *found, size = EXTENSION.fold(samples, tuple(one.counts for one in spans), self.statuses)
        for one, (total, least, most) in zip(spans, found, strict=True):
            one.note(count, total, least, most)
        self.bytes_received += size

    def _take(self, samples: Sequence[int]) -> None:
        """The same in Python, at eight times the price."""
        due, sent, arrived, taken = samples[0::6], samples[1::6], samples[2::6], samples[3::6]
        statuses = list(samples[4::6])
        self.response_time.record(list(map(sub, arrived, due)))
        self.service_time.record(list(map(sub, arrived, sent)))
        self.lateness.record(list(map(sub, sent, due)))
        self.pickup.record(list(map(sub, taken, arrived)))
        first = statuses[0]
        if statuses.count(first) == len(statuses):
            # the common case, 5 ns a sample instead of 45
            self.statuses[first] += len(statuses)
        else:
            self.statuses.update(statuses)
        self.bytes_received += sum(samples[5::6])

    def fail(
        self,
        failure: Failure,
        *,
        at: int,
        span: int,
        status: int,
        size: int,
        reply: Callable[[], FailedReply | None] | None = None,
    ) -> None:
        """Count a failed request that took `span` nanoseconds and ended at `at`.

        `reply` is asked for what is shown of its reply where it is the first that failed so.
        """
        failures = self.failures
        failures.time.record((span,))
        failures.kinds[failure.kind] += 1
        if status:
            failures.statuses[status] += 1
        is_new = failure not in failures.reasons
        add_reason(failures.reasons, failure, Reason(1, at, reply() if reply and is_new else None))
        self.bytes_received += size

    def connected(self, note: Note) -> None:
        """Count what a note says of connections."""
        self.connections.take(note)

    def copy(self) -> Counts:
        """The same counts, apart from what is added to these from now on."""
        made = Counts()
        made.add(self)
        return made

    def add(self, other: Counts) -> None:
        """Merge another one into this."""
        for name in TIMES:
            getattr(self, name).add(getattr(other, name))
        self.statuses.update(other.statuses)
        self.failures.add(other.failures)
        self.connections.add(other.connections)
        if other.slowest:
            self.slowest = slowest([*self.slowest, *other.slowest])
        for name in SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
