"""How much CPU a thread beside the load may take: a share of the time, and no more than a little at once."""

from __future__ import annotations

import threading
import time
from typing import Final

SHARE: Final = 0.01
"""Of the time, in which the threads that send wait for the interpreter."""

SHARE_SHOWN: Final = 0.03
"""The same where somebody looks at the run meanwhile."""

SHARE_AT_WORK: Final = 0.1
"""Of the time while a piece of work is done, 1 to 3 ms at once."""


class Pacing:
    """Pieces of work that are done now and then, until an event says that the run has ended."""

    def __init__(self, ended: threading.Event, *, every: float, share: float = SHARE) -> None:
        self._ended = ended
        self._every = every
        self._share = share
        self.cost = 0.0
        """Seconds of CPU that the last piece of work took."""
        self._spent = 0.0

    @property
    def rest(self) -> float:
        """Seconds from the last piece of work to the next."""
        return max(self._every, self.cost / self._share)

    def begin(self, cost: float = 0.0) -> None:
        """A piece of work begins in this thread, of which so many seconds of CPU were spent already."""
        self.cost, self._spent = cost, time.thread_time()

    def pause(self) -> bool:
        """Leave the interpreter to those who send, for so long that the work is a share of the time; True at the end.

        Then there is nobody left to wait for.
        """
        spent = time.thread_time() - self._spent
        self.cost += spent
        is_over = self._ended.wait(spent * (1 / SHARE_AT_WORK - 1))
        self._spent = time.thread_time()
        return is_over
