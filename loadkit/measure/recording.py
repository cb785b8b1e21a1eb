"""What a run has counted: a writer for each thread, and one recording they are merged into, second by second.

A thread writes samples to its `RowRecorder`s and looks at nobody. Once a second it hands what it has to the
recording (see `Batch`), which belongs to one thread, too. So nothing on the way of a request is shared or locked, and
merging is addition: any split of a run, added in any order, is the same recording.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from operator import itemgetter
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from loadkit.measure.counts import STRIDE, Counts
from loadkit.measure.series import MAX_SERIES_BYTES, Series, Slice
from loadkit.measure.slowest import MOST, Requested, SlowSample, shown_url, slowest
from loadkit.plan.labels import MAX_LABELS, OTHER, is_hop, other
from loadkit.plan.units import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadkit.measure.samples import SampleBuffer

REQUEST = "request"
"""The kind of what is counted as a request; journeys, steps and timers are kept apart."""
JOURNEY = "journey"

FOLD = 256
"""Samples a thread writes before it folds them: 0.1 ms of work, in which the other threads wait."""

NO_SECOND = -1
"""For what is in the totals, and in no second of the series."""

Key: TypeAlias = tuple[str, int, str]
"""Kind, phase (0 of what is no request) and label."""
OnClose: TypeAlias = "Callable[[Mapping[Key, Counts]], None]"
"""Called with what a second held when it is closed: all that was counted comes so once, and changes no more."""
_Row = TypeVar("_Row")


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

    __slots__ = ("_counts", "_slow", "bytes_sent", "first_bytes", "kind", "label", "request_size", "samples", "sink")

    def __init__(self, label: str, request_size: int, kind: str = REQUEST) -> None:
        self.kind = kind
        self.samples: list[int] = []
        self.label = label
        self.request_size = request_size
        self.bytes_sent = 0
        """Sent beyond `request_size` a request, where requests differ."""
        self._counts: Counts | None = None
        self._slow: list[tuple[int, int, int, int, Requested]] = []
        self.first_bytes: list[int] = []
        """Nanoseconds to the first byte of replies that came in several pieces."""
        self.sink: SampleBuffer | None = None
        """Where samples go beside, before they are counted."""

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
            self.take(self.samples)
            self.samples.clear()
            self._fold_first_bytes()

    def take(self, samples: Sequence[int]) -> None:
        """Count samples that somebody else has written."""
        if self.sink:
            self.sink.put(self.label, samples)
        self.counts.take(samples, self.request_size)

    def note_slow(self, response_time: int, due: int, service_time: int, status: int, request: Requested) -> None:
        """Keep one that may be of the slowest: in an overload each is slower than those before, so this takes 1 us."""
        self._slow.append((response_time, due, service_time, status, request))
        if len(self._slow) >= 4 * MOST:
            self._slow = nlargest(MOST, self._slow, key=itemgetter(0))

    def hand_over(self, second: int, phase: int = 0) -> Batch | None:
        """Everything written, to be merged by somebody else; nothing is left here."""
        if not self.samples and self._counts is None and not self.bytes_sent:
            return None
        if self.sink and self.samples:
            self.sink.put(self.label, self.samples)
        if self.first_bytes:
            self._fold_first_bytes()
        if self._slow:
            self.counts.slowest = slowest(
                SlowSample(time, due, service_time, status, request.method, shown_url(request), self.label)
                for time, due, service_time, status, request in self._slow
            )
        batch = Batch(
            second, phase, self.label, self.samples, self.request_size, self._counts, self.bytes_sent, self.kind
        )
        self.clear()
        return batch

    def _fold_first_bytes(self) -> None:
        self.counts.first_byte.record(self.first_bytes)
        self.first_bytes.clear()

    def clear(self) -> None:
        """Forget everything, as at the end of the warm-up."""
        self.samples, self._counts, self.bytes_sent = [], None, 0
        self._slow.clear()
        self.first_bytes.clear()


class Recording:
    """All that was counted, by label and by second, and by phase if there are any.

    Memory is bounded: labels and the series fold.
    """

    def __init__(
        self,
        labels: tuple[str, ...] = (),
        *,
        phases: int = 0,
        series_bytes: int = MAX_SERIES_BYTES,
        on_close: OnClose | None = None,
    ) -> None:
        self.labels: dict[str, Counts] = {label: Counts() for label in labels[:MAX_LABELS]}
        self.phases: list[dict[str, Counts]] = [{} for _ in range(phases)]
        self.timings: dict[tuple[str, str], Counts] = {}
        """What is no request, by kind (`journey`, `step`, `timer`) and label."""
        self.complete = 0
        """So many seconds are in the totals and in the series."""
        self._series = Series(series_bytes)
        self._on_close = on_close
        self._open: dict[int, dict[Key, Counts]] = {}
        self._waiting: dict[tuple[int, Key, int], list[int]] = {}

    @property
    def series(self) -> list[Slice]:
        """The seconds that are closed, or the longer intervals that many of them became."""
        return self._series.slices

    def absorb(self, batch: Batch) -> None:
        """Merge what a thread has handed over."""
        key = self._key(batch.kind, batch.phase, batch.label)
        counts = self._counts_of(batch.second, key)
        counts.bytes_sent += batch.bytes_sent
        if batch.counts:
            counts.add(batch.counts)
        if batch.samples:
            # thousands of slow threads have a sample each: they are folded together, which costs a tenth
            waiting = self._waiting.setdefault((batch.second, key, batch.request_size), [])
            waiting += batch.samples
            if len(waiting) >= FOLD * STRIDE:
                self._fold_waiting()

    def unsent(self, label: str, phase: int, count: int = 1, *, kind: str = REQUEST) -> None:
        """Count what was due and nobody sent, or began; none of it still makes a row."""
        self._counts_of(NO_SECOND, self._key(kind, phase, label)).unsent += count

    def _key(self, kind: str, phase: int, label: str) -> Key:
        """Where something is counted; its row is made, in the order in which they are met, and has a limit."""
        if kind == REQUEST:
            known = label if label in self.labels or len(self.labels) < MAX_LABELS else other(label)
        else:
            known = label if (kind, label) in self.timings or len(self.timings) < MAX_LABELS else OTHER
            phase = 0
        self._total_of(kind, known)
        return kind, phase, known

    def _total_of(self, kind: str, label: str) -> Counts:
        if kind == REQUEST:
            return _in(self.labels, label)
        return _in(self.timings, (kind, label))

    def _counts_of(self, second: int, key: Key) -> Counts:
        return _in(self._open.setdefault(second, {}), key)

    def _fold_waiting(self) -> None:
        for (second, key, request_size), samples in self._waiting.items():
            self._counts_of(second, key).take(samples, request_size)
        self._waiting.clear()

    def close_before(self, second: int) -> None:
        """Seconds before this one are complete: they go into the totals and the series."""
        self.complete = max(self.complete, second)
        self._fold_waiting()
        for done in sorted(key for key in self._open if key < second):
            self._close(done, self._open.pop(done))

    def close_next(self) -> bool:
        """Close the first of the seconds that are open; False if there is none."""
        if not self._open:
            return False
        self.close_before(min(self._open) + 1)
        return True

    def finish(self) -> None:
        """All has been absorbed."""
        if self._open:
            self.close_before(max(self._open) + 1)

    def _close(self, second: int, rows: dict[Key, Counts]) -> None:
        piece = Slice(second, 1, {})
        for (kind, phase, label), counts in rows.items():
            self._total_of(kind, label).add(counts)
            if kind != REQUEST:
                continue
            if self.phases:
                _in(self.phases[phase], label).add(counts)
            packed = counts.requests, counts.failed, counts.response_time.pack()
            piece.add(Slice(second, 1, {label: packed}))
        if second >= 0 and piece.rows:
            self._series.add(piece)
        if self._on_close:
            self._on_close(rows)

    def so_far(self, before: int) -> Recording:
        """What the seconds before one hold, and all that are complete, apart from what is counted from now on.

        Those that are open here are still to be closed there, by `close_next`.
        """
        self._fold_waiting()
        made = Recording()
        made.labels = {label: counts.copy() for label, counts in self.labels.items()}
        made.phases = [{label: counts.copy() for label, counts in rows.items()} for rows in self.phases]
        made.timings = {key: counts.copy() for key, counts in self.timings.items()}
        made.complete = max(self.complete, before)
        made._series = self._series.copy()
        made._open = {
            second: {key: counts.copy() for key, counts in rows.items()}
            for second, rows in self._open.items()
            if second < before
        }
        return made

    def drain(self) -> list[Batch]:
        """Hand on all that was absorbed and not closed yet: it is no longer counted here."""
        self._fold_waiting()
        drained = [
            Batch(second, phase, label, [], 0, counts, kind=kind)
            for second, rows in sorted(self._open.items())
            for (kind, phase, label), counts in rows.items()
        ]
        self._open.clear()
        return drained

    def open_rows(self, second: int) -> Mapping[Key, Counts]:
        """What a second has so far, as long as it is open."""
        self._fold_waiting()
        return self._open.get(second, {})

    def between(self, first: int, last: int, label: str | None = None) -> Counts:
        """The requests of the seconds from `first` to before `last`, as far as they are open yet; for showing."""
        merged = Counts()
        for second in range(first, last):
            for (kind, _, name), counts in self._open.get(second, {}).items():
                if kind == REQUEST and _is_of(name, label):
                    merged.add(counts)
        return merged

    def requests_and_failures(self, label: str | None = None) -> tuple[int, int]:
        """How many so far."""
        found = [counts for name, counts in self.labels.items() if _is_of(name, label)]
        found += self._open_of(REQUEST, label)
        return sum(counts.requests for counts in found), sum(counts.failed for counts in found)

    def journeys(self) -> int:
        """How many ended so far."""
        closed = (counts for (kind, _), counts in self.timings.items() if kind == JOURNEY)
        return sum(counts.requests for counts in (*closed, *self._open_of(JOURNEY)))

    def _open_of(self, kind: str, label: str | None = None) -> Iterator[Counts]:
        self._fold_waiting()
        return (
            counts
            for rows in self._open.values()
            for (of, _, name), counts in rows.items()
            if of == kind and _is_of(name, label)
        )

    def total(self) -> Counts:
        """All labels together, without the hops of redirects."""
        merged = Counts()
        for label, counts in self.labels.items():
            if not is_hop(label):
                merged.add(counts)
        return merged


def _in(rows: dict[_Row, Counts], key: _Row) -> Counts:
    """The counts of a row, which is made when it is first asked for."""
    counts = rows.get(key)
    if counts is None:
        counts = rows[key] = Counts()
    return counts


def _is_of(name: str, label: str | None) -> bool:
    """True of a row that has the label, or of all but hops if none is given."""
    return name == label if label is not None else not is_hop(name)


def second_of(instant: int, start: int) -> int:
    """Which second of the measured time an instant lies in."""
    return (instant - start) // SECOND
