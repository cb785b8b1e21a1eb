"""Keeps time of `urllib3`, and what is built on it, and of `http.client`: up to the end of the reply."""

from __future__ import annotations

import sys
from typing import Any

from loadkit.jobs.functional.clients.watch import Watch, Wrap


def of_urllib3(module: Any) -> Wrap:
    """What keeps time of a pool of connections."""

    class CountedResponse(module.HTTPResponse):  # type: ignore[misc]
        watch: Watch

        def release_conn(self) -> None:
            self._end_watch()
            super().release_conn()

        def close(self) -> None:
            self._end_watch()
            super().close()

        def _end_watch(self) -> None:
            if isinstance(error := sys.exception(), module.exceptions.HTTPError):
                self.watch.fail(error)
            self.watch.end(self.status, self.tell())

    def wrap(pool: Any) -> type:
        class CountedPool(pool):  # type: ignore[misc]
            def _make_request(self, connection: Any, method: str, url: str, **options: Any) -> Any:
                target = url if url.startswith("http") else f"{_origin(self.scheme, self.host, self.port)}{url}"
                with Watch(method, target) as watch:
                    response = super()._make_request(connection, method, url, **options)
                if options.get("preload_content", True) or type(response) is not module.HTTPResponse:
                    watch.end(response.status, len(response.data or b""))
                else:
                    response.watch, response.__class__ = watch, CountedResponse
                return response

        return CountedPool

    return wrap


def of_http_client(module: Any) -> Wrap:
    """What keeps time of a connection."""

    class CountedReply(module.HTTPResponse):  # type: ignore[misc]
        watch: Watch | None = None

        def _close_conn(self) -> None:
            if self.watch:
                if isinstance(error := sys.exception(), module.HTTPException | OSError):
                    self.watch.fail(error)
                self.watch.end(self.status)
            super()._close_conn()

    def wrap(connection: Any) -> type:
        class CountedConnection(connection):  # type: ignore[misc]
            response_class = CountedReply
            scheme = "https" if connection.default_port == module.HTTPS_PORT else "http"

            def putrequest(self, method: str, url: str, *more: Any, **options: Any) -> None:
                target = url if url.startswith("http") else f"{_origin(self.scheme, self.host, self.port)}{url}"
                self.watch = Watch(method, target)
                super().putrequest(method, url, *more, **options)

            def endheaders(self, *more: Any, **options: Any) -> None:
                with self.watch:
                    super().endheaders(*more, **options)

            def getresponse(self) -> Any:
                with self.watch:
                    response = super().getresponse()
                response.watch = self.watch
                if response.isclosed():
                    self.watch.end(response.status)
                return response

        return CountedConnection

    return wrap


def _origin(scheme: str, host: str, port: int | None) -> str:
    shown = f"[{host}]" if ":" in host and not host.startswith("[") else host
    is_default = port is None or port == {"http": 80, "https": 443}[scheme]
    return f"{scheme}://{shown}" if is_default else f"{scheme}://{shown}:{port}"
