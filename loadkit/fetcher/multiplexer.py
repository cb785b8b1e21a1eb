"""One thread that waits for the replies on many connections.

A thread that waits for its own reply has to be woken for it, and 20 threads that are awake wait for each other: that
cost more than the reply. So a thread attaches its stream of exchanges here and sleeps. A reply that arrives whole is
processed, and followed by the next request, on the thread of the multiplexer. Whatever is out of the ordinary detaches
the stream, and its own thread, which may block, goes on with it.

The multiplexer knows nothing of what the requests are for: see `Stream` for all that it calls.
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

IS_AVAILABLE: Final = hasattr(select, "epoll")
TICK: Final = 50 * MILLISECOND
BUFFER: Final = 256 * 1024
"""Bytes received at once."""
IDLE_SHARE: Final = 2
"""The multiplexer is busy if it waited for less than 1/IDLE_SHARE of the last period. Then the next requests go out
together. If it is idle, each goes out at once: sent together they would be answered together, and wait for each
other."""
SLOW: Final = 2 * MILLISECOND
"""Average time to process a reply, 20 times the usual, above which streams are turned away: with a slow disk each
thread is better off by itself."""
SLOWEST: Final = 8 * SLOW
"""Cap for one sample, so that a single stall of the disk turns nobody away."""
WEIGHT: Final = 32
"""Replies that the average is taken over."""
PAUSE: Final = SECOND // 4
"""How long streams are turned away the first time; each further time twice as long. The cause need not last: while a
fetch starts, the thread that reads the list holds the interpreter."""
LONGEST_PAUSE: Final = 16 * SECOND


class Step(Enum):
    """What a stream wants after it received something."""

    WAIT = "more of the reply"
    NEXT = "the next request, for the reply was whole"
    DETACH = "to be detached"


class Reason(Enum):
    """Why a stream was detached."""

    WANTED = "the stream asked for it"
    TIMED_OUT = "its deadline passed"
    TURNED_AWAY = "the multiplexer is closed, or too slow"


class Stream(Protocol):
    """Exchanges on one connection, one after the other. Its methods are never called by two threads at once."""

    deadline: int
    """When the reply in progress must be there, nanoseconds of the clock."""

    def start_next(self) -> bool:
        """Send the next request; False if the stream is to be detached."""

    def receive(self, buffer: memoryview) -> Step:
        """Receive into the buffer, which is only the stream's during the call."""

    def detached(self, reason: Reason) -> None:
        """The multiplexer has let go of the stream; called once for each time it was attached."""


class Poll(Protocol):
    """What is used of `select.epoll`."""

    def register(self, fd: int, eventmask: int, /) -> None:
        """Watch a descriptor."""

    def unregister(self, fd: int, /) -> None:
        """Watch it no longer."""

    def poll(self, timeout: float, /) -> list[tuple[int, int]]:
        """Wait up to so many seconds; the descriptors on which something happened."""

    def close(self) -> None:
        """Close."""


class Admission:
    """Admits streams, except for a while after replies took too long to process, on average."""

    def __init__(self) -> None:
        self.is_open = True
        self._average = 0
        self._pause = PAUSE
        self._opens_at = 0

    def add(self, span: int) -> None:
        """Count the nanoseconds that one reply took."""
        self._average += min(span, SLOWEST) - self._average // WEIGHT

    def update(self, now: int) -> None:
        """Close if the average is too high, and open again after a pause."""
        if self._average > SLOW * WEIGHT:
            self.is_open = False
            self._average, self._opens_at = 0, now + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
        elif now >= self._opens_at:
            self.is_open = True


class Multiplexer:
    """See the module. `attach` may be called by any thread, `run` by one of its own, `close` by whoever ends it."""

    def __init__(self, clock: Clock, poll: Poll | None = None) -> None:
        self._clock = clock
        self._poll = poll or select.epoll()
        self._wake, self._waker = os.pipe()
        self._poll.register(self._wake, select.EPOLLIN)
        # one for all: a new buffer for each reply took as long as everything else
        self._buffer = memoryview(bytearray(BUFFER))
        self._streams: dict[int, Stream] = {}
        self._registering = Lock()
        self._admission = Admission()
        self._checked = clock.now()
        self._waited = 0
        self._is_busy = False
        self._is_over = False

    @property
    def is_open(self) -> bool:
        """True if streams are accepted."""
        return self._admission.is_open and not self._is_over

    @property
    def attached(self) -> int:
        """How many streams are attached."""
        return len(self._streams)

    def attach(self, stream: Stream, handle: int) -> bool:
        """Wait for the reply of a request that `stream` has sent on this descriptor; False if it is not accepted."""
        # `_check` must not detach a stream that is not registered yet
        with self._registering:
            if not self.is_open:
                return False
            try:
                # a descriptor of our own, for the other may be closed and its number given to another connection
                handle = os.dup(handle)
            except OSError:  # there are no more of them
                return False
            self._streams[handle] = stream
            self._poll.register(handle, select.EPOLLIN)
        return True

    def run(self) -> None:
        """Serve the streams until `close` is called."""
        try:
            while not self._is_over:
                self.poll()
        finally:
            self._is_over = True
            self._check(self._clock.now())
            self._poll.close()
            os.close(self._wake)

    def close(self) -> None:
        """End `run`, which detaches all streams."""
        os.close(self._waker)

    def poll(self) -> None:
        """Wait once, and process what has arrived."""
        now, streams = self._clock.now, self._streams
        asked = now()
        events = self._poll.poll(TICK / SECOND)
        self._waited += now() - asked
        ready = []
        for handle, _ in events:
            if handle == self._wake:
                self._is_over = True
                continue
            began = now()
            step = streams[handle].receive(self._buffer)
            self._admission.add(now() - began)
            if step is Step.NEXT and self._is_busy:
                ready.append(handle)
            elif step is Step.DETACH or (step is Step.NEXT and not streams[handle].start_next()):
                self._detach(handle, Reason.WANTED)
        # together: a server that slept was woken for each of them, which was a third of the CPU
        for handle in ready:
            if not streams[handle].start_next():
                self._detach(handle, Reason.WANTED)
        if now() - self._checked > TICK:
            # a reply that arrived while this thread was held up is not late: at `asked` it had not been looked for
            self._check(asked)

    def _check(self, moment: int) -> None:
        """Detach the streams whose deadline was before this moment, or all if none are accepted any longer."""
        now = self._clock.now()
        self._is_busy = self._waited * IDLE_SHARE < now - self._checked
        self._checked, self._waited = now, 0
        with self._registering:
            self._admission.update(now)
            for handle, stream in list(self._streams.items()):
                if stream.deadline < moment:
                    self._detach(handle, Reason.TIMED_OUT)
                elif not self.is_open:
                    self._detach(handle, Reason.TURNED_AWAY)

    def _detach(self, handle: int, reason: Reason) -> None:
        stream = self._streams.pop(handle)
        self._poll.unregister(handle)
        os.close(handle)
        stream.detached(reason)
