"""What the machine allows, looked at before the start: file descriptors and local ports."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

from loadkit.host.posix import open_file_limits, raise_open_file_limit
from loadkit.plan.errors import UsageError

SPARE: Final = 64
"""Descriptors for everything that is not a connection, where there are as many."""
LEAST: Final = 12
"""Beside those that are open: the result, what is read of the machine, what a library opens for a moment."""

UNLIMITED: Final = 1 << 30


def max_connections() -> int:
    """How many connections the file descriptors of this process allow, the soft limit raised as far as it goes."""
    limits = open_file_limits()
    if limits is None or limits[1] == math.inf:
        return UNLIMITED
    return max(1, int(limits[1]) - min(SPARE, _others()))


def make_room(connections: int) -> None:
    """Raise the soft limit of file descriptors as far as needed and allowed.

    Raises `UsageError` with the figures when it does not suffice.
    """
    limits = open_file_limits()
    wanted = connections + SPARE
    if limits is None or limits[0] >= wanted:
        return
    needed = connections + min(SPARE, _others())
    if limits[1] < needed:
        raise UsageError(
            f"{connections:,} connections need {needed:,} file descriptors and the limit is {limits[1]:,}; "
            f"use fewer threads, or raise it (ulimit -Hn {needed})"
        )
    raise_open_file_limit(wanted)


def _others() -> int:
    """Descriptors that are needed beside connections, where the system lists those that are open."""
    try:
        return len(list(Path("/proc/self/fd").iterdir())) + LEAST
    except OSError:
        return SPARE


def check_ports(connections: int) -> None:
    """See that there are local ports for as many connections to one address, where the system says.

    Raises `UsageError` with the figures when there are not.
    """
    try:
        low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    except (OSError, ValueError):
        return
    if connections > high - low + 1:
        raise UsageError(
            f"{connections:,} connections to one address need as many local ports and there are {high - low + 1:,}; "
            "use fewer threads, or widen net.ipv4.ip_local_port_range"
        )
