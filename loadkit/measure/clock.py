"""The clock that everything is measured by; it is kept in the wire's room, which reads it for each request."""

from __future__ import annotations

from loadkit.wire.clock import NAP, ManualClock, SystemClock

__all__ = ["NAP", "ManualClock", "SystemClock"]
