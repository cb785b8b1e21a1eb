"""A child process that serves: started with its output kept, waited for, and stopped with all that it has started."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Final

from loadkit.clock import SystemClock
from loadkit.host.processes import members
from loadkit.plan.errors import UsageError
from loadkit.plan.units import MILLISECOND, SECOND, nanoseconds

GRACE: Final = 5.0
"""Seconds between the signal that asks a process to end and the one that ends it."""
KEPT_BYTES: Final = 1 << 16
"""Bytes of output that are read: the last ones."""
LONGEST_LINE: Final = 300
SHOWN_LINES: Final = 20

_POLL: Final = 20 * MILLISECOND
# a look may be a request and a search of /proc, half of one CPU where it is made each 20 ms
_POLL_AFTER_A_SECOND: Final = 100 * MILLISECOND

# reads until this process ends: after a SIGKILL nothing else could stop what it has started
_GUARD: Final = """
read -r _
kill -s TERM -- "-$1"
for _ in 1 2 3 4 5; do sleep 1; kill -s 0 -- "-$1" || exit 0; done
kill -s KILL -- "-$1"
"""


class ChildProcess:
    """A child process in a session of its own, and what it has printed."""

    def __init__(self, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
        self._process = process
        self._output = output
        # not that of `time`, which a test may have stopped
        self.clock = SystemClock()

    @property
    def pid(self) -> int:
        """The id of the process that was started; that of its session, too."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative where a signal ended it, as in `subprocess`."""
        return self._process.poll()

    def describe_exit(self) -> str:
        """How it ended: `ended with exit code 1`, `was ended by SIGKILL`."""
        code = self.exit_code
        if code is None or code >= 0:
            return f"ended with exit code {code}"
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
        return f"was ended by signal {-code}"

    def has_ended(self) -> bool:
        """True once it and all that it has started have ended."""
        return self.exit_code is not None and not members(self.pid)

    @property
    def printed(self) -> int:
        """How many bytes it has printed, to stdout and stderr."""
        return os.fstat(self._output.fileno()).st_size

    def output(self, since: int = 0) -> str:
        """The last of what it has printed, after so many bytes."""
        start = max(since, self.printed - KEPT_BYTES)
        # the position in the file is where it writes next, and stays
        return os.pread(self._output.fileno(), KEPT_BYTES, start).decode("utf-8", "replace")

    def last_lines(self, many: int, since: int = 0) -> list[str]:
        """The last lines of that which hold something, the very long ones shortened; `…` stands before them where there
        were more."""
        is_cut = self.printed - since > KEPT_BYTES
        # the first line of what is kept may have lost its beginning
        lines = [line for line in self.output(since).splitlines()[is_cut:] if line.strip()]
        return ["…"] * (is_cut or len(lines) > many) + [shortened(line) for line in lines[-many:]]

    def tail(self) -> str:
        """The end of its output, to follow what is said of it."""
        lines = self.last_lines(SHOWN_LINES)
        return "; its output:\n" + "\n".join(f"  | {line}" for line in lines) if lines else "; it printed nothing"

    def await_ready(self, not_ready: Callable[[], str], within: float) -> str:
        """Wait until `not_ready` gives no reason any more; the last reason where it ends, or is not ready in time."""
        began = self.clock.now()
        until = began + nanoseconds(within)
        while (reason := not_ready()) and not self.has_ended() and (now := self.clock.now()) <= until:
            self._pause(_POLL if now - began < SECOND else _POLL_AFTER_A_SECOND)
        return reason

    def stop(self) -> None:
        """End it and all that it has started: asked first, forced after `GRACE`."""
        self._signal(signal.SIGTERM)
        until = self.clock.now() + nanoseconds(GRACE)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE)
        while members(self.pid) and self.clock.now() < until:
            self._pause(10 * MILLISECOND)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _pause(self, span: int) -> None:
        self.clock.pause(span, lambda: False)

    def _signal(self, number: signal.Signals) -> None:
        # the id of a process that has been waited for may be that of another by now
        if not self.has_ended():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)


@contextmanager
def child_process(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    descriptors: Sequence[int] = (),
    cwd: str | os.PathLike[str] | None = None,
) -> Iterator[ChildProcess]:
    """Run a command until the block is left; it ends with this process, however that dies.

    It has our environment unless another is given, and inherits the open files `descriptors`.
    Raises `UsageError` when it cannot be started.
    """
    with tempfile.TemporaryFile() as output:
        child = ChildProcess(_start(command, output, environment, descriptors, cwd), output)
        guard = _guard(child.pid)
        try:
            yield child
        finally:
            # where stopping it is interrupted, the guard does it when its pipe is closed
            with guard:
                child.stop()
                guard.kill()


def _start(
    command: Sequence[str],
    output: IO[bytes],
    environment: Mapping[str, str] | None,
    descriptors: Sequence[int],
    cwd: str | os.PathLike[str] | None,
) -> subprocess.Popen[bytes]:
    try:
        # a session of its own: a Ctrl-C is for us, and stopping it stops what it started
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
            pass_fds=tuple(descriptors),
            cwd=cwd,
        )
    except OSError as error:
        raise UsageError(f"cannot start the server {describe_command(command)!r}: {error.strerror}") from None


def _guard(pid: int) -> subprocess.Popen[bytes]:
    """A process that ends the process group of `pid` when this process ends."""
    return subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, "sh", str(pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def describe_command(command: Sequence[str]) -> str:
    """A command as it is typed, shortened where it is very long."""
    return shortened(shlex.join(command))


def shortened(text: str) -> str:
    """The beginning of a text that is very long, else all of it."""
    return text if len(text) <= LONGEST_LINE else text[:LONGEST_LINE] + "…"
