"""Keeps time of transports of `httpx`, which Starlette's TestClient has one of, too: up to the end of the reply."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from loadkit.jobs.functional.clients.watch import Watch, Wrap


def of_httpx(module: Any) -> Wrap:
    """What keeps time of a transport of this module, up to the end of the reply."""

    class Counted(module.SyncByteStream):  # type: ignore[misc]
        def __init__(self, stream: Any, watch: Watch, status: int) -> None:
            self._stream, self._watch, self._status, self._size = stream, watch, status, 0

        def __iter__(self) -> Iterator[bytes]:
            try:
                for part in self._stream:
                    self._size += len(part)
                    yield part
            except Exception as error:
                self._watch.fail(error)
                raise

        def close(self) -> None:
            self._watch.end(self._status, self._size)
            self._stream.close()

    class CountedAsync(module.AsyncByteStream):  # type: ignore[misc]
        def __init__(self, stream: Any, watch: Watch, status: int) -> None:
            self._stream, self._watch, self._status, self._size = stream, watch, status, 0

        async def __aiter__(self) -> AsyncIterator[bytes]:
            try:
                async for part in self._stream:
                    self._size += len(part)
                    yield part
            except Exception as error:
                self._watch.fail(error)
                raise

        async def aclose(self) -> None:
            self._watch.end(self._status, self._size)
            await self._stream.aclose()

    def wrap(transport: Any) -> type:
        class CountedTransport(transport):  # type: ignore[misc]
            def handle_request(self, request: Any) -> Any:
                with Watch(request.method, str(request.url)) as watch:
                    response = super().handle_request(request)
                response.stream = Counted(response.stream, watch, response.status_code)
                return response

            async def handle_async_request(self, request: Any) -> Any:
                with Watch(request.method, str(request.url)) as watch:
                    response = await super().handle_async_request(request)
                response.stream = CountedAsync(response.stream, watch, response.status_code)
                return response

        return CountedTransport

    return wrap
