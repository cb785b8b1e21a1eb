"""Keeps time of `aiohttp`, whose sessions take hooks of their own."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin

from loadkit.jobs.functional.clients.watch import Watch


def traced_init(aiohttp: Any) -> Callable[..., None]:
    """What makes a `ClientSession`, with our trace beside its own."""
    trace = _trace(aiohttp)
    make = aiohttp.ClientSession.__init__

    @functools.wraps(make)
    def init(self: Any, *arguments: Any, trace_configs: Any = None, **options: Any) -> None:
        make(self, *arguments, trace_configs=[*(trace_configs or []), trace], **options)

    return init


def _trace(aiohttp: Any) -> Any:
    class CountedResponse(aiohttp.ClientResponse):  # type: ignore[misc]
        watch: Watch

        def release(self) -> Any:
            self._end_watch()
            return super().release()

        def close(self) -> None:
            self._end_watch()
            super().close()

        def _end_watch(self) -> None:
            if (error := self.content.exception()) is not None:
                self.watch.fail(error)
            self.watch.end(self.status, self.content.total_bytes)

    async def started(_: object, context: Any, asked: Any) -> None:
        context.watch = Watch(asked.method, str(asked.url))

    async def redirected(_: object, context: Any, asked: Any) -> None:
        context.watch.end(asked.response.status)
        url = urljoin(str(asked.url), asked.response.headers.get("Location", ""))
        context.watch = Watch(asked.method, url)

    async def ended(_: object, context: Any, asked: Any) -> None:
        response, watch = asked.response, context.watch
        # of what is read to its end the client tells when that arrived
        response.content.on_eof(lambda: watch.end(response.status, response.content.total_bytes))
        if type(response) is aiohttp.ClientResponse:
            response.watch, response.__class__ = watch, CountedResponse
        # and it may be read by nobody
        weakref.finalize(response, watch.end, response.status)

    async def failed(_: object, context: Any, asked: Any) -> None:
        context.watch.fail(asked.exception)

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(started)
    trace.on_request_redirect.append(redirected)
    trace.on_request_end.append(ended)
    trace.on_request_exception.append(failed)
    return trace
