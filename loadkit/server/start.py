"""A server under test in a process of its own: started, waited for, watched, stopped, its output kept."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Final

from loadkit.clock import SystemClock
from loadkit.host.listening import Listener, answers, answers_at, holders, listeners, unix_listeners
from loadkit.host.locality import is_here
from loadkit.host.processes import began, members, name_of, tree
from loadkit.plan.errors import UsageError
from loadkit.plan.units import MILLISECOND, SECOND, nanoseconds
from loadkit.wire.base import Origin

GRACE: Final = 5.0
SHOWN_LINES: Final = 20
LAST_LINES: Final = 5
LONGEST_LINE: Final = 300
KEPT_BYTES: Final = 1 << 16

_LOOK_EVERY: Final = SECOND // 2
"""Nanoseconds between two searches of /proc for those who serve on after the process that was started has ended."""

# reads until this process ends: after a SIGKILL nothing else could stop what it has started
_GUARD: Final = """
read -r _
kill -s TERM -- "-$1"
for _ in 1 2 3 4 5; do sleep 1; kill -s 0 -- "-$1" || exit 0; done
kill -s KILL -- "-$1"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a server is to listen: a host and a TCP port, or a unix socket."""

    host: str = ""
    port: int = 0
    unix: str | None = None
    is_here: bool = True
    """This machine is the host, so who listens can be looked for."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.unix or f"{host}:{self.port}"

    def answers(self) -> bool:
        """True if something accepts a connection there."""
        return answers_at(self.unix) if self.unix else answers(self.host, self.port)

    def listeners(self) -> list[Listener]:
        """The sockets that listen there, as far as this system lists them."""
        if not self.is_here:
            return []
        return unix_listeners(self.unix) if self.unix else listeners(self.port)


def place_of(origin: Origin) -> Place:
    """Where the server of an origin listens."""
    is_local = bool(origin.unix) or is_here(origin.host)
    return Place(host=origin.host, port=origin.port, unix=origin.unix, is_here=is_local)


class ServerProcess:
    """A server that was started: its process, where it listens, and what it has printed."""

    def __init__(self, process: subprocess.Popen[bytes], called: str, place: Place, output: IO[bytes]) -> None:
        self._process = process
        self._called = called
        self._place = place
        self._output = output
        # not that of `time`, which a test may have stopped
        self._clock = SystemClock()
        self._serves_until = 0
        self._is_over = False

    @property
    def pid(self) -> int:
        """The id of the process that was started."""
        return self._process.pid

    def has_ended(self) -> bool:
        """True once its process has ended, unless others that it started still listen in its place."""
        if self._is_over or self._process.poll() is None:
            return self._is_over
        if (now := self._clock.now()) > self._serves_until:
            self._is_over = not self._is_served()
            self._serves_until = now + _LOOK_EVERY
        return self._is_over

    def _is_served(self) -> bool:
        return bool(holders(self._place.listeners(), members(self.pid)))

    def ending(self, when: str = "") -> str:
        """How it ended, and the last lines of its output, on one line."""
        lines = self._last_lines(LAST_LINES)
        output = f"its output: {' | '.join(lines)}" if lines else "it printed nothing"
        return f"the server {self._called!r} {self._ended()}{when and f' {when}'}; {output}"

    def _ended(self) -> str:
        code = self._process.poll()
        if code is None or code >= 0:
            return f"ended with exit code {code}"
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
        return f"was ended by signal {-code}"

    def await_ready(self, trouble: Callable[[], str], within: float) -> None:
        """Wait until `trouble` has nothing to say and it is this server that answers.

        Raises `UsageError` with the end of its output when it ends or is not ready `within` seconds.
        """
        until = self._clock.now() + nanoseconds(within)
        while reason := trouble() or self._displaced():
            if self._process.poll() is not None and not members(self.pid):
                raise UsageError(f"the server {self._called!r} {self._ended()}{self._foreground()}{self._tail()}")
            if self._clock.now() > until:
                raise UsageError(
                    f"the server {self._called!r} was not ready within {within:g} s: {reason}{self._tail()}"
                )
            self._wait(50 * MILLISECOND)

    def _displaced(self) -> str:
        """That another process answers instead of it; nothing if it does itself, or if that is not known."""
        found = self._place.listeners()
        if found and holders(found, {*members(self.pid), *tree([self.pid])}):
            return ""
        if self._process.poll() is not None:
            return f"it ended, and what answers at {self._place} is another"
        return self._foreign(found)

    def _foreign(self, found: Sequence[Listener]) -> str:
        """That sockets are of another user, or of a process older than the server; those of a container are neither."""
        if uid := next((one.uid for one in found if one.uid not in (-1, 0, os.geteuid())), None):
            return f"what answers at {self._place} belongs to another user (uid {uid})"
        older = [pid for pid in holders(found) if (began(pid) or 0) < (began(self.pid) or 0)]
        return f"what answers at {self._place} is {_named(older[0])}" if older else ""

    def _foreground(self) -> str:
        return ", where it should stay in the foreground" if self._process.returncode == 0 else ""

    def _tail(self) -> str:
        lines = self._last_lines(SHOWN_LINES)
        return "; its output:\n" + "\n".join(f"  | {line}" for line in lines) if lines else "; it printed nothing"

    def _last_lines(self, many: int) -> list[str]:
        size = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, size - KEPT_BYTES))
        lines = self._output.read().decode("utf-8", "replace").splitlines()
        return [_shortened(line) for line in [line for line in lines if line.strip()][-many:]]

    def stop(self) -> None:
        """End it and all that it has started: asked first, forced after a while."""
        self._signal(signal.SIGTERM)
        until = self._clock.now() + nanoseconds(GRACE)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE)
        while members(self.pid) and self._clock.now() < until:
            self._wait(10 * MILLISECOND)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _wait(self, span: int) -> None:
        self._clock.pause(span, lambda: False)

    def _signal(self, number: signal.Signals) -> None:
        # the id of a process that has been waited for may be that of another by now
        if self._process.poll() is None or members(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)


