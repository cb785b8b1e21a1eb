"""A worker process as its parent has it: commands in, messages out, and how it ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from loadkit.drive.processes.protocol import Command, Done, Failed, Heartbeat, Message, line, take_frames
from loadkit.host.command import module_command, module_environment
from loadkit.measure.recording import JOURNEY, REQUEST
from loadkit.plan.errors import UsageError
from loadkit.plan.part import Part

if TYPE_CHECKING:
    from loadkit.measure.recording import Batch

MODULE: Final = "loadkit.drive.processes.worker"
GRACE: Final = 2.0
"""Seconds in which a process ends that has nothing more to do."""

_AT_ONCE: Final = 1 << 18
_LONGEST_LINE: Final = 1 << 16


class WorkerProcess:
    """One worker process. Its pipes are read when they have something; see `messages` and `stderr_text`."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.name = f"process {part.process + 1} of {part.processes}"
        self.is_ready = False
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
        self._process = _start(self.name)
        self._buffer = bytearray()
        self._unread_text = bytearray()
        self._last_line = ""
        os.set_blocking(self.pipes[1], False)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """It has more to tell."""
        return not (self.done or self.lost)

    @property
    def pipes(self) -> tuple[int, int]:
        """The file descriptors of its messages, and of what its code prints."""
        assert self._process.stdout
        assert self._process.stderr
        return self._process.stdout.fileno(), self._process.stderr.fileno()

    @property
    def cpu_seconds(self) -> float:
        """What it used, as far as it has told."""
        if self.done:
            return self.done.stats.cpu_seconds
        return self.latest.cpu_seconds if self.latest else 0.0

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"

    def send(self, command: Command) -> None:
        """Write a command; to one that has died it makes no difference."""
        assert self._process.stdin
        with contextlib.suppress(OSError):
            self._process.stdin.write(line(command))
            self._process.stdin.flush()

    def messages(self) -> list[Message] | None:
        """What has come in; None at the end of it, or where it is no message."""
        data = os.read(self.pipes[0], _AT_ONCE)
        self._buffer += data
        try:
            return take_frames(self._buffer) if data else None
        except msgspec.DecodeError:
            self.kill()
            return None

    def stderr_text(self) -> tuple[str, bool]:
        """What its code has printed, in whole lines, for others print, too; and whether this was the end of it."""
        try:
            data = os.read(self.pipes[1], _AT_ONCE)
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

    def how_it_ended(self) -> str:
        """How it has ended, or ends now: `was killed by SIGKILL`, `ended with exit code 3`."""
        try:
            code = self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.kill()
            return "closed its pipe and went on, and was killed"
        if self.failed:
            return f"failed: {self.failed.message}"
        if code >= 0:
            return f"ended with exit code {code}{f' ({self._last_line})' if self._last_line else ''}"
        return f"was killed by {_signal_name(-code)}"

    def await_end(self) -> None:
        """It has told all: let it end."""
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it, if it is still there."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """End it and let go of its pipes."""
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe
            with contextlib.suppress(OSError):
                pipe.close()


def _start(name: str) -> subprocess.Popen[bytes]:
    # the folder we are in is on the path only if it is on ours, which the assignment names
    command = module_command(MODULE)
    try:
        with _signals_held_back():
            return subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=module_environment()
            )
    except OSError as error:  # too many processes or open files, too little memory
        raise UsageError(f"cannot start {name}: {error.strerror}; use fewer processes") from None


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """A child begins with the signals blocked that its parent has blocked.

    A Ctrl-C in the terminal is for the whole group of processes: a worker that it meets before it can ignore it would
    die of it. For us it is only put off.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal has none
        return f"signal {number}"
