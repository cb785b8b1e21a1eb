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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from loadkit.host.command import module_command
from loadkit.plan.errors import UsageError
from loadkit.plan.units import Duration, seconds
from loadkit.plan.urls import check_target
from loadkit.server.serving.reference import reference
from loadkit.server.start import Place, ServerProcess, check_free, running
from loadkit.wire.encode import origin_of

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a server is, so that it can be started again, and from another copy of its project."""

    app: str | tuple[str, ...]
    """The reference of an application, or a command."""
    ready: str
    within: float
    cwd: Path
    import_path: tuple[str, ...]
    """The folders in which an application is looked for."""
    environment: Mapping[str, str] | None = None
    """None for that of this process."""
    port: int = 0
    """Where a command listens whatever it is told; 0 where it takes a free one."""
    python: str = sys.executable


# the servers that run now, by where they listen: a run that aims at one reports what it used, and whether it ended
_started: dict[tuple[str, int], tuple[ServerProcess, Served]] = {}


def started_servers(places: Sequence[tuple[str, int]]) -> list[ServerProcess]:
    """The servers that were started here to listen at these hosts and ports."""
    return list(dict.fromkeys(_started[place][0] for place in places if place in _started))


def running_servers() -> list[ServerProcess]:
    """All servers that were started here and run."""
    return list(dict.fromkeys(process for process, _ in _started.values()))


def served_at(url: str) -> Served | None:
    """What the server is that was started here and listens at a URL; None where it is another's."""
    origin, _ = origin_of(url)
    _, found = _started.get((origin.host, origin.port), (None, None))
    return found


def serving(
    app: App,
    *,
    ready: str = "/",
    within: Duration = 30.0,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
) -> contextlib.AbstractContextManager[str]:
    """Run a server on a free port of this machine until the block is left; its base URL.

    >>> with serving(["python", "app.py", "--port", "{port}"]) as url:
    ...     run(browse.replace(base_url=url))

    Args:
        app: a command, in which `{port}` stands for the port (it is in the environment as `PORT`, too), and `{python}`,
            or `python` as its first word, for the interpreter that runs now; or an ASGI or WSGI application, by name
            (`"shop.app:app"`, `"shop/app.py:app"`, `"shop.app:create_app()"`) or itself, if a module holds it. An
            application is served by uvicorn, or where that is not installed and it is WSGI, by the standard library.
        ready: the path that answers, with anything below 500, when it is up.
        within: how long that may take.
        cwd: the folder it runs in; the current one if not said.
        env: variables of its environment beside ours.

    It ends with the block, and with this process, however that dies. Raises `UsageError` with the end
    of its output when it does not come up.
    """
    return running_server(served(app, ready=ready, within=within, cwd=cwd, env=env))


def served(
    app: App,
    *,
    ready: str = "/",
    within: Duration = 30.0,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
) -> Served:
    """A server as `serving` takes it, with the folders that this process imports from now."""
    return Served(
        app=_command(app) or reference(cast("str | Callable[..., Any]", app)),
        ready=check_target(ready, what="ready"),
        within=seconds(within, what="within"),
        cwd=Path(cwd or "").absolute(),
        import_path=_import_path(),
        environment={**os.environ, **_variables(env)} if env is not None else None,
    )


def _variables(env: Mapping[str, str]) -> Mapping[str, str]:
    if not isinstance(env, Mapping):
        raise UsageError(f"env takes variables by name, like {{'DEBUG': '0'}}, not {type(env).__name__}")
    for name, value in env.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise UsageError(f"env takes text, and {name!r} is of type {type(value).__name__}; write it like '1'")
    return env


@contextlib.contextmanager
def running_server(server: Served, stops: Callable[[], int] = lambda: 0) -> Iterator[str]:
    """Run a server on a free port of this machine until the block is left; its base URL.

    Raises `Interrupted` where `stops` tells, while it starts, that the user asked to stop.
    """
    # an app gets the socket itself, so that nobody can take the port in between; a command can only be told the port
    up = (
        _running_application(server, server.app, stops)
        if isinstance(server.app, str)
        else _running_command(server, server.app, stops)
    )
    with up as (port, process):
        _started[HOST, port] = _started["localhost", port] = (process, server)
        try:
            yield f"http://{HOST}:{port}"
        finally:
            del _started[HOST, port], _started["localhost", port]


def _command(app: App) -> tuple[str, ...]:
    """The words of a command; none where it is an application."""
    if isinstance(app, str) or callable(app):
        return ()
    if not isinstance(app, Sequence) or not app or not all(isinstance(word, str) for word in app):
        raise UsageError(f"a server is an application {_RIGHT}, not {app!r}")
    return tuple(app)


@contextlib.contextmanager
def _running_command(
    server: Served, words: tuple[str, ...], stops: Callable[[], int]
) -> Iterator[tuple[int, ServerProcess]]:
    port = server.port or free_port()
    place = Place(host=HOST, port=port)
    check_free(place)
    hint = "" if any(PORT in word for word in words) else _NO_PORT
    up = running(
        filled(words, port, server.python),
        not_ready=lambda: _not_ready(port, server.ready, hint),
        within=server.within,
        place=place,
        environment={**(server.environment or os.environ), "PORT": str(port)},
        cwd=server.cwd,
        stops=stops,
    )
    with up as process:
        yield port, process


def filled(words: Sequence[str], port: int, python: str = sys.executable) -> list[str]:
    """A command with the port in place of `{port}`, and this interpreter in place of `{python}` or a bare `python`."""
    first, *others = [word.replace(PORT, str(port)).replace("{python}", python) for word in words]
    return [python if first in PYTHON else first, *others]


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.create_server((HOST, 0)) as held:
        return int(held.getsockname()[1])


@contextlib.contextmanager
def _running_application(server: Served, app: str, stops: Callable[[], int]) -> Iterator[tuple[int, ServerProcess]]:
    with socket.create_server((HOST, 0), backlog=1024) as listener:
        port = int(listener.getsockname()[1])

        def not_ready() -> str:
            # the other process has it now; ours would keep the port open when that one dies
            listener.close()
            return _not_ready(port, server.ready)

        up = running(
            application_command(app, str(listener.fileno()), server.python),
            not_ready=not_ready,
            within=server.within,
            place=Place(host=HOST, port=port),
            environment=application_environment(server.import_path, server.environment),
            descriptors=(listener.fileno(),),
            name=app,
            cwd=server.cwd,
            stops=stops,
        )
        with up as process:
            yield port, process


def application_command(app: str, where: str, python: str = sys.executable) -> list[str]:
    """The command that serves an application: on the descriptor of a socket that listens, or at `host:port`."""
    return module_command("loadkit.server.serving.app_server", reference(app), where, python=python)


def application_environment(
    import_path: Sequence[str] | None = None, environment: Mapping[str, str] | None = None
) -> dict[str, str]:
    """An environment, ours if none is given, with folders to import from: those that we import from if none are given.

    Until the other process looks for the application, the standard library comes first: a folder of the user's may have
    a module called like one of its.
    """
    path = import_path or _import_path()
    standard_first = sorted(path, key=lambda folder: not _is_standard(folder))
    return {
        **(environment or os.environ),
        "PYTHONPATH": os.pathsep.join(standard_first),
        PATH: os.pathsep.join(path),
    }


def _import_path() -> tuple[str, ...]:
    return tuple(str(Path(folder).absolute()) for folder in sys.path)


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
