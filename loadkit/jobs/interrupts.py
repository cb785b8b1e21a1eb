"""Ctrl-C and SIGTERM while something runs: counted, not raised, so that nothing measured is lost."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class SignalCounter:
    """Counts SIGINT and SIGTERM as long as it is entered. Calling it tells how many came.

    Signals reach the main thread only; entered elsewhere it counts nothing and changes nothing.
    """

    def __init__(self) -> None:
        self._count = 0
        self._before: dict[signal.Signals, Any] = {}

    def __call__(self) -> int:
        return self._count

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _take(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - what signal.signal calls
        self._count += 1
