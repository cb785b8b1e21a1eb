"""What tests send by other clients than `requests` while they run under load: timed from outside, a row for each kind.

Where a client makes the part that sends for itself, a subclass of that part which keeps time is in its place meanwhile:
in `httpx` (and `httpx2`), in Starlette's TestClient and in Django's test client. All others are timed with their test.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from loadkit.drive.journeys.observer import JourneyObserver
from loadkit.jobs.functional.sessions import counted_sessions
from loadkit.measure.timer import KEEPER
from loadkit.plan.urls import strip_url
from loadkit.wire.base import Failure, Note
from loadkit.wire.session.call import NOTHING_SEEN, Asked

Wrap: TypeAlias = Callable[[Any], type]


class Watch:
    """Keeps time of one request, by our own clock, if a thread of the load sends it; raises what ends a test."""

    def __init__(self, method: str, url: str) -> None:
        keeper = KEEPER.get()
        self._keeper = keeper if isinstance(keeper, JourneyObserver) else None
        self._asked = Asked(method, strip_url(url), None)
        self._sent = self._keeper.begin() if self._keeper else 0

    def end(self, status: int, size: int = 0, failure: Failure | None = None) -> None:
        """It is over; once."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            now = keeper.now()
            note = Note(failure) if failure else None
            keeper.session.count_unstamped(1)
            keeper.observe(self._asked, (status, self._sent, now, now, size, note), 0, NOTHING_SEEN)

    def fail(self, error: BaseException) -> None:
        """It ended without a reply."""
        name = type(error).__name__
        kind = "timeout" if "Timeout" in name else "connect" if "Connect" in name else "disconnect"
        self.end(0, 0, Failure(kind, f"{name}: {error}"))


def _httpx(module: Any) -> Wrap:
    """What keeps time of a transport of this module, up to the end of the reply."""

    class Counted(module.SyncByteStream):  # type: ignore[misc]
        def __init__(self, stream: Any, watch: Watch, status: int) -> None:
            self._stream, self._watch, self._status, self._size = stream, watch, status, 0

        def __iter__(self) -> Iterator[bytes]:
            for part in self._stream:
                self._size += len(part)
                yield part

        def close(self) -> None:
            self._watch.end(self._status, self._size)
            self._stream.close()

    class CountedAsync(module.AsyncByteStream):  # type: ignore[misc]
        def __init__(self, stream: Any, watch: Watch, status: int) -> None:
            self._stream, self._watch, self._status, self._size = stream, watch, status, 0

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for part in self._stream:
                self._size += len(part)
                yield part

        async def aclose(self) -> None:
            self._watch.end(self._status, self._size)
            await self._stream.aclose()

    def wrap(transport: Any) -> type:
        class CountedTransport(transport):  # type: ignore[misc]
            def handle_request(self, request: Any) -> Any:
                watch = Watch(request.method, str(request.url))
                try:
                    response = super().handle_request(request)
                except BaseException as error:
                    watch.fail(error)
                    raise
                response.stream = Counted(response.stream, watch, response.status_code)
                return response

            async def handle_async_request(self, request: Any) -> Any:
                watch = Watch(request.method, str(request.url))
                try:
                    response = await super().handle_async_request(request)
                except BaseException as error:
                    watch.fail(error)
                    raise
                response.stream = CountedAsync(response.stream, watch, response.status_code)
                return response

        return CountedTransport

    return wrap


def _django(_: Any) -> Wrap:
    """What keeps time of the handler that Django's test client calls."""

    def wrap(handler: Any) -> type:
        class CountedClient(handler):  # type: ignore[misc]
            def __call__(self, environ: Any) -> Any:
                watch = Watch(environ["REQUEST_METHOD"], quote(environ["PATH_INFO"]))
                try:
                    response = super().__call__(environ)
                except BaseException as error:
                    watch.fail(error)
                    raise
                watch.end(response.status_code, 0 if response.streaming else len(response.content))
                return response

        return CountedClient

    return wrap


_CLIENTS: Final[tuple[tuple[str, tuple[str, ...], str, Callable[[Any], Wrap]], ...]] = (
    ("httpx._client", ("HTTPTransport", "AsyncHTTPTransport"), "httpx", _httpx),
    ("httpx2._client", ("HTTPTransport", "AsyncHTTPTransport"), "httpx2", _httpx),
    ("starlette.testclient", ("_TestClientTransport",), "httpx2", _httpx),
    ("starlette.testclient", ("_TestClientTransport",), "httpx", _httpx),
    ("django.test.client", ("ClientHandler",), "django.test.client", _django),
)
"""A module, the names in it of what sends, of which module that is a part, and what keeps time of it."""


@contextmanager
def counted_clients() -> Iterator[None]:
    """Keep time of what is sent by clients that are made meanwhile, of the libraries that are imported by now."""
    with ExitStack() as stack:
        stack.enter_context(counted_sessions())
        done = set()
        for name, parts, of, wrap in _CLIENTS:
            module, library = sys.modules.get(name), sys.modules.get(of)
            for part in parts if module and library else ():
                before = getattr(module, part, None)
                if before is None or (name, part) in done:
                    continue
                done.add((name, part))
                setattr(module, part, wrap(library)(before))
                stack.callback(setattr, module, part, before)
        yield
