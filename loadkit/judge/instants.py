"""Instants and spans of the wall clock as whole nanoseconds, which add up the same in any order."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from loadkit.plan.units import nanoseconds

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A time on the wall clock."""

    start: str
    """UTC, ISO 8601."""
    length: float
    """Seconds."""

    @property
    def ends(self) -> tuple[int, int]:
        """Its start and its end, nanoseconds since the epoch."""
        start = instant(self.start)
        return start, start + nanoseconds(self.length)


def instant(text: str) -> int:
    """Nanoseconds since the epoch of a time in ISO 8601, which is UTC unless it says otherwise; to the microsecond.

    Raises `ValueError` for what is no time, and `OverflowError` for one that is in no year from 1 to 9999 of UTC.
    """
    at = datetime.fromisoformat(text)
    utc = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return (utc - _EPOCH) // _MICROSECOND * 1000


def later(start: str, seconds: float) -> str:
    """An instant so many seconds after another, as text, to the nearest microsecond."""
    after = instant(start) // 1000 + round(seconds * 1e6)
    return (_EPOCH + after * _MICROSECOND).isoformat(timespec="microseconds")


def united(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans from start to end, those that overlap or touch as one, in their order."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


def covered(spans: Iterable[tuple[int, int]]) -> int:
    """The length of the union of spans."""
    return sum(end - start for start, end in united(spans))
