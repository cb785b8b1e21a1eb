"""What each of several machines did of a load that they share, as it is stored with the result of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from loadkit.host.locality import source_address

if TYPE_CHECKING:
    from loadkit.wire.base import Origin
    from loadkit.wire.protocols import Wire


CLOCK_WRONG: Final = 2.0
"""Seconds from the clock of a machine to that of the target, or of who directs it, above which no time server sets it.

What is measured of it is exact to some hundredths of a second then, so that all see alike which one is meant.
"""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """One of several machines: its part of the load, what it did of it, and how punctually."""

    host: str
    """Its name, as the user gave it where he did."""
    part: int
    """Which of the parts it had, from 1."""
    parts: int
    """How many there were to be."""
    started_at: str
    """When it began to measure, UTC, ISO 8601, by the clock of who directs them, or its own where nobody does."""
    duration: float
    """Seconds that it measured."""
    processes: int
    threads: int
    """How many it had in the end."""
    requests: int
    throughput: float
    """Good replies a second that it measured."""
    failures: int
    cpu_seconds: float
    """CPU time of the generator while it measured."""
    cpu_capacity: float
    """CPUs that the generator may use."""
    lateness_p99: float | None
    lateness_max: float | None
    """How late it sent, after requests were due; seconds, None where nothing was sent."""
    late_start: float = 0.0
    """Seconds from the instant at which all were to begin until it did."""
    clock_offset: float | None = None
    """Seconds that its clock is ahead of that of who directs them, or of the target; None where nobody knows."""
    clock_error: float = 0.0
    """By how much that may be wrong at most, seconds."""
    addresses: list[str] = []
    """From which it sent."""
    ended: str = ""
    """How it ended, where it did not as planned: `interrupted`, `was killed by SIGKILL`."""

    @property
    def name(self) -> str:
        """What reports call it: `part 2/5 (web-3)`."""
        return f"part {self.part}/{self.parts} ({self.host})"

    @property
    def is_clock_wrong(self) -> bool:
        """True if its instants are told by the other clock, and not by its own."""
        return abs(self.clock_offset or 0.0) > CLOCK_WRONG


def addresses_of(origins: Sequence[Origin], wire: Wire) -> list[str]:
    """From which addresses this machine sends to these."""
    found = [source_address(*wire.resolver.addresses(origin)[0]) for origin in origins if not origin.unix]
    return sorted({address for address in found if address})
