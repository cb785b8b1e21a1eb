"""Keeps time of test clients that call an application of this process: Django's and Flask's."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from loadkit.jobs.functional.clients.watch import Watch, Wrap


def of_django(_: Any) -> Wrap:
    """What keeps time of the handler that Django's test client calls."""

    def wrap(handler: Any) -> type:
        class CountedCalls(handler):  # type: ignore[misc]
            def __call__(self, environ: Any) -> Any:
                with Watch(environ["REQUEST_METHOD"], quote(environ["PATH_INFO"])) as watch:
                    return _ended(watch, super().__call__(environ))

        return CountedCalls

    return wrap


def of_async_django(_: Any) -> Wrap:
    """The same of its async one."""

    def wrap(handler: Any) -> type:
        class CountedCalls(handler):  # type: ignore[misc]
            async def __call__(self, scope: Any) -> Any:
                with Watch(scope["method"], quote(scope["path"])) as watch:
                    return _ended(watch, await super().__call__(scope))

        return CountedCalls

    return wrap


def _ended(watch: Watch, response: Any) -> Any:
    watch.end(response.status_code, 0 if response.streaming else len(response.content))
    return response


def of_flask(_: Any) -> Wrap:
    """What keeps time of Flask's test client."""

    def wrap(client: Any) -> type:
        class CountedClient(client):  # type: ignore[misc]
            def run_wsgi_app(self, environ: Any, *more: Any, **options: Any) -> Any:
                with Watch(environ["REQUEST_METHOD"], quote(environ["PATH_INFO"])) as watch:
                    answered = super().run_wsgi_app(environ, *more, **options)
                    watch.end(int(answered[1].split()[0]))
                    return answered

        return CountedClient

    return wrap
