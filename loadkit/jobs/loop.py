"""An event loop that a run would block, and that serves the run's target: neither of them could go on."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from loadkit.host.listening import Listener
from loadkit.plan.endpoint import Endpoint
from loadkit.plan.errors import UsageError
from loadkit.plan.scenario import Scenario, addressed
from loadkit.server.start import place_of
from loadkit.wire.encode import encode, origin_of

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


def check_loop(scenario: Scenario, *, call: str) -> None:
    """Raise `UsageError` if the event loop that runs in this thread is the one to accept the scenario's connections."""
    if not (loop := running_loop()):
        return
    scenario = addressed(scenario)
    origins = [encode(one, scenario).origin for one in scenario.plans if isinstance(one, Endpoint)]
    if scenario.base_url:
        origins.append(origin_of(scenario.base_url)[0])
    for place in map(place_of, dict.fromkeys(origins)):
        if _accepts(loop, place.listeners()):
            raise UsageError(
                f"the server at {place} is in the event loop that this call would block; "
                f"write await asyncio.to_thread({call}, …)"
            )


def running_loop() -> AbstractEventLoop | None:
    """The event loop of asyncio that runs in this thread; asyncio is not imported to find out."""
    if "asyncio" not in sys.modules:
        return None
    import asyncio

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _accepts(loop: AbstractEventLoop, found: Iterable[Listener]) -> bool:
    """True if a loop waits for connections on one of the sockets; False for loops that do not show what they watch."""
    # no public method lists what a loop watches; those of uvloop and of Windows have no selector
    watched = selector.get_map() if (selector := getattr(loop, "_selector", None)) else None
    sockets = {_socket(key.fd) for key in (watched or {}).values()}
    return any(one.inode in sockets for one in found)


def _socket(descriptor: int) -> int | None:
    """The inode of a socket; None for what is none."""
    try:
        found = os.fstat(descriptor)
    except OSError:  # closed, and still in the loop
        return None
    return found.st_ino if stat.S_ISSOCK(found.st_mode) else None
