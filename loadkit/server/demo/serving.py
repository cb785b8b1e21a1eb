"""Listens, serves, and stops when told to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from loadkit.host.posix import raise_open_file_limit
from loadkit.plan.errors import UsageError
from loadkit.server.demo.connection import Connection
from loadkit.server.demo.punctual import punctual_loop
from loadkit.server.demo.state import State

Certificate = tuple[str | os.PathLike[str], str | os.PathLike[str]]
IDLE = 75.0
ANNOUNCEMENT = "loadkit demo on "
"""What the first line of its output begins with; the URL follows."""
MANY_FILES = 65_536
_QUEUE = 4096  # connections waiting to be accepted: a load starts with all of its threads at once


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    ready: Callable[[str], None] | None = None,
    tls: Certificate | None = None,
    unix: str | os.PathLike[str] | None = None,
    idle: float = IDLE,
) -> None:
    """Serve until SIGINT or SIGTERM, in the main thread.

    As many files may be open as the system allows this process. A connection on which nothing has moved for `idle`
    seconds is closed before twice as many have passed.

    `ready` is called with the URL once connections are accepted; port 0 takes a free port. `tls` names a certificate
    and its key, `unix` a socket's path to use instead of host and port (`http+unix://` and the path, quoted).
    Raises OSError if it cannot listen there, or cannot read the certificate (ssl.SSLError is one too).
    """
    context = _tls_context(tls) if tls else None
    raise_open_file_limit(MANY_FILES)
    with _listening(host, port, unix) as listener, asyncio.Runner(loop_factory=punctual_loop) as runner:
        url = _url(listener, "https" if tls else "http")
        runner.run(_serve(listener, context, idle, lambda: ready(url) if ready else None))


def serve_announced(
    host: str,
    port: int,
    *,
    tls: Certificate | None = None,
    unix: str | os.PathLike[str] | None = None,
    idle: float = IDLE,
) -> None:
    """What a process that is a demo server does: `serve`, and print the URL; `UsageError` where it cannot."""
    try:
        serve(host, port, ready=_announce, tls=tls, unix=unix, idle=idle)
    except ssl.SSLError as error:
        certificate = os.fspath(tls[0]) if tls else None
        raise UsageError(f"cannot use the certificate {certificate!r} with its key: {error.reason or error}") from None
    except OSError as error:
        if error.filename:
            raise UsageError(f"cannot read {error.filename!r}: {error.strerror}") from None
        raise UsageError(f"cannot listen on {unix or f'{host} port {port}'}: {_reason(error)}") from None


def _announce(url: str) -> None:
    sys.stdout.write(f"{ANNOUNCEMENT}{url}\n")
    sys.stdout.flush()


def _reason(error: OSError) -> str:
    """The system's own words; names that cannot be resolved have negative numbers and bring theirs."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)


async def _serve(
    listener: socket.socket,
    context: ssl.SSLContext | None,
    idle: float,
    ready: Callable[[], None],
) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    state = State()
    peers: set[Connection] = set()
    _stop_on_signals(loop, stop)
    # asyncio sets TCP_NODELAY on each connection.
    listen = loop.create_unix_server if listener.family == socket.AF_UNIX else loop.create_server
    server = await listen(lambda: Connection(state, peers, loop), sock=listener, ssl=context, backlog=_QUEUE)
    _close_idle(loop, peers, idle)
    ready()
    await stop.wait()
    server.close()
    await _cut(peers)


def _close_idle(loop: asyncio.AbstractEventLoop, peers: set[Connection], idle: float) -> None:
    for peer in tuple(peers):
        peer.close_if_idle()
    loop.call_later(idle, _close_idle, loop, peers, idle)


async def _cut(peers: set[Connection]) -> None:
    for peer in tuple(peers):
        peer.abort()
    for _ in range(3):  # turns of the loop until the sockets are closed: TLS needs two
        await asyncio.sleep(0)


def _stop_on_signals(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)


@contextlib.contextmanager
def _listening(host: str, port: int, unix: str | os.PathLike[str] | None) -> Iterator[socket.socket]:
    if unix is not None:
        with _listening_at(Path(unix)) as listener:
            yield listener
        return
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=_QUEUE) as listener:
        yield listener


@contextlib.contextmanager
def _listening_at(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        _remove_if_dead(path)
        listener.bind(str(path))
        try:
            listener.listen(_QUEUE)
            yield listener
        finally:
            path.unlink(missing_ok=True)


def _remove_if_dead(path: Path) -> None:
    """Remove a socket nobody listens on any more, as a killed server leaves it; never another kind of file."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)


def _url(listener: socket.socket, scheme: str) -> str:
    if listener.family == socket.AF_UNIX:
        return f"{scheme}+unix://{quote(str(Path(listener.getsockname()).absolute()), safe='')}"
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _tls_context(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    for name in certificate:
        Path(name).open("rb").close()  # this error names the file, OpenSSL's does not
    context.load_cert_chain(*certificate)
    context.set_alpn_protocols(["http/1.1"])
    return context
