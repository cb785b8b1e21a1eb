"""What a run has counted so far, written beside its result every second or few: for the case that it is killed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from loadkit.jobs.pacing import SHARE, Pacing
from loadkit.judge.judge import Draft
from loadkit.judge.summary import interval, times
from loadkit.measure.encoding import to_json
from loadkit.plan.errors import OutputError

if TYPE_CHECKING:
    from loadkit.drive.stats import Driven
    from loadkit.judge.result import Result
    from loadkit.judge.rows import Interval
    from loadkit.judge.times import Times
    from loadkit.measure.histogram import Histogram
    from loadkit.measure.series import Slice

EVERY: Final = 1.0
"""Seconds from one to the next, at least; one takes 12 to 30 ms with 1 endpoint, and 50 to 80 ms with 10."""

Make: TypeAlias = "Callable[[Driven, Draft], Result]"


class _Ended(Exception):
    """The run has ended, and no draft of its result is needed."""


class Partial:
    """Writes `OUT.partial` while a run is under way; see `drive.collect.Keeper`.

    Args:
        output: where the result will be; None where it will be nowhere.
        copy: another file that is written as well.
        now: the monotonic clock, nanoseconds.
        every: seconds from one to the next, at least.
        share: of the time that may be spent on it; the next one waits the longer, the more CPU the last one took.
    """

    def __init__(
        self,
        output: Path | None,
        *,
        copy: Path | None = None,
        now: Callable[[], int] = time.monotonic_ns,
        every: float = EVERY,
        share: float = SHARE,
    ) -> None:
        is_wanted = output is not None and (not output.exists() or output.is_file())
        self.path = output.with_name(f"{output.name}.partial") if output and is_wanted else None
        self.finished: Sequence[Result] = ()
        """Results of runs before this one, which are in the file, too."""
        self._copy = copy
        self._now = now
        self._make: Make | None = None
        self._taken = 0
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._pacing = Pacing(self._ended, every=every, share=share)
        self._times: dict[tuple[int, int, int, int], tuple[Histogram, Times]] = {}
        self._known: dict[tuple[int, int], tuple[object, Interval, msgspec.Raw]] = {}

    @contextmanager
    def during(self, make: Make) -> Iterator[Partial]:
        """While a run is under way, whose result `make` makes; nothing is written afterwards."""
        self._make, self._taken = make, self._now()
        self._pacing.cost = 0.0
        self._known.clear()
        self._ended.clear()
        try:
            yield self
        finally:
            self._ended.set()
            if self._thread:
                self._thread.join()
            self._thread = None

    def remove(self) -> None:
        """Delete the file, once the result itself is written."""
        if self.path:
            with contextlib.suppress(OSError):
                self.path.unlink()

    @property
    def is_due(self) -> bool:
        """True if the last one was written, and long enough ago."""
        is_busy = self._thread is not None and self._thread.is_alive()
        return bool(self.path or self._copy) and not is_busy and self._now() - self._taken >= self._pacing.rest * 1e9

    def take(self, so_far: Callable[[], Driven]) -> None:
        """Write what came of a run so far, in a thread of its own."""
        self._taken, began = self._now(), time.thread_time()
        driven = so_far()
        cost = time.thread_time() - began
        self._thread = threading.Thread(target=self._write, args=(driven, cost), name="loadkit-partial", daemon=True)
        self._thread.start()

    def _write(self, driven: Driven, cost: float) -> None:
        from loadkit.report.files import write_bytes
        from loadkit.report.json import encoded

        assert self._make
        self._pacing.begin(cost)
        draft = Draft(to_times=self._to_times, to_intervals=self._to_intervals)
        try:
            while driven.recording.close_next():
                self._pause()
            result = self._make(driven, draft)
            packed: Any = [raw for _, _, raw in self._known.values()]
            content = encoded([*self.finished, msgspec.structs.replace(result, intervals=packed)])
            self._pause()
            for path in filter(None, (self.path, self._copy)):
                # a disk that is full now may have room for the result
                with contextlib.suppress(OutputError):
                    write_bytes(path, content)
        except _Ended:
            return
        finally:
            self._times.clear()

    def _to_times(self, histogram: Histogram) -> Times:
        """Made once for histograms that are equal: of one endpoint and of all, of failures where there were none."""
        key = histogram.count, histogram.sum, histogram.min, histogram.max
        known = self._times.get(key)
        if known is None or known[0] != histogram:
            known = self._times[key] = histogram, times(histogram)
            self._pause()
        return known[1]

    def _to_intervals(self, series: list[Slice], duration: float) -> list[Interval]:
        """Those that have not changed since the last time are known."""
        before, self._known = self._known, {}
        for piece in series:
            key = piece.second, piece.length
            known = before.get(key)
            if known is None or known[0] != piece.rows:
                made = interval(piece, duration, self._to_times)
                known = piece.rows, made, msgspec.Raw(to_json(made))
            self._known[key] = known
        return [made for _, made, _ in self._known.values()]

    def _pause(self) -> None:
        if self._pacing.pause():
            raise _Ended
