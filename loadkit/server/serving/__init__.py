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
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from loadkit.host.command import module_command
from loadkit.plan.errors import UsageError
from loadkit.plan.units import Duration, seconds
from loadkit.plan.urls import check_target
from loadkit.server.serving.reference import reference
from loadkit.server.serving.relocation import Relocation
from loadkit.server.start import Place, ServerProcess, running

__all__ = ["App", "serving", "started_servers"]

App: TypeAlias = str | Sequence[str] | Callable[..., Any]
"""A command, `"package.module:app"` or `"file.py:app"`, or the ASGI or WSGI application itself."""

HOST: Final = "127.0.0.1"
PORT: Final = "{port}"
PYTHON: Final = ("python", "python3")
"""What PATH leads to under these names is often not the interpreter of the environment that is used."""
_NO_PORT: Final = f", and the command does not say {PORT}, which stands for that port"
PATH: Final = "LOADKIT_SERVING_PATH"
"""The environment variable with the folders in which the other process looks for an application."""

_RIGHT: Final = "like 'shop.app:app', or a command like ['python', 'app.py', '--port', '{port}']"

# the servers that run now, by where they listen: a run that aims at one reports what it used, and whether it ended
_started: dict[tuple[str, int], ServerProcess] = {}


def started_servers(places: Sequence[tuple[str, int]]) -> list[ServerProcess]:
    """The servers that were started here to listen at these hosts and ports."""
    return list(dict.fromkeys(_started[place] for place in places if place in _started))


def serving(
    app: App, *, ready: str = "/", within: Duration = 30.0, cwd: str | os.PathLike[str] | None = None
) -> contextlib.AbstractContextManager[str]:
    """Run a server on a free port of this machine until the block is left; its base URL.

    >>> with serving(["python", "app.py", "--port", "{port}"]) as url:
    ...     run(browse.replace(base_url=url))

    Args:
        app: a command, in which `{port}` stands for the port (it is in the environment as `PORT`, too), and `python`
            as its first word for the interpreter that runs now; or an ASGI or WSGI application, by name
            (`"shop.app:app"`, `"shop/app.py:app"`, `"shop.app:create_app()"`) or itself, if a module holds it. An
            application is served by uvicorn, or where that is not installed and it is WSGI, by the standard library.
        ready: the path that answers, with anything below 500, when it is up.
        within: how long that may take.
        cwd: the folder it runs in; the current one if not said.

    It ends with the block, and with this process, however that dies. Raises `UsageError` with the end
    of its output when it does not come up.
    """
    return serving_copy(app, None, ready=ready, within=within, cwd=cwd)


@contextlib.contextmanager
def serving_copy(
    app: App,
    relocation: Relocation | None,
    *,
    ready: str,
    within: Duration,
    cwd: str | os.PathLike[str] | None,
) -> Iterator[str]:
    """The same, of the copy of a folder: an application is imported from there."""
    path = check_target(ready, what="ready")
    patience = seconds(within, what="within")
    if relocation:
        cwd = relocation.cwd(Path(cwd or "").absolute())
    # an app gets the socket itself, so that nobody can take the port in between; a command can only be told the port
    start = _command if _is_command(app) else _application
    up = start(app, path, patience, cwd, relocation)  # type: ignore[arg-type]
    with up as (port, server):
        _started[HOST, port] = _started["localhost", port] = server
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
def _command(
    words: Sequence[str],
    ready: str,
    within: float,
    cwd: str | os.PathLike[str] | None,
    relocation: Relocation | None,
) -> Iterator[tuple[int, ServerProcess]]:
    port = free_port()
    environment = relocation.environment() if relocation else dict(os.environ)
    up = running(
        filled(map(relocation.word, words) if relocation else words, port),
        not_ready=lambda: _not_ready(port, ready, hint="" if any(PORT in word for word in words) else _NO_PORT),
        within=within,
        place=Place(host=HOST, port=port),
        environment={**environment, "PORT": str(port)},
        cwd=cwd,
    )
    with up as server:
        yield port, server


def filled(words: Iterable[str], port: int) -> list[str]:
    """A command with the port in place of `{port}`, and with this interpreter in place of a bare `python`."""
    first, *others = [word.replace(PORT, str(port)) for word in words]
    return [sys.executable if first in PYTHON else first, *others]


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.create_server((HOST, 0)) as held:
        return int(held.getsockname()[1])


@contextlib.contextmanager
def _application(
    app: str | Callable[..., Any],
    ready: str,
    within: float,
    cwd: str | os.PathLike[str] | None,
    relocation: Relocation | None,
) -> Iterator[tuple[int, ServerProcess]]:
    with socket.create_server((HOST, 0), backlog=1024) as listener:
        port = int(listener.getsockname()[1])

        def not_ready() -> str:
            # the other process has it now; ours would keep the port open when that one dies
            listener.close()
            return _not_ready(port, ready)

        up = running(
            application_command(app, str(listener.fileno())),
            not_ready=not_ready,
            within=within,
            place=Place(host=HOST, port=port),
            environment=application_environment(relocation),
            descriptors=(listener.fileno(),),
            name=reference(app),
            cwd=cwd,
        )
        with up as server:
            yield port, server


def application_command(app: str | Callable[..., Any], where: str) -> list[str]:
    """The command that serves an application: on the descriptor of a socket that listens, or at `host:port`."""
    return module_command("loadkit.server.serving.app_server", reference(app), where)


def application_environment(relocation: Relocation | None = None) -> dict[str, str]:
    """Ours, with the folders that we import from: the application is to be found where it is found here.

    Until the other process looks for it, the standard library comes first: a folder of the user's may have a module
    called like one of its.
    """
    path = [folder or os.getcwd() for folder in sys.path]  # noqa: PTH109
    if relocation:
        path = [relocation.path(folder) for folder in path]
    standard_first = sorted(path, key=lambda folder: not _is_standard(folder))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(standard_first), PATH: os.pathsep.join(path)}


def _is_standard(folder: str) -> bool:
    return folder.startswith(sysconfig.get_path("stdlib")) and not folder.endswith("-packages")


def _not_ready(port: int, path: str, hint: str = "") -> str:
    """Why it does not count as up; nothing where it is."""
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection(HOST, port, timeout=1)
    with contextlib.closing(connection):
        try:
            connection.request("GET", path)
            status = connection.getresponse().status
        except ConnectionRefusedError:
            return f"nothing listens on {HOST}:{port}{hint}"
        except (OSError, HTTPException) as error:
            return f"no reply from {HOST}:{port} to {path}: {type(error).__name__} {error}"
    return "" if status < 500 else f"the last answer of {HOST}:{port} to {path} was {status}"
