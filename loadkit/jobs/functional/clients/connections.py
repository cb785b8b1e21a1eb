"""Connections that tests open by clients that loadkit does not know: what is sent there is in no row of its own.

Seen are those of Python's sockets. A client that is written in C (gRPC, `pycurl`, the drivers of some databases) tells
nobody, and a connection that was open before the load is not opened again.
"""

from __future__ import annotations

import functools
import socket
import sys
import threading
from typing import Any, Final

from loadkit.drive.journeys.observer import JourneyObserver
from loadkit.jobs.functional.clients.watch import WATCH
from loadkit.jobs.functional.outcomes import RUNNING
from loadkit.measure.timer import KEEPER

MOST: Final = 3
"""So many addresses are kept of a test."""
_OURS: Final = "loadkit.wire."


@functools.cache
def watch_connections() -> None:
    """Have connections told from now on; nobody can undo that, and where no test runs under load nothing is done."""
    sys.addaudithook(_look)


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "socket.connect" or not RUNNING:
        return
    keeper, watch, case = KEEPER.get(), WATCH.get(), RUNNING.get(threading.get_ident())
    if case is None or not isinstance(keeper, JourneyObserver) or keeper.is_muted:
        return
    sock, address = arguments
    is_known = (watch is not None and not watch.is_over) or _caller().startswith(_OURS)
    if not is_known and sock.type == socket.SOCK_STREAM and len(case.unseen) < MOST:
        case.unseen[_shown(address)] = None


def _caller() -> str:
    """The module that connects."""
    return str(sys._getframe(2).f_globals.get("__name__", ""))


def _shown(address: Any) -> str:
    if not isinstance(address, tuple):
        return str(address)
    host, port, *_ = address
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
