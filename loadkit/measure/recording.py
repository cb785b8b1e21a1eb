"""What a run has counted: a writer for each thread, and one recording they are merged into, second by second.

A thread writes samples to its `RowRecorder`s and looks at nobody. Once a second it hands what it has to the
recording (see `Batch`), which belongs to one thread, too. So nothing on the way of a request is shared or locked, and
merging is addition: any split of a run, added in any order, is the same recording.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TypeVar

from loadkit.measure.histogram import Histogram
from loadkit.measure.sample import STRIDE, columns
from loadkit.plan.labels import MAX_LABELS, OTHER
from loadkit.plan.units import SECOND
from loadkit.wire.base import Failure, Note

_Key = TypeVar("_Key")

REQUEST = "request"
"""The kind of what is counted as a request; journeys, steps and timers are kept apart."""
JOURNEY = "journey"

FOLD = 256
"""Samples a thread writes before it folds them: 0.1 ms of work, in which the other threads wait."""

MAX_REASONS = 20
"""Different messages kept of each kind of failure; the rest is counted as one."""
MORE_REASONS = f"… more than {MAX_REASONS} different messages"

NO_SECOND = -1
"""For what is in the totals, and in no second of the series."""

MAX_INTERVALS = 600
MAX_SERIES_BYTES = 8_000_000


@dataclass(slots=True)
class Counts:
    """All that is counted under one label. Mergeable by `add`."""

    response_time: Histogram = field(default_factory=Histogram)
    service_time: Histogram = field(default_factory=Histogram)
    lateness: Histogram = field(default_factory=Histogram)
    pickup: Histogram = field(default_factory=Histogram)
    failure_time: Histogram = field(default_factory=Histogram)
    statuses: Counter[int] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    failed_statuses: Counter[int] = field(default_factory=Counter)
    reasons: dict[Failure, tuple[int, int]] = field(default_factory=dict)
    """How often, and when first (nanoseconds of the monotonic clock)."""
    drained: int = 0
    unsent: int = 0
    cut: int = 0
    connects: int = 0
    reconnects: int = 0
    connect_time: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0

    @property
    def good(self) -> int:
        """Good replies."""
        return self.response_time.count

    @property
    def failed(self) -> int:
        """Failed requests."""
        return self.failure_time.count

    @property
    def requests(self) -> int:
        """Requests that ended, well or not."""
        return self.good + self.failed

    def take(self, samples: list[int], request_size: int) -> None:
        """Count good replies."""
        taken = columns(samples)
        self.response_time.record(taken.response_time)
        self.service_time.record(taken.service_time)
        self.lateness.record(taken.lateness)
        self.pickup.record(taken.pickup)
        first = taken.statuses[0]
        if taken.statuses.count(first) == len(taken.statuses):
            # the common case, 5 ns a sample instead of 45
            self.statuses[first] += len(taken.statuses)
        else:
            self.statuses.update(taken.statuses)
        self.bytes_received += sum(taken.sizes)
        self.bytes_sent += request_size * len(taken.sizes)

    def fail(self, failure: Failure, *, at: int, span: int, status: int, size: int) -> None:
        """Count a failed request that took `span` nanoseconds and ended at `at`."""
        self.failure_time.record((span,))
        self.failures[failure.kind] += 1
        self.bytes_received += size
        if status:
            self.failed_statuses[status] += 1
        self._reason(failure, 1, at)

    def connected(self, note: Note) -> None:
        """Count what a note says of connections."""
        self.connects += note.connects
        self.reconnects += note.reconnects
        self.connect_time += note.connect_time

    def copy(self) -> Counts:
        """The same counts, apart from what is added to these from now on."""
        made = Counts(
            statuses=self.statuses.copy(),
            failures=self.failures.copy(),
            failed_statuses=self.failed_statuses.copy(),
            reasons=dict(self.reasons),
        )
        for name in TIMES:
            setattr(made, name, getattr(self, name).copy())
        for name in SUMS:
            setattr(made, name, getattr(self, name))
        return made

    def add(self, other: Counts) -> None:
        """Merge another one into this."""
        for name in TIMES:
            getattr(self, name).add(getattr(other, name))
        for name in ("statuses", "failures", "failed_statuses"):
            getattr(self, name).update(getattr(other, name))
        for name in SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for failure, (count, first) in other.reasons.items():
            self._reason(failure, count, first)

    def _reason(self, failure: Failure, count: int, first: int) -> None:
        known = self.reasons.get(failure)
        if known is None and sum(reason.kind == failure.kind for reason in self.reasons) >= MAX_REASONS:
            failure = Failure(failure.kind, MORE_REASONS)
            known = self.reasons.get(failure)
        seen, earliest = known or (0, first)
        self.reasons[failure] = seen + count, min(earliest, first)


TIMES = ("response_time", "service_time", "lateness", "pickup", "failure_time")
SUMS = (
    "drained",
    "unsent",
    "cut",
    "connects",
    "reconnects",
    "connect_time",
    "bytes_sent",
    "bytes_received",
)


@dataclass(slots=True)
class Batch:
    """What one thread has of one label for one second (and phase), on its way to the recording."""

    second: int
    phase: int
    label: str
    samples: list[int]
    request_size: int
    counts: Counts | None
    bytes_sent: int = 0
    kind: str = REQUEST


class RowRecorder:
    """What one thread writes for one of its requests, or for what else it times."""

    __slots__ = ("_counts", "bytes_sent", "kind", "label", "request_size", "samples")

    def __init__(self, label: str, request_size: int, kind: str = REQUEST) -> None:
        self.kind = kind
        self.samples: list[int] = []
        self.label = label
        self.request_size = request_size
        self.bytes_sent = 0
        """Sent beyond `request_size` a request, where requests differ."""
        self._counts: Counts | None = None

    @property
    def counts(self) -> Counts:
        """The folded part, made when it is first needed: most threads of many have a few samples a second."""
        if self._counts is None:
            self._counts = Counts()
        return self._counts

    @property
    def ended(self) -> int:
        """How many of what is written here ended, well or not, or were cut."""
        counts = self._counts
        return len(self.samples) // STRIDE + (counts.requests + counts.cut if counts else 0)

    def fold(self) -> None:
        """Count the samples written so far, if there are enough to be worth it."""
        if len(self.samples) >= FOLD * STRIDE // 4:
            self.counts.take(self.samples, self.request_size)
            self.samples.clear()

    def hand_over(self, second: int, phase: int = 0) -> Batch | None:
        """Everything written, to be merged by somebody else; nothing is left here."""
        if not self.samples and self._counts is None and not self.bytes_sent:
            return None
        batch = Batch(
            second, phase, self.label, self.samples, self.request_size, self._counts, self.bytes_sent, self.kind
        )
        self.clear()
        return batch

    def clear(self) -> None:
        """Forget everything, as at the end of the warm-up."""
        self.samples, self._counts, self.bytes_sent = [], None, 0


@dataclass(slots=True)
class Slice:
    """A closed interval of the series: for each label requests, failures and the packed response times."""

    second: int
    length: int
    rows: dict[str, tuple[int, int, bytes]]

    @property
    def size(self) -> int:
        """Bytes of the packed response times."""
        return sum(len(packed) for _, _, packed in self.rows.values())

    def add(self, other: Slice) -> None:
        """Merge another part of the same interval."""
        for label, (requests, failures, packed) in other.rows.items():
            mine = self.rows.get(label)
            if mine is None:
                self.rows[label] = requests, failures, packed
            else:
                merged = Histogram.unpack(mine[2])
                merged.add(Histogram.unpack(packed))
                self.rows[label] = mine[0] + requests, mine[1] + failures, merged.pack()


class Recording:
    """All that was counted, by label and by second, and by phase if there are any.

    Memory is bounded: labels and the series fold.
    """

    def __init__(self, labels: tuple[str, ...] = (), *, phases: int = 0, series_bytes: int = MAX_SERIES_BYTES) -> None:
        self.labels: dict[str, Counts] = {label: Counts() for label in labels[:MAX_LABELS]}
        self.phases: list[dict[str, Counts]] = [{} for _ in range(phases)]
        self.timings: dict[tuple[str, str], Counts] = {}
        """What is no request, by kind (`journey`, `step`, `timer`) and label."""
        self.series: list[Slice] = []
        self.complete = 0
        """So many seconds are in the totals and in the series."""
        self._open: dict[int, dict[tuple[int, str], Counts]] = {}
        self._open_timings: dict[int, dict[tuple[str, str], Counts]] = {}
        self._waiting: dict[tuple[int, int, str, int], list[int]] = {}
        self._bytes = 0
        self._most_bytes = series_bytes
        self._length = 1

    def absorb(self, batch: Batch) -> None:
        """Merge what a thread has handed over."""
        if batch.kind != REQUEST:
            self._absorb_timing(batch)
            return
        counts = self._counts_of(batch.second, batch.phase, batch.label)
        counts.bytes_sent += batch.bytes_sent
        if batch.counts:
            counts.add(batch.counts)
        if batch.samples:
            # thousands of slow threads have a sample each: they are folded together, which costs a tenth
            key = batch.second, batch.phase, batch.label, batch.request_size
            waiting = self._waiting.setdefault(key, [])
            waiting += batch.samples
            if len(waiting) >= FOLD * STRIDE:
                self._fold_waiting()

    def _absorb_timing(self, batch: Batch) -> None:
        key = self._timing_key(batch.kind, batch.label)
        counts = self.timings.setdefault(key, Counts())
        if batch.second >= self.complete:
            counts = self._open_timings.setdefault(batch.second, {}).setdefault(key, Counts())
        if batch.counts:
            counts.add(batch.counts)
        if batch.samples:
            counts.take(batch.samples, 0)

    def _timing_key(self, kind: str, label: str) -> tuple[str, str]:
        is_known = (kind, label) in self.timings or len(self.timings) < MAX_LABELS
        return kind, label if is_known else OTHER

    def _fold_waiting(self) -> None:
        for (second, phase, label, request_size), samples in self._waiting.items():
            self._counts_of(second, phase, label).take(samples, request_size)
        self._waiting.clear()

    def close_before(self, second: int) -> None:
        """Seconds before this one are complete: they go into the totals and the series."""
        self.complete = max(self.complete, second)
        self._fold_waiting()
        for done in sorted(key for key in self._open if key < second):
            self._close(done, self._open.pop(done))
        for done in [key for key in self._open_timings if key < second]:
            for key, counts in self._open_timings.pop(done).items():
                self.timings.setdefault(key, Counts()).add(counts)

    def close_next(self) -> bool:
        """Close the first of the seconds that are open; False if there is none."""
        seconds = (*self._open, *self._open_timings)
        if seconds:
            self.close_before(min(seconds) + 1)
        return bool(seconds)

    def finish(self) -> None:
        """All has been absorbed."""
        if seconds := (*self._open, *self._open_timings):
            self.close_before(max(seconds) + 1)

    def so_far(self, before: int) -> Recording:
        """What the seconds before one hold, and all that are complete, apart from what is counted from now on.

        Those that are open here are still to be closed there, by `close_next`.
        """
        self._fold_waiting()
        made = Recording(series_bytes=self._most_bytes)
        made.labels = {label: counts.copy() for label, counts in self.labels.items()}
        made.phases = [{label: counts.copy() for label, counts in rows.items()} for rows in self.phases]
        made.timings = {key: counts.copy() for key, counts in self.timings.items()}
        made.series = [Slice(piece.second, piece.length, dict(piece.rows)) for piece in self.series]
        made.complete, made._bytes, made._length = max(self.complete, before), self._bytes, self._length
        made._open = _copied(self._open, before)
        made._open_timings = _copied(self._open_timings, before)
        return made

    def drain(self) -> list[Batch]:
        """Hand on all that was absorbed and not closed yet: it is no longer counted here."""
        self._fold_waiting()
        drained = [
            Batch(second, phase, label, [], 0, counts)
            for second, rows in sorted(self._open.items())
            for (phase, label), counts in rows.items()
        ]
        opened = [(second, *one) for second, rows in sorted(self._open_timings.items()) for one in rows.items()]
        known = {key for _, key, _ in opened}
        # one that has nothing is a row that was announced
        counted = [(NO_SECOND, *one) for one in self.timings.items() if one[0] not in known or one[1] != Counts()]
        drained += [
            Batch(second, 0, label, [], 0, counts, kind=kind) for second, (kind, label), counts in (*counted, *opened)
        ]
        self._open.clear()
        self._open_timings.clear()
        self.timings.clear()
        return drained

    def between(self, first: int, last: int) -> Counts:
        """What the seconds from `first` to before `last` held, as far as they are open yet; for showing."""
        merged = Counts()
        for second in range(first, last):
            for counts in self._open.get(second, {}).values():
                merged.add(counts)
        return merged

    def requests_and_failures(self) -> tuple[int, int]:
        """How many so far."""
        self._fold_waiting()
        found = list(self._all())
        return sum(counts.requests for counts in found), sum(counts.failed for counts in found)

    def journeys(self) -> int:
        """How many ended so far."""
        timings = [*self.timings.items(), *(one for rows in self._open_timings.values() for one in rows.items())]
        return sum(counts.requests for (kind, _), counts in timings if kind == JOURNEY)

    def _all(self) -> Iterator[Counts]:
        yield from self.labels.values()
        for rows in self._open.values():
            yield from rows.values()

    def total(self) -> Counts:
        """Everything, all labels together."""
        merged = Counts()
        for counts in self.labels.values():
            merged.add(counts)
        return merged

    def unsent(self, label: str, phase: int, count: int = 1, *, kind: str = REQUEST) -> None:
        """Count what was due and nobody sent, or began."""
        if kind != REQUEST:
            self.timings.setdefault(self._timing_key(kind, label), Counts()).unsent += count
            return
        self._labelled(label).unsent += count
        if self.phases:
            self.phases[phase].setdefault(self._known(label), Counts()).unsent += count

    def _known(self, label: str) -> str:
        return label if label in self.labels or len(self.labels) < MAX_LABELS else OTHER

    def _labelled(self, label: str) -> Counts:
        return self.labels.setdefault(self._known(label), Counts())

    def _counts_of(self, second: int, phase: int, label: str) -> Counts:
        known = self._known(label)
        self._labelled(known)
        rows = self._open.setdefault(second, {})
        if (phase, known) not in rows:
            rows[phase, known] = Counts()
        return rows[phase, known]

    def _close(self, second: int, rows: dict[tuple[int, str], Counts]) -> None:
        piece = Slice(second, 1, {})
        for (phase, label), counts in rows.items():
            self.labels[label].add(counts)
            if self.phases:
                self.phases[phase].setdefault(label, Counts()).add(counts)
            packed = counts.requests, counts.failed, counts.response_time.pack()
            piece.add(Slice(second, 1, {label: packed}))
        if second >= 0:
            self._append(piece)

    def _append(self, piece: Slice) -> None:
        self._place(piece)
        if len(self.series) > MAX_INTERVALS or self._bytes > self._most_bytes:
            self._fold_series()

    def _place(self, piece: Slice) -> None:
        """Put a piece into the interval it lies in, which is an old one where a thread waited long for its reply."""
        piece.second -= piece.second % self._length
        piece.length = self._length
        place = bisect_left(self.series, piece.second, key=attrgetter("second"))
        known = self.series[place] if place < len(self.series) else None
        if known and known.second == piece.second:
            self._bytes -= known.size
            known.add(piece)
            self._bytes += known.size
        else:
            self.series.insert(place, piece)
            self._bytes += piece.size

    def _fold_series(self) -> None:
        """Make intervals twice as long: 1 s, 2 s, 4 s …"""
        self._length *= 2
        pieces, self.series, self._bytes = self.series, [], 0
        for piece in pieces:
            self._place(piece)


def _copied(seconds: dict[int, dict[_Key, Counts]], before: int) -> dict[int, dict[_Key, Counts]]:
    return {
        second: {key: counts.copy() for key, counts in rows.items()}
        for second, rows in seconds.items()
        if second < before
    }


def second_of(instant: int, start: int) -> int:
    """Which second of the measured time an instant lies in."""
    return (instant - start) // SECOND
