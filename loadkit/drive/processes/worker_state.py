"""A worker as its director has it: commands in, messages out, and how it ended; a channel carries them."""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import msgspec

from loadkit.drive.processes.protocol import Command, Done, Failed, Heartbeat, Message, line, take_frames
from loadkit.measure.counts import Counts
from loadkit.measure.recording import JOURNEY, REQUEST

if TYPE_CHECKING:
    from loadkit.measure.recording import Batch
    from loadkit.plan.part import Part
    from loadkit.wire.base import Clock

GRACE: Final = 2.0
"""Seconds in which a process ends that has nothing more to do."""

_AT_ONCE: Final = 1 << 18
_LONGEST_LINE: Final = 1 << 16


class Host(NamedTuple):
    """A machine on which a worker process is."""

    name: str
    clock_error: int
    """By how much the offset of its clock may be wrong at most, nanoseconds."""


class Channel(Protocol):
    """What a worker process is spoken to by: pipes to a child of ours, or those of another machine, relayed."""

    @property
    def host(self) -> Host | None:
        """The machine that it leads to; None for this one."""

    @property
    def kind(self) -> str:
        """What it leads to: a `process`, or a `machine`."""

    @property
    def name(self) -> str:
        """Which one it leads to: `process 1 of 2 (pid 77)`."""

    @property
    def lead(self) -> int:
        """Nanoseconds from the command to begin to the beginning, so that it has heard it by then."""

    @property
    def pipes(self) -> tuple[int, int]:
        """The file descriptors of its messages, and of what its code prints."""

    def write(self, data: bytes) -> None:
        """Write to its stdin; to one that has died it makes no difference."""

    def wall_offset(self, clock: Clock) -> int:
        """What its wall clock shows less what our monotonic clock does, nanoseconds."""

    def wait(self, seconds: float) -> int | str | None:
        """Its exit code once it has ended, negative for a signal, or how else it was lost; None if it goes on."""

    def kill(self) -> str:
        """End it, if it is still there; how that is called."""

    def close(self) -> None:
        """End it and let go of its pipes."""


class WorkerState:
    """One worker process. Its pipes are read when they have something; see `messages` and `stderr_text`."""

    def __init__(self, part: Part, channel: Channel) -> None:
        self.part = part
        self.channel = channel
        self.is_ready = False
        self.addresses: list[str] = []
        """From which it sends."""
        self.heard_at = 0
        """When it last said something, nanoseconds of the monotonic clock."""
        self.silent_since = 0
        """The same, where it has been silent for too long; else 0."""
        self.latest: Heartbeat | None = None
        self.done: Done | None = None
        self.failed: Failed | None = None
        self.lost = ""
        """How it was lost."""
        self.reported: Counter[tuple[str, str, int]] = Counter()
        """What it has accounted for, by label and phase: requests, and what was cut or unsent."""
        self.counts = Counts()
        """Of all its requests, where it is on another machine."""
        self._buffer = bytearray()
        self._unread_text = bytearray()
        self._last_line = ""
        os.set_blocking(channel.pipes[1], False)

    @property
    def is_running(self) -> bool:
        """It has more to tell."""
        return not (self.done or self.lost)

    @property
    def cpu_seconds(self) -> float:
        """What it used, as far as it has told."""
        if self.done:
            return self.done.stats.cpu_seconds
        return self.latest.cpu_seconds if self.latest else 0.0

    def __str__(self) -> str:
        return self.channel.name

    def send(self, command: Command) -> None:
        """Write a command; to one that has died it makes no difference."""
        self.channel.write(line(command))

    def messages(self) -> list[Message] | None:
        """What has come in; None at the end of it, or where it is no message."""
        data = os.read(self.channel.pipes[0], _AT_ONCE)
        self._buffer += data
        try:
            return take_frames(self._buffer) if data else None
        except msgspec.DecodeError:
            self.channel.kill()
            return None

    def stderr_text(self) -> tuple[str, bool]:
        """What its code has printed, in whole lines, for others print, too; and whether this was the end of it."""
        try:
            data = os.read(self.channel.pipes[1], _AT_ONCE)
        except BlockingIOError:
            return "", False
        self._unread_text += data
        unread = self._unread_text
        whole = len(unread) if not data or len(unread) > _LONGEST_LINE else unread.rfind(b"\n") + 1
        text = unread[:whole].decode("utf-8", "backslashreplace")
        del unread[:whole]
        self._last_line = next((line.strip() for line in reversed(text.split("\n")) if line.strip()), self._last_line)
        return text, not data

    def count_reported(self, batch: Batch) -> None:
        """Remember what it has accounted for."""
        if batch.counts and batch.kind in (REQUEST, JOURNEY):
            known = batch.counts.requests + batch.counts.cut + batch.counts.unsent
            self.reported[batch.kind, batch.label, batch.phase] += known
        if batch.counts and batch.kind == REQUEST and self.channel.host:
            self.counts.add(batch.counts)

    def how_it_ended(self) -> str:
        """How it has ended, or ends now: `was killed by SIGKILL`, `ended with exit code 3`."""
        ended = self.channel.wait(GRACE)
        if ended is None:
            self.channel.kill()
            return "closed its pipe and went on, and was killed"
        if self.failed:
            return f"failed: {self.failed.message}"
        if isinstance(ended, str):
            return ended
        if ended >= 0:
            return f"ended with exit code {ended}{f' ({self._last_line})' if self._last_line else ''}"
        return f"was killed by {_signal_name(-ended)}"

    def await_end(self) -> None:
        """It has told all: let it end."""
        if self.channel.wait(GRACE) is None:
            self.channel.kill()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal has none
        return f"signal {number}"
