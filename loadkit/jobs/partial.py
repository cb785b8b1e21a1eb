"""What a run has counted so far, written beside its result every few seconds: for the case that it is killed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from loadkit.judge.summary import interval, times
from loadkit.plan.errors import OutputError

if TYPE_CHECKING:
    from loadkit.drive.threads import Driven
    from loadkit.judge.result import Interval, Result, Times
    from loadkit.judge.summary import ToTimes
    from loadkit.measure.histogram import Histogram
    from loadkit.measure.recording import Slice

EVERY: Final = 5.0
"""Seconds from one to the next, at least."""

SHARE: Final = 0.01
"""Of the time, in which the threads that send wait for the interpreter; 1 to 3 ms at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """How the result of a run that is under way is made: bit by bit."""

    to_times: ToTimes
    to_intervals: Callable[[list[Slice], float], list[Interval]]


Make: TypeAlias = "Callable[[Driven, Draft], Result]"


class _Ended(Exception):
    """The run has ended, and no draft of its result is needed."""


class Partial:
    """Writes `OUT.partial` while a run is under way; see `drive.threads.Keeper`.

    Args:
        output: where the result will be.
        now: the monotonic clock, nanoseconds.
        every: seconds from one to the next, at least.
        share: of the time that may be spent on it.
    """

    def __init__(
        self, output: Path, *, now: Callable[[], int] = time.monotonic_ns, every: float = EVERY, share: float = SHARE
    ) -> None:
        self.path = output.with_name(f"{output.name}.partial")
        self.finished: Sequence[Result] = ()
        """Results of runs before this one, which are in the file, too."""
        self._is_wanted = not output.exists() or output.is_file()
        self._now = now
        self._every = every
        self._share = share
        self._make: Make | None = None
        self._taken = 0
        self._spent = 0.0
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._known: dict[tuple[int, int], tuple[object, Interval, msgspec.Raw]] = {}

    @contextmanager
    def during(self, make: Make) -> Iterator[Partial]:
        """While a run is under way, whose result `make` makes; nothing is written afterwards."""
        self._make, self._taken = make, self._now()
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
        with contextlib.suppress(OSError):
            self.path.unlink()

    @property
    def is_due(self) -> bool:
        """True if the last one was written, and long enough ago."""
        is_busy = self._thread is not None and self._thread.is_alive()
        return self._is_wanted and not is_busy and self._now() - self._taken >= self._every * 1e9

    def take(self, driven: Driven) -> None:
        """Write what came of a run so far, in a thread of its own."""
        self._taken = self._now()
        self._thread = threading.Thread(target=self._write, args=(driven,), name="loadkit-partial", daemon=True)
        self._thread.start()

    def _write(self, driven: Driven) -> None:
        from loadkit.report.json import encoded, write_bytes

        assert self._make
        self._spent = time.thread_time()
        draft = Draft(to_times=self._to_times, to_intervals=self._to_intervals)
        try:
            result = self._make(driven, draft)
            packed: Any = [raw for _, _, raw in self._known.values()]
            content = encoded([*self.finished, msgspec.structs.replace(result, intervals=packed)])
            self._pause()
            write_bytes(self.path, content)
        except (_Ended, OutputError):
            # a disk that is full now may have room for the result
            return

    def _to_times(self, histogram: Histogram) -> Times:
        made = times(histogram)
        self._pause()
        return made

    def _to_intervals(self, series: list[Slice], duration: float) -> list[Interval]:
        """Those that have not changed since the last time are known."""
        before, self._known = self._known, {}
        for piece in series:
            key = piece.second, piece.length
            known = before.get(key)
            if known is None or known[0] != piece.rows:
                made = interval(piece, duration, self._to_times)
                known = piece.rows, made, msgspec.Raw(msgspec.json.encode(made))
            self._known[key] = known
        return [made for _, made, _ in self._known.values()]

    def _pause(self) -> None:
        """Leave the interpreter to those who send, for so long that this is a small share of the time."""
        spent = time.thread_time() - self._spent
        if self._ended.wait(spent * (1 / self._share - 1)):
            raise _Ended
        self._spent = time.thread_time()
