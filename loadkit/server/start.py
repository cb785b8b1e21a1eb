"""A server under test in a process of its own: waited for until it is itself that answers, and asked how it ended."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from loadkit.host.listening import Listener, answers, answers_at, holders, is_held_here, listeners, unix_listeners
from loadkit.host.locality import is_here
from loadkit.host.processes import began, members, name_of, tree
from loadkit.plan.errors import Interrupted, UsageError
from loadkit.plan.units import SECOND
from loadkit.server.child_process import SHOWN_LINES, ChildProcess, child_process, describe_command
from loadkit.wire.base import Origin

LAST_LINES: Final = 5

ended_output: Final[deque[str]] = deque(maxlen=1 + SHOWN_LINES)
"""The last lines of the servers that have run and ended, for whoever shows them and clears it."""

_LOOK_EVERY: Final = SECOND // 2
"""Nanoseconds between two searches of /proc for those who serve on after the process that was started has ended."""


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

    def is_own(self) -> bool:
        """True if a socket of this process listens there."""
        return self.is_here and is_held_here(self.unix or self.port)

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
    """A server that was started: its process, and where it listens."""

    def __init__(self, child: ChildProcess, name: str, place: Place) -> None:
        self._child = child
        self._name = name
        self._place = place
        self._serves_until = 0
        self._is_over = False

    @property
    def pid(self) -> int:
        """The id of the process that was started."""
        return self._child.pid

    def has_ended(self) -> bool:
        """True once its process has ended, unless others that it started still listen in its place."""
        if self._is_over or self._child.exit_code is None:
            return self._is_over
        if (now := self._child.clock.now()) > self._serves_until:
            self._is_over = not self._is_served()
            self._serves_until = now + _LOOK_EVERY
        return self._is_over

    def _is_served(self) -> bool:
        return bool(holders(self._place.listeners(), members(self.pid)))

    @property
    def printed(self) -> int:
        """How many bytes it has printed."""
        return self._child.printed

    def last_lines(self, since: int, many: int = SHOWN_LINES) -> list[str]:
        """The last lines that it has printed after so many bytes; `…` stands before them where there were more."""
        return self._child.last_lines(many, since)

    def ending(self, when: str = "") -> str:
        """How it ended, and the last lines of its output, on one line."""
        lines = self._child.last_lines(LAST_LINES)
        output = f"its output: {' | '.join(lines)}" if lines else "it printed nothing"
        return f"the server {self._name!r} {self._child.describe_exit()}{when and f' {when}'}; {output}"

    def await_ready(self, not_ready: Callable[[], str], within: float, stops: Callable[[], int]) -> None:
        """Wait until `not_ready` gives no reason and it is this server that answers.

        Raises `UsageError` with the end of its output when it ends or is not ready `within` seconds, and `Interrupted`
        where `stops` tells that the user asked to stop.
        """
        reason = self._child.await_ready(lambda: "" if stops() else not_ready() or self._displaced(), within)
        if stops():
            raise Interrupted(f"interrupted while the server {self._name!r} started")
        if reason and self._child.has_ended():
            in_foreground = ", where it should stay in the foreground" if self._child.exit_code == 0 else ""
            raise UsageError(
                f"the server {self._name!r} {self._child.describe_exit()}{in_foreground}{self._child.tail()}"
            )
        if reason:
            raise UsageError(
                f"the server {self._name!r} was not ready within {within:g} s: {reason}{self._child.tail()}"
            )

    def _displaced(self) -> str:
        """That another process answers instead of it; nothing if it does itself, or if that is not known."""
        found = self._place.listeners()
        if found and holders(found, {*members(self.pid), *tree([self.pid])}):
            return ""
        if self._child.exit_code is not None:
            return f"it ended, and what answers at {self._place} is another"
        return self._foreign(found)

    def _foreign(self, found: Sequence[Listener]) -> str:
        """That sockets are of another user, or of a process older than the server; those of a container are neither."""
        if uid := next((one.uid for one in found if one.uid not in (-1, 0, os.geteuid())), None):
            return f"what answers at {self._place} belongs to another user (uid {uid})"
        older = [pid for pid in holders(found) if (began(pid) or 0) < (began(self.pid) or 0)]
        return f"what answers at {self._place} is {_named(older[0])}" if older else ""


def _named(pid: int) -> str:
    name = name_of(pid)
    return f"process {pid} ({name})" if name else f"process {pid}"


@contextmanager
def running(
    command: Sequence[str],
    *,
    not_ready: Callable[[], str],
    within: float,
    place: Place,
    environment: Mapping[str, str] | None = None,
    descriptors: Sequence[int] = (),
    name: str | None = None,
    cwd: str | os.PathLike[str] | None = None,
    stops: Callable[[], int] = lambda: 0,
) -> Iterator[ServerProcess]:
    """Run a command that serves at a place until the block is left.

    It is ready when `not_ready` gives no reason any more. Messages show the command, or its `name`. For the rest see
    `child_process`. Raises `UsageError` with the end of its output when it cannot be started, ends, or is not ready
    `within` seconds, and `Interrupted` where `stops` tells meanwhile that the user asked to stop.
    """
    with child_process(command, environment=environment, descriptors=descriptors, cwd=cwd) as child:
        server = ServerProcess(child, name or describe_command(command), place)
        server.await_ready(not_ready, within, stops)
        try:
            yield server
        finally:
            ended_output.extend(server.last_lines(0))


def check_free(place: Place) -> None:
    """Raise `UsageError` if something listens already where a server is to: it would be measured in its place."""
    if not place.answers():
        return
    pids = holders(place.listeners())
    raise UsageError(
        f"something already listens on {place}{f', {_named(pids[0])}' if pids else ''}: it would be measured in place "
        "of the server; stop it, give the server another port, or leave out server= to load what is there"
    )
