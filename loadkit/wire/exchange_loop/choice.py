"""Which exchange loop carries users: that in C where the extension was built, else that in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadkit.clock import MONOTONIC
from loadkit.wire.exchange_loop.native_loop import NativeLoop
from loadkit.wire.exchange_loop.python_loop import IS_AVAILABLE, PythonLoop
from loadkit.wire.extension import EXTENSION

if TYPE_CHECKING:
    from loadkit.wire.base import Clock
    from loadkit.wire.exchange_loop.contract import ExchangeLoop

__all__ = ["IS_AVAILABLE", "is_native", "new_loop"]


def is_native(clock: Clock) -> bool:
    """True if loops by this clock are those in C, which know only the system's."""
    return EXTENSION is not None and clock.now is MONOTONIC


def new_loop(clock: Clock) -> ExchangeLoop:
    """A loop that goes by this clock."""
    return NativeLoop(clock) if is_native(clock) else PythonLoop(clock)
