"""Ctrl-C and SIGTERM while something runs: counted, not raised, so that nothing measured is lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def counted_signals() -> Iterator[Callable[[], int]]:
    """Give what tells how many SIGINT and SIGTERM came meanwhile.

    Signals reach the main thread only; elsewhere nothing is counted, and nothing changed.
    """
    seen: list[int] = []

    def count(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - what signal.signal calls
        seen.append(number)

    is_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, count) for number in (signal.SIGINT, signal.SIGTERM) if is_main}
    try:
        yield lambda: len(seen)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
