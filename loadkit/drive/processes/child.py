"""A worker process that is a child of this one: started with pipes, which carry what the two write to each other."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from loadkit.host.command import module_command, module_environment
from loadkit.plan.errors import UsageError
from loadkit.plan.units import MILLISECOND

if TYPE_CHECKING:
    from loadkit.drive.processes.protocol import Assignment
    from loadkit.wire.base import Clock

MODULE: Final = "loadkit.drive.processes.worker"


class ChildProcess:
    """A worker process of ours; see `Channel`."""

    kind: Final = "process"
    host: Final = None
    lead: Final = 50 * MILLISECOND

    def __init__(self, assignment: Assignment) -> None:
        part = assignment.part
        name = f"process {part.process + 1} of {part.processes}"
        self._process = start_worker(name)
        self.name = f"{name} (pid {self._process.pid})"

    @property
    def pipes(self) -> tuple[int, int]:
        """The file descriptors of its messages, and of what its code prints."""
        assert self._process.stdout
        assert self._process.stderr
        return self._process.stdout.fileno(), self._process.stderr.fileno()

    def write(self, data: bytes) -> None:
        """Write to its stdin; to one that has died it makes no difference."""
        assert self._process.stdin
        with contextlib.suppress(OSError):
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def wall_offset(self, clock: Clock) -> int:
        """That of our own wall clock, which is the same."""
        return clock.wall_offset

    def wait(self, seconds: float) -> int | None:
        """Its exit code once it has ended, negative for a signal; None if it goes on."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> str:
        """End it, if it is still there; how that is called."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        return "killed"

    def close(self) -> None:
        """End it and let go of its pipes."""
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe
            with contextlib.suppress(OSError):
                pipe.close()


def start_worker(name: str) -> subprocess.Popen[bytes]:
    """Start a worker process; `UsageError` where the system has no room for it."""
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
