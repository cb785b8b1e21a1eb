"""One thread that waits for the replies of many, and does what is ordinary about them.

A thread that waits for its reply has to be woken for it, and twenty that are awake wait for each other: that cost more
than the reply. So they hand their connections over; a reply that comes whole is saved, and followed by the next
request, here. What is out of the ordinary goes back to the thread whose connection it is, which may wait.
"""

from __future__ import annotations

import os
import select
from enum import Enum
from threading import Lock
from typing import TYPE_CHECKING, Final, Protocol

from loadkit.plan.units import MILLISECOND, SECOND

if TYPE_CHECKING:
    from loadkit.wire.base import Clock

HAS_POLL: Final = hasattr(select, "epoll")
TICK: Final = 50 * MILLISECOND
SLOW: Final = 2 * MILLISECOND
"""What a reply may take here on average, 20 times the usual: with a slower disk each thread is better off by itself."""
REST: Final = SECOND // 4
LONGEST_REST: Final = 16 * SECOND
"""How long each thread is left to itself then, at first and at most. It need not be the disk: as a fetch begins, who
reads the list holds the interpreter."""
SLOWEST: Final = 8 * SLOW
"""What a single one counts for at most, for a disk that stalled once is not slow."""
ROOM: Final = 256 * 1024
"""Bytes taken at once."""
IDLE: Final = 2
"""Who waits for less than one part in so many of the time is busy. Then the next requests go out together; if there is
time, each as soon as it can, for together they would be answered together, and wait for each other."""
WEIGHT: Final = 32
"""So many replies make the average."""


class Then(Enum):
    """What is to be done after something came."""

    WAIT = "for more of it"
    SET_OFF = "again, the reply was whole"
    LEAVE = "there is something to do for the thread itself"


class Rider(Protocol):
    """A thread's work while it waits. What is called here is never called by two threads at once."""

    due_by: int
    """When the reply under way must be there, nanoseconds of the clock."""

    def set_off(self) -> bool:
        """Send the next request; False where the thread itself has to do something first."""

    def take(self, room: memoryview) -> Then:
        """Take what came, for which there is room."""

    def leave(self, *, late: bool) -> None:
        """The thread is to go on by itself; `late`: for the reply did not come in time."""


class Poll(Protocol):
    """What is used of `select.epoll`."""

    def register(self, fd: int, eventmask: int, /) -> None:
        """Look at it, too."""

    def unregister(self, fd: int, /) -> None:
        """Look at it no more."""

    def poll(self, timeout: float, /) -> list[tuple[int, int]]:
        """Wait so many seconds for something to come; where it did."""

    def close(self) -> None:
        """Close."""


class Pump:
    """See the module. `carry` is called by the threads, `run` by one of its own, `end` by whoever ends it."""

    def __init__(self, clock: Clock, poll: Poll | None = None) -> None:
        self._clock = clock
        self._poll = poll or select.epoll()
        self._end, self._say_end = os.pipe()
        self._poll.register(self._end, select.EPOLLIN)
        # one for all, and always the same: a buffer of its own for each reply took as long as everything else
        self._room = memoryview(bytearray(ROOM))
        self._riders: dict[int, tuple[Rider, Lock]] = {}
        self._boarding = Lock()
        self._pace = 0
        self._rest = REST
        self._opens = 0
        self._looked = clock.now()
        self._waited = 0
        self._is_busy = False
        self._is_over = False
        self.is_open = True
        """Whether riders are taken."""

    def carry(self, rider: Rider, handle: int) -> None:
        """Work for a thread on its connection, and return when it has to do something itself."""
        if not rider.set_off():
            return
        waiting = Lock()
        waiting.acquire()
        if self._board(rider, handle, waiting):
            waiting.acquire()
        else:
            rider.leave(late=False)

    def _board(self, rider: Rider, handle: int, waiting: Lock) -> bool:
        # whoever looks around meanwhile would let off one that is not registered yet
        with self._boarding:
            if not self.is_open:
                return False
            try:
                # a number of our own, for the other may be closed meanwhile and be given to another connection
                handle = os.dup(handle)
            except OSError:  # there are no more of them
                return False
            self._riders[handle] = rider, waiting
            self._poll.register(handle, select.EPOLLIN)
        return True

    def run(self) -> None:
        """Until the end."""
        try:
            while not self._is_over:
                self.wait()
        finally:
            self._is_over, self.is_open = True, False
            self._look_around(self._clock.now())
            self._poll.close()
            os.close(self._end)

    @property
    def carried(self) -> int:
        """Riders whose replies are waited for."""
        return len(self._riders)

    def wait(self) -> None:
        """Wait once for what comes, and do what there is to be done."""
        now, riders = self._clock.now, self._riders
        asked = now()
        events = self._poll.poll(TICK / SECOND)
        self._waited += now() - asked
        ready = []
        for handle, _ in events:
            if handle == self._end:
                self._is_over = True
                continue
            began = now()
            then = riders[handle][0].take(self._room)
            self._pace += min(now() - began, SLOWEST) - self._pace // WEIGHT
            if then is Then.SET_OFF and self._is_busy:
                ready.append(handle)
            elif then is Then.LEAVE or (then is Then.SET_OFF and not riders[handle][0].set_off()):
                self._let_off(handle)
        # all of them at once: a server that slept was woken for each, and that was a third of the CPU
        for handle in ready:
            if not riders[handle][0].set_off():
                self._let_off(handle)
        if now() - self._looked > TICK:
            # what came while we were held up is not late: nothing had come by the time we asked for
            self._look_around(asked)

    def end(self) -> None:
        """Nobody is to be carried any more."""
        os.close(self._say_end)

    def _look_around(self, moment: int) -> None:
        """Let those off whose replies had not come at that moment, or all if nobody is carried any more."""
        now = self._clock.now()
        self._is_busy = self._waited * IDLE < now - self._looked
        self._looked, self._waited = now, 0
        with self._boarding:
            if self._pace > SLOW * WEIGHT:
                self.is_open = False
                self._pace, self._opens = 0, now + self._rest
                self._rest = min(2 * self._rest, LONGEST_REST)
            elif not self._is_over and now >= self._opens:
                self.is_open = True
            for handle, (rider, _) in list(self._riders.items()):
                late = rider.due_by < moment
                if late or not self.is_open:
                    rider.leave(late=late)
                    self._let_off(handle)

    def _let_off(self, handle: int) -> None:
        waiting = self._riders.pop(handle)[1]
        self._poll.unregister(handle)
        os.close(handle)
        waiting.release()