def _shown(command: Sequence[str]) -> str:
    return _shortened(shlex.join(command))


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_LINE else text[:LONGEST_LINE] + "…"


def _named(pid: int) -> str:
    name = name_of(pid)
    return f"process {pid} ({name})" if name else f"process {pid}"


@contextmanager
def running(
    command: Sequence[str],
    *,
    trouble: Callable[[], str],
    within: float,
    place: Place,
    environment: Mapping[str, str] | None = None,
    descriptors: Sequence[int] = (),
    called: str | None = None,
    cwd: str | os.PathLike[str] | None = None,
) -> Iterator[ServerProcess]:
    """Run a command that serves at a place until the block is left.

    It has come up when `trouble` has nothing more to say. It gets our environment unless another is given, and
    inherits these open files; messages show the command, or what it is `called`. It ends with the block, and with
    this process, however that dies. Raises `UsageError` with the end of its output when it cannot be started, ends,
    or is not ready `within` seconds.
    """
    with tempfile.TemporaryFile() as output:
        process = _start(command, output, environment, descriptors, cwd)
        server = ServerProcess(process, called or _shown(command), place, output)
        guard = _guard(process.pid)
        try:
            server.await_ready(trouble, within)
            yield server
        finally:
            # where stopping it is interrupted, the guard does it when its pipe is closed
            with guard:
                server.stop()
                guard.kill()


def check_free(place: Place) -> None:
    """Raise `UsageError` if something listens already where a server is to: it would be measured in its place."""
    if not place.answers():
        return
    pids = holders(place.listeners())
    raise UsageError(
        f"something already listens on {place}{f', {_named(pids[0])}' if pids else ''}: it would be measured in place "
        "of the server; stop it, give the server another port, or leave out server= to load what is there"
    )


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
        raise UsageError(f"cannot start the server {_shown(command)!r}: {error.strerror}") from None


def _guard(pid: int) -> subprocess.Popen[bytes]:
    """A process that ends the process group of `pid` when this process ends."""
    return subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, "sh", str(pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
