"""The other process: `python -m loadkit.server.serving.app_server REFERENCE WHERE` serves an application.

`WHERE` is the descriptor of a socket that listens, or `host:port`.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import socket
import sys
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

from loadkit.server.serving import PATH

_App = Callable[..., Any]


def main() -> None:
    """Serve until SIGTERM."""
    name, where = sys.argv[1], sys.argv[2]
    if path := os.environ.pop(PATH, ""):
        sys.path[:] = path.split(os.pathsep)
        os.environ["PYTHONPATH"] = path
    with _listener(where) as held:
        serve(_application(name), held)


def _listener(where: str) -> socket.socket:
    if where.isdigit():
        return socket.socket(fileno=int(where))
    host, _, port = where.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family, backlog=1024)
    except OSError as error:
        sys.exit(f"cannot listen on {where}: {error.strerror}")


def _application(name: str) -> _App:
    place, _, attribute = name.rpartition(":")
    plain = attribute.removesuffix("()")
    module = _module(place)
    try:
        app: _App = attrgetter(plain)(module)
    except AttributeError:
        sys.exit(f"there is no {plain!r} in {place}")
    if not callable(app):
        sys.exit(f"{name} is no application: {app!r} cannot be called")
    if plain != attribute:
        return _made(app, name)
    if not _takes_requests(app):
        sys.exit(f"{name} takes no request; if it makes the application, write {name}()")
    return app


def _made(factory: _App, name: str) -> _App:
    app: _App = factory()
    if not callable(app):
        sys.exit(f"{name} makes no application: {app!r} cannot be called")
    return app


def _module(place: str) -> ModuleType:
    if not place.endswith(".py"):
        # as with uvicorn, gunicorn and flask; the folder of a scenario comes before it
        sys.path.append(str(Path.cwd()))
        return importlib.import_module(place)
    file = Path(place).resolve()
    sys.path.insert(0, str(file.parent))
    if file.is_file() and (file.parent / "__init__.py").is_file():
        return _of_package(file)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None or not file.is_file():
        sys.exit(f"there is no file {place}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    return module


def _of_package(file: Path) -> ModuleType:
    """A module of a package under its name there, so that it can import relatively."""
    parts = [] if file.stem == "__init__" else [file.stem]
    folder = file.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    sys.path.insert(0, str(folder))
    return importlib.import_module(".".join(parts))


def serve(app: _App, listener: socket.socket) -> None:
    """Serve an application on a socket that listens, with uvicorn or the standard library."""
    is_async = is_asgi(app)
    if importlib.util.find_spec("uvicorn"):
        uvicorn: Any = importlib.import_module("uvicorn")
        interface = "asgi3" if is_async else "wsgi"
        # one process, no log of each request: it is the application that is measured
        config = uvicorn.Config(app, interface=interface, access_log=False, log_level="warning")
        uvicorn.Server(config).run(sockets=[listener])
    elif is_async:
        sys.exit("this is an ASGI application, and what serves it is not here; pip install uvicorn")
    else:
        _serve_wsgi(app, listener)


def is_asgi(app: _App) -> bool:
    """True if an application is called as (scope, receive, send) and awaited, not as (environ, start_response)."""
    if any(map(inspect.iscoroutinefunction, (app, getattr(app, "__call__", None)))):  # noqa: B004 - asked what it is
        return True
    needed = [one for one in _positional(app) if one.default is one.empty and one.kind is not one.VAR_POSITIONAL]
    return len(needed) == 3


def _takes_requests(app: _App) -> bool:
    """False for a function that cannot be called with the two arguments of WSGI, or the three of ASGI."""
    found = _positional(app)
    is_open = any(one.kind is one.VAR_POSITIONAL for one in found)
    return not inspect.isfunction(app) or is_open or len(found) > 1


def _positional(app: _App) -> list[inspect.Parameter]:
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)
    try:
        return [one for one in inspect.signature(app).parameters.values() if one.kind not in named]
    except (TypeError, ValueError):
        return []


def _serve_wsgi(app: _App, listener: socket.socket) -> None:
    from socketserver import ThreadingMixIn
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

    class Quiet(WSGIRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """No line for each request."""

        def address_string(self) -> str:
            """The address; looking its name up may take seconds."""
            return str(self.client_address[0])

    class Threaded(ThreadingMixIn, WSGIServer):
        daemon_threads = True

    server = Threaded(listener.getsockname(), Quiet, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.server_name, server.server_port = listener.getsockname()
    server.setup_environ()
    server.set_app(app)
    server.serve_forever()


if __name__ == "__main__":
    main()
