"""When one thread of a closed workload was active, for each time for which the plan wanted it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadkit.drive.state import NEVER

if TYPE_CHECKING:
    from loadkit.drive.stats import Active


class ActiveSpans:
    """Notes when a thread comes, what it sends, and when it goes; times are nanoseconds of the monotonic clock."""

    __slots__ = ("_came", "first_sent", "last_taken", "spans")

    def __init__(self) -> None:
        self.spans: list[Active] = []
        self._came = NEVER
        self.first_sent = 0
        """Since it came; 0 until it has sent something."""
        self.last_taken = 0
        """The same of its last reply."""

    def come(self, instant: int) -> None:
        """It is wanted from now on."""
        self._came, self.first_sent, self.last_taken = instant, 0, 0

    def saw(self, sent: int, taken: int) -> None:
        """It was active from this sending, or before it, until this reply."""
        self.first_sent = self.first_sent or sent or taken
        self.last_taken = taken

    def go(self) -> None:
        """It is not wanted any more: keep when it was active, if it sent anything."""
        if self.first_sent:
            self.spans.append((self._came, self.first_sent, self.last_taken))
        self._came = NEVER

    def abandon(self, now: int) -> None:
        """It is held by code of others, and counts as active until now."""
        if self._came < now:
            self.first_sent, self.last_taken = self.first_sent or self._came, now
            self.go()
