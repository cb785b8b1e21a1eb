"""Which part of a load one of several machines, or processes, has: they share it without a word to each other.

What is numbered (arrivals, threads, rows for threads) belongs to each in turn: the k-th to part k mod n. A machine
shares out what is its own to its processes in the same way, so that how many of those another machine has is of no
matter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Final

from loadkit.plan.errors import UsageError
from loadkit.plan.units import SECOND, show_span

_RIGHT: Final = "write it like 2/5, the second of five parts"
_RIGHT_TIME: Final = "write it like 12:00:00Z, which is UTC, or 2030-01-31T12:00:00+01:00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The part of one machine, or of one of its processes; both are counted from 0, and shown from 1."""

    number: int = 0
    count: int = 1
    """How many machines share the load."""
    process: int = 0
    processes: int = 1
    """How many processes share the part of the machine."""
    at: int | None = None
    """When all machines begin, nanoseconds of the wall clock; None for each as soon as it is ready."""

    def __str__(self) -> str:
        return f"{self.number + 1}/{self.count}"

    @property
    def first(self) -> int:
        """The number of the first arrival, or thread, of it."""
        return self.number + self.count * self.process

    @property
    def step(self) -> int:
        """From the number of one arrival, or thread, to that of the next."""
        return self.count * self.processes

    @property
    def is_whole(self) -> bool:
        """True if one machine has all of the load."""
        return self.count == 1

    def share(self, amount: int) -> int:
        """How much of an amount that is dealt out one by one belongs to it."""
        return len(range(self.first, amount, self.step))

    @property
    def machine(self) -> Part:
        """The part of the machine, of which it is that of a process."""
        return replace(self, process=0, processes=1)

    def split(self, processes: int) -> list[Part]:
        """The parts of the processes of this machine."""
        return [replace(self, process=process, processes=processes) for process in range(processes)]


WHOLE: Final = Part()


def part(text: str) -> Part:
    """Read a part as the command line has it: `2/5` is the second of five.

    Raises `UsageError` for text that cannot be read.
    """
    found = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
    if not found:
        raise UsageError(f"cannot read the part {text!r}; {_RIGHT}")
    number, count = int(found[1]), int(found[2])
    if not number:
        raise UsageError(f"parts count from 1, and {text!r} has none before the first; {_RIGHT}")
    if number > count:
        raise UsageError(f"there is no part {number:,} of {count:,}; {_RIGHT}")
    return Part(number=number - 1, count=count)


def start_instant(text: str, now: int) -> int:
    """Read when machines begin, nanoseconds of the wall clock, which shows `now`: ISO 8601 with a time zone.

    A time without a date is the next such time, at most 12 hours away. Raises `UsageError` for text that cannot be
    read, a time without a zone, and one that has passed.
    """
    here = datetime.fromtimestamp(now / SECOND, UTC)
    found = _next_of(text, here)
    if found <= here:
        ago = show_span(max(1, round((here - found).total_seconds())))
        shown, by_clock = found.astimezone(UTC).isoformat()[:19], here.isoformat()[11:19]
        raise UsageError(
            f"--at {text} passed {ago} ago: it was {shown}Z, and the clock of this machine shows {by_clock}Z"
        )
    return round(found.timestamp() * 1e6) * 1000


def _next_of(text: str, here: datetime) -> datetime:
    try:
        found = datetime.fromisoformat(text) if "-" in text[:5] else _near(time.fromisoformat(text), here)
    except (ValueError, OverflowError):
        raise UsageError(f"cannot read the time --at {text!r}; {_RIGHT_TIME}") from None
    if found.tzinfo is None:
        raise UsageError(f"--at {text!r} says no time zone, and machines may differ in theirs; {_RIGHT_TIME}")
    return found


def _near(found: time, here: datetime) -> datetime:
    """The instant nearest to `here` at which clocks show a time."""
    today = datetime.combine(here.astimezone(found.tzinfo), found)
    if found.tzinfo is None:
        return today
    days = (timedelta(days=days) for days in (-1, 0, 1))
    return min((today + day for day in days), key=lambda one: abs(one - here))
