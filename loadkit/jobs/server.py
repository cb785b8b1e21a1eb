"""The server under test, when the scenario says how to start it: started, waited for, stopped, its output kept."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Final

from loadkit.plan.errors import UsageError

GRACE: Final = 5.0
SHOWN_LINES: Final = 20


@contextmanager
def running(
    command: Sequence[str],
    *,
    answers: Callable[[], bool],
    within: float,
    environment: Mapping[str, str] | None = None,
    descriptors: Sequence[int] = (),
    called: str | None = None,
) -> Iterator[int]:
    """Run a command until the block is left; its process id.

    It has come up when `answers` says so. It gets our environment unless another is given, and inherits these open
    files; messages show the command, or what it is `called`. Raises `UsageError` with the end of its output when it
    cannot be started, ends, or does not answer `within` seconds.
    """
    with tempfile.TemporaryFile() as output:
        process = _start(command, output, environment, descriptors)
        try:
            _await(process, called or shlex.join(command), answers, within, output)
            yield process.pid
        finally:
            _stop(process)


def _start(
    command: Sequence[str], output: IO[bytes], environment: Mapping[str, str] | None, descriptors: Sequence[int]
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
        )
    except OSError as error:
        raise UsageError(f"cannot start the server {shlex.join(command)!r}: {error.strerror}") from None


def _await(
    process: subprocess.Popen[bytes],
    called: str,
    answers: Callable[[], bool],
    within: float,
    output: IO[bytes],
) -> None:
    until = time.monotonic() + within
    while not answers():
        code = process.poll()
        if code is not None:
            raise UsageError(f"the server {called!r} ended with {code}{_tail(output)}")
        if time.monotonic() > until:
            raise UsageError(f"the server {called!r} did not answer within {within:g} s{_tail(output)}")
        time.sleep(0.05)


def _tail(output: IO[bytes]) -> str:
    output.seek(0)
    lines = output.read().decode("utf-8", "replace").splitlines()[-SHOWN_LINES:]
    return "; its output:\n" + "\n".join(f"  | {line}" for line in lines) if lines else " and printed nothing"


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
