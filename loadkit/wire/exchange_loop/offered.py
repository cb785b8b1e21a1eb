"""What the exchange loop in Python knows of arrivals: those that were offered, and the users that wait for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from loadkit.wire.exchange_loop.contract import LATEST
from loadkit.wire.exchange_loop.held import NEVER


class OfferedArrivals:
    """See `Arrivals`."""

    __slots__ = ("_behind_last", "_in_turn", "_is_asked", "_is_tight", "idle", "queue")

    def __init__(self) -> None:
        self.queue: deque[tuple[int, int]] = deque()
        """In which place of its turn a user sends what, and when that is due."""
        self.idle: deque[Callable[[], object]] = deque()
        """How users go on that are idle, the next one first."""
        self._behind_last = NEVER
        """When the one behind these is due: nobody knows yet, or 0 if these are the last."""
        self._in_turn = 1
        self._is_asked = False
        self._is_tight = False
        """The last one that was begun left no user idle."""

    def offer(self, arrivals: Sequence[tuple[int, int]], /) -> None:
        self.queue.extend(arrivals)

    def finish(self) -> None:
        self._behind_last = 0

    @property
    def offered(self) -> int:
        return len(self.queue)

    def withdraw(self) -> int:
        count = len(self.queue)
        self.queue.clear()
        self._behind_last = NEVER
        return count

    def rotate(self, count: int, /) -> None:
        self._in_turn = count

    def ask_for_more(self) -> None:
        self._is_asked = True

    @property
    def next_due(self) -> int:
        """When the next one is due, or there is to be none; the far future if nobody knows."""
        return self.queue[0][1] if self.queue else self._behind_last

    def take(self) -> int:
        """Begin the next one: its place."""
        self._is_tight = not self.idle
        return self.queue.popleft()[0]

    def add_idle(self, go_on: Callable[[], object]) -> None:
        """A user waits that goes on so."""
        self._is_tight = False
        if len(self.idle) < self._in_turn:
            self.idle.append(go_on)
        else:
            self.idle.appendleft(go_on)

    @property
    def is_short(self) -> bool:
        """True if nobody is idle for the next one, and it was asked for that."""
        return self._is_asked and self._is_tight and self.next_due > 0

    def note_short(self) -> None:
        """It was told."""
        self._is_asked = self._is_tight = False

    def begin(self, instant: int, stop_at: int) -> bool:
        """Have idle users send what is due; True if there is nothing more for them."""
        idle, queue = self.idle, self.queue
        is_stopped = instant >= stop_at
        due_until = instant if not is_stopped else stop_at - 1 if instant < stop_at + LATEST else 0
        while idle and queue and queue[0][1] <= due_until:
            idle.popleft()()
        return is_stopped or not self.next_due
