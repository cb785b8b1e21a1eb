"""Waits until descriptors can be read, an instant has come, or another thread wakes it."""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable, Sized
from contextlib import suppress
from typing import Final

from loadkit.plan.units import MILLISECOND, SECOND

_LISTED: Final = 1024
"""The first descriptor that `select` cannot wait for."""
_COARSE: Final = 4 * MILLISECOND
"""The kernel ends a wait up to a thousandth of its length late, or a two-hundredth if the process is nice, to wake up
less often: a longer one than this is ended before it, and then the rest is waited for."""


class Poller:
    """Epoll, and for each descriptor what is done when it can be read; all but `wake` is for one thread."""

    __slots__ = ("_epoll", "_waker", "is_woken", "steps", "unread")

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._waker = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._waker, select.EPOLLIN)
        self.steps: dict[int, Callable[[], object]] = {self._waker: self._be_woken}
        """Called as long as there is something to read; of a descriptor that is not here nothing is done."""
        self.is_woken = False
        """`wake` was called; for whoever waits to set back."""
        self.unread: deque[tuple[int, int]] = deque()
        """Descriptors that can be read, and their events."""

    def watch(self, fd: int) -> None:
        """Look at this descriptor from now on."""
        self._epoll.register(fd, select.EPOLLIN)

    def forget(self, fd: int) -> None:
        """Look at it no more; it may have been closed by another thread."""
        self.steps.pop(fd, None)
        with suppress(OSError):
            self._epoll.unregister(fd)

    def wait(self, span: int, found: Sized, *, punctual: bool) -> int:
        """Wait up to so many nanoseconds, and do what is to be done; how many descriptors were read.

        When something has been `found`, the `unread` ones wait for the next time. Not `punctual` it is up to a
        millisecond more, as epoll has it; select has the kernel's own timers.
        """
        if not self.unread:
            if span > 0 and punctual and self._epoll.fileno() < _LISTED:
                span -= span // 128 if span > _COARSE else 0
                if not select.select([self._epoll], (), (), span / SECOND)[0]:
                    return 0
                span = 0
            self.unread.extend(self._epoll.poll(span / SECOND if span > 0 else 0))
        unread, steps = self.unread, self.steps
        before = len(unread)
        while unread and not found:
            fd, _ = unread.popleft()
            if fd in steps:
                steps[fd]()
        return before - len(unread)

    def wake(self) -> None:
        """Have `wait` return; for any thread, also one that outlives this."""
        with suppress(OSError):
            os.eventfd_write(self._waker, 1)

    def _be_woken(self) -> None:
        os.eventfd_read(self._waker)
        self.is_woken = True

    def close(self) -> None:
        """Close what waits, and not what it waited for."""
        self._epoll.close()
        os.close(self._waker)
