"""A server under test in a process of its own, for as long as a `with` block lasts.

```python
@pytest.fixture(scope="session")
def shop():
    with serving("shop.app:app") as url:
        yield url
```
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from loadkit.jobs.server import running
from loadkit.jobs.serving.reference import reference
from loadkit.plan.endpoint import target
from loadkit.plan.errors import UsageError
from loadkit.plan.units import Duration, seconds

__all__ = ["App", "serving", "started_pids"]

App: TypeAlias = str | Sequence[str] | Callable[..., Any]
"""A command, `"package.module:app"` or `"file.py:app"`, or the ASGI or WSGI application itself."""

HOST: Final = "127.0.0.1"
_RIGHT: Final = "like 'shop.app:app', or a command like ['python', 'app.py', '--port', '{port}']"

# the servers that run now, by where they listen: a run that aims at one tells what it used
_started: dict[tuple[str, int], int] = {}


def started_pids(places: Sequence[tuple[str, int]]) -> list[int]:
    """The processes that were started here to listen at these hosts and ports."""
    return list(dict.fromkeys(_started[place] for place in places if place in _started))


@contextlib.contextmanager
def serving(app: App, *, ready: str = "/", within: Duration = 30.0) -> Iterator[str]:
    """Run a server on a free port of this machine until the block is left; its base URL.

    >>> with serving(["python", "app.py", "--port", "{port}"]) as url:
    ...     run(browse.replace(base_url=url))

    Args:
        app: a command, in which `{port}` stands for the port (it is in the environment as `PORT`, too); or an ASGI or
            WSGI application, by name (`"shop.app:app"`, `"shop/app.py:app"`) or itself, if a module holds it. An
            application is served by uvicorn, or where that is not installed and it is WSGI, by the standard library.
        ready: the path that answers, with anything below 500, when it is up.
        within: how long that may take.

    It ends with the block; an application also with this process, however that dies. Raises `UsageError` with the end
    of its output when it does not come up.
    """
    path = target(ready, what="ready")
    patience = seconds(within, what="within")
    # an app gets the socket itself, so that nobody can take the port in between; a command can only be told the port
    up = _command(app, path, patience) if _is_command(app) else _application(app, path, patience)  # type: ignore[arg-type]
    with up as (port, pid):
        _started[HOST, port] = _started["localhost", port] = pid
        try:
            yield f"http://{HOST}:{port}"
        finally:
            del _started[HOST, port], _started["localhost", port]


def _is_command(app: object) -> bool:
    if isinstance(app, str) or callable(app):
        return False
    if not isinstance(app, Sequence) or not app or not all(isinstance(word, str) for word in app):
        raise UsageError(f"a server is an application {_RIGHT}, not {app!r}")
    return True


@contextlib.contextmanager
def _command(words: Sequence[str], ready: str, within: float) -> Iterator[tuple[int, int]]:
    with socket.create_server((HOST, 0)) as held:
        port = int(held.getsockname()[1])
    command = [word.replace("{port}", str(port)) for word in words]
    environment = {**os.environ, "PORT": str(port)}
    with running(command, answers=lambda: _answers(port, ready), within=within, environment=environment) as pid:
        yield port, pid


@contextlib.contextmanager
def _application(app: str | Callable[..., Any], ready: str, within: float) -> Iterator[tuple[int, int]]:
    name = reference(app)
    with socket.create_server((HOST, 0), backlog=1024) as listener, _lifeline() as line:
        port = int(listener.getsockname()[1])
        inherited = (listener.fileno(), line)
        command = [sys.executable, "-m", "loadkit.jobs.serving.child", name, *map(str, inherited)]

        def answers() -> bool:
            # the other process has it now; ours would keep the port open when that one dies
            listener.close()
            return _answers(port, ready)

        up = running(
            command,
            answers=answers,
            within=within,
            environment=_environment(),
            descriptors=inherited,
            called=name,
        )
        with up as pid:
            yield port, pid


@contextlib.contextmanager
def _lifeline() -> Iterator[int]:
    """The end to read of a pipe whose other end nobody but us has: it closes when we die."""
    line, ours = os.pipe()
    try:
        yield line
    finally:
        os.close(line)
        os.close(ours)


def _environment() -> dict[str, str]:
    """Ours, with the folders that we import from: the application is to be found where it is found here."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(folder or os.getcwd() for folder in sys.path)}  # noqa: PTH109


def _answers(port: int, path: str) -> bool:
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection(HOST, port, timeout=1)
    with contextlib.closing(connection):
        try:
            connection.request("GET", path)
            return connection.getresponse().status < 500
        except (OSError, HTTPException):
            return False
