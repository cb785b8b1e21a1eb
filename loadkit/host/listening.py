"""Which processes listen at a port of this machine, from /proc of Linux; on other systems nothing is known."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadkit.host.processes import PROC, alive

_LISTEN: Final = "0A"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A socket that listens: the number of its inode, and the user who made it."""

    inode: int
    uid: int


def answers(host: str, port: int) -> bool:
    """True if something accepts a connection there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def answers_at(path: str) -> bool:
    """True if something accepts a connection at a unix socket."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(1)
        try:
            sock.connect(path)
        except OSError:
            return False
    return True


def listeners(port: int) -> list[Listener]:
    """The TCP sockets that listen at a port, at whatever address."""
    # proc(5), /proc/net/tcp: sl local_address rem_address st queues timer retransmits uid timeout inode
    lines = [line for name in ("tcp", "tcp6") for line in _lines(PROC / "net" / name)]
    # of the thousands of sockets that a load leaves behind few listen
    listening = [line.split() for line in lines if f" {_LISTEN} " in line]
    return [
        Listener(inode=int(fields[9]), uid=int(fields[7]))
        for fields in listening
        if len(fields) > 9 and fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port
    ]


def unix_listeners(path: str) -> list[Listener]:
    """The unix sockets that listen at a path; their user is not in /proc, and -1 here."""
    # Num RefCount Protocol Flags Type St Inode Path; flag 0x10000 is __SO_ACCEPTCON
    lines = [line.split(maxsplit=7) for line in _lines(PROC / "net" / "unix")]
    return [
        Listener(inode=int(fields[6]), uid=-1)
        for fields in lines
        if len(fields) == 8 and fields[7] == path and int(fields[3], 16) & 0x10000
    ]


def holders(found: Iterable[Listener], pids: Iterable[int] | None = None) -> list[int]:
    """Which of these processes, or of all that may be looked into, have one of the sockets open."""
    wanted = {one.inode for one in found}
    return [pid for pid in (alive() if pids is None else pids) if wanted and not wanted.isdisjoint(_inodes(pid))]


def _inodes(pid: int) -> set[int]:
    found = set()
    try:
        for descriptor in (PROC / str(pid) / "fd").iterdir():
            if inode := _inode(descriptor):
                found.add(inode)
    except OSError:  # ended meanwhile, or somebody else's
        return found
    return found


def _inode(descriptor: Path) -> int | None:
    try:
        link = re.fullmatch(r"socket:\[(\d+)\]", str(descriptor.readlink()))
    except OSError:
        return None
    return int(link[1]) if link else None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()[1:]
    except OSError:
        return []


def is_held_here(address: int | str) -> bool:
    """True if a socket of this process listens at a port, or at the path of a unix socket."""
    # asked of its own sockets: /proc/net/tcp has thousands after a load, and takes 10 ms
    try:
        own = [int(one.name) for one in (PROC / "self" / "fd").iterdir() if _inode(one)]
    except OSError:
        return False
    return any(_listens(descriptor, address) for descriptor in own)


def _listens(descriptor: int, address: int | str) -> bool:
    try:
        with socket.socket(fileno=os.dup(descriptor)) as sock:
            if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return False
            name = sock.getsockname()
            return bool(address == (name if sock.family == socket.AF_UNIX else name[1]))
    except OSError:  # closed meanwhile
        return False
