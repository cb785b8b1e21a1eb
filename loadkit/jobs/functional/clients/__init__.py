"""What tests send by other clients than `requests` while they run under load: timed from outside, a row for each kind.

Where a library makes the part that sends for itself, a subclass of that part which keeps time is in its place
meanwhile, also for those that were made before, when a module was imported: `client = TestClient(app)`. What no thread
of the load sends is not looked at. All other clients are timed with their test, and it is noted where they connect to.
"""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from loadkit.jobs.functional.clients.asynchronous import traced_init
from loadkit.jobs.functional.clients.blocking import of_http_client, of_urllib3
from loadkit.jobs.functional.clients.connections import watch_connections
from loadkit.jobs.functional.clients.in_process import of_async_django, of_django, of_flask
from loadkit.jobs.functional.clients.transports import of_httpx
from loadkit.jobs.functional.clients.watch import Wrap
from loadkit.jobs.functional.sessions import counted_sessions

_CLIENTS: Final[tuple[tuple[str, tuple[str, ...], str, Callable[[Any], Wrap]], ...]] = (
    ("httpx._client", ("HTTPTransport", "AsyncHTTPTransport"), "httpx", of_httpx),
    ("httpx2._client", ("HTTPTransport", "AsyncHTTPTransport"), "httpx2", of_httpx),
    ("starlette.testclient", ("_TestClientTransport",), "httpx2", of_httpx),
    ("starlette.testclient", ("_TestClientTransport",), "httpx", of_httpx),
    ("django.test.client", ("ClientHandler",), "django.test.client", of_django),
    ("django.test.client", ("AsyncClientHandler",), "django.test.client", of_async_django),
    ("flask.testing", ("FlaskClient",), "flask.testing", of_flask),
    ("urllib3", ("HTTPConnectionPool", "HTTPSConnectionPool"), "urllib3", of_urllib3),
    ("urllib3.connectionpool", ("HTTPConnectionPool", "HTTPSConnectionPool"), "urllib3", of_urllib3),
    ("botocore.awsrequest", ("AWSHTTPConnectionPool", "AWSHTTPSConnectionPool"), "urllib3", of_urllib3),
    ("http.client", ("HTTPConnection", "HTTPSConnection"), "http.client", of_http_client),
)
"""A module, the names in it of what sends, of which module that is a part, and what keeps time of it."""


@contextmanager
def counted_clients() -> Iterator[None]:
    """Keep time of what is sent by clients of the libraries that are imported by now."""
    watch_connections()
    with ExitStack() as stack:
        stack.enter_context(counted_sessions())
        if "flask" in sys.modules:
            # which Flask itself imports with the first test client
            importlib.import_module("flask.testing")
        counted: dict[type, type] = {}
        for name, parts, of, wrap in _CLIENTS:
            module, library = sys.modules.get(name), sys.modules.get(of)
            for part in parts if module and library else ():
                before = getattr(module, part, None)
                if before is None or before in counted.values():
                    continue
                if before not in counted:
                    counted[before] = wrap(library)(before)
                _set(stack, module, part, counted[before])
        if pools := sys.modules.get("urllib3.poolmanager"):
            stack.callback(pools.pool_classes_by_scheme.update, dict(pools.pool_classes_by_scheme))
            # the pool managers that there are have this very one
            for scheme, pool in pools.pool_classes_by_scheme.items():
                pools.pool_classes_by_scheme[scheme] = counted.get(pool, pool)
        if aiohttp := sys.modules.get("aiohttp"):
            _set(stack, aiohttp.ClientSession, "__init__", traced_init(aiohttp))
        _change_class(stack, counted)
        yield


def _set(stack: ExitStack, owner: Any, name: str, value: object) -> None:
    stack.callback(setattr, owner, name, getattr(owner, name))
    setattr(owner, name, value)


def _change_class(stack: ExitStack, counted: Mapping[type, type]) -> None:
    """The same for what was made before."""
    for one in gc.get_objects():
        if changed := counted.get(type(one)):
            _set(stack, one, "__class__", changed)
