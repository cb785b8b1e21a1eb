"""What threads have under way, and what they have not handed over yet: counted in no second, and known all the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import msgspec

from loadkit.measure.recording import Recording

Waiting: TypeAlias = tuple[str, str, int]
"""Kind and label of what a thread waits for, and since when; the label of a journey's request is not known."""
Pending: TypeAlias = tuple[str, str, int, int]
"""Kind, label, second, and how many replies that a thread took in it wait to be handed over."""


class Outstanding(msgspec.Struct, frozen=True, array_like=True):
    """What was under way at an instant; instants are nanoseconds of the monotonic clock."""

    at: int
    waiting: Sequence[Waiting] = ()
    pending: Sequence[Pending] = ()

    def shifted(self, by: int) -> Outstanding:
        """The same by a clock that shows `by` nanoseconds more."""
        waiting = [(kind, label, since + by) for kind, label, since in self.waiting]
        return Outstanding(self.at + by, waiting, self.pending)


class Monitor(Protocol):
    """Judges the seconds of a run while it is under way."""

    @property
    def is_missed(self) -> bool:
        """True if the run is to end."""

    def look(self, recording: Recording, before: int, start: int, outstanding: Sequence[Outstanding]) -> None:
        """Judge the seconds before one, which are open in the recording; measuring began at `start`."""
